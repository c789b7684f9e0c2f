"""Interquartile means and their intervals, against values worked out by hand."""

import numpy as np
import pytest

from eclectus.evaluation.comparison import Estimate, estimate, interquartile_mean, spread


def test_a_quarter_is_cut_at_either_end():
    assert interquartile_mean(np.array([[100.0, 1, 2, 3], [4, 5, 6, -50]])) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert interquartile_mean(np.array([[1.0, 2, 9]])) == pytest.approx(4)  # too few: nothing is cut


def test_one_run_has_no_interval():
    assert estimate(np.array([[10.0, 20, 30]])) == Estimate(20)
    assert spread(Estimate(20)) == "20.0"


def test_runs_are_drawn_for_each_direction_by_itself():
    # Directions far apart: drawing values across directions would give an interval as wide as their distance.
    scores = np.array([[0.0, 100], [1, 101], [2, 102]])
    found = estimate(scores)
    assert found.value == pytest.approx((1 + 2 + 100 + 101) / 4)
    assert 50 <= found.low < 51 < found.high <= 52
    assert estimate(scores) == found
    same = estimate(np.array([[5.0, 7], [5, 7]]))
    assert (same.low, same.high) == (6, 6)


def test_the_interval_is_written_with_its_value():
    assert spread(Estimate(1.04, -0.5, 2), sign=True) == "+1.0 [−0.5, 2.0]"
