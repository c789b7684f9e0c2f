"""Judging hypotheses outside a run: each against the best of its references, totals with their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eclectus.rewards.base import Score
from eclectus.rewards.combine import CompositeReward
from eclectus.segment import Segment


@dataclass(frozen=True)
class Judgement:
    """What a reward says about one hypothesis.

    Args:
        total: the combined value; None: no term judged.
        parts: what each term and gate said.
    """

    total: Score
    parts: dict[str, Score]


def judge(
    reward: CompositeReward, segments: Sequence[Sequence[Segment]], hypotheses: Sequence[Sequence[str]]
) -> list[list[Judgement]]:
    """Judge `hypotheses[i][g]` against each of `segments[i]`, which differ in their reference, and keep the best.

    Raises:
        EclectusError: a reward cannot judge these segments.
    """
    flat = [segment for variants in segments for segment in variants]
    groups = [group for variants, group in zip(segments, hypotheses, strict=True) for _ in variants]
    scores = reward.score_groups(flat, groups)
    found, start = [], 0
    for variants, group in zip(segments, hypotheses, strict=True):
        rows = range(start, start + len(variants))
        start += len(variants)
        found.append(
            [
                max(
                    (
                        Judgement(scores.total[b][g], {name: part[b][g] for name, part in scores.parts.items()})
                        for b in rows
                    ),
                    key=lambda judgement: (judgement.total is not None, judgement.total or 0.0),
                )
                for g in range(len(group))
            ]
        )
    return found
