"""`report.html`: one file that shows a run, from its folder; no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from eclectus import atomic
from eclectus.errors import RunError
from eclectus.evaluation import curves, examples, formats, logs, plots, translations
from eclectus.evaluation.headline import EARLIER, Verdict, against_control, baseline, decided_by, verdict
from eclectus.evaluation.metrics import DirectionScores
from eclectus.evaluation.pages import REPORT, environment
from eclectus.evaluation.results import FILE, Comparison, Group, Results, System

_SAMPLED = 6  # sources of each task in the table of samples
_SAMPLES = 4  # samples of each source
_LIGHTS: dict[Verdict, tuple[str, str]] = {
    "better": ("good", "Better than {base}"),
    "worse": ("bad", "Worse than {base}"),
    "mixed": ("warn", "BLEU and chrF++ disagree"),
    "same": ("even", "No significant change"),
    "none": ("even", "Nothing to compare with"),
}


@dataclass(frozen=True)
class Row:
    """A system in the tables of a group: its means, its distance from the base, the main system's lead on it."""

    system: System
    scores: DirectionScores
    base: Mapping[str, Comparison]
    lead: Comparison | None


@dataclass(frozen=True)
class Section:
    """A group as the page shows it."""

    group: Group
    light: str
    verdict: str
    sentence: str
    before: DirectionScores | None
    after: DirectionScores | None
    rows: list[Row]
    figure: plots.Plot | None
    examples: examples.GroupExamples | None


@dataclass(frozen=True)
class Grid:
    """A plain table."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)


def write(run: Path) -> Path:
    """Write `report.html` into a run folder from whatever is there; a run that is still going may have little.

    Args:
        run: the folder of a run.

    Returns:
        The path of the report.

    Raises:
        RunError: the folder is no run, or one of its files is damaged.
    """
    run = Path(run)
    if not any((run / name).is_file() for name in (FILE, "metrics.jsonl", "config.yaml")):
        reason = f"holds no {FILE}, metrics.jsonl or config.yaml" if run.is_dir() else "is no folder"
        raise RunError(f"report: '{run}' {reason}; name the folder that `eclectus train` wrote")
    page = environment().get_template(REPORT).render(_context(run))
    path = run / REPORT
    atomic.write(path, page)
    return path


def grids(described: Mapping[str, Any]) -> list[Grid]:
    """Turn nested counts into tables.

    Single values make one table of names and values. Under each other key the innermost names are the columns and
    the way to them is the row, so that `{"counts": {"gl": {"cldr": {"train": 9}}}}` has a row `gl · cldr`.
    """
    single = [[key, _cell(v)] for key, v in described.items() if not isinstance(v, Mapping) and _cell(v)]
    found = [Grid("overview", ["", ""], single)] if single else []
    for title, part in described.items():
        leaves = _leaves(part) if isinstance(part, Mapping) else []
        flat = [[path[0], _cell(value)] for path, value in leaves if len(path) == 1 and _cell(value)]
        deep: dict[str, dict[str, str]] = {}
        for path, value in leaves:
            if len(path) > 1:
                deep.setdefault(" · ".join(path[:-1]), {})[path[-1]] = _cell(value)
        columns = list(dict.fromkeys(column for row in deep.values() for column in row))
        rows = [[name, *(row.get(column, "") for column in columns)] for name, row in deep.items()]
        found += [Grid(title, ["", ""], flat)] if flat else []
        found += [Grid(title, ["", *columns], rows)] if rows else []
    return found


def _leaves(part: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, value in part.items():
        here = (*path, str(key))
        found += _leaves(value, here) if isinstance(value, Mapping) else [(here, value)]
    return found


def _context(run: Path) -> dict[str, Any]:
    """Everything that the template names."""
    results = Results.load(run) if (run / FILE).exists() else None
    config = _text(run / "config.yaml")
    settings = _settings(config)
    records = logs.metrics(run)
    labels = _labels(results)
    base, main = (results.first("base"), results.first("system")) if results else (None, None)
    texts = translations.read(run)
    return {
        "results": results,
        "title": results.title if results else settings.get("title", run.resolve().name),
        "seed": results.seed if results else settings.get("seed"),
        "languages": results.languages if results else settings.get("data", {}).get("languages", []),
        "base": base,
        "main": main,
        "sections": _sections(results, texts) if results else [],
        "corpora": _corpora(results) if results else [],
        "plots": curves.main_curves(records, labels),
        "supervised": curves.supervised_curves(records, labels),
        "beside": curves.control_curves(records, labels),
        "more": curves.more_curves(records, labels),
        "parts": _parts(records, labels),
        "steps": max(
            (r["step"] for r in records if r.get("stage", curves.REINFORCE) == curves.REINFORCE), default=None
        ),
        "sampled": _sampled(run),
        "data": grids(_json(run / "data.json")),
        "config": config,
        "labels": labels,
    }


def _labels(results: Results | None) -> curves.Labels:
    if results is None:
        return curves.Labels()
    return curves.Labels({g.name: g.label for g in results.groups}, {s.name: s.label for s in results.systems})


def _sections(results: Results, texts: list[translations.Translation]) -> list[Section]:
    base, main = results.first("base"), results.first("system")
    before = base.name if base and main else None
    shown = main or base or (results.systems[0] if results.systems else None)
    sentences = results.headline or [""] * len(results.groups)
    found = []
    for i, (group, sentence) in enumerate(zip(results.groups, sentences, strict=False)):
        light, words = _LIGHTS[verdict(results, group)]
        words = words.format(base=baseline(base) if base else "") + decided_by(results, group)
        rows = _rows(results, group)
        behind = _behind(results, group)
        if light == "good" and behind:
            light, words = "warn", f"Better than {baseline(base) if base else ''}, behind {formats.listing(behind)}"
        chosen = examples.choose(texts, group, before, shown.name, results.seed) if shown else None
        found.append(
            Section(
                group,
                light,
                words,
                sentence,
                before=results.group_scores(group, base.name) if base else None,
                after=results.group_scores(group, main.name) if main else None,
                rows=rows,
                figure=_figure(i, group, rows, base),
                examples=chosen,
            )
        )
    return found


def _behind(results: Results, group: Group) -> list[str]:
    """The controls that are ahead in a metric that the sentences compare them in."""
    main = results.first("system")
    if main is None:
        return []
    compared = [(system, against_control(results, group, main, system)) for system in results.systems]
    return [
        EARLIER.get(system.name, system.label)
        for system, found in compared
        if any(comparison.verdict == "worse" for comparison in found.values())
    ]


def _rows(results: Results, group: Group) -> list[Row]:
    base, main = results.first("base"), results.first("system")
    found = []
    for system in results.systems:
        scores = results.group_scores(group, system.name)
        if scores is None:
            continue
        pairs = {
            m: results.comparison(group.name, system.name, base.name, m) if base else None for m in ("bleu", "chrf")
        }
        lead = results.comparison(group.name, main.name, system.name, "bleu") if main else None
        found.append(Row(system, scores, {m: c for m, c in pairs.items() if c is not None}, lead))
    return found


def _figure(i: int, group: Group, rows: list[Row], base: System | None) -> plots.Plot | None:
    """Distances from the start with their intervals, worth drawing from two systems on."""
    compared = [row for row in rows if row.base]
    if len(compared) < 2 or base is None:
        return None
    series = {
        name: [(c.difference, c.low, c.high) if (c := row.base.get(metric)) else None for row in compared]
        for metric, name in (("bleu", "BLEU"), ("chrf", "chrF++"))
    }
    title = f"{formats.capital(group.label)}: difference from {baseline(base)}"
    return plots.intervals(f"gain-{i}", title, [row.system.label for row in compared], series)


def _corpora(results: Results) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(direction, corpus, scores by system), where a direction has more than one corpus."""
    return [
        (direction, corpus, by_system)
        for direction, parts in results.by_corpus.items()
        if len(parts) > 1
        for corpus, by_system in parts.items()
    ]


