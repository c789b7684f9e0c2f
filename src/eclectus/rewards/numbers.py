"""Are the numbers kept?"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from pydantic import Field

from eclectus.rewards.base import Reward, Score
from eclectus.rewards.matching.multiset import Measure, MeasureOptions, agreement, expected_text
from eclectus.rewards.text import best_of_references, words_only
from eclectus.segment import Segment

SPELLED = 12
"""Whole numbers up to this are often written in words, and few above."""

_DECIMAL = ".,٫·"
_GROUPING = ".,'’٬ \u00a0\u2009\u202f"
_SPACES = " '’٬\u00a0\u2009\u202f"
# Digits with single marks between them. An ordinary space may separate thousands or two numbers: two readings.
_RUN = re.compile(r"\d+(?:[.,٫·:'’٬\u00a0\u2009\u202f]\d+)*")
_SPACED_RUN = re.compile(r"\d+(?:[.,٫·:'’٬\u00a0\u2009\u202f]\d+| (?=\d{3}(?!\d))\d+)*")
_MARK = re.compile(r"(\D)")
_BARE_POINT = re.compile(r"(?<![\w.,])\.(?=\d+(?!\w))")  # of .75, but not of .7z


class Numbers(Reward):
    r"""F1 of the numbers of the hypothesis against those of the reference, or of the source where there is none.

    $$F_1 = \frac{2 \sum_k \min(h_k, e_k)}{\sum_k h_k + \sum_k e_k}$$

    with h and e the counts of each number in the hypothesis and in what it is compared to; `measure` has recall and
    strict equality too. Range [0, 1]. Abstains where neither side has a number in digits.

    Numbers compare by value, whatever their locale and script: 1,234.56 = 1.234,56 = 1 234,56 = ١٬٢٣٤٫٥٦, and .5 = 0,5.
    One mark before three digits is read as a thousands separator (1.250 = 1,250 = 1250) unless the number begins with
    0. Hours and minutes may be written as 12:30, 12.30 or 12 h 30. What has more marks is read as a list of whole
    numbers, so dates agree in any order of day and month. Signs, currencies and units are not compared. Numbers in
    placeholders, tags and links do not count.

    Source: the wrong number as a critical error, MQM, https://themqm.org; locale formats: CLDR,
    https://unicode.org/reports/tr35/tr35-numbers.html.

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("1,250.50 euros for 3 rooms", "en", "de")
        >>> hypotheses = ["1.250,50 Euro für 3 Zimmer", "1.250,50 Euro für 2 Zimmer", "Euro für Zimmer"]
        >>> Numbers()([segment] * 3, hypotheses)
        [1.0, 0.5, 0.0]

    Number words are not read. Whole numbers up to `spelled` are left out where one side alone has numbers that the
    other has not, because that side may have them in words ("2 moms", *zwei Mütter*; "December", 12月): then nothing is
    said of them. Measured on the translations of Django and wagtail from English into es, de, fr, el, ja, zh-Hans, ar
    and pl, 3 of 219 that are judged score below 1 ("6 p.m.", *18 Uhr*); with `spelled: 0` it is 80 of 296.

    How it is cheated: the bare numbers score 1; so do right numbers in the wrong places. Leaving out small numbers
    costs nothing (with `spelled: 0` it does), and larger ones that are correctly written in words count as lost.
    """

    class Options(MeasureOptions):
        """How agreement is measured."""

        spelled: int = Field(SPELLED, ge=0, le=99, description="whole numbers up to this may be in words; 0: none")

    options: Options

    @property
    def signature(self) -> str:
        """`numbers|f1|spelled:12`."""
        return f"numbers|{self.options.measure}|spelled:{self.options.spelled}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge which of its reference's, else its source's, numbers each hypothesis keeps."""
        return [
            best_of_references(self._judge, segment, text) for segment, text in zip(segments, hypotheses, strict=True)
        ]

    def _judge(self, segment: Segment, hypothesis: str) -> Score:
        texts = (words_only(expected_text(segment)), words_only(hypothesis))
        return number_agreement(*texts, self.options.measure, spelled=self.options.spelled)


