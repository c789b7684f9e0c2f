import math

import pytest

from eclectus.algorithms.coefficients import KlCoefficient


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(0.1, 1.0), (0.11, 1.01), (0.09, 0.99), (5.0, 1.02), (0.0, 0.98), (math.nan, 1.0), (math.inf, 1.0)],
)
def test_kl_weight_follows_the_clipped_error(measured, expected):
    coefficient = KlCoefficient(1.0, target=0.1, gain=0.1)
    coefficient.update(measured)
    assert coefficient.weight == pytest.approx(expected)


def test_kl_weight_finds_the_one_that_holds_the_target():
    """A policy whose KL is inversely proportional to the weight is brought to its target and stays there."""
    coefficient = KlCoefficient(0.05, target=0.2, gain=0.1)
    for _ in range(400):
        coefficient.update(0.1 / coefficient.weight)
    assert 0.1 / coefficient.weight == pytest.approx(0.2, rel=0.01)


def test_without_a_target_the_weight_stays():
    coefficient = KlCoefficient(0.3, None, 0.1)
    coefficient.update(9.0)
    assert coefficient.weight == 0.3
