"""Variants of a comparison against the first of them, paired: runs of the same seed on the same test segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from eclectus.config.compare import variant_folder
from eclectus.evaluation import translations
from eclectus.evaluation.significance import Difference, Resampled, compare, names, resample
from eclectus.evaluation.statistics import NAMES, Extractor

_KEPT = 512
"""Runs whose resampled scores are kept: a page is written anew after each run, and each is read once."""


@dataclass(frozen=True)
class Paired:
    """How far a variant stands above the first one.

    Args:
        runs: seeds that both have finished on the same text.
        differences: by metric, mean over these runs and the directions; the interval and p are over segments.
        ahead: by metric, how many of the runs are above the first variant's.
        equal: by metric, how many are neither above nor below it.
    """

    runs: int
    differences: Mapping[str, Difference]
    ahead: Mapping[str, int]
    equal: Mapping[str, int]


@dataclass(frozen=True)
class _Tested:
    """A run's test set: by direction what was translated, and the scores of what was made of it."""

    text: Mapping[str, tuple[tuple[str, str], ...]]
    scores: Mapping[str, Resampled]


def against_first(
    folder: Path, first: str, others: Sequence[str], seeds: Sequence[int], directions: Sequence[str]
) -> dict[str, Paired]:
    """Compare each of the other variants with the first, on these directions.

    Segments are drawn with replacement, the same ones for every variant, seed and direction, and the scores of all
    directions and seeds are averaged. That says how much other test sentences would change, not how much other
    seeds would, for which see `Paired.ahead`. Runs whose test text differs from that of the first variant's run with
    the same seed are left out, and so is a variant of which none remains.

    Args:
        folder: `folder/<variant>/seed-<n>` are run folders; those without translations are not finished.
    """
    found = {}
    for variant in others:
        own: list[Resampled] = []
        beside: list[Resampled] = []
        runs, ahead, equal = 0, dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
        for seed in seeds:
            one, other = (_tested(folder / variant_folder(name) / f"seed-{seed}") for name in (variant, first))
            if one is None or other is None or not all(d in one.text for d in directions):
                continue
            if any(one.text[d] != other.text.get(d) for d in directions):
                continue
            pair = [one.scores[d] for d in directions], [other.scores[d] for d in directions]
            runs += 1
            own += pair[0]
            beside += pair[1]
            for metric in NAMES:
                difference = round(compare(*pair, metric).difference, 9)  # equal sums may differ in the last bit
                ahead[metric] += difference > 0
                equal[metric] += difference == 0
        if runs:
            differences = {metric: compare(own, beside, metric) for metric in NAMES}
            found[variant] = Paired(runs, differences, ahead, equal)
    return found


def _tested(run: Path) -> _Tested | None:
    path = run / translations.FILE
    return _read(run, path.stat().st_mtime_ns) if path.exists() else None


@lru_cache(maxsize=_KEPT)
def _read(run: Path, _: int) -> _Tested:
    by_direction: dict[str, list[translations.Translation]] = {}
    for line in translations.read(run):
        by_direction.setdefault(line.direction, []).append(line)
    text, scores, called = {}, {}, names(by_direction)
    for direction, lines in by_direction.items():
        if any("rl" not in line.systems for line in lines):
            continue
        text[direction] = tuple((line.source, line.reference) for line in lines)
        statistics = Extractor([line.reference for line in lines], lines[0].target_lang)(
            [line.systems["rl"] for line in lines]
        )
        scores[direction] = resample(statistics, direction, called[direction])
    return _Tested(text, scores)