def _parts(records: list[logs.Record], labels: curves.Labels) -> Grid | None:
    """What each part of the reward said in the last steps of training."""
    windows = [r for r in records if r.get("kind") == "parts" and r.get("stage", curves.REINFORCE) == curves.REINFORCE]
    if not windows:
        return None
    title = f"Parts of the reward, steps {windows[-1]['first']} to {windows[-1]['step']}"
    rows = [
        [
            labels.groups.get(row["task"], row["task"]),
            f"{row['part']} ({row['kind']})",
            formats.number(row["mean"], 2),
            formats.percent(row["equal"]),
            formats.percent(row["abstained"]),
            row["verdict"] or formats.MISSING,
        ]
        for row in windows[-1]["parts"]
    ]
    return Grid(title, ["", "part", "mean", "groups with one value", "abstained", "finding"], rows)


def _sampled(run: Path) -> list[dict[str, Any]]:
    """The first and the last samples of each task: what the policy said then and what it says now."""
    by_task: dict[str, list[dict[str, Any]]] = {}
    for record in logs.samples(run):
        if record.get("stage", curves.REINFORCE) != curves.REINFORCE:
            continue
        said = [
            {"text": str(s.get("text", "")), "reward": s.get("reward"), "parts": s.get("parts") or {}}
            for s in (record.get("samples") or [])[:_SAMPLES]
        ]
        shown: dict[str, Any] = {key: str(record.get(key, "")) for key in ("task", "direction", "source")}
        if said:
            by_task.setdefault(shown["task"], []).append(shown | {"step": record["step"], "samples": said})
    half = _SAMPLED // 2
    kept = [part if len(part) <= _SAMPLED else part[:half] + part[-half:] for part in by_task.values()]
    return [record for part in kept for record in part]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _settings(config: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(config)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _json(path: Path) -> dict[str, Any]:
    return _settings(_text(path))  # JSON is YAML


def _cell(value: Any) -> str:
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, list):
        return ", ".join(_cell(v) for v in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