def number_agreement(
    expected: str,
    hypothesis: str,
    measure: Measure,
    expected_others: Counter[str] | None = None,
    other: Counter[str] | None = None,
    spelled: int = 0,
) -> Score:
    """Return the agreement of the numbers in two texts, under the reading that agrees best.

    Args:
        expected: the text that shows what should be there.
        hypothesis: the text that is judged.
        measure: how agreement is measured.
        expected_others: other things to be kept that are counted with the numbers.
        other: the same of the hypothesis.
        spelled: whole numbers up to this are left out where only one side has numbers that the other has not.
    """
    best: Score = None
    for times in (False, True):
        wanted = [numbers(expected, spaced, times) for spaced in _ways(expected)]
        found = [numbers(hypothesis, spaced, times) for spaced in _ways(hypothesis)]
        for e in wanted:
            for h in found:
                e, h = _without_spelled(e, h, spelled), _without_spelled(h, e, spelled)
                value = agreement(e + (expected_others or Counter()), h + (other or Counter()), measure)
                best = value if best is None else max(best, value or 0.0)
        if best is None or best == 1:
            break
    return best


def _without_spelled(some: Counter[str], others: Counter[str], spelled: int) -> Counter[str]:
    """Leave out small numbers that the other side may have in words: it has no number that stands for another one."""
    if not spelled or others - some:
        return some
    small = {key: n for key, n in (some - others).items() if key.isdecimal() and int(key[:3]) <= spelled}
    return some - Counter(small)


def numbers(text: str, spaced: bool = False, times: bool = False) -> Counter[str]:
    """Count the numbers of a text by value.

    Args:
        text: any text.
        spaced: whether an ordinary space before three digits separates thousands.
        times: whether what may be hours and minutes counts as two numbers.
    """
    text = _BARE_POINT.sub("0.", text)
    return Counter(
        value for run in (_SPACED_RUN if spaced else _RUN).findall(text) for value in _values(_ascii(run), times)
    )


def _ways(text: str) -> tuple[bool, ...]:
    return (False, True) if any(" " in run for run in _SPACED_RUN.findall(text)) else (False,)


def _ascii(run: str) -> str:
    return run if run.isascii() else "".join(str(unicodedata.decimal(c, c)) for c in run)


def _values(run: str, times: bool) -> Iterator[str]:
    groups, marks = _MARK.split(run)[::2], _MARK.split(run)[1::2]
    if not marks:
        yield _whole(run)
    elif _thousands(groups, marks):
        yield _whole("".join(groups))
    elif len(marks) > 1 and marks[-1] in _DECIMAL and marks[-1] != marks[0] and _thousands(groups[:-1], marks[:-1]):
        yield _decimal("".join(groups[:-1]), groups[-1])
    elif any(mark in _SPACES for mark in marks):  # numbers beside each other
        for part in re.split(f"[{_SPACES}]", run):
            yield from _values(part, times)
    elif len(marks) == 1 and not (times and int(groups[0][-9:]) <= 24 and len(groups[1]) == 2 and groups[1] < "60"):
        yield _decimal(*groups)
    else:
        yield from map(_whole, groups)


def _thousands(groups: list[str], marks: list[str]) -> bool:
    """Tell whether the groups are one number: 1,234,567 or, as in India, 12,34,567."""
    first, *middle, last = groups
    return (
        len(set(marks)) == 1
        and marks[0] in _GROUPING
        and len(first) <= 3
        and first[0] != "0"
        and len(last) == 3
        and all(2 <= len(group) <= 3 for group in middle)
    )


def _whole(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _decimal(whole: str, fraction: str) -> str:
    return f"{_whole(whole)}.{fraction.rstrip('0')}".rstrip(".")
