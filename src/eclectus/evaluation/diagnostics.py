"""Ways in which a translation goes wrong that BLEU and chrF++ do not name: copies, loops, empty output."""

from __future__ import annotations

import re
from collections.abc import Sequence

from eclectus.rewards.text import squeeze

_WORDS = re.compile(r"(?<!\S)(\S+(?: \S+){0,3}?)(?: \1){2,}(?!\S)")
_CHARACTERS = re.compile(r"(\S{2,12}?)\1{3,}")


def is_copy(source: str, hypothesis: str, reference: str | None = None) -> bool:
    """Whether the hypothesis is the source again, letter case aside.

    A name or a number that its reference leaves as it is (`reference` equals `source`) is no copy.
    """
    same = squeeze(source).casefold()
    if reference is not None and squeeze(reference).casefold() == same:
        return False
    return bool(same) and squeeze(hypothesis).casefold() == same


def has_loop(text: str) -> bool:
    """Whether 1 to 4 words stand 3 times in a row, or 2 to 12 characters 4 times; no letter, no loop."""
    text = squeeze(text).casefold()
    return any(any(c.isalpha() for c in m.group(1)) for loop in (_WORDS, _CHARACTERS) for m in loop.finditer(text))


def is_repetition(hypothesis: str, reference: str | None = None) -> bool:
    """Whether the hypothesis loops and its reference does not."""
    return has_loop(hypothesis) and not (reference is not None and has_loop(reference))


def length_ratio(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Characters of all hypotheses by characters of all references; 1 is the references' length."""
    return sum(len(squeeze(h)) for h in hypotheses) / max(1, sum(len(squeeze(r)) for r in references))


def share(flags: Sequence[bool]) -> float:
    """Share of true values, 0 to 1; 0 for none."""
    return sum(flags) / len(flags) if flags else 0.0
