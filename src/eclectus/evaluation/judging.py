"""Judging hypotheses outside a run: totals with their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eclectus.rewards.base import Score
from eclectus.rewards.composite.combine import CompositeReward
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
    reward: CompositeReward, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]]
) -> list[list[Judgement]]:
    """Judge `hypotheses[i][g]`, translations of `segments[i]`.

    Raises:
        EclectusError: a reward cannot judge these segments.
    """
    scores = reward.score_groups(segments, hypotheses)
    return [
        [Judgement(total, {name: part[i][g] for name, part in scores.parts.items()}) for g, total in enumerate(row)]
        for i, row in enumerate(scores.total)
    ]
