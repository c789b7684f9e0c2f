"""Does the hypothesis repeat itself more than its source does?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import Field

from eclectus.rewards.base import Reward, Score
from eclectus.rewards.text import units
from eclectus.segment import Segment

# A unit of 1 character four times or more in a row, or of 2 to 16 characters three times or more.
_LOOP = re.compile(r"(\S)\1{3,}|(.{2,16}?)\2{2,}", re.DOTALL)
# What loops by nature: 1000000 and the dots of "Loading......"; longer ones are no number and no ellipsis.
_NO_LOOP = re.compile(r"[\d\s.…。・·]{1,15}")
_GROUPED = re.compile(r"(?<!\d)(?<!\d[ \u00a0\u202f])(\d{1,3})((?:[ \u00a0\u202f]\d{3}){1,4})(?![ \u00a0\u202f]?\d)")
# Thai, Lao, Khmer, Myanmar: words of four or five characters, each vowel and tone a character of its own.
_LONG_WORDS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_LONG_LOOP_WORDS = 16


class Repetition(Reward):
    r"""1 minus the share of the hypothesis that repeats, as far as its source and reference do not repeat as well.

    $$r = 1 - \frac{\max(0, \rho(y) - \rho_0)}{1 - \rho_0}, \qquad
      \rho(y) = \max\Big(1 - \frac{|\text{distinct n-grams}|}{|\text{n-grams}|}, \text{loops}, \text{run}\Big)$$

    with n-grams of words (in scripts without spaces of twice as many characters, in Thai, Lao, Khmer and Myanmar of
    four times as many); *loops* the share of characters in character loops such as "hahaha", but not up to 15 digits or
    dots ("1000000", "......"); *run* the share of words in the longest run of one word or phrase said three times or
    more, the first time not counted in either; and rho_0 the larger rho of source and reference. "1 000 000" is one
    word. Range [0, 1]. Never abstains; an empty text repeats nothing: 1.

    Source: seq-rep-n of Welleck et al. 2020, https://arxiv.org/abs/1908.04319 (equation 9).

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("el gato duerme", "es", "en")
        >>> [round(x, 2) for x in Repetition()([segment] * 3, ["the cat sleeps", "the the the the cat", "hahahaha"])]
        [1.0, 0.37, 0.25]

    How it is cheated: repeating a thought in other words, or a phrase twice with a change in every third word. Natural
    text repeats a phrase once too, so two copies cost up to half, not all; gate with `length`.
    """

    class Options(Reward.Options):
        """What counts as a repetition."""

        order: int = Field(3, ge=1, description="order n of the repeated n-grams")

    options: Options

    @property
    def signature(self) -> str:
        """`repetition|n:3`."""
        return f"repetition|n:{self.options.order}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge how much more each hypothesis repeats than its source and reference."""
        return [self._judge(segment, text) for segment, text in zip(segments, hypotheses, strict=True)]

    def _judge(self, segment: Segment, hypothesis: str) -> Score:
        share = repeated_share(hypothesis, self.options.order)
        if not share:
            return 1.0
        excused = max(repeated_share(text, self.options.order) for text in (segment.source, *segment.references))
        return 1 - (max(0.0, share - excused) / (1 - excused) if excused < 1 else 0.0)


def repeated_share(text: str, order: int = 3) -> float:
    """Return the share of a text that repeats, in [0, 1): the larger of n-grams, loops and run (see `Repetition`)."""
    text = _GROUPED.sub(_joined, text)
    words = units(text)
    if not words:
        return 0.0
    if sum(map(len, words)) < 1.5 * len(words):  # characters of a script without spaces, about two or four to a word
        order *= 4 if 2 * len(_LONG_WORDS.findall(text)) > len(words) else 2
    grams = list(zip(*[words[i:] for i in range(order)], strict=False))
    repeated = 1 - len(set(grams)) / len(grams) if grams else 0.0
    return max(repeated, _loops(text), _run(words))


def _loops(text: str) -> float:
    text = " ".join(text.split())
    looped = sum(
        len(m.group()) - len(m.group(1) or m.group(2))
        for m in _LOOP.finditer(text)
        if not _NO_LOOP.fullmatch(m.group())
    )
    return looped / len(text)


def _joined(number: re.Match[str]) -> str:
    return "".join(number.group().split())


def _run(words: list[str]) -> float:
    """The share of words in the longest run of a phrase said three times or more, without its first time."""
    longest = 0
    for period in range(1, min(_LONG_LOOP_WORDS, len(words) // 3) + 1):
        run = 0
        for same in map(str.__eq__, words, words[period:]):
            run = run + 1 if same else 0
            if run >= 2 * period:
                longest = max(longest, run)
    return longest / len(words)
