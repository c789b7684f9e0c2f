"""Paired bootstrap of the difference between two systems, for one direction and for the mean over several.

Koehn, "Statistical Significance Tests for Machine Translation Evaluation", EMNLP 2004. Segments are drawn with
replacement, the same ones for both systems; the scores of all directions are then averaged. What several directions
translate, as in a test set that stands in many languages, is drawn for all of them together: they gain and lose on the
same sentences, and an interval that took them for independent would be too narrow. So how often a segment is drawn
depends on its name alone, which makes it a Poisson number with mean 1 instead of a share of a fixed sum (Hanley and
MacGibbon, "Creating non-parametric bootstrap samples using Poisson frequencies", 2006).
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from eclectus.evaluation.statistics import SCORES, Array, Statistics
from eclectus.evaluation.translations import Translation
from eclectus.segment import Segment


@dataclass(frozen=True)
class Difference:
    """How far a system stands above another one.

    Args:
        difference: score of the system minus score of the other, on all segments.
        low: lower end of the 95 % percentile interval.
        high: upper end of it.
        p: two-sided: twice the share of resamples without the observed sign, one added above and below, at
            most 1. Never under 2 / (resamples + 1). It says what the interval says but where a few resamples decide:
            the interval's ends lie between two of them.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
    """

    difference: float
    low: float
    high: float
    p: float
    resamples: int
    seed: int


@dataclass(frozen=True)
class Resampled:
    """One system on one direction: scored on all segments (`point`) and on each resample (`scores`, [R])."""

    direction: str
    resamples: int
    seed: int
    point: Mapping[str, float]
    scores: Mapping[str, Array]


def names(by_direction: Mapping[str, Sequence[Segment | Translation]]) -> dict[str, tuple[str, ...]]:
    """Return what the segments of each direction are called, those of one sentence alike.

    One sentence is what has one id, as a line of aligned files has in every direction, or one source text: a file for
    each pair of languages numbers the same English lines anew. A source that a direction has twice is two sentences.
    Without an id, a segment is called by its place.
    """
    parents: dict[str, str] = {}
    by_source: dict[tuple[str, str, int], str] = {}

    def first(name: str) -> str:
        while (parent := parents[name]) != name:
            parents[name] = name = parents[parent]
        return name

    called = {d: [s.id or f"{d}:{place}" for place, s in enumerate(part)] for d, part in by_direction.items()}
    for direction, part in by_direction.items():
        times: Counter[str] = Counter()
        for name, segment in zip(called[direction], part, strict=True):
            parents.setdefault(name, name)
            source = (segment.source_lang, segment.source, times[segment.source])
            parents[first(name)] = first(by_source.setdefault(source, name))
            times[segment.source] += 1
    return {direction: tuple(map(first, ids)) for direction, ids in called.items()}


def resample(
    statistics: Statistics, direction: str, names: tuple[str, ...], resamples: int = 1000, seed: int = 1
) -> Resampled:
    """Score `resamples` bootstrap resamples of a direction's segments.

    Args:
        names: of the segments; those of one name are drawn together, in all directions and for all systems.
    """
    weights = _draw(names, resamples, seed)
    scores = {name: score(weights @ getattr(statistics, name)) for name, score in SCORES.items()}
    return Resampled(direction, resamples, seed, statistics.total(), scores)


@lru_cache(maxsize=2)
def _draw(names: tuple[str, ...], resamples: int, seed: int) -> Array:
    """How often each segment is drawn, [R, N]."""
    drawn = [np.random.default_rng([seed, zlib.crc32(name.encode())]).poisson(1.0, resamples) for name in names]
    return np.array(drawn, dtype=np.float64).T


def compare(system: Sequence[Resampled], against: Sequence[Resampled], metric: str) -> Difference:
    """Compare two systems on the mean over one or more directions.

    Args:
        system: the resampled scores of the system, one for each direction.
        against: those of the other system, for the same directions in the same order.
        metric: `bleu` or `chrf`.

    Raises:
        ValueError: no direction, or the two were not resampled alike.
    """
    if [(a.direction, a.resamples, a.seed) for a in system] != [(b.direction, b.resamples, b.seed) for b in against]:
        raise ValueError("the two systems must be resampled on the same directions with the same seed")
    if not system:
        raise ValueError("there is no direction to compare on")
    point = float(np.mean([a.point[metric] - b.point[metric] for a, b in zip(system, against, strict=True)]))
    drawn = np.mean([a.scores[metric] - b.scores[metric] for a, b in zip(system, against, strict=True)], axis=0)
    low, high = np.percentile(drawn, [2.5, 97.5])
    opposite = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p = min(1.0, 2 * (opposite + 1) / (len(drawn) + 1))
    return Difference(point, float(low), float(high), p, system[0].resamples, system[0].seed)
