"""Cleaning: one spelling of characters and spaces, filters by length, duplicates; and the key to find leaks by."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache

from eclectus.corpora.base import Entry, Split

INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters, soft hyphens, marks of direction, half characters; not the joiners U+200C and U+200D, which spell
words."""

SHORT = 20
"""Pairs whose longer side has at most this many characters pass every ratio: `OK` - `Aceptar` is well aligned."""

GAP = "\0"
"""Stands where a code was taken out of a text between two words; `close_gaps` makes a space of it or nothing."""

_STOP = "[。、，！？：；）」』】]|{}++(?!\\w)"
"""What has no space before it: full-width, or not followed by a word as in `.NET`."""
_GAP_BEFORE_STOP = re.compile(f" ?{GAP}(?: ?{GAP})*(?={_STOP.format('[.,)…]')})|{GAP}+(?={_STOP.format('[.,;:!?)…]')})")


class _Stripper(dict[int, int | None]):
    """Table for `str.translate` that drops punctuation, spaces and controls; filled as characters are met."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in "PZC" else code
        return self[code]


_STRIPPER = _Stripper()
_DOTTED = re.compile("i\u0307|ı")
_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff]")
_GREEK_MARKS = re.compile("(?<=[\u0370-\u03ff])[\u0300-\u036f]+")


def normalise(text: str) -> str:
    """Return `text` in Unicode NFC, without invisible characters, every run of spaces as one plain space."""
    return " ".join(INVISIBLE.sub("", unicodedata.normalize("NFC", text)).split())


def close_gaps(text: str) -> str:
    """Return `text` with a space for each `GAP`, but none before punctuation: `the file` + GAP + `.` is `the file.`

    Spaces of the text's own before `;:!?` stay, as French has them.
    """
    return _GAP_BEFORE_STOP.sub("", text).replace(GAP, " ")


def normalise_key(text: str) -> str:
    """Return the key under which two texts count as the same: casefolded, without punctuation and spaces.

    `"Log in!"` and `"log  in"` share a key, `"$3"` and `"€3"` do not. Punctuation alone is its own key. Where case
    folding depends on the language it errs on the side of the same: the Turkish i with and without a dot are one, and
    Greek letters have no accents, as capitals have none.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii():
        folded = _DOTTED.sub("i", folded)
        if _GREEK.search(folded):
            folded = unicodedata.normalize("NFC", _GREEK_MARKS.sub("", unicodedata.normalize("NFD", folded)))
    return folded.translate(_STRIPPER) or folded


@lru_cache(maxsize=1 << 17)
def width(text: str) -> int:
    """Return the length in characters, where a wide one (Chinese, Japanese, Korean) counts as two."""
    if not text or max(text) < "\u1100":  # nothing wide below Hangul
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def words(text: str) -> int:
    """Return the number of words; in scripts without spaces two wide characters count as one word."""
    return max(len(text.split()), (width(text) - len(text)) // 2)


def ratio_fits(first: str, second: str, max_ratio: float) -> bool:
    """Tell whether two texts are near enough in length to be translations of each other."""
    short, long = sorted((width(first), width(second)))
    return long <= SHORT or long <= max_ratio * short


def clean(
    entries: Iterable[Entry],
    max_chars: int,
    dropped: Counter[str],
    seen: set[tuple[object, ...]] | None = None,
    count: Callable[[Split, Collection[str]], None] = lambda split, reasons: None,
) -> Iterator[Entry]:
    """Yield entries with normalised texts, without texts that are too long or empty, each entry once.

    Args:
        entries: in any order; of equal ones the first is kept.
        max_chars: longer texts are left out (the entry keeps its other languages).
        dropped: reasons are counted here.
        seen: shared by the corpora of a run, so that an entry of two corpora stands once.
        count: is told of each entry its split and why it is not used, or not whole.
    """
    seen = set() if seen is None else seen
    for entry in entries:
        texts, reasons = {}, []
        for tag, raw in entry.texts.items():
            text = normalise(raw)
            if not any(c.isalnum() for c in text):
                reasons.append("no letters or digits")
            elif len(text) > max_chars:
                reasons.append("too long")
            else:
                texts[tag] = text
        # The split is part of the key: a text that stands in a train and a test file must be found as a leak.
        key = (entry.split, *texts.items())
        if texts and key in seen:
            reasons.append("duplicate")
            texts = {}
        dropped.update(reasons)
        count(entry.split, reasons)
        if texts:
            seen.add(key)
            yield Entry(texts, entry.corpus, entry.id, entry.split)
