"""Translation edits: insertions, deletions, substitutions and shifts of blocks of words, as Tercom counts them.

The search is that of Tercom and sacreBLEU, with their limits, so the numbers are the same. What differs is the work: a
shift changes the words between its two places only, so its distance is put together from the rows of the table before
them, new rows for them, and the rows after them, counted once from the end.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from operator import add

_BEAM = 25
_SHIFT_LENGTH = 10
_SHIFT_DISTANCE = 50
_CANDIDATES = 1000
_FAR = 10**9

Words = Sequence[str]
Band = tuple[int, int]


def translation_edits(hypothesis: Words, reference: Words) -> int:
    """Return the fewest edits found that turn a hypothesis into a reference, a shift of a block counting as one.

    Source: Snover et al. 2006, https://aclanthology.org/2006.amta-papers.25; the order in which equally good shifts are
    preferred and the limits (10 words, 50 places, a beam of 25, 1,000 shifts tried) are Tercom's and sacreBLEU's.
    """
    if not reference:
        return len(hypothesis)
    words = list(hypothesis)
    shifts = tried = 0
    while True:
        table = _Table(words, reference)
        gain, shifted, tried = _best_shift(table, tried)
        if gain <= 0 or tried >= _CANDIDATES:
            return shifts + table.distance
        words = shifted
        shifts += 1


class _Table:
    """The edit distances between the beginnings, and between the ends, of two texts, near the diagonal.

    Args:
        words: the hypothesis as shifted so far.
        reference: the reference.
    """

    def __init__(self, words: Words, reference: Words) -> None:
        self.words, self.reference = words, reference
        self._bands = _bands(len(words), len(reference))
        self._before = _rows(words, reference, self._bands)
        self.distance = self._before[-1][-1]
        self._after: list[list[int]] | None = None

    def distance_of(self, words: Words, start: int, end: int) -> int:
        """Return the distance of other words that differ between `start` and `end` only."""
        if self._after is None:  # the same table for both texts read backwards
            size = len(self.reference) + 1
            bands = [(size - high, size - low) for low, high in reversed(self._bands)]
            self._after = [row[::-1] for row in reversed(_rows(self.words[::-1], self.reference[::-1], bands))]
        row = self._before[start]
        for i in range(start, end):
            row = _row(row, self._bands[i], self._bands[i + 1], words[i], self.reference)
        return min(map(add, row, self._after[end]))

    def alignment(self) -> tuple[list[int], list[bool], list[bool]]:
        """Return where the reference's words stand in the hypothesis, and which words of both are not matched.

        A reference word without a partner stands at the hypothesis word before it, or at -1. Among equally cheap edits
        a match or substitution is preferred to a deletion and that to an insertion.
        """
        i, j = len(self.words), len(self.reference)
        place, unmatched, missing = [-1] * j, [True] * i, [True] * j
        while j > 0:
            here = self._at(i, j)
            if i and self._at(i - 1, j - 1) + (self.words[i - 1] != self.reference[j - 1]) == here:
                i, j = i - 1, j - 1
                place[j] = i
                unmatched[i] = missing[j] = self.words[i] != self.reference[j]
            elif i and self._at(i - 1, j) + 1 == here:
                i -= 1
            else:
                j -= 1
                place[j] = i - 1
        return place, unmatched, missing

    def _at(self, i: int, j: int) -> int:
        low, high = self._bands[i]
        return self._before[i][j - low] if low <= j < high else _FAR


def _bands(size: int, reference: int) -> list[Band]:
    """Return for every row the half-open range of columns near the diagonal, which the beam does not leave."""
    ratio = reference / size if size else 1.0
    beam = math.ceil(ratio / 2 + _BEAM) if ratio / 2 > _BEAM else _BEAM
    middles = [math.floor(i * ratio) for i in range(size + 1)]
    bands = [(max(0, middle - beam), min(reference + 1, middle + beam)) for middle in middles]
    bands[0] = (0, reference + 1)
    bands[-1] = (bands[-1][0], reference + 1)
    return bands


def _rows(words: Words, reference: Words, bands: Sequence[Band]) -> list[list[int]]:
    rows = [list(range(bands[0][1]))]
    for i, word in enumerate(words):
        rows.append(_row(rows[-1], bands[i], bands[i + 1], word, reference))
    return rows


def _row(above: list[int], band: Band, next_band: Band, word: str, reference: Words) -> list[int]:
    """Return the next row of an edit distance, within its band, from the row above."""
    low, high = next_band
    start = low - 1 - band[0]  # the cell above and to the left of the first one
    cells = above[start:] if start >= 0 else [_FAR] * -start + above
    cells += [_FAR] * (high - low + 1 - len(cells))
    row = []
    left = _FAR
    across = reference[low - 1 : high - 1] if low else [None, *reference[: high - 1]]
    diagonal = cells[0]
    for up, other in zip(cells[1:], across, strict=False):
        cost = diagonal if word == other else diagonal + 1
        if up < cost - 1:
            cost = up + 1
        if left < cost - 1:
            cost = left + 1
        row.append(cost)
        left, diagonal = cost, up
    return row


def _best_shift(table: _Table, tried: int) -> tuple[int, list[str], int]:
    """Return what the best shift saves, the words after it, and how many shifts were tried so far.

    Better is what saves more, then the longer block, then the earlier one, then the earlier place to go.
    """
    best: tuple[int, int, int, int] | None = None
    words = list(table.words)
    place, unmatched, missing = table.alignment()
    size = len(place)
    for start, at, length in _blocks(table.words, table.reference, unmatched, missing):
        if start <= place[at] < start + length:
            continue  # it stands there already
        # Before the hypothesis word that follows each reference word of the block, and the one in front of it.
        targets = [0 if j < 0 else place[j] + 1 for j in range(at - 1, min(at + length, size))]
        for target, _ in groupby(targets):
            moved, low, high = _shifted(words, start, length, target)
            saved = table.distance - table.distance_of(moved, low, high)
            best = max(best or (saved, length, -start, -target), (saved, length, -start, -target))
            tried += 1
        if tried >= _CANDIDATES:
            break
    if best is None:
        return 0, words, tried
    saved, length, start, target = best
    return saved, _shifted(words, -start, length, -target)[0], tried


def _blocks(
    words: Words, reference: Words, unmatched: list[bool], missing: list[bool]
) -> Iterator[tuple[int, int, int]]:
    """Yield (start in the hypothesis, start in the reference, length) of equal blocks that are unmatched in both."""
    wrong = [0, *accumulate(unmatched)]
    absent = [0, *accumulate(missing)]
    places: dict[str, list[int]] = {}
    for j, word in enumerate(reference):
        if absent[min(j + _SHIFT_LENGTH, len(reference))] > absent[j]:
            places.setdefault(word, []).append(j)
    for i, word in enumerate(words):
        if wrong[min(i + _SHIFT_LENGTH, len(words))] == wrong[i]:
            continue
        near = places.get(word, [])
        for j in near[bisect_left(near, i - _SHIFT_DISTANCE) : bisect_right(near, i + _SHIFT_DISTANCE)]:
            for length in range(1, min(_SHIFT_LENGTH, len(words) - i, len(reference) - j) + 1):
                if words[i + length - 1] != reference[j + length - 1]:
                    break
                if wrong[i + length] > wrong[i] and absent[j + length] > absent[j]:
                    yield i, j, length


def _shifted(words: list[str], start: int, length: int, target: int) -> tuple[list[str], int, int]:
    """Move a block in front of the word at `target`; return the words and the range that changed."""
    end = start + length
    block = words[start:end]
    if target < start:
        return words[:target] + block + words[target:start] + words[end:], target, end
    # Inside itself a block goes as far as the target is from its start.
    after = target if target > end else length + target
    changed = words[:start] + words[end:after] + block + words[after:]
    return changed, start, min(after, len(words))
