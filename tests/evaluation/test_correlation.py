"""Kendall's tau-b against numbers worked out by hand and against counting every pair."""

import doctest
import itertools
import math
import random

import pytest

from eclectus.evaluation import correlation
from eclectus.evaluation.correlation import correlate, kendall_tau_b


def counted(first, second):
    """Tau-b by looking at every pair."""
    concordant = discordant = only_first = only_second = 0
    for (x, y), (u, v) in itertools.combinations(list(zip(first, second, strict=True)), 2):
        if x == u and y == v:
            continue
        if x == u:
            only_first += 1
        elif y == v:
            only_second += 1
        elif (x - u) * (y - v) > 0:
            concordant += 1
        else:
            discordant += 1
    untied = concordant + discordant
    below = math.sqrt((untied + only_first) * (untied + only_second))
    return (concordant - discordant) / below if below else None


GOLDEN = [
    ([1, 2, 3], [1, 2, 3], 1.0),
    ([1, 2, 3], [3, 2, 1], -1.0),
    ([1, 2, 3, 4], [1, 2, 4, 3], 4 / 6),  # 5 pairs agree, 1 does not
    ([1, 1, 2, 3], [1, 2, 3, 3], 4 / 5),  # 4 agree; one pair tied on each side alone
    ([1, 1, 2, 2], [1, 2, 1, 2], 0.0),  # 1 agrees, 1 does not, 2 tied on each side
    ([1, 1, 2], [5, 5, 6], 1.0),  # the pair tied on both sides counts nowhere
    # The example of scipy.stats.kendalltau's documentation: -0.47140452079103173
    ([12, 2, 1, 12, 2], [1, 4, 7, 1, 0], -0.47140452079103173),
    ([1, 1, 1], [1, 2, 3], None),
    ([1, 2, 3], [1, 1, 1], None),
    ([1], [1], None),
    ([], [], None),
]


@pytest.mark.parametrize(("first", "second", "wanted"), GOLDEN)
def test_golden(first, second, wanted):
    assert kendall_tau_b(first, second) == pytest.approx(wanted, abs=1e-15)
    assert kendall_tau_b(second, first) == pytest.approx(wanted, abs=1e-15)


@pytest.mark.parametrize("seed", range(30))
def test_equals_counting_every_pair(seed):
    generator = random.Random(seed)
    values = generator.choice([2, 4, 30, 1000])
    size = generator.randrange(2, 80)
    first = [generator.randrange(values) for _ in range(size)]
    second = [x + generator.randrange(-values, values) for x in first]
    assert kendall_tau_b(first, second) == pytest.approx(counted(first, second), abs=1e-12)


def test_many_rows_take_no_square():
    generator = random.Random(1)
    first = [generator.random() for _ in range(100_000)]
    assert kendall_tau_b(first, first) == 1.0
    assert kendall_tau_b(first, [-x for x in first]) == -1.0
    assert abs(kendall_tau_b(first, [generator.random() for _ in first])) < 0.02


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        kendall_tau_b([1, math.nan], [1, 2])
    with pytest.raises(ValueError, match="shorter"):
        kendall_tau_b([1, 2], [1])


def test_within_a_source_is_the_mean_over_sources():
    # Within both sources the order is right; across them it is upside down.
    scores = [0.1, 0.2, 0.8, 0.9]
    human = [80, 90, 10, 20]
    found = correlate("x", scores, human, ["a", "a", "b", "b"])
    assert found.within == 1.0
    assert found.overall == pytest.approx(counted(scores, human)) == pytest.approx(-1 / 3)
    assert (found.n, found.sources, found.undefined) == (4, 2, 0)
    assert found.interval == (1.0, 1.0)


def test_a_source_in_no_order_counts_as_none():
    found = correlate("x", [1, 2, 1, 1, 2, 2], [1, 2, 1, 2, 1, 2], ["a", "a", "b", "b", "b", "b"])
    assert (found.within, found.sources) == (0.5, 2)  # 1 in a, 0 in b


def test_sources_without_a_tau_are_counted_and_what_is_not_judged_is_left_out():
    scores = [0.1, 0.2, 0.5, 0.5, 0.3, None, 0.7, 0.4]
    human = [1, 2, 1, 2, 3, 3, None, 1]
    found = correlate("x", scores, human, ["a", "a", "b", "b", "c", "c", "d", "d"])
    assert found.n == 6
    assert found.within == 1.0  # of a alone: b is all ties; c and d have one judged translation each
    assert (found.sources, found.undefined, found.interval) == (1, 1, None)


def test_the_interval_is_around_the_mean_and_the_same_each_time():
    generator = random.Random(3)
    sources = [i // 4 for i in range(400)]
    human = [generator.random() for _ in sources]
    scores = [h + generator.gauss(0, 0.5) for h in human]
    first, second = (correlate("x", scores, human, sources) for _ in range(2))
    assert first == second
    low, high = first.interval
    assert low < first.within < high
    assert 0.05 < high - low < 0.3


def test_nothing_to_correlate():
    found = correlate("x", [None, 1.0], [1.0, None], [0, 1])
    assert (found.n, found.overall, found.within, found.interval) == (0, None, None, None)


def test_examples_run():
    results = doctest.testmod(correlation)
    assert results.attempted == 2
    assert results.failed == 0
