"""Learning curves over training pairs and over compute, and how little of either is enough for another model's quality.

The question of transfer: what share of the data, and of the training, does a model that already knows something need to
be as good as one that is trained from nothing on all of it? Test scores answer for data, dev scores along the training
for compute. Each seed has its own curve and its own answer; the median is told, with the least and the most.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np

from eclectus import atomic
from eclectus.evaluation import logs, plots
from eclectus.evaluation.formats import MISSING, duration, number, percent
from eclectus.evaluation.pages import environment
from eclectus.evaluation.results import Results
from eclectus.evaluation.runs import Estimate, Finished, estimate, finished, interquartile_mean, spread
from eclectus.evaluation.sheets import Sheet, markdown
from eclectus.evaluation.statistics import NAMES

PAGE = "efficiency.html"

SYSTEMS = {
    "loaded": "as loaded",
    "base": "supervised",
    "supervised_continued": "supervised, continued",
    "rl": "supervised + RL",
}
"""What a run translates the test set with, in the order of its training."""

_STAGES = ("supervised", "supervised_back_translation", "reinforce")
_COSTS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "seconds": ("seconds of training", duration),
    "tokens": ("tokens trained on", lambda tokens: number(tokens / 1e6, 2) + " M"),
}


@dataclass(frozen=True)
class Curve:
    """One run's, or one seed's, quality over what was spent; `xs` rise."""

    xs: Sequence[float]
    ys: Sequence[float]


@dataclass(frozen=True)
class Reach:
    """What the runs of a variant needed for a quality.

    Args:
        at: median over runs; None where no more than half of them reached it.
        low: of the run that needed least; None where none reached it.
        high: of the run that needed most; None where one never reached it.
        at_most: the median is where the curves begin, so less may have been enough.
        share: `at`, as a share of what the other variant took; None where that is nothing.
    """

    at: float | None
    low: float | None
    high: float | None
    at_most: bool
    share: float | None


Runs = Mapping[tuple[str, int], Finished]
"""Finished runs by variant and pairs."""


def cell(variant: str, pairs: int) -> str:
    """The folder of a variant's runs with so many pairs."""
    return f"{variant}-{pairs}"


def first_reached(curve: Curve, bar: float, *, log: bool = False) -> float:
    """Where a curve first comes up to `bar`, on the straight line between two points; infinity where it never does.

    Args:
        log: the line is straight over the logarithm of `xs`, which are above 0.
    """
    before: tuple[float, float] | None = None
    for x, y in zip(curve.xs, curve.ys, strict=True):
        if y >= bar:
            if before is None:
                return x
            part = (bar - before[1]) / (y - before[1])
            return before[0] * (x / before[0]) ** part if log else before[0] + part * (x - before[0])
        before = (x, y)
    return math.inf


def reach(curves: Sequence[Curve], bar: float, whole: float, *, log: bool = False) -> Reach:
    """What it took to come up to `bar`, over at least one curve, and which share that is of `whole`; see `Reach`."""
    places = [first_reached(curve, bar, log=log) for curve in curves]
    at, low, high = (None if math.isinf(place) else place for place in (median(places), min(places), max(places)))
    begins = at is not None and at <= median(curve.xs[0] for curve in curves)
    return Reach(at, low, high, begins, at / whole if at is not None and whole else None)


def training_curve(records: Sequence[logs.Record], cost: str) -> Curve:
    """Dev chrF++ over the whole of a training, whose stages spend one after the other.

    Args:
        records: of the run's metrics file; those of its controls are passed over.
        cost: `seconds` or `tokens`.
    """
    xs: list[float] = []
    ys: list[float] = []
    for stage in _STAGES:
        spent = xs[-1] if xs else 0.0
        for record in records:
            if record["kind"] == "dev" and record["stage"] == stage:
                xs.append(spent + record[cost])
                ys.append(mean(value for key, value in record.items() if key.startswith("chrf/")))
    return Curve(xs, ys)


