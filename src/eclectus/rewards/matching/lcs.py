"""Longest common subsequences, 64 cells of the table in one operation on a machine word.

A column of the table t[i][j] (the length for the first i items of one text and the first j of the other) grows by 0 or
1 from cell to cell, so one integer with a bit for each i holds it, and a few operations on integers give the next one
(Hyyrö 2004, "Bit-parallel LCS-length computation revisited"; the bits are the complement of the paper's). For texts of
up to 64 items it is a machine word, and one operation takes a step in all comparisons of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from math import isqrt

import numpy as np

from eclectus.rewards.matching.ngrams import parts

_WORD = 64
_SEPARATOR = "\n"


def lengths(references: Sequence[str], hypotheses: Sequence[Sequence[str]]) -> np.ndarray:
    """Return [B, G] the lengths of the longest common subsequences of texts without line breaks.

    Args:
        references: `references[b]`.
        hypotheses: `hypotheses[b][g]`; where a group has fewer than G the result is 0.
    """
    found = np.zeros((len(hypotheses), max(map(len, hypotheses), default=0)), np.int64)
    short, sizes = [], []
    for b, (text, group) in enumerate(zip(references, hypotheses, strict=True)):
        size = [len(text), *map(len, group)]
        if max(size) <= _WORD:
            short.append(b)
            sizes.append(sum(size))
        else:
            found[b, : len(group)] = [*map(Columns(text).length, group)]
    for part in parts(sizes):
        rows = short[part]
        groups = [hypotheses[b] for b in rows]
        owners = np.repeat(np.arange(len(rows)), [*map(len, groups)])
        places = [*chain.from_iterable(map(range, map(len, groups)))]
        others = [*chain.from_iterable(groups)]
        found[np.array(rows)[owners], places] = _lengths([references[b] for b in rows], others, owners)
    return found


def _lengths(texts: list[str], others: list[str], owners: np.ndarray) -> np.ndarray:
    """Return [N] the lengths of `others[n]` with `texts[owners[n]]`, all of up to 64 items."""
    mine, theirs = _codes(texts), _codes(others)
    # Numbers 1, 2, ... for the items of the texts, 0 for all others and for what fills a text up.
    numbers = np.zeros(int(mine.max(initial=ord(_SEPARATOR))) + 2, np.int64)
    numbers[mine] = 1
    numbers[ord(_SEPARATOR)] = 0
    present = numbers.nonzero()[0]
    numbers[present] = np.arange(1, len(present) + 1)
    first = np.arange(len(texts)) * (len(present) + 1)
    # A set bit i in an item's cell: it stands at place i of the text.
    bits = np.zeros(len(texts) * (len(present) + 1), np.uint64)
    cells = numbers[mine] + first[:, None]
    places = np.uint64(1) << np.arange(mine.shape[1], dtype=np.uint64)
    np.bitwise_or.at(bits, cells.ravel(), np.tile(places, len(texts)))
    bits[first] = 0
    flat = np.full(len(others), 2**_WORD - 1, np.uint64)
    for column in bits[(numbers[np.minimum(theirs, len(numbers) - 1)] + first[owners][:, None]).T]:
        held = flat & column
        flat = (flat + held) | (flat - held)
    # What no item of the text stands for stays set.
    return np.unpackbits((~flat).view(np.uint8).reshape(-1, _WORD // 8), axis=1).sum(1, dtype=np.int64)


def _codes(texts: list[str]) -> np.ndarray:
    """Return [N, T] the characters of texts, filled up with line breaks."""
    width = max(map(len, texts), default=0)
    filled = "".join([text.ljust(width, _SEPARATOR) for text in texts])
    return np.frombuffer(filled.encode("utf-32-le", "surrogatepass"), "<u4").reshape(len(texts), width)


class Columns:
    """One text of a comparison, read once.

    Args:
        text: the items that the bits of a column stand for.
    """

    __slots__ = ("_places", "size")

    def __init__(self, text: Sequence[str]) -> None:
        self.size = len(text)
        places: dict[str, int] = {}
        bit = 1
        for item in text:
            places[item] = places[item] | bit if item in places else bit
            bit += bit
        self._places = places

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
