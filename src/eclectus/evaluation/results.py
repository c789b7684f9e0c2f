"""What an evaluation found: the contract between a run and everything that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from eclectus import atomic
from eclectus.errors import RunError, resuming
from eclectus.evaluation.headline import headline
from eclectus.evaluation.metrics import DirectionScores, Scorer
from eclectus.evaluation.provenance import fold, identification, versions
from eclectus.evaluation.significance import Resampled, compare, names, resample
from eclectus.evaluation.statistics import NAMES, Statistics
from eclectus.segment import Segment

FILE = "evaluation.json"


class Part(BaseModel):
    """Base of the parts of `Results`."""

    model_config = ConfigDict(extra="ignore", frozen=True)


STOPPED_EARLY = "stopped early"
"""How the description of a system begins whose reward was gamed."""


class System(Part):
    """One way of translating the test set.

    Args:
        name: short name, the key in `Results.scores`.
        label: what people read, for example `pivot through English`.
        role: `base` is where the run began, `system` what it made; a `control` is another use of the same
            time; an `oracle` may use what the system may not, and shows how much is left to win.
        description: one sentence.
        seconds: training time.
        steps: updates.
    """

    name: str
    label: str
    role: Literal["base", "system", "control", "oracle"]
    description: str = ""
    seconds: float | None = None
    steps: int | None = None


class Group(Part):
    """Directions whose mean is reported, for example the zero-shot ones."""

    name: str
    label: str
    directions: list[str]
    description: str = ""


class CorpusScores(Part):
    """Scores on the segments of one corpus in one direction."""

    bleu: float
    chrf: float
    n: int


class Comparison(Part):
    """A paired-bootstrap comparison of two systems on a group's mean or on one direction."""

    kind: Literal["group", "direction"]
    scope: str
    system: str
    against: str
    metric: Literal["bleu", "chrf"]
    difference: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> Literal["better", "worse", "same"]:
        """Whether the 95 % interval lies above 0, below 0, or holds it."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "same"


class Results(Part):
    """Everything that was measured on the test set."""

    title: str
    seed: int
    resamples: int
    languages: list[str]
    systems: list[System]
    groups: list[Group]
    scores: dict[str, dict[str, DirectionScores]]
    by_corpus: dict[str, dict[str, dict[str, CorpusScores]]]
    comparisons: list[Comparison]
    noise: dict[str, float | None]
    signatures: dict[str, str]
    versions: dict[str, str]
    headline: list[str] = []

    def system(self, name: str) -> System:
        """Return the system called `name`."""
        return next(system for system in self.systems if system.name == name)

    def first(self, role: str) -> System | None:
        """Return the first system with this role."""
        return next((system for system in self.systems if system.role == role), None)

    def group_scores(self, group: Group, system: str) -> DirectionScores | None:
        """Return the mean over the group's directions (`n`: sum); None where the system misses one."""
        parts = [self.scores[direction].get(system) for direction in group.directions]
        there = [part for part in parts if part is not None]
        if len(there) < len(parts) or not there:
            return None
        means: dict[str, Any] = {}
        for name in (field.name for field in fields(DirectionScores) if field.name != "n"):
            values = [value for value in (getattr(part, name) for part in there) if value is not None]
            means[name] = sum(values) / len(values) if values else None
        return DirectionScores(n=sum(part.n for part in there), **means)

    def comparison(self, scope: str, system: str, against: str, metric: str, kind: str = "group") -> Comparison | None:
        """Return the comparison of `system` with `against`, where it was made."""
        wanted = (kind, scope, system, against, metric)
        return next((c for c in self.comparisons if (c.kind, c.scope, c.system, c.against, c.metric) == wanted), None)

    def save(self, run: Path) -> Path:
        """Write `evaluation.json` into a run folder, whole or not at all."""
        path = run / FILE
        atomic.write(path, self.model_dump_json(indent=1))
        return path

    @staticmethod
    def load(run: Path) -> Results:
        """Read `evaluation.json` of a run folder.

        Raises:
            RunError: the file is missing or is not what `save` writes.
        """
        path = run / FILE
        try:
            return Results.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RunError(
                f"evaluation: '{run}' holds no {FILE}, which a run writes at its end; finish it with {resuming(run)}"
            ) from error
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(
                f"evaluation: cannot read '{path}' ({reason}); write it again with {resuming(run)}"
            ) from error


