"""Agreement of scores with human judgements: Kendall's tau-b, overall and within the same source."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from eclectus.evaluation.statistics import Array

_RESAMPLES = 1000


def kendall_tau_b(first: Sequence[float], second: Sequence[float]) -> float | None:
    r"""Kendall's rank correlation with ties in either list taken into account.

    $$\tau_b = \frac{C - D}{\sqrt{(C + D + T_1)(C + D + T_2)}}$$

    with C and D the concordant and discordant pairs, T_1 the pairs tied in the first list only and T_2 those tied in
    the second only. Range [-1, 1]; None where all values of a list are equal, or there are fewer than two. Takes
    O(n log n): discordant pairs are the exchanges of a merge sort.

    Source: Kendall 1945, https://doi.org/10.1093/biomet/33.3.239; the algorithm: Knight 1966,
    https://doi.org/10.1080/01621459.1966.10480879.

    Example:
        >>> kendall_tau_b([1, 2, 3, 4], [1, 2, 4, 3])
        0.6666666666666666
        >>> round(kendall_tau_b([1, 2, 2, 3], [1, 2, 3, 3]), 3)
        0.8

    Raises:
        ValueError: lists of different lengths, or a value that is not a number.
    """
    pairs = sorted(zip(first, second, strict=True))
    if any(math.isnan(value) for pair in pairs for value in pair):
        raise ValueError("a value is not a number")
    total = _pairs(len(pairs))
    tied_first = _tied(x for x, _ in pairs)
    tied_second = _tied(y for _, y in pairs)
    tied_both = _tied(pairs)
    if total in (tied_first, tied_second):
        return None
    # Sorted by x and then by y, so a pair tied in x never counts as an exchange.
    discordant = _exchanges([y for _, y in pairs])
    concordant = total - discordant - tied_first - tied_second + tied_both
    # One root of a product of integers: equal lists give exactly 1.
    return (concordant - discordant) / math.sqrt((total - tied_first) * (total - tied_second))


@dataclass(frozen=True)
class Correlation:
    """How a score agrees with human judgements.

    Args:
        name: what was correlated.
        n: judged translations that have both numbers.
        overall: tau-b over all of them, whatever their source.
        within: the mean over sources of tau-b among the translations of that source.
        interval: 95 % bootstrap interval of `within`, by resampling sources.
        sources: sources that `within` is a mean of.
        undefined: sources with two translations or more that it leaves out, since one of the two lists is all ties.
    """

    name: str
    n: int
    overall: float | None
    within: float | None
    interval: tuple[float, float] | None
    sources: int
    undefined: int


def correlate(
    name: str, scores: Sequence[float | None], human: Sequence[float | None], sources: Sequence[Hashable], seed: int = 1
) -> Correlation:
    """Correlate scores with human judgements, both "higher is better", where both are there.

    `within` is the group-by-item average of Deutsch, Foster and Freitag 2023,
    https://aclanthology.org/2023.emnlp-main.798, with tau-b inside a group; an item whose tau-b is undefined is left
    out and counted, not taken for 0. Neither tie calibration nor their accuracy is applied.

    Args:
        name: what the scores are.
        scores: one for each translation; None: not judged.
        human: the human judgement of each.
        sources: what the translations share that stand in one group.
        seed: of the bootstrap.
    """
    rows = [
        (score, judgement, source)
        for score, judgement, source in zip(scores, human, sources, strict=True)
        if score is not None and judgement is not None
    ]
    groups: dict[Hashable, list[tuple[float, float]]] = {}
    for score, judgement, source in rows:
        groups.setdefault(source, []).append((score, judgement))
    candidates = [group for group in groups.values() if len(group) > 1]
    found = [kendall_tau_b([x for x, _ in group], [y for _, y in group]) for group in candidates]
    taus = np.array([tau for tau in found if tau is not None], dtype=np.float64)
    return Correlation(
        name,
        len(rows),
        kendall_tau_b([x for x, _, _ in rows], [y for _, y, _ in rows]),
        float(taus.mean()) if len(taus) else None,
        _interval(taus, seed) if len(taus) > 1 else None,
        sources=len(taus),
        undefined=len(candidates) - len(taus),
    )


def _interval(values: Array, seed: int) -> tuple[float, float]:
    """Percentiles of the mean over resampled values."""
    generator = np.random.default_rng(seed)
    means = [values[generator.integers(0, len(values), len(values))].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _tied(values: Iterable[Hashable]) -> int:
    return sum(_pairs(count) for count in Counter(values).values())


def _exchanges(values: list[float]) -> int:
    """Pairs out of order, by a bottom-up merge sort; equal values are in order."""
    exchanges, width, count = 0, 1, len(values)
    while width < count:
        merged: list[float] = []
        for start in range(0, count, 2 * width):
            left, right = values[start : start + width], values[start + width : start + 2 * width]
            i = 0
            for value in right:
                while i < len(left) and left[i] <= value:
                    merged.append(left[i])
                    i += 1
                exchanges += len(left) - i
                merged.append(value)
            merged += left[i:]
        values, width = merged, 2 * width
    return exchanges
