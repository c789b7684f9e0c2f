"""Is the hypothesis written in a script of its language?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import langcodes
import regex
from pydantic import Field, field_validator

from eclectus.rewards.base import Reward, Score
from eclectus.rewards.text import subtag, words_only
from eclectus.segment import Segment

# What a tag's script stands for where it is more than one of Unicode's.
_PARTS = {
    "Jpan": ("Hani", "Hira", "Kana"),
    "Hrkt": ("Hira", "Kana"),
    "Kore": ("Hang", "Hani"),
    "Hans": ("Hani",),
    "Hant": ("Hani", "Bopo"),
    "Hanb": ("Hani", "Bopo"),
}
# Languages in daily use in two scripts; a tag with a script, such as sr-Latn, asks for that one.
_SEVERAL = {
    "sr": ("Cyrl", "Latn"),
    "sh": ("Cyrl", "Latn"),
    "uz": ("Latn", "Cyrl"),
    "kk": ("Cyrl", "Latn"),
    "ks": ("Arab", "Deva"),
    "sd": ("Arab", "Deva"),
}
# Letters and marks of one script; those that many share (Common, Inherited) tell nothing.
_LETTERS = r"[[\p{L}\p{M}]--[\p{Script=Common}\p{Script=Inherited}]]"
_JUDGED = regex.compile(_LETTERS, regex.V1)
# Words of scripts with capitals, digits among them, also where a script without spaces or capitals is glued to them.
_WORDS = regex.compile(r"[\p{LC}\d][\p{LC}\p{M}\d]*(?:[-_.][\p{LC}\d][\p{LC}\p{M}\d]*)*")
_JOINTS = regex.compile("[-_.]")


class Script(Reward):
    r"""Share of the hypothesis' letters that belong to a script of the target language.

    $$r = \min\Big(1, \frac{s}{1 - \text{tolerated}}\Big), \qquad
      s = \frac{|\{c : c \text{ in a script of the language}\}|}{|\{c\}|}$$

    over the letters and marks c with a script of their own, without placeholders, links, and words with a capital
    letter that stand in the source as well (names, acronyms, code), also within brackets, in joined words (`HTML-код`)
    and between the letters of scripts without spaces (`使用HTML`). The scripts are the tag's own (`sr-Latn`), else the
    likeliest one of the language by CLDR, else both for languages written in two (sr, uz, kk, ks, sd), else those that
    the option `scripts` gives. Range [0, 1]. Abstains under `min_letters` letters and where the script is not known.

    Source: Unicode Standard Annex 24, https://www.unicode.org/reports/tr24/ (Script_Extensions, by the `regex`
    package); likely subtags of CLDR, https://www.unicode.org/reports/tr35/#Likely_Subtags (by `langcodes`).

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("The cat likes Python", "en", "ru")
        >>> texts = ["Кошка любит Python", "Koshka lyubit", "Кошка cats", "42 %s"]
        >>> [value if value is None else round(value, 2) for value in Script()([segment] * 4, texts)]
        [1.0, 0.0, 0.56, None]

    How it is cheated: any letters of the script will do, in any language and any order; a capital letter lets a copied
    word pass (gate with `copy`). It cannot distinguish languages with the same script: gate with `language` too.
    """

    class Options(Reward.Options):
        """Scripts, and what is let pass."""

        tolerated: float = Field(0.0, ge=0, lt=1, description="share of letters in other scripts that costs nothing")
        min_letters: int = Field(2, ge=1, description="letters below which nothing is judged")
        scripts: dict[str, list[str]] = Field(
            default_factory=dict, description="scripts of a language by its tag, as ISO 15924 codes: {az: [Latn, Cyrl]}"
        )

        @field_validator("scripts")
        @classmethod
        def _known_scripts(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
            for tag, codes in value.items():
                if _pattern(tuple(codes)) is None:
                    raise ValueError(
                        f"{codes} of '{tag}' is no list of ISO 15924 codes; write for example [Latn, Cyrl]"
                    )
            return value

    options: Options

    @property
    def signature(self) -> str:
        """What is tolerated, and scripts of the user's own."""
        own = "".join(f"|{tag}:{'+'.join(codes)}" for tag, codes in self.options.scripts.items())
        return f"script|tolerated:{self.options.tolerated:g}|min:{self.options.min_letters}{own}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge the letters of each hypothesis; None where there are none, or none to be expected."""
        return [self._judge(segment, text) for segment, text in zip(segments, hypotheses, strict=True)]

    def _judge(self, segment: Segment, hypothesis: str) -> Score:
        tag = segment.target_lang
        own = self.options.scripts.get(tag)
        pattern = _pattern(scripts(tag) if own is None else tuple(own))
        if pattern is None:
            return None
        words = _without(_names(segment.source), words_only(hypothesis))
        letters = len(_JUDGED.findall(words))
        if letters < self.options.min_letters:
            return None
        return min(1.0, len(pattern.findall(words)) / letters / (1 - self.options.tolerated))


@lru_cache(maxsize=4096)
def _names(source: str) -> frozenset[str]:
    """The words with a capital letter, and such parts of joined ones: PostgreSQL-based, PostgreSQL."""
    words = _WORDS.findall(source)
    return frozenset(part for word in words for part in (word, *_JOINTS.split(word)) if part != part.lower())


def _without(names: frozenset[str], text: str) -> str:
    """Leave the names out, alone or as parts of joined words: HTML-код."""
    if not any(name in text for name in names):
        return text  # the usual case

    def left(match: regex.Match[str]) -> str:
        word = match.group()
        return "" if word in names else " ".join(part for part in _JOINTS.split(word) if part not in names)

    return _WORDS.sub(left, text)


@lru_cache(maxsize=4096)
def scripts(tag: str) -> tuple[str, ...]:
    """Return the ISO 15924 codes of the scripts that a BCP-47 tag is written in; none if that is not known."""
    try:
        language = langcodes.Language.get(tag)
        if language.script is None and subtag(tag) in _SEVERAL:
            return _SEVERAL[subtag(tag)]
        script = language.script or language.maximize().script
    except ValueError:
        return ()
    return (script,) if script else ()


@lru_cache(maxsize=4096)
def _pattern(codes: tuple[str, ...]) -> regex.Pattern[str] | None:
    """Return what matches one letter of the scripts; None where there is no such script."""
    parts = [part for code in codes for part in _PARTS.get(code, (code,))]
    if not parts or not all(regex.fullmatch("[A-Z][a-z]{3}", part) for part in parts):
        return None
    own = "".join(rf"\p{{Script_Extensions={part}}}" for part in parts)
    try:
        return regex.compile(rf"[{_LETTERS}&&[{own}]]", regex.V1)
    except regex.error:
        return None