def build(
    title: str,
    seed: int,
    languages: Sequence[str],
    segments: Mapping[str, Sequence[Segment]],
    outputs: Mapping[str, Mapping[str, Sequence[str]]],
    *,
    systems: Sequence[System],
    groups: Sequence[Group] = (),
    entropies: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    measured: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    resamples: int = 1000,
) -> Results:
    """Score every system on every direction that it translated, and compare them.

    Every system is compared with the base, and the first one with the role `system` also with each control
    and oracle: BLEU and chrF++, on each direction and on the mean of each group that both cover.

    Args:
        title: name of the run.
        seed: seed of the bootstrap.
        languages: the run's languages.
        segments: test segments by direction.
        outputs: translations by system name and direction, in the order of the segments.
        systems: what they are, in the order of the tables.
        groups: directions to average; those in none make a group of their own.
        entropies: mean entropy per token, shaped as `outputs`; systems and directions may be missing.
        measured: further fields of `DirectionScores` that were measured elsewhere, by system and direction.
        resamples: bootstrap resamples.

    Raises:
        DataError: a direction has no segment, or a segment no reference.
    """
    scores: dict[str, dict[str, DirectionScores]] = {}
    by_corpus: dict[str, dict[str, dict[str, CorpusScores]]] = {}
    noise: dict[str, float | None] = {}
    drawn: dict[tuple[str, str], Resampled] = {}
    signatures: dict[str, str] = {}
    called = names(segments)
    for direction, part in segments.items():
        scorer = Scorer(part, languages)
        noise[direction] = scorer.off_target(scorer.references)[0]
        signatures |= {f"{NAMES[metric]} {direction}": value for metric, value in scorer.extract.signatures.items()}
        scores[direction], by_corpus[direction] = {}, {}
        for system in systems:
            if direction not in outputs[system.name]:
                continue
            hypotheses = outputs[system.name][direction]
            statistics = scorer.extract(hypotheses)
            entropy = (entropies or {}).get(system.name, {}).get(direction)
            further = (measured or {}).get(system.name, {}).get(direction, {})
            scores[direction][system.name] = replace(scorer.score(hypotheses, entropy, statistics), **further)
            drawn[direction, system.name] = resample(statistics, direction, called[direction], resamples, seed)
            for corpus, corpus_scores in _corpora(part, statistics).items():
                by_corpus[direction].setdefault(corpus, {})[system.name] = corpus_scores
    groups = _complete(groups, list(segments))
    results = Results(
        title=title,
        seed=seed,
        resamples=resamples,
        languages=list(languages),
        systems=list(systems),
        groups=groups,
        scores=scores,
        by_corpus=by_corpus,
        comparisons=_comparisons(systems, groups, list(segments), drawn),
        noise=noise,
        signatures=fold(signatures)
        | {"Bootstrap": f"paired|bs:{resamples}|weights:poisson|seed:{seed}|two-sided"}
        | {"Language identification": identification(languages)},
        versions=versions(),
    )
    return results.model_copy(update={"headline": headline(results)})


def _corpora(segments: Sequence[Segment], statistics: Statistics) -> dict[str, CorpusScores]:
    rows: dict[str, list[int]] = {}
    for i, segment in enumerate(segments):
        rows.setdefault(segment.attributes.get("corpus", "unnamed"), []).append(i)
    return {name: CorpusScores(**statistics.rows(index).total(), n=len(index)) for name, index in rows.items()}


def _complete(groups: Sequence[Group], directions: list[str]) -> list[Group]:
    """Keep what was tested, and gather the directions that stand in no group."""
    kept = [g.model_copy(update={"directions": [d for d in g.directions if d in directions]}) for g in groups]
    kept = [group for group in kept if group.directions]
    left = [d for d in directions if not any(d in group.directions for group in kept)]
    if left:
        kept.append(Group(name="other", label="Other directions" if kept else "All directions", directions=left))
    return kept


def _comparisons(
    systems: Sequence[System],
    groups: Sequence[Group],
    directions: list[str],
    drawn: Mapping[tuple[str, str], Resampled],
) -> list[Comparison]:
    base = next((s for s in systems if s.role == "base"), None)
    main = next((s for s in systems if s.role == "system"), None)
    pairs = [(s, base) for s in systems if base is not None and s is not base]
    pairs += [(main, s) for s in systems if main is not None and s.role in ("control", "oracle")]
    scopes = [("group", g.name, g.directions) for g in groups] + [("direction", d, [d]) for d in directions]
    found = []
    for kind, scope, members in scopes:
        for system, against in pairs:
            keys = [((d, system.name), (d, against.name)) for d in members]
            if not all(a in drawn and b in drawn for a, b in keys):
                continue
            for metric in NAMES:
                result = compare([drawn[a] for a, _ in keys], [drawn[b] for _, b in keys], metric)
                found.append(
                    Comparison(
                        kind=kind,
                        scope=scope,
                        system=system.name,
                        against=against.name,
                        metric=metric,
                        difference=result.difference,
                        low=result.low,
                        high=result.high,
                        p=result.p,
                    )
                )
    return found
