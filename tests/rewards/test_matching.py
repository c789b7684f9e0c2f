"""Clipped matches and longest common subsequences: equal to counting one by one, on every path."""

import random
from collections import Counter

import pytest

from eclectus.rewards.matching import ngrams
from eclectus.rewards.matching.lcs import Columns, lengths
from eclectus.rewards.matching.ngrams import matches


def one_by_one(references, hypothesis, order):
    def grams(text, n):
        return Counter(text[i : i + n] for i in range(len(text) - n + 1))

    limits = [Counter() for _ in range(order)]
    for n in range(1, order + 1):
        for reference in references:
            limits[n - 1] |= grams(reference, n)
    return [(grams(hypothesis, n) & limits[n - 1]).total() for n in range(1, order + 1)]


def texts(rng, alphabet, longest):
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(0, longest)))


@pytest.mark.parametrize("table", [0, 2**20])  # by bisection, by look-up
@pytest.mark.parametrize("positions", [1, 100, 2**14])  # segment by segment, a few at a time, all at once
@pytest.mark.parametrize("alphabet", ["ab", "abc déf\u4e2d\ud800\U0001f600\0"])
def test_equals_counting_one_by_one(monkeypatch, table, positions, alphabet):
    monkeypatch.setattr(ngrams, "_TABLE", table)
    monkeypatch.setattr(ngrams, "_POSITIONS", positions)
    rng = random.Random(positions)
    references = [[texts(rng, alphabet, 12) for _ in range(rng.randint(1, 3))] for _ in range(40)]
    hypotheses = [[texts(rng, alphabet, 12) for _ in range(rng.randint(0, 5))] for _ in range(40)]
    found = matches(references, hypotheses, 4)
    for b, group in enumerate(hypotheses):
        for g, hypothesis in enumerate(group):
            assert found[b, g].tolist() == one_by_one(references[b], hypothesis, 4), (references[b], hypothesis)
        assert not found[b, len(group) :].any()


def table_of(a, b):
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table


def walk_back(a, b):
    """The positions in `a` that rouge-score's walk through the table takes, by its rules."""
    table, i, j, taken = table_of(a, b), len(a), len(b), set()
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            taken.add(i)
        elif table[i][j - 1] > table[i - 1][j]:
            j -= 1
        else:
            i -= 1
    return taken


@pytest.mark.parametrize("longest", [5, 30, 90])
def test_longest_common_subsequence(longest):
    rng = random.Random(longest)
    for _ in range(60):
        a, b = texts(rng, "abcd", longest), texts(rng, "abcde", longest)
        indices = Columns(a).indices(b)
        assert Columns(a).length(b) == len(indices) == table_of(a, b)[-1][-1]
        assert indices == walk_back(a, b)


def test_lengths_of_many_subsequences_at_once():
    """Around 64 items, where a comparison no longer fits a machine word; foreign items; groups of unequal size."""
    drawn = random.Random(3)
    sizes = [0, 1, 5, 20, 63, 64, 65, 130]
    for alphabet in ("a", "ab", "abcdefgh", "aé中\U0010ffff 😀", "".join(map(chr, range(0x4E00, 0x4E60)))):
        text = lambda: "".join(drawn.choices(alphabet, k=drawn.choice(sizes)))  # noqa: B023, E731
        references = [text() for _ in range(15)]
        groups = [[text() + drawn.choice(["", "ÿ", "x"]) for _ in range(drawn.randrange(6))] for _ in references]
        expected = [
            [table_of(a, b)[-1][-1] for b in group] + [0] * (max(map(len, groups)) - len(group))
            for a, group in zip(references, groups, strict=True)
        ]
        assert lengths(references, groups).tolist() == expected
    assert lengths(["", "a"], [["", "a"], []]).tolist() == [[0, 0], [0, 0]]
    assert lengths([], []).shape == (0, 0)
    assert lengths(["a"] * 3000, [["ba", "b"]] * 3000).tolist() == [[1, 0]] * 3000  # more than one part
