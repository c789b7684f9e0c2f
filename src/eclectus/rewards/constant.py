"""The same value for everything: the control that shows what the rest of the training does."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from eclectus.rewards.base import Reward, Score
from eclectus.segment import Segment


class Constant(Reward):
    r"""A constant, whatever the hypothesis.

    $$r(x, y) = c$$

    Range: the option `value`, 1 by default. Nothing can be learnt from it: what a run gains with it comes from
    elsewhere, such as `mle`, the checkpoint's selection or chance.

    Source: this project's own control; a constant reward has no policy gradient in expectation (Williams
    1992, section 5).

    Example:
        >>> from eclectus.segment import Segment
        >>> Constant()([Segment("Ja", "de", "en")] * 2, ["Yes", ""])
        [1.0, 1.0]

    How it is cheated: every text is rewarded alike, so any change of the policy under it is drift.
    """

    class Options(Reward.Options):
        """The value."""

        value: float = Field(1.0, ge=0, le=1)

    options: Options

    @property
    def signature(self) -> str:
        """`constant|1`."""
        return f"constant|{self.options.value:g}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Return the constant for each hypothesis."""
        return [self.options.value for _ in zip(segments, hypotheses, strict=True)]
