"""Dev evaluation while training: greedy translations of a fixed slice of the dev set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eclectus.config import Component
from eclectus.engines.base import NATIVE, engine_of
from eclectus.evaluation.metrics import DirectionScores, Scorer
from eclectus.policies.base import Policy
from eclectus.segment import Segment
from eclectus.training.tasks import Task


@dataclass(frozen=True)
class DevScores:
    """Means over directions: BLEU and chrF++ in 0..100, the other rates as in `DirectionScores`."""

    bleu: float
    chrf: float
    off_target: float
    length_ratio: float
    repetition: float
    copy: float
    empty: float

    def named(self, group: str) -> dict[str, float]:
        """For the metrics file: `chrf/<group>` and so on."""
        return {f"{name}/{group}": value for name, value in vars(self).items()}


class DevSet:
    """The dev segments of several directions, with reference statistics extracted once.

    Args:
        segments: by direction, each with a reference.
        languages: the run's languages, for language identification.
        engine: what translates; None: the policy itself.
    """

    def __init__(
        self, segments: Mapping[str, Sequence[Segment]], languages: Sequence[str], engine: Component | None = None
    ) -> None:
        self._engine = engine or Component(type=NATIVE)
        self.segments = {direction: list(rows) for direction, rows in segments.items()}
        self._scorers = {direction: Scorer(rows, languages) for direction, rows in self.segments.items()}

    def translate(self, policy: Policy, max_length: int) -> dict[str, list[str]]:
        """Greedy translations by direction, all directions in one go so that batches are full."""
        translator = engine_of(self._engine, policy, "evaluation.engine") or policy
        texts = iter(translator.translate([s for rows in self.segments.values() for s in rows], max_length))
        return {direction: [next(texts) for _ in rows] for direction, rows in self.segments.items()}

    def score(self, outputs: Mapping[str, Sequence[str]], directions: Sequence[str] | None = None) -> DevScores:
        """Mean scores over `directions` (all by default)."""
        scores = [self._scorers[d].score(outputs[d]) for d in directions or list(self._scorers)]
        names = DevScores.__dataclass_fields__
        return DevScores(**{name: _mean(scores, name) for name in names})


@dataclass(frozen=True)
class Judged:
    """What the dev set says of the tasks.

    Args:
        score: chooses the checkpoint: each task's chrF++, or 100 times its reward, as its `select_by` says; a mean in
            which every direction weighs the same.
        chrf: by task.
        reward: by task; without those whose reward judged nothing, as one that compares the samples of a source.
        values: for the metrics file.
    """

    score: float
    chrf: Mapping[str, float]
    reward: Mapping[str, float]
    values: Mapping[str, float]


def judge(dev: DevSet, tasks: Sequence[Task], outputs: Mapping[str, Sequence[str]]) -> Judged:
    """Score a policy's translations of the dev set, by direction, for each task."""
    chrf: dict[str, float] = {}
    reward: dict[str, float] = {}
    values: dict[str, float] = {}
    total = 0.0
    for task in tasks:
        name, scores = task.name, dev.score(outputs, task.directions)
        chrf[name], mean = scores.chrf, _reward(dev, task, outputs)
        values |= scores.named(name)
        if mean is not None:
            reward[name] = values[f"reward/{name}"] = mean
        chosen = chrf[name] if task.config.select_by == "reference" else 100 * (mean or 0.0)
        total += chosen * len(task.directions)
    return Judged(total / sum(len(task.directions) for task in tasks), chrf, reward, values)


def _reward(dev: DevSet, task: Task, outputs: Mapping[str, Sequence[str]]) -> float | None:
    """Mean over the segments that the task's reward judges; None where it judges none."""
    segments, groups = [], []
    for direction in task.directions:
        for segment, text in zip(dev.segments[direction], outputs[direction], strict=True):
            segments.append(segment if task.config.references else replace(segment, reference=None))
            groups.append([text])
    totals = [row[0] for row in task.measure.score_groups(segments, groups).total if row[0] is not None]
    return sum(totals) / len(totals) if totals else None


def _mean(scores: Sequence[DirectionScores], name: str) -> float:
    """Mean of one field over the directions that have it."""
    values = [value for s in scores if (value := getattr(s, name)) is not None]
    return sum(values) / len(values) if values else 0.0
