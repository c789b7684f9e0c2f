"""What each variant of a comparison has reached: quality, distance from its start, rates and cost, over runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from eclectus.evaluation.formats import number, percent
from eclectus.evaluation.paired import Paired
from eclectus.evaluation.results import STOPPED_EARLY, Group
from eclectus.evaluation.runs import Estimate, Finished, estimate, interquartile_mean
from eclectus.evaluation.statistics import NAMES, Array

START = "start"
RATES = {
    "off_target": ("off-target", percent),
    "exact": ("exact", percent),
    "length_ratio": ("length", lambda value: number(value, 2)),
    "repetition": ("repetition", percent),
    "copy": ("copy", percent),
    "empty": ("empty", percent),
    "entropy": ("entropy", lambda value: number(value, 2)),
    "agreement": ("agreement", number),
}
"""What BLEU and chrF++ do not see: fields of `DirectionScores`, how a table calls them, how it writes them."""


@dataclass(frozen=True)
class Row:
    """What one variant reached on one group of directions.

    Args:
        scores: interquartile mean by metric, over runs and directions.
        gains: its distance from the start of its own runs, by metric; none for a start.
        weakest: lowest chrF++ among the directions, mean over runs.
        rates: means over directions and runs, by the names of `DirectionScores`; None where nothing was measured.
        seconds, samples_per_second: medians over runs; memory: largest, in MiB.
        paired: against the first variant, segment by segment; None for the first one and for what is no variant.
    """

    variant: str
    runs: int
    scores: Mapping[str, Estimate]
    gains: Mapping[str, Estimate]
    weakest: float
    rates: Mapping[str, float | None]
    seconds: float | None = None
    samples_per_second: float | None = None
    memory: float | None = None
    stopped: int = 0
    paired: Paired | None = None


def rows_of(group: Group, found: Sequence[Finished], paired: Mapping[str, Paired]) -> list[Row]:
    """The rows of a group: the start or starts, the variants, then what they were compared with.

    Args:
        found: the variants' finished runs, the first variant's first.
        paired: of the other variants, against the first.
    """
    rows = []
    one = _start_together(group, found)
    for part in found:
        if part is found[0] or not one:
            start = _scores(group, part, "base")
            rows.append(
                Row(
                    START if one else f"{START} of {part.variant}",
                    len(part.results),
                    {metric: Estimate(interquartile_mean(values)) for metric, values in start.items()},
                    {},
                    _weakest(start["chrf"]),
                    _rates(group, part, "base"),
                )
            )
    rows += [_row(part.variant, group, part, "rl", paired.get(part.variant)) for part in found]
    for part in found:
        for other in part.results[0].systems:
            scored = all(other.name in results.scores[d] for results in part.results for d in group.directions)
            if scored and other.role == "control":
                rows.append(_row(f"{other.label} (against {part.variant})", group, part, other.name))
            elif scored and other.role == "oracle" and (part is found[0] or not one):  # of the start
                label = other.label if one else f"{other.label} (against {part.variant})"
                rows.append(_row(label, group, part, other.name))
    return rows


def _start_together(group: Group, found: Sequence[Finished]) -> bool:
    """Whether the runs of all variants, as far as they are finished, start from the same models."""
    starts = [
        {tuple(row) for row in np.concatenate(list(_scores(group, part, "base").values()), axis=1).tolist()}
        for part in found
    ]
    most = max(starts, key=len)
    return all(start <= most for start in starts)


def _row(label: str, group: Group, part: Finished, name: str, paired: Paired | None = None) -> Row:
    scores, starts = _scores(group, part, name), _scores(group, part, "base")
    stage = "reinforce" if name == "rl" else name
    steps = [r for records in part.records for r in records if r["kind"] == "step" and r["stage"] == stage]
    systems = [results.system(name) for results in part.results]
    return Row(
        label,
        len(part.results),
        {metric: estimate(values) for metric, values in scores.items()},
        {metric: estimate(values, starts[metric]) for metric, values in scores.items()},
        _weakest(scores["chrf"]),
        _rates(group, part, name),
        seconds=_median([system.seconds for system in systems]),
        samples_per_second=_median([step.get("samples_per_second") for step in steps]),
        memory=max((step["memory"] for step in steps if step.get("memory")), default=None),
        stopped=sum(system.description.startswith(STOPPED_EARLY) for system in systems),
        paired=paired,
    )


def _scores(group: Group, part: Finished, system: str) -> dict[str, Array]:
    """[runs, directions] by metric."""
    return {
        metric: np.array(
            [[getattr(results.scores[d][system], metric) for d in group.directions] for results in part.results]
        )
        for metric in NAMES
    }


def _weakest(scores: Array) -> float:
    """`scores` is [runs, directions]."""
    return float(scores.min(axis=1).mean())


def _rates(group: Group, part: Finished, system: str) -> dict[str, float | None]:
    means = [scores for results in part.results if (scores := results.group_scores(group, system)) is not None]
    known = {name: [v for mean in means if (v := getattr(mean, name)) is not None] for name in RATES}
    return {name: sum(values) / len(values) if values else None for name, values in known.items()}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
