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
_GROUPING = ".,'’٬ ，،\u00a0\u2009\u202f"
_SPACES = " '’٬，،\u00a0\u2009\u202f"
_EITHER = " ，،"  # may separate thousands or two numbers: two readings
_FULL_WIDTH = str.maketrans("．：", ".:")
_RUN = re.compile(r"\d+(?:[.,．٫·:：'’٬\u00a0\u2009\u202f]\d+)*")  # digits with single marks between them
_SPACED_RUN = re.compile(rf"\d+(?:[.,．٫·:：'’٬\u00a0\u2009\u202f]\d+|[{_EITHER}](?=\d{{3}}(?!\d))\d+)*")
_SEPARATES = re.compile(f"[{_EITHER}]")
_MARK = re.compile(r"(\D)")
_DAY_AND_MONTH = re.compile(r"(?<![\d.,])(\d{1,2})\.(\d{1,2})\.(?!\d)")  # of 27.6., as Finnish dates end
_PERSIAN_DECIMAL = re.compile(r"(?<![\d/])([۰-۹]{1,30})/([۰-۹]{1,30})(?![\d/])")
# Other powers of ten than those of English: 1.5万 is 15 thousand. Last, languages that count billions in millions.
_SCALE = (
    "[万萬亿億兆千만억조천]|lakh|crore|लाख|करोड|करो\u095c|अरब|खरब|कोटी|লাখ|লক্ষ|কোটি|لاکھ|کروڑ|ارب|کھرب|લાખ|કરોડ|ਲੱਖ|ਕਰੋੜ"
    "|லட்சம்|கோடி|లక్ష|కోటి|కోట్ల|ಲಕ್ಷ|ಕೋಟಿ|ലക്ഷം|കോടി|หมื่น|แสน|ล้าน|ໝື່ນ|ແສນ|ລ້ານ|ម៉ឺន|សែន|លាន|သောင်း|သိန်း|သန်း|ကုဋေ"
    r"|(?:(?<=\d{4}\s)|(?<=\d[.,\s]\d{3}\s))mil(?:l[oóõ]|io)"
)
_THOUSANDS = (
    r"thousand|tausend|tusen|duizend|tuhat|ezer|t[iy]s|mio|mln|mrd|mld|bn|[mbt]r?il(?:l?[iyj]{0,2}[aoóõáãu]|h|l?\b)"
    "|тыс|тис|хил|[мбт]р?[иі]л|млн|млрд|χιλ|εκατ|δισ|τρισ|אלף|מיליו|מיליאר|ألف|آلاف|مليون|مليار|هزار|میلیون|میلیارد"
    "|nghìn|triệu|tỷ|ribu|juta"
)
_SCALES = re.compile(rf"\d\s?({_SCALE})", re.IGNORECASE)
_PART = rf"\d(?:[.,٫٬]?\d){{0,30}}\s?(?:{_SCALE}|{_THOUSANDS}){{1,2}}"
# 1.5万, 1万5000, 1만 5천
_SCALED = re.compile(rf"(?<!\d){_PART}(?:\s?{_PART}){{0,3}}(?:(?:(?<=[만억조])\s)?\d{{1,4}}(?!\d))?", re.IGNORECASE)
_LIMITS = ((24, "59"), (31, "12"))
_BARE_POINT = re.compile(r"(?<![\w.,])\.(?=\d+(?!\w))")  # of .75, but not of .7z


