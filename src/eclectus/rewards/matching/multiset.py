"""How well two multisets of things to be kept agree: what `placeholders`, `numbers` and `links` share."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import Field

from eclectus.rewards.base import Reward, Score
from eclectus.segment import Segment

Measure = Literal["f1", "recall", "strict"]


class MeasureOptions(Reward.Options):
    """How agreement is measured."""

    measure: Measure = Field(
        "f1", description="recall: what is added costs nothing; strict: 1 if all is kept and nothing added, else 0"
    )


def expected_text(segment: Segment) -> str:
    """Return the text that shows what a hypothesis should hold: the reference, else the source."""
    return segment.source if segment.reference is None else segment.reference


def agreement(expected: Counter[str], present: Counter[str], measure: Measure) -> Score:
    """Return the agreement of two multisets in [0, 1]; None where there is nothing to agree on."""
    kept, wanted, found = (expected & present).total(), expected.total(), present.total()
    if measure == "recall":
        return kept / wanted if wanted else None
    if not wanted + found:
        return None
    if measure == "strict":
        return float(expected == present)
    return 2 * kept / (wanted + found)
