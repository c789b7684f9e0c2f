"""Exact match with a reference."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from eclectus.rewards.base import Reward
from eclectus.rewards.matching.overlap import Overlap
from eclectus.rewards.text import squeeze


class Exact(Overlap):
    r"""1 if the hypothesis is one of the references, else 0.

    $$\mathrm{exact} = [\,n(\text{hypothesis}) \in n(\text{references})\,]$$

    where n normalises to Unicode NFC and single spaces, and, if asked, folds case and drops punctuation (Unicode
    category P). Range {0, 1}. Two empty texts match.

    Source: the verifiable reward of RLVR (Lambert et al. 2024, https://arxiv.org/abs/2411.15124), suitable for phrases
    that have one correct translation: dates, amounts, place names, user-interface strings.

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("lundi 3 mai", "fr", "en", reference="Monday, May 3")
        >>> Exact()([segment] * 2, ["Monday,  May 3", "monday May 3"])
        [1.0, 0.0]
        >>> Exact(Exact.Options(casefold=True, strip_punctuation=True))([segment], ["monday May 3"])
        [1.0]

    How it is cheated: hardly; but a free sentence has many right translations, and where no sample is exact there is no
    signal at all, so combine it with a graded reward.
    """

    class Options(Reward.Options):
        """Which differences do not count."""

        casefold: bool = False
        strip_punctuation: bool = False

    options: Options

    @property
    def signature(self) -> str:
        """`exact|case:mixed|punct:yes`."""
        case = "lc" if self.options.casefold else "mixed"
        return f"exact|case:{case}|punct:{'no' if self.options.strip_punctuation else 'yes'}"

    def _judge(
        self, languages: Sequence[str], references: Sequence[tuple[str, ...]], hypotheses: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        known = [{*texts, *map(self._normalise, texts)} for texts in references]
        return [
            [float(text in wanted or self._normalise(text) in wanted) for text in group]
            for wanted, group in zip(known, hypotheses, strict=True)
        ]

    def _normalise(self, text: str) -> str:
        if self.options.casefold:
            text = text.casefold()
        if self.options.strip_punctuation:
            text = "".join(" " if unicodedata.category(c)[0] == "P" else c for c in text)
        return squeeze(text)