class Numbers(Reward):
    r"""F1 of the numbers of the hypothesis against those of the reference, or of the source where there is none.

    $$F_1 = \frac{2 \sum_k \min(h_k, e_k)}{\sum_k h_k + \sum_k e_k}$$

    with h and e the counts of each number in the hypothesis and in what it is compared to; `measure` has recall and
    strict equality too. Range [0, 1]. Abstains where neither side has a number in digits.

    Numbers compare by value, whatever their locale and script: 1,234.56 = 1.234,56 = 1 234,56 = ١٬٢٣٤٫٥٦, and .5 = 0,5.
    One mark before three digits is read as a thousands separator (1.250 = 1,250 = 1250) unless the number begins with
    0. Zeros at the end of a fraction count (3.10 and 3.1 are two versions) unless it has nothing else (5.0 = 5). Hours
    and minutes may be written as 12:30, 12.30 or 12 h 30, day and month as 27.6. or 27.06. What has more marks, or `:`,
    is read as a list of whole numbers, so dates agree in any order of day and month. Signs, currencies and units are
    not compared. Numbers in placeholders, tags and links do not count.

    A number with a scale that English does not have (1.5万, 1만 5000, 11 करोड़) is left out where the other side has not
    the same scales, and so are 3.5 million and 15,000 there; nothing is said of a text that has no other numbers.

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
    and pl, 16 of 272 that are judged score below 1, all as "quintillion", 1000的4次方; with `spelled: 0`, 154 of 410.

    How it is cheated: the bare numbers score 1; so do right numbers in the wrong places. Leaving out small numbers
    costs nothing (with `spelled: 0` it does), and so does 15万 for 15,000; larger ones that are correctly written in
    words count as lost.
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

    None where there is nothing to compare, also for numbers of scales that the other text has not.

    Args:
        expected: the text that shows what should be there.
        hypothesis: the text that is judged.
        measure: how agreement is measured.
        expected_others: other things to be kept that are counted with the numbers.
        other: the same of the hypothesis.
        spelled: whole numbers up to this are left out where only one side has numbers that the other has not.
    """

    def agree(e: Counter[str], h: Counter[str]) -> Score:
        e, h = _without_spelled(e, h, spelled), _without_spelled(h, e, spelled)
        return agreement(e + (expected_others or Counter()), h + (other or Counter()), measure)

    best: Score = None
    for parted in (False, True):
        wanted = [numbers(expected, spaced, parted) for spaced in _ways(expected)]
        found = [numbers(hypothesis, spaced, parted) for spaced in _ways(hypothesis)]
        for e in wanted:
            for h in found:
                value = agree(e, h)
                best = value if best is None else max(best, value or 0.0)
        if best is None or best == 1:
            break
    if best is None or best == 1 or sorted(_SCALES.findall(expected)) == sorted(_SCALES.findall(hypothesis)):
        return best
    value = agree(*_without_scaled(expected, hypothesis))
    return None if value is None else max(best, value)


def _without_scaled(expected: str, hypothesis: str) -> tuple[Counter[str], Counter[str]]:
    """Count numbers without 3.5 million and 350万, and for each without a counterpart leave out one of thousands."""
    (expected, wanted), (hypothesis, found) = _SCALED.subn(" ", expected), _SCALED.subn(" ", hypothesis)
    e, h = numbers(expected, spaced=True), numbers(hypothesis, spaced=True)
    return e - _some_large(e - h, found - wanted), h - _some_large(h - e, wanted - found)


def _some_large(some: Counter[str], most: int) -> Counter[str]:
    return Counter([key for key in some.elements() if len(key.partition(".")[0]) > 3][: max(most, 0)])


def _without_spelled(some: Counter[str], others: Counter[str], spelled: int) -> Counter[str]:
    """Leave out small numbers that the other side may have in words: it has no number that stands for another one."""
    if not spelled or others - some:
        return some
    small = {key: n for key, n in (some - others).items() if key.isdecimal() and int(key[:3]) <= spelled}
    return some - Counter(small)


def numbers(text: str, spaced: bool = False, parted: bool = False) -> Counter[str]:
    """Count the numbers of a text by value.

    Args:
        text: any text.
        spaced: whether an ordinary space, full-width or Arabic comma before three digits separates thousands.
        parted: whether what may be hours and minutes, day and month or a fraction counts as two numbers.
    """
    text = _BARE_POINT.sub("0.", text)
    if parted:
        text = _DAY_AND_MONTH.sub(r"\1 . \2 ", text)
    elif "/" in text and not text.isascii():
        text = _PERSIAN_DECIMAL.sub(r"\1٫\2", text)
    return Counter(
        value for run in (_SPACED_RUN if spaced else _RUN).findall(text) for value in _values(_ascii(run), parted)
    )


def _ways(text: str) -> tuple[bool, ...]:
    found = any(not run.isdecimal() and _SEPARATES.search(run) for run in _SPACED_RUN.findall(text))
    return (False, True) if found else (False,)


def _ascii(run: str) -> str:
    return run if run.isascii() else "".join(str(unicodedata.decimal(c, c)) for c in run.translate(_FULL_WIDTH))


def _values(run: str, parted: bool) -> Iterator[str]:
    groups, marks = _MARK.split(run)[::2], _MARK.split(run)[1::2]
    if not marks:
        yield _whole(run)
    elif _thousands(groups, marks):
        yield _whole("".join(groups))
    elif len(marks) > 1 and marks[-1] in _DECIMAL and marks[-1] != marks[0] and _thousands(groups[:-1], marks[:-1]):
        yield _decimal("".join(groups[:-1]), groups[-1])
    elif any(mark in _SPACES for mark in marks):  # numbers beside each other
        for part in re.split(f"[{_SPACES}]", run):
            yield from _values(part, parted)
    elif len(marks) == 1 and marks[0] != ":" and not (parted and _time_or_date(*groups)):
        yield _decimal(*groups)
    else:
        yield from map(_whole, groups)


def _time_or_date(first: str, second: str) -> bool:
    """Tell whether 12.30 may be hours and minutes, or 27.06 day and month."""
    return len(second) == 2 and any(int(first[-9:]) <= most and second <= last for most, last in _LIMITS)


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
    return f"{_whole(whole)}.{fraction}" if fraction.strip("0") else _whole(whole)
