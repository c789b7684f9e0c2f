"""The finished runs of a variant, and what they say together: interquartile means with intervals over seeds.

Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice",
https://arxiv.org/abs/2108.13264: a few runs are a sample, so show intervals and not the best or the mean run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from eclectus.config.compare import variant_folder
from eclectus.evaluation import logs
from eclectus.evaluation.formats import interval, number, signed
from eclectus.evaluation.results import FILE, Results
from eclectus.evaluation.statistics import Array

RESAMPLES = 2000
"""Of the runs, for an interval."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; the interval is None where one run tells nothing about another."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass
class Finished:
    """The finished runs of one variant."""

    variant: str
    results: list[Results] = field(default_factory=list)
    records: list[list[logs.Record]] = field(default_factory=list)
    samples_per_step: int = 0


def interquartile_mean(scores: Array) -> float:
    """Mean of the middle half of all scores: a quarter of them, rounded down, is cut at either end."""
    ordered = np.sort(scores, axis=None)
    cut = ordered.size // 4
    return float(ordered[cut : ordered.size - cut].mean())


def estimate(scores: Array, starts: Array | None = None) -> Estimate:
    """Interquartile mean with a bootstrap interval over runs.

    Args:
        scores: [runs, directions]; each resample draws whole runs with replacement. Agarwal et al. (2021, section 4.1)
            draw for each task by itself, whose runs are trained apart; here one model has all directions.
        starts: where the same runs began, [runs, directions]; the estimate is then of the distance from there, and what
            a start was lucky in is not taken for luck of its training.
    """

    def distance(rows: Array | slice) -> float:
        return interquartile_mean(scores[rows]) - (0.0 if starts is None else interquartile_mean(starts[rows]))

    runs = len(scores)
    value = distance(slice(None))
    if runs < 2:
        return Estimate(value)
    rng = np.random.default_rng(1)
    resampled = [distance(rows) for rows in rng.integers(runs, size=(RESAMPLES, runs))]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def spread(found: Estimate, sign: bool = False) -> str:
    """`32.1 [31.5, 32.8]`, without brackets where there is no interval."""
    value = signed(found.value) if sign else number(found.value)
    return value if found.low is None or found.high is None else f"{value} {interval(found.low, found.high)}"


def finished(folder: Path, variant: str, seeds: Sequence[int]) -> Finished:
    """The runs in `folder/<variant>/seed-<n>` that are finished."""
    part = Finished(variant)
    for seed in seeds:
        run = folder / variant_folder(variant) / f"seed-{seed}"
        if (run / FILE).exists():
            part.results.append(Results.load(run))
            part.records.append(logs.metrics(run))
            settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["reinforce"]
            part.samples_per_step = settings["segments"] * settings["samples"]
    return part