def write(
    folder: Path, variants: Sequence[str], pairs: Sequence[int], seeds: Sequence[int], against: str | None
) -> list[Sheet]:
    """Write `efficiency.html`, `efficiency.md` and `efficiency.json` from the runs that are finished.

    Args:
        pairs: sizes of the training data, the smallest first.
        against: the variant that, with the most pairs, sets the quality to reach; None: there is none.

    Returns:
        The tables of the page; none, and no page, where no run is finished.
    """
    runs = {(v, n): part for v in variants for n in pairs if (part := finished(folder, cell(v, n), seeds)).results}
    if not runs:
        return []
    tables = [_quality(runs, metric) for metric in NAMES]
    top = None if against is None else runs.get((against, pairs[-1]))
    if against is not None and top is not None:
        tables += [_data_needed(runs, variants, pairs, top, against), _compute_needed(runs, pairs, top, against)]
    atomic.write(folder / "efficiency.md", markdown(tables))
    plain = [
        {"title": t.title, "rows": [dict(zip(t.header, row, strict=True)) for row in t.rows], "note": t.note}
        for t in tables
    ]
    atomic.write(folder / "efficiency.json", json.dumps(plain, indent=1, ensure_ascii=False))
    first = next(iter(runs.values())).results[0]
    context = {
        "title": first.title,
        "tables": tables,
        "figures": [*_over_pairs(runs, variants, pairs, top, against), *_over_cost(runs, variants)],
        "missing": len(variants) * len(pairs) * len(seeds) - sum(len(part.results) for part in runs.values()),
        "seeds": list(seeds),
        "signatures": first.signatures,
        "versions": first.versions,
    }
    atomic.write(folder / PAGE, environment().get_template(PAGE).render(context))
    return tables


def _score(part: Finished, system: str, metric: str) -> Estimate | None:
    """Over runs and directions; None where the runs have no such system."""
    rows = [[getattr(scores[system], metric) for scores in r.scores.values() if system in scores] for r in part.results]
    return estimate(np.array(rows)) if rows[0] else None


def _quality(runs: Runs, metric: str) -> Sheet:
    there = [s for s in SYSTEMS if any(_score(part, s, metric) for part in runs.values())]
    rows = []
    for (variant, pairs), part in runs.items():
        scores = [_score(part, system, metric) for system in there]
        steps = [r for records in part.records for r in records if r["kind"] == "step" and r["stage"] == "reinforce"]
        spent = [[training_curve(records, cost).xs[-1] for records in part.records] for cost in _COSTS]
        memory = max((step["memory"] for step in steps if step.get("memory")), default=None)
        rows.append(
            [
                variant,
                f"{pairs:,}",
                str(len(part.results)),
                *(MISSING if score is None else spread(score) for score in scores),
                *(said(median(values)) for (_, said), values in zip(_COSTS.values(), spent, strict=True)),
                MISSING if memory is None else f"{number(memory, 0)} MiB",
            ]
        )
    header = ["variant", "pairs", "runs", *(SYSTEMS[s] for s in there), "time", "tokens", "peak memory"]
    return Sheet(
        f"Test {NAMES[metric]}",
        header,
        rows,
        "Interquartile means over runs and directions, with 95 % intervals over seeds where there are several. Time and"
        " tokens (of sources with their prompts and of translations) are those of both stages of the training.",
    )


def _data_needed(runs: Runs, variants: Sequence[str], pairs: Sequence[int], top: Finished, against: str) -> Sheet:
    bar = _test_bar(top)
    systems = [s for s in SYSTEMS if any(s in scores for p in runs.values() for scores in p.results[0].scores.values())]
    rows = []
    for variant in variants:
        cells = []
        for system in systems:
            curves = list(_data_curves(runs, variant, pairs, system))
            found = reach(curves, bar, pairs[-1], log=True) if curves else None
            cells.append(_said(found, len(curves), lambda count: f"{count:,.0f}"))
        rows.append([variant, *cells])
    return Sheet(
        f"Pairs needed for {number(bar)} chrF++, which {against} has with {pairs[-1]:,}",
        ["variant", *(SYSTEMS[s] for s in systems)],
        rows,
        "On test, between two sizes by the logarithm of the pairs; median over seeds, least and most in brackets.",
    )


