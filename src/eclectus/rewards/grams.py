"""Clipped n-gram matches against a reference that is counted once and met by many hypotheses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import add

_FEW = 2  # up to here list.count for each repeated n-gram is faster than counting the whole hypothesis


class Grams:
    """The n-grams of one order of a reference: tuples of tokens, or parts of a string.

    Args:
        items: the reference's tokens, or its characters as one string.
        n: the order.
    """

    __slots__ = ("distinct", "repeated", "size")

    def __init__(self, items: Sequence[str], n: int) -> None:
        grams: Sequence
        if isinstance(items, str):
            grams = [items[i : i + n] for i in range(len(items) - n + 1)]
        else:
            grams = list(zip(*[items[i:] for i in range(n)], strict=False)) if n > 1 else items
        self.size = len(grams)
        self.distinct = frozenset(grams)
        repeats = len(self.distinct) < self.size
        self.repeated = {gram: count for gram, count in Counter(grams).items() if count > 1} if repeats else {}

    def clipped(self, found: frozenset, grams: Iterable) -> int:
        """Return sum over g of min(count in `grams`, count in the reference), `found` being those in both.

        In one sentence nearly every n-gram occurs once, so this is the size of `found` and a few corrections.
        """
        again = self.repeated.keys() & found
        if not again:
            return len(found)
        if len(again) > _FEW:
            counts = Counter(grams)
            mine, theirs = map(counts.__getitem__, again), map(self.repeated.__getitem__, again)
            return len(found) - len(again) + sum(map(min, mine, theirs))
        grams = list(grams)
        return len(found) + sum([min(grams.count(gram), self.repeated[gram]) - 1 for gram in again])


def matches(reference: Sequence[Grams], items: Sequence[str]) -> tuple[int, ...]:
    """Count a hypothesis' clipped matches for the orders 1, 2, ... of `reference`, up to the first without any.

    (An order without a match has none above it: a match of n + 1 contains one of n.)
    """
    if isinstance(items, str):
        return _matches_in_string(reference, items)
    counts: list[int] = []
    shifted: list[Sequence[str]] = []
    for order in reference:
        shifted.append(items[len(shifted) :])
        found = order.distinct.intersection(zip(*shifted, strict=False) if counts else items)
        if not found:
            break
        if order.repeated:
            counts.append(order.clipped(found, zip(*shifted, strict=False) if counts else items))
        else:
            counts.append(len(found))
    return tuple(counts)


def _matches_in_string(reference: Sequence[Grams], text: str) -> tuple[int, ...]:
    counts: list[int] = []
    grams = list(text)
    for n, order in enumerate(reference, start=1):
        if n > 1:  # every n-gram is the one of n - 1 and the next character, faster than slicing
            grams = list(map(add, grams, text[n - 1 :]))
        found = order.distinct.intersection(grams)
        if not found:
            break
        counts.append(order.clipped(found, grams) if order.repeated else len(found))
    return tuple(counts)
