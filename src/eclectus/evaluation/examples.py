"""Translations to read: drawn by chance, and those that lost most, so that nobody picks the nice ones."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup, escape

from eclectus.evaluation.results import Group
from eclectus.evaluation.statistics import Extractor, chrf_scores
from eclectus.evaluation.translations import Translation
from eclectus.rewards.text.tokens import for_language

SHOWN, WORST = 8, 3
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True)
class Example:
    """One test segment; `before` and `after` are HTML with the differences marked, `chrf` is of the sentence."""

    translation: Translation
    before: Markup | None
    after: Markup
    chrf_before: float | None
    chrf_after: float


@dataclass(frozen=True)
class GroupExamples:
    """What to read of a group, and how many of its `n` segments changed, for better or for worse."""

    group: Group
    drawn: list[Example]
    worst: list[Example]
    n: int
    changed: int
    better: int
    worse: int


def choose(
    translations: Sequence[Translation], group: Group, before: str | None, after: str, seed: int
) -> GroupExamples | None:
    """Choose what to show of a group; None where the systems translated none of it.

    Args:
        translations: all test segments.
        group: the group.
        before: name of the system to compare with, where there is one.
        after: name of the system to show.
        seed: decides which segments are drawn; directions take turns.
    """
    wanted = {after} | ({before} if before else set())
    rows: dict[str, list[_Scored]] = {}
    for direction in group.directions:
        part = [t for t in translations if t.direction == direction and wanted <= t.systems.keys()]
        if part:
            rows[direction] = _score(part, before, after)
    if not rows:
        return None
    everything = [scored for part in rows.values() for scored in part]
    losses = sorted((scored for scored in everything if scored.gain < 0), key=lambda scored: scored.gain)
    shuffled = {d: random.Random(f"{seed} {d}").sample(part, len(part)) for d, part in rows.items()}
    turns = [part[i] for i in range(SHOWN) for part in shuffled.values() if i < len(part)]
    changed = [t for t, *_ in everything if before and t.systems[before] != t.systems[after]]
    return GroupExamples(
        group,
        [_example(scored, before, after) for scored in turns[:SHOWN]],
        [_example(scored, before, after) for scored in losses[:WORST]],
        n=len(everything),
        changed=len(changed),
        better=sum(scored.gain > 0 for scored in everything),
        worse=sum(scored.gain < 0 for scored in everything),
    )


def mark(before: str, after: str, characters: bool = False) -> tuple[Markup, Markup]:
    """Return both texts as HTML, words that went in `<del>` and words that came in `<ins>`.

    Args:
        before: the old text.
        after: the new text.
        characters: compare characters, for languages written without spaces.
    """
    old, new = (list(t) if characters else _WORDS.findall(t) for t in (before, after))
    left, right = Markup(), Markup()
    for changed, gone, come in _changes(old, new):
        left += Markup("<del>{}</del>").format(gone) if changed and gone else escape(gone)
        right += Markup("<ins>{}</ins>").format(come) if changed and come else escape(come)
    return left, right


def _changes(old: list[str], new: list[str]) -> list[tuple[bool, str, str]]:
    """(changed, old text, new text) pieces; changes with only a space between them are one."""
    pieces: list[tuple[bool, str, str]] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        piece = (tag != "equal", "".join(old[a:b]), "".join(new[c:d]))
        if len(pieces) > 1 and piece[0] and pieces[-2][0] and not pieces[-1][1].strip():
            space, before = pieces.pop(), pieces.pop()
            piece = (True, before[1] + space[1] + piece[1], before[2] + space[2] + piece[2])
        pieces.append(piece)
    return pieces


class _Scored(NamedTuple):
    translation: Translation
    before: float | None
    after: float

    @property
    def gain(self) -> float:
        return 0.0 if self.before is None else self.after - self.before


def _score(part: list[Translation], before: str | None, after: str) -> list[_Scored]:
    """Sentence chrF++ of the segments of one direction."""
    extract = Extractor([t.reference for t in part], part[0].target_lang)
    new = chrf_scores(extract([t.systems[after] for t in part]).chrf)
    if before is None:
        return [_Scored(t, None, float(score)) for t, score in zip(part, new, strict=True)]
    old = chrf_scores(extract([t.systems[before] for t in part]).chrf)
    return [_Scored(t, float(a), float(b)) for t, a, b in zip(part, old, new, strict=True)]


def _example(scored: _Scored, before: str | None, after: str) -> Example:
    translation, old, new = scored
    text = translation.systems[after]
    if before is None:
        return Example(translation, None, escape(text), None, new)
    characters = for_language(translation.target_lang) != "13a"
    return Example(translation, *mark(translation.systems[before], text, characters), old, new)
