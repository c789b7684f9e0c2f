"""Are placeholders, markup and numbers kept?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from eclectus.rewards.base import Reward, Score
from eclectus.rewards.matching.multiset import MeasureOptions, agreement, expected_text
from eclectus.rewards.numbers import SPELLED, number_agreement
from eclectus.rewards.text import BRACES, PRINTF, best_of_references, icu, markup, words_only
from eclectus.segment import Segment

_FORMATS = re.compile(rf"({BRACES})|({PRINTF})")
_POSITION = re.compile(r"%(?:(\d+)\$)?([^(%].*)", re.DOTALL)
_SIMPLE_ARGUMENT = re.compile(r"\{([\w.-]+),(\w+)(?:,.*)?\}", re.DOTALL)
_DEEPEST = 8
# Cases that may say the number in a word or leave it out: "one file", "no files", the Arabic dual.
_WORDED = frozenset({"zero", "one", "two"})


class Placeholders(Reward):
    r"""F1 of the placeholders, tags and numbers of the hypothesis against those that it should have.

    $$F_1 = \frac{2 \sum_k \min(h_k, e_k)}{\sum_k h_k + \sum_k e_k}$$

    with h and e the counts of each token in the hypothesis and in the reference (in the source where there is no
    reference); `measure` has recall and strict equality too. Range [0, 1]. Abstains where neither side has any.

    Tokens are equal where these are:

    - printf (`%s`, `%1$s`, `%.2f`, `%%`): argument and format. `%s %s` is `%1$s %2$s`, and so `%2$s %1$s`.
    - named (`%(name)s`, `{name}`, `{0:.2f}`, `${name}`, `{{ name }}`, `%{name}`): all but the spaces inside.
    - ICU `{n, number}`, `{d, date, short}`: name and type.
    - ICU `{n, plural, one {...} other {...}}` and `selectordinal`: name and type, that it is valid, and the tokens that
      all its cases share where the number must be seen (not zero, one, two, =1), as each language has its own cases.
    - ICU `{g, select, ...}`: name, cases, and the tokens of each case.
    - tags: name, parent, attributes in any order but those that are translated (`title`, `alt`, `lang` ...), and that
      elements are closed in the order of opening. `<file name>` is text.
    - entities: the symbol (`&amp;`, `&lt;`, `&copy;`). Those for letters, spaces, quotes and dashes do not count, nor
      does `&amp;` between spaces, which may become "and".
    - numbers: the value, see `numbers`. Not with `numbers: false`.

    Source: printf: https://pubs.opengroup.org/onlinepubs/9799919799/functions/printf.html; ICU:
    https://unicode-org.github.io/icu/userguide/format_parse/messages/; plural cases by language: CLDR,
    https://unicode.org/reports/tr35/tr35-numbers.html#Language_Plural_Rules.

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("%(count)s of 1,250 files", "en", "fr")
        >>> Placeholders()([segment] * 2, ["%(count)s fichiers sur 1 250", "%(nombre)s fichiers"])
        [1.0, 0.0]
        >>> segment = Segment("{n, plural, one {# file} other {# files}} in <b>{folder}</b>", "en", "pl")
        >>> polish = "{n, plural, one {# plik} few {# pliki} many {# plików} other {# pliku}} w <b>{folder}</b>"
        >>> [round(x, 2) for x in Placeholders()([segment] * 2, [polish, polish.replace("</b>", "")])]
        [1.0, 0.89]

    Measured on the translations of Django and wagtail from English, without references: 0.0 % (es) to 1.4 %
    (fr) of the texts that are judged score below 1, almost all because a translator changed a link or a tag.

    How it is cheated: only the tokens count, so a bare list of them scores 1. Where the source spells a number above
    12 that the translation writes in digits (or the other way round), a right hypothesis scores low unless there is a
    reference; set `numbers: false` for such text.
    """

    class Options(MeasureOptions):
        """What is counted."""

        numbers: bool = True

    options: Options

    @property
    def signature(self) -> str:
        """`placeholders|f1|numbers:yes`."""
        return f"placeholders|{self.options.measure}|numbers:{'yes' if self.options.numbers else 'no'}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge what each hypothesis keeps of its reference's, else its source's, placeholders and numbers."""
        return [
            best_of_references(self._judge, segment, text) for segment, text in zip(segments, hypotheses, strict=True)
        ]

    def _judge(self, segment: Segment, hypothesis: str) -> Score:
        expected = expected_text(segment)
        wanted, present = placeholders(expected), placeholders(hypothesis)
        if not self.options.numbers:
            return agreement(wanted, present, self.options.measure)
        texts = (words_only(icu.split(expected)[0]), words_only(icu.split(hypothesis)[0]))
        return number_agreement(*texts, self.options.measure, wanted, present, SPELLED)


def placeholders(text: str, depth: int = 0) -> Counter[str]:
    """Count the placeholders, tags and symbols of a text; equal tokens are equal keys."""
    text, arguments = icu.split(text)
    found = Counter([*_formats(text), *markup.tags(text), *markup.symbols(text)])
    for argument in arguments:
        found += _inside(argument, depth)
    return found


def _formats(text: str) -> Iterator[str]:
    place = 0
    for braces, printf in _FORMATS.findall(text):
        if braces:
            token = "".join(braces.split())
            simple = _SIMPLE_ARGUMENT.fullmatch(token)
            yield f"{{{simple[1]},{simple[2]}}}" if simple else token
        elif match := _POSITION.fullmatch(printf):
            place += match[1] is None
            yield f"%{match[1] or place}${re.sub('i$', 'd', match[2])}"
        else:
            yield printf


def _inside(argument: icu.Argument, depth: int) -> Counter[str]:
    token = f"{{{argument.name},{argument.kind}}}"
    if not argument.valid or depth == _DEEPEST:
        return Counter([f"broken {token}"])
    found = Counter([token])
    if argument.kind == "select":
        for key, text in argument.branches.items():
            found += Counter([f"{token} {key}"]) + placeholders(text, depth + 1)
        return found
    shared: Counter[str] | None = None
    for key, text in argument.branches.items():
        if key not in _WORDED and key[0] != "=":
            tokens = placeholders(text, depth + 1) + Counter("#" * icu.split(text)[0].count("#"))
            shared = tokens if shared is None else shared & tokens
    return found + (shared or Counter())
