"""Longest common subsequences, 64 cells of the table in one operation on a machine word.

A column of the table t[i][j] (the length for the first i items of one text and the first j of the other) grows by 0 or
1 from cell to cell, so one integer with a bit for each i holds it, and a few operations on integers give the next one
(Hyyrö 2004, "Bit-parallel LCS-length computation revisited"; the bits are the complement of the paper's).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isqrt


class Columns:
    """One text of a comparison, read once.

    Args:
        text: the items that the bits of a column stand for.
    """

    __slots__ = ("_places", "size")

    def __init__(self, text: Sequence[str]) -> None:
        self.size = len(text)
        self._places: dict[str, int] = {}
        for i, item in enumerate(text):
            self._places[item] = self._places.get(item, 0) | 1 << i

    def length(self, other: Sequence[str]) -> int:
        """Return the length of the longest common subsequence."""
        flat = (1 << self.size) - 1  # a set bit i: the column does not grow from i to i + 1
        for places in filter(None, map(self._places.get, other)):
            held = flat & places
            flat = (flat + held) | (flat - held)
        return self.size - (flat & ((1 << self.size) - 1)).bit_count()

    def indices(self, other: Sequence[str]) -> set[int]:
        """Return the positions of one longest common subsequence in this text.

        Among equally long ones it is the one that rouge-score walks to: from both ends, equal items are taken, else the
        item of `other` is dropped where that keeps the length, and only there.
        """
        taken: set[int] = set()
        i, j = self.size, len(other)
        for flat in self._backwards(other):
            # Where the items differ, t[i][j - 1] > t[i - 1][j] if and only if column j grows at i.
            places = self._places.get(other[j - 1], 0)
            skipped = flat & ~places
            while i and (skipped >> (i - 1)) & 1:
                i -= 1
            if not i:
                break
            if (places >> (i - 1)) & 1:
                taken.add(i - 1)
                i -= 1
            j -= 1
        return taken

    def _backwards(self, other: Sequence[str]) -> Iterator[int]:
        """Yield the columns of `other` from the last to the first; only a few of them are held at a time."""
        step = isqrt(len(other)) + 1
        kept = [(1 << self.size) - 1]
        for start in range(0, len(other), step):
            kept.append(self._run(kept[-1], other[start : start + step])[-1])
        for start in reversed(range(0, len(other), step)):
            yield from reversed(self._run(kept[start // step], other[start : start + step]))

    def _run(self, flat: int, items: Sequence[str]) -> list[int]:
        full, columns = (1 << self.size) - 1, []
        for item in items:
            held = flat & self._places.get(item, 0)
            flat = ((flat + held) | (flat - held)) & full
            columns.append(flat)
        return columns
