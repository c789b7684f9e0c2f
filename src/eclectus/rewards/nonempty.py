"""Is there any text?"""

from __future__ import annotations

from collections.abc import Sequence

from eclectus.rewards.base import Reward, Score
from eclectus.rewards.text import visible
from eclectus.segment import Segment


class Nonempty(Reward):
    r"""1 if the hypothesis contains a visible character, else 0.

    $$\mathrm{nonempty} = [\,\exists c \in \text{hypothesis}: c \text{ is visible}\,]$$

    where spaces, control, format and filler characters are not visible (Unicode categories Z, C, M; Hangul fillers).

    Range {0, 1}. Never abstains. Meant as a gate.

    Source: general categories of the Unicode Standard, section 4.5.

    Example:
        >>> from eclectus.segment import Segment
        >>> Nonempty()([Segment("Ja", "de", "en")] * 3, ["Yes", "  ", "\u200b"])
        [1.0, 0.0, 0.0]

    How it is cheated: a single full stop is text. Gate with `length` too.
    """

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge whether each hypothesis can be seen."""
        return [float(visible(hypothesis)) for _, hypothesis in zip(segments, hypotheses, strict=True)]
