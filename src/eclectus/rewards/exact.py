"""Exact match with the reference."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from eclectus.rewards.base import Reward, Score
from eclectus.rewards.text import reference_of, squeeze
from eclectus.segment import Segment


class Exact(Reward):
    r"""1 if the hypothesis is the reference, else 0.

    $$\mathrm{exact} = [\,n(\text{hypothesis}) = n(\text{reference})\,]$$

    where n normalises to Unicode NFC and single spaces, and, if asked, folds case and drops punctuation (Unicode
    category P). Range {0, 1}. Two empty texts match.

    Source: the verifiable reward of RLVR (Lambert et al. 2024, https://arxiv.org/abs/2411.15124), fit for phrases that
    have one right translation: dates, amounts, names of places, strings of a user interface.

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("lundi 3 mai", "fr", "en", reference="Monday, May 3")
        >>> Exact()([segment] * 2, ["Monday,  May 3", "monday May 3"])
        [1.0, 0.0]
        >>> Exact(Exact.Options(casefold=True, strip_punctuation=True))([segment], ["monday May 3"])
        [1.0]

    How it is cheated: hardly; but a free sentence has many right translations, and where no sample is exact there is no
    signal at all, so it belongs beside a graded reward.
    """

    class Options(Reward.Options):
        """Which differences do not count."""

        casefold: bool = False
        strip_punctuation: bool = False

    requires = frozenset({"reference"})
    options: Options

    @property
    def signature(self) -> str:
        """`exact|case:mixed|punct:yes`."""
        case = "lc" if self.options.casefold else "mixed"
        return f"exact|case:{case}|punct:{'no' if self.options.strip_punctuation else 'yes'}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis against its segment's reference; DataError where there is none."""
        return [
            self.score(hypothesis, reference_of(segment, self.name))
            for segment, hypothesis in zip(segments, hypotheses, strict=True)
        ]

    def score(self, hypothesis: str, reference: str) -> float:
        """Return 1 if the two texts are the same after normalisation, else 0."""
        return float(hypothesis == reference or self._normalise(hypothesis) == self._normalise(reference))

    def _normalise(self, text: str) -> str:
        if self.options.casefold:
            text = text.casefold()
        if self.options.strip_punctuation:
            text = "".join(" " if unicodedata.category(c)[0] == "P" else c for c in text)
        return squeeze(text)
