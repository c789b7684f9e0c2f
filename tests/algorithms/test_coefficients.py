import math

import pytest

from eclectus.algorithms.coefficients import EntropyCoefficient, KlCoefficient


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


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(1.0, 0.01), (0.0, 0.01 * math.exp(0.05)), (3.0, 0.01 * math.exp(-0.1)), (math.nan, 0.01)],
)
def test_entropy_weight_rises_below_the_target_and_falls_above(measured, expected):
    coefficient = EntropyCoefficient(0.01, target=1.0, rate=0.05)
    coefficient.update(measured)
    assert coefficient.weight == pytest.approx(expected)


def test_entropy_weight_is_bounded():
    coefficient = EntropyCoefficient(0.01, target=1000.0, rate=1.0)
    for _ in range(3):
        coefficient.update(0.0)
    assert coefficient.weight == pytest.approx(10.0)
    for _ in range(3):
        coefficient.update(1e6)
    assert coefficient.weight == pytest.approx(1e-6)
    coefficient.update(999.0)
    assert coefficient.weight > 2e-6


def test_without_a_target_weights_stay():
    kl, entropy = KlCoefficient(0.3, None, 0.1), EntropyCoefficient(0.2, None, 0.1)
    kl.update(9.0)
    entropy.update(9.0)
    assert (kl.weight, entropy.weight) == (0.3, 0.2)
