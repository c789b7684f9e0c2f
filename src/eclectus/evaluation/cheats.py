"""Hypotheses that no translator would hand in, made by rule: a reward that pays for one can be cheated by it.

Every cheat gives one hypothesis for each segment, or None where it does not apply (a text without placeholders has
none to drop). The same segments and seed give the same hypotheses.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from eclectus.rewards.text import PLACEHOLDERS, squeeze, subtag, units
from eclectus.seeds import rng
from eclectus.segment import Segment

Hypotheses = list[str | None]

GROSS, SLIGHT = 0.5, 0.95


@dataclass(frozen=True)
class Cheat:
    """One way to cheat, with what it gives for each segment.

    Args:
        name: as tables show it.
        made: how it is made.
        blind: made without the reference, so that any policy can do it; else it is a damaged reference.
        bar: share of what honest work earns that it may keep, unless a threshold is given.
        hypotheses: one for each segment, None where the cheat does not apply.
    """

    name: str
    made: str
    blind: bool
    bar: float
    hypotheses: Hypotheses


def cheats(
    segments: Sequence[Segment], seed: int = 1, others: Mapping[str, Sequence[str | None]] | None = None
) -> list[Cheat]:
    """Make every cheat for segments with references.

    Args:
        segments: what is to be translated; cheats are made of the first reference.
        seed: of shuffling and drawing.
        others: other language -> its text for each segment; None: none. Without any, the wrong language is the
            source's, by another segment's source in that language.
    """
    found = [
        Cheat("empty", "nothing", True, GROSS, ["" for _ in segments]),
        Cheat("copied source", "the source itself", True, GROSS, [s.source for s in segments]),
        *_wrong_language(segments, seed, others or {}),
        _constant(segments),
    ]
    damages: list[tuple[str, str, float, Callable[[str, Segment], str | None]]] = [
        ("half", "the first half of the reference", GROSS, lambda text, _: half(text)),
        ("doubled", "the reference twice", GROSS, lambda text, _: f"{text} {text}"),
        ("tripled", "the reference three times", GROSS, lambda text, _: f"{text} {text} {text}"),
        ("reference + source", "the reference, then the source", GROSS, lambda text, s: f"{text} {s.source}"),
        ("shuffled words", "the reference's words in random order", GROSS, lambda text, s: shuffled(text, seed, s.id)),
        ("lower-cased", "the reference in lower case", SLIGHT, lambda text, _: text.lower()),
        ("wrong script", "the reference in the letters of another script", GROSS, lambda text, _: wrong_script(text)),
        (
            "dropped placeholders",
            "the reference without its placeholders and markup",
            SLIGHT,
            lambda text, _: " ".join(PLACEHOLDERS.sub(" ", text).split()),
        ),
    ]
    for name, made, bar, damage in damages:
        found.append(Cheat(name, made, False, bar, [damage(s.reference, s) if s.reference else None for s in segments]))
    # What comes out as one of the references is right and no cheat.
    return [
        replace(
            c, hypotheses=[None if _right(text, s) else text for text, s in zip(c.hypotheses, segments, strict=True)]
        )
        for c in found
    ]


def half(text: str) -> str | None:
    """The first half of the words, rounded up; of the characters where words are not spaced or there is only one."""
    words = text.split()
    if len(words) > 1 and _spaced(text):
        return " ".join(words[: (len(words) + 1) // 2])
    return text[: len(text) // 2].strip() or None


def shuffled(text: str, seed: int, purpose: str) -> str | None:
    """The words (characters where they are not spaced) in another order; None where there is no other."""
    words = units(text)
    if len(set(words)) < 2:
        return None
    generator = rng(seed, "shuffle", purpose, text)
    order = list(words)
    while order == words:
        generator.shuffle(order)
    return (" " if _spaced(text) else "").join(order)


def _spaced(text: str) -> bool:
    """Whether most units stand between spaces: words do, characters of Chinese or Thai do not."""
    return 2 * len(text.split()) > len(units(text))


def wrong_script(text: str) -> str:
    """Write Cyrillic in Latin letters and everything else in Cyrillic ones; marks and digits stay.

    Latin letters become the Cyrillic ones of about the same sound; letters of other scripts are moved by code point,
    which no reader could read, but no reward should pay for either.
    """
    plain = (c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return "".join(_transliterated(c) for c in plain)


_LATIN = dict(zip("abcdefghijklmnopqrstuvwxyz", "абцдефгхийклмнопкрстуввхыз", strict=True))
_CYRILLIC_LETTERS = "абвгдежзийклмнопрстуфхцчшщъыьэюяієґ"
_SOUNDS = "a b v g d e zh z i j k l m n o p r s t u f kh ts ch sh shch ' y ' e yu ya i ye g"
_CYRILLIC = dict(zip(_CYRILLIC_LETTERS, _SOUNDS.split(" "), strict=True))
_SHIFT_TO, _SHIFT_RANGE = 0x430, 32


def _transliterated(character: str) -> str:
    if not character.isalpha():
        return character
    low = character.lower()
    found = _LATIN.get(low) or _CYRILLIC.get(low)
    if found is None:
        cyrillic = "\u0400" <= low <= "\u052f"
        found = "x" if cyrillic else chr(_SHIFT_TO + ord(low[0]) % _SHIFT_RANGE)
    return found.capitalize() if character.isupper() else found


def _right(text: str | None, segment: Segment) -> bool:
    return text is not None and squeeze(text) in map(squeeze, segment.references)


def _constant(segments: Sequence[Segment]) -> Cheat:
    """The most usual reference of each target language; of equally usual ones, the one nearest to the median length."""
    chosen: dict[str, str] = {}
    for language in dict.fromkeys(s.target_lang for s in segments):
        texts = Counter(s.reference for s in segments if s.target_lang == language and (s.reference or "").strip())
        if not texts:
            continue
        lengths = sorted(len(text or "") for text in texts.elements())
        median = lengths[len(lengths) // 2]
        best = max(texts, key=lambda text: (texts[text], -abs(len(text or "") - median)))
        chosen[language] = best or ""
    hypotheses: Hypotheses = [chosen.get(segment.target_lang) for segment in segments]
    return Cheat("one constant sentence", "the corpus' most usual reference", True, GROSS, hypotheses)


def _wrong_language(segments: Sequence[Segment], seed: int, others: Mapping[str, Sequence[str | None]]) -> list[Cheat]:
    if others:
        return [
            Cheat(f"wrong language ({language})", f"text in {language}", True, GROSS, list(texts))
            for language, texts in others.items()
        ]
    order = list(range(len(segments)))
    rng(seed, "wrong language").shuffle(order)
    following: dict[int, int] = {}
    for language in dict.fromkeys(s.source_lang for s in segments):
        # The next in a shuffled circle, so that each source is used once and nobody gets its own. A circle for each
        # language: the source of another direction may be in the language that is wanted here.
        circle = [i for i in order if segments[i].source_lang == language]
        following |= zip(circle, [*circle[1:], circle[0]], strict=True)
    texts = [segments[following[i]].source for i in range(len(segments))]
    made: Hypotheses = [
        None if text == s.source or subtag(s.source_lang) == subtag(s.target_lang) else text
        for text, s in zip(texts, segments, strict=True)
    ]
    return [Cheat("wrong language", "the source of another segment", True, GROSS, made)]
