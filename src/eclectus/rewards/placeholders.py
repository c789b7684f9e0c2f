"""Are placeholders and numbers kept?"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from eclectus.rewards.base import Reward, Score
from eclectus.rewards.text import PLACEHOLDERS
from eclectus.segment import Segment

_SEPARATOR = "[.,'’٫٬\u00a0\u202f]"
# 1,234,567 and 12,34,567 are one number, 03.04.2024 is three.
_NUMBERS = re.compile(rf"\d{{1,3}}(?:{_SEPARATOR}\d{{2,3}}){{0,6}}{_SEPARATOR}\d{{3}}(?!\d)|\d+")


class Placeholders(Reward):
    r"""F1 of the placeholders and numbers of the hypothesis against those that it should have.

    $$F_1 = \frac{2 \sum_k \min(h_k, e_k)}{\sum_k h_k + \sum_k e_k}$$

    with h and e the counts of each placeholder or number in the hypothesis and in the reference (in the source where
    there is no reference). Placeholders are `%(name)s`, `%s`, `%1$s`, `{name}`, `${name}`, `{{ name }}` and tags such
    as `<b>`. Numbers compare by value: digits of any script, thousands separators of any locale, no leading zeros.
    Range [0, 1]. Abstains where neither side has any.

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("%(count)s of 1,250 files", "en", "fr")
        >>> hypotheses = ["%(count)s fichiers sur 1 250", "%(nombre)s fichiers"]
        >>> [round(x, 2) for x in Placeholders()([segment] * 2, hypotheses)]
        [0.4, 0.0]
        >>> Placeholders()([segment], ["%(count)s fichiers sur 1\u202f250"])
        [1.0]

    How it is cheated: only the tokens count, so a bare list of them scores 1. Where the source spells a number that the
    translation writes in digits (or the other way round), a right hypothesis scores low unless there is a reference;
    set `numbers: false` for such text.
    """

    class Options(Reward.Options):
        """What is counted."""

        numbers: bool = True

    options: Options

    @property
    def signature(self) -> str:
        """`placeholders|numbers:yes`."""
        return f"placeholders|numbers:{'yes' if self.options.numbers else 'no'}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge what each hypothesis keeps of its reference's, else its source's, placeholders and numbers."""
        scores: list[Score] = []
        for segment, hypothesis in zip(segments, hypotheses, strict=True):
            wanted = self._count(segment.source if segment.reference is None else segment.reference)
            present = self._count(hypothesis)
            total = wanted.total() + present.total()
            scores.append(2 * (wanted & present).total() / total if total else None)
        return scores

    def _count(self, text: str) -> Counter[str]:
        found = [match.group().replace(" ", "") for match in PLACEHOLDERS.finditer(text)]
        if self.options.numbers:
            found += [_value(match.group()) for match in _NUMBERS.finditer(PLACEHOLDERS.sub(" ", text))]
        return Counter(found)


def _value(number: str) -> str:
    return "".join(str(unicodedata.digit(c)) for c in number if c.isdecimal()).lstrip("0") or "0"
