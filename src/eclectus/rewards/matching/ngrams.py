"""Clipped n-gram matches of many hypotheses with their references: every order of a whole batch in a few array calls.

The n-grams of a reference are the states of a trie. All positions of all hypotheses walk it at the same time, one order
a step, so the cost is a handful of look-ups in one table for each order, however many hypotheses there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat

import numpy as np

_POSITIONS = 2**14  # worked on at a time: the arrays then stay in the processor's cache
_TABLE = 2**20  # cells of the largest table; beyond it (long texts in large alphabets) cells are found by bisection
_SEPARATOR = "\n"

Array = np.ndarray


def matches(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]], order: int) -> Array:
    """Count the character n-grams that each hypothesis shares with its references.

    N-grams of tokens are counted in texts that `tokens.Speller` spells with one character for each token.

    Args:
        references: `references[b]`, without line breaks; a count is clipped at the most of any one of them.
        hypotheses: `hypotheses[b][g]`, without line breaks.
        order: the highest n.

    Returns:
        [B, G, order] the clipped matches of n = 1 .. order, 0 where a group has fewer than G hypotheses.
    """
    width = max(map(len, hypotheses), default=0)
    found = np.zeros((len(hypotheses), width, order), np.int64)
    read = [[*map(len, texts)] for texts in references]
    lengths = [[*map(len, texts)] for texts in hypotheses]
    for part in parts([sum(a) + sum(b) for a, b in zip(read, lengths, strict=True)]):
        texts = [*chain.from_iterable(references[part]), *chain.from_iterable(hypotheses[part]), ""]
        codes = np.frombuffer(_SEPARATOR.join(texts).encode("utf-32-le", "surrogatepass"), "<u4")
        reached = sum(map(sum, read[part])) + sum(map(len, read[part]))
        # Numbers 1, 2, ... for the characters of the references, 0 for all others.
        numbers = np.zeros(int(codes[:reached].max(initial=0)) + 2, np.int64)
        numbers[codes[:reached]] = 1
        numbers[ord(_SEPARATOR)] = 0
        present = numbers.nonzero()[0]
        numbers[present] = np.arange(1, len(present) + 1)
        ids = numbers[np.minimum(codes, len(numbers) - 1)]
        found[part] = _matches(ids, read[part], lengths[part], width, order)
    return found


def ngram_counts(lengths: Array, order: int) -> Array:
    """Return [..., order] the number of n-grams, n = 1 .. order, of texts of these lengths."""
    return np.maximum(lengths[..., None] - np.arange(order), 0)


def parts(sizes: Sequence[int]) -> Iterator[slice]:
    """Cut segments of these sizes into runs of about 16,384 positions; a longer segment stands alone."""
    start = total = 0
    for i, size in enumerate(sizes):
        if total and total + size > _POSITIONS:
            yield slice(start, i)
            start, total = i, 0
        total += size + 1
    if start < len(sizes):
        yield slice(start, len(sizes))


def _matches(ids: Array, references: list[list[int]], hypotheses: list[list[int]], width: int, order: int) -> Array:
    """Walk the trie.

    Args:
        ids: [P] all references, then all hypotheses, each followed by a 0; 0 stands for what no reference has.
        references: the length of each segment's references.
        hypotheses: the length of each segment's hypotheses.
        width: columns of the result.
        order: the highest n.
    """
    size = len(references)
    columns = max(map(len, references))
    found = np.zeros((size, width, order), np.int64)
    segments = range(size)
    spans = np.array([*chain.from_iterable(references), *chain.from_iterable(hypotheses)], np.int64) + 1
    rows = [*chain.from_iterable(map(repeat, segments, map(len, references)))]
    reached = int(spans[: len(rows)].sum())
    rows += chain.from_iterable(map(repeat, segments, map(len, hypotheses)))
    owners = [*chain.from_iterable(map(range, map(len, references)))]
    owners += chain.from_iterable(range(columns, columns + len(group)) for group in hypotheses)
    segment, owner = np.array((rows, owners), np.int64).repeat(spans, axis=1)
    owned = columns + width
    # A state is an n-gram of one segment's references, 0 is none; states are numbered in the order of their segments.
    state, home = segment + 1, np.arange(-1, size)
    alphabet = int(ids.max()) + 1
    following = ids
    for n in range(order):
        cells = state * alphabet + following
        usable = (state[:reached] > 0) & (following[:reached] > 0)
        known, state = _number(cells[:reached][usable], cells, len(home) * alphabet)
        if not len(known):
            break
        home = np.concatenate(([-1], home[known // alphabet]))
        counts = np.bincount(state * owned + owner, minlength=len(home) * owned).reshape(-1, owned)[1:]
        limit = counts[:, :columns].max(1, keepdims=True)
        first = (home[1:] != home[:-1]).nonzero()[0]
        found[home[1:][first], :, n] = np.add.reduceat(np.minimum(counts[:, columns:], limit), first, axis=0)
        if n == 0:  # a number for each distinct token of one segment, not of the batch: the tables become small
            before = np.zeros(size, np.int64)
            before[home[1:][first]] = first
            ids = (state - before[segment]) * (state > 0)
            alphabet = int(ids.max()) + 1
        following = np.concatenate((ids[n + 1 :], np.zeros(n + 1, np.int64)))
    return found


def _number(wanted: Array, cells: Array, size: int) -> tuple[Array, Array]:
    """Return the distinct `wanted` cells in order, and for every cell its place among them from 1, or 0."""
    if size <= _TABLE:
        table = np.zeros(size, np.int64)
        table[wanted] = 1
        known = table.nonzero()[0]
        table[known] = np.arange(1, len(known) + 1)
        return known, table.take(cells)
    known = np.unique(wanted)
    if not len(known):
        return known, np.zeros_like(cells)
    place = np.minimum(np.searchsorted(known, cells), len(known) - 1)
    return known, np.where(known[place] == cells, place + 1, 0)
