"""What cleaning takes out of each corpus, told where it is much, or where it is dev or test text of the user's own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from itertools import combinations

from eclectus.corpora.base import Entry, Split
from eclectus.corpora.splits import pair_fits

_MUCH = 0.01
"""Share of a corpus's entries for training above which a reader should know."""

_WORDS = {
    "too long": "{} longer than data.max_chars: {}",
    "no letters or digits": "{} without letters or digits",
    "duplicate": "{} given twice",
    "no translations": "{} untranslated, or more unlike in length than data.max_ratio allows",
}


class LeftOut:
    """Counts, by the split that their file was given, the entries of one corpus that are left out or lose a text."""

    def __init__(self) -> None:
        self._read: Counter[Split] = Counter()
        self._lost: defaultdict[Split, Counter[str]] = defaultdict(Counter)

    def count(self, split: Split, reasons: Collection[str]) -> None:
        """Note an entry that was read, and why it is not used, or not whole."""
        self._read[split] += 1
        self._lost[split].update(set(reasons))

    def checked(self, entries: Iterator[Entry], max_ratio: float) -> Iterator[Entry]:
        """Pass the entries on, and count those of several languages no two of which give a pair."""
        for entry in entries:
            pairs = list(combinations(entry.texts, 2))
            if pairs and not any(pair_fits(entry, pair, max_ratio) for pair in pairs):
                self._lost[entry.split]["no translations"] += 1
            yield entry

    def sentences(self, label: str, max_chars: int) -> Iterator[str]:
        """Say what a reader should know of the corpus that is called `label`."""
        for split, read in self._read.items():
            held, lost = split in ("dev", "test"), self._lost[split]
            # Duplicates teach nothing new, but a test set without them is not the one that was given.
            counts = {reason: lost[reason] for reason in _WORDS if lost[reason] and (held or reason != "duplicate")}
            if sum(counts.values()) > (0 if held else _MUCH * read):
                told = ", ".join(_WORDS[reason].format(f"{count:,}", max_chars) for reason, count in counts.items())
                advice = "; raise data.max_chars to use the long ones" if "too long" in counts else ""
                name = "" if split == "auto" else f"{split} "
                yield f"{label}: not all of its {read:,} {name}entries are used whole: {told}{advice}"