def _compute_needed(runs: Runs, pairs: Sequence[int], top: Finished, against: str) -> Sheet:
    rows = []
    bars = {}
    for (variant, count), part in runs.items():
        cells = []
        for cost, (_, said) in _COSTS.items():
            own = [training_curve(records, cost) for records in top.records]
            bars[cost] = mean(max(curve.ys) for curve in own)
            whole = mean(curve.xs[curve.ys.index(max(curve.ys))] for curve in own)
            curves = [training_curve(records, cost) for records in part.records]
            cells.append(_said(reach(curves, bars[cost], whole), len(curves), said))
        rows.append([variant, f"{count:,}", *cells])
    return Sheet(
        f"Training needed for {number(bars['seconds'])} dev chrF++, the best of {against} with {pairs[-1]:,} pairs",
        ["variant", "pairs", "time", "tokens"],
        rows,
        f"Shares are of what {against} with {pairs[-1]:,} pairs had spent when it was best; median over seeds, least"
        " and most in brackets. Time includes the dev evaluations and is of the machine that ran this.",
    )


def _test_bar(top: Finished) -> float:
    found = _score(top, "rl", "chrf")
    assert found is not None  # a run that is compared has reinforcement learning
    return found.value


def _data_curves(runs: Runs, variant: str, pairs: Sequence[int], system: str) -> Iterator[Curve]:
    """A curve of test chrF++ over pairs for each seed that has a run."""
    by_seed: dict[int, list[tuple[int, float]]] = {}
    for count in pairs:
        part = runs.get((variant, count))
        for results in part.results if part is not None else ():
            value = _mean_chrf(results, system)
            if value is not None:
                by_seed.setdefault(results.seed, []).append((count, value))
    for points in by_seed.values():
        yield Curve([x for x, _ in points], [y for _, y in points])


def _mean_chrf(results: Results, system: str) -> float | None:
    values = [scores[system].chrf for scores in results.scores.values() if system in scores]
    return interquartile_mean(np.array(values)) if values else None


def _said(found: Reach | None, runs: int, unit: Callable[[float], str]) -> str:
    if found is None:
        return MISSING
    if found.at is None:
        text = "not reached"
    else:
        text = f"{'≤ ' if found.at_most and found.at else ''}{unit(found.at)} ({percent(found.share)})"
    if runs == 1 or found.low is None:
        return text
    return f"{text} [{unit(found.low)} to {'never' if found.high is None else unit(found.high)}]"


def _over_pairs(
    runs: Runs, variants: Sequence[str], pairs: Sequence[int], top: Finished | None, against: str | None
) -> list[plots.Plot]:
    if len(pairs) < 2:
        return []
    drawn = []
    for colour, variant in enumerate(variants):
        for system, dashed in (("base", True), ("rl", False)):
            there = [n for n in pairs if (variant, n) in runs]
            scores = [s for n in there if (s := _score(runs[variant, n], system, "chrf")) is not None]
            if len(scores) < len(there) or not there:
                continue
            ends = [(s.low, s.high) for s in scores if s.low is not None and s.high is not None]
            low, high = ([low for low, _ in ends], [high for _, high in ends]) if len(ends) == len(there) else ([], [])
            ys = [score.value for score in scores]
            label = f"{variant}, {SYSTEMS[system]}"
            drawn.append(plots.Line(label, there, ys, colour=colour, dashed=dashed, dots=True, low=low, high=high))
    if top is not None:
        level = f"{against} with {pairs[-1]:,} pairs"
        drawn.append(plots.Line(level, [pairs[0], pairs[-1]], [_test_bar(top)] * 2, colour=len(variants), dashed=True))
    title = "Test chrF++ over training pairs"
    return [plots.lines("pairs", title, drawn, across="pairs of each language", places=pairs)]


def _over_cost(runs: Runs, variants: Sequence[str]) -> list[plots.Plot]:
    """Dev chrF++ of every run with the most pairs that has been finished, a line for each seed."""
    drawn = []
    largest = max(n for _, n in runs)
    for cost, (title, _) in _COSTS.items():
        curves = []
        for colour, variant in enumerate(variants):
            part = runs.get((variant, largest))
            for i, records in enumerate(part.records if part is not None else ()):
                curve = training_curve(records, cost)
                curves.append(plots.Line("" if i else variant, curve.xs, curve.ys, colour=colour, dots=True))
        title = f"{title}, {largest:,} pairs"
        drawn.append(plots.lines(f"over-{cost}", "Held-out dev chrF++ over the training", curves, across=title))
    return drawn
