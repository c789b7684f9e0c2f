"""Exploration strategies: probabilities by hand, annealing, and the entropy that is kept at its target."""

import doctest
import importlib
import math

import numpy as np
import pytest
from pydantic import ValidationError

from eclectus import registry
from eclectus.exploration.annealing import Annealing
from eclectus.exploration.base import Exploration, entropy, softmax
from eclectus.exploration.boltzmann import Boltzmann
from eclectus.exploration.count_bonus import CountBonus
from eclectus.exploration.entropy import EntropyCoefficient
from eclectus.exploration.entropy_target import EntropyTarget
from eclectus.exploration.epsilon_greedy import EpsilonGreedy

NEW = np.zeros(4, dtype=np.int64)
VALUES = np.array([0.1, 0.9, 0.5, 0.9])


def made(name, **options):
    kind = registry.find("exploration", name, Exploration)
    return kind(registry.parse_options("exploration", kind.Options, options))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("greedy", {}, [0, 0.5, 0, 0.5]),
        ("uniform", {}, [0.25, 0.25, 0.25, 0.25]),
        ("epsilon_greedy", {"epsilon": 0}, [0, 0.5, 0, 0.5]),
        ("epsilon_greedy", {"epsilon": 0.4}, [0.1, 0.4, 0.1, 0.4]),
        ("epsilon_greedy", {"epsilon": 0.6, "top_k": 3}, [0, 0.4, 0.2, 0.4]),
        ("epsilon_greedy", {"epsilon": 0.6, "top_k": 1}, [0, 0.5, 0, 0.5]),
        ("epsilon_greedy", {"epsilon": 0.4, "top_k": 9}, [0.1, 0.4, 0.1, 0.4]),
        ("epsilon_greedy", {"epsilon": 1}, [0.25, 0.25, 0.25, 0.25]),
        ("boltzmann", {"temperature": 0}, [0, 0.5, 0, 0.5]),
        ("boltzmann", {"temperature": 1e9}, [0.25, 0.25, 0.25, 0.25]),
        ("count_bonus", {"beta": 0}, [0, 0.5, 0, 0.5]),
    ],
)
def test_probabilities_by_hand(name, options, expected):
    assert made(name, **options).probabilities(VALUES, NEW, 0.0) == pytest.approx(expected)


def test_top_k_explores_everything_while_everything_is_equal():
    strategy = made("epsilon_greedy", epsilon=1.0, top_k=2)
    assert strategy.probabilities(np.zeros(4), NEW, 0.0) == pytest.approx([0.25] * 4)
    assert strategy.probabilities(np.array([0.5, 0, 0, 0]), NEW, 0.0) == pytest.approx([0.25] * 4)


def test_boltzmann_by_hand():
    found = made("boltzmann", temperature=2.0).probabilities(np.array([0.0, 2.0]), NEW[:2], 0.0)
    assert found[1] / found[0] == pytest.approx(math.e)
    assert softmax(np.array([1e6, 0.0]), 1e-3).tolist() == [1, 0]


def test_count_bonus_by_hand():
    strategy = made("count_bonus", beta=1.0)
    # 0.5 + 1 / sqrt(4) = 1.0 against 0.2 + 1 / sqrt(1) = 1.2, then against 0.2 + 1 / sqrt(2) = 0.907.
    assert strategy.probabilities(np.array([0.5, 0.2]), np.array([3, 0]), 0.0).tolist() == [0, 1]
    assert strategy.probabilities(np.array([0.5, 0.2]), np.array([3, 1]), 0.0).tolist() == [1, 0]
    # 0.5 + 1 / 6 against 0.2 + 1 / 2: the root keeps the seldom tried one ahead.
    assert strategy.probabilities(np.array([0.5, 0.2]), np.array([35, 3]), 0.0).tolist() == [0, 1]


@pytest.mark.parametrize("name", registry.names("exploration"))
@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_every_strategy_gives_a_distribution(name, progress):
    strategy = made(name)
    for values in (VALUES, np.zeros(4), -VALUES, np.array([3.0])):
        found = strategy.probabilities(values, np.arange(len(values)), progress)
        assert found.sum() == pytest.approx(1)
        assert (found >= 0).all()
        # The better of two is never the less likely, but for the bonus of what is new.
        if name != "count_bonus":
            assert (np.diff(found[np.argsort(values, kind="stable")]) >= -1e-12).all()


@pytest.mark.parametrize(("shape", "halfway"), [("linear", 0.55), ("cosine", 0.55), ("exponential", math.sqrt(0.1))])
def test_annealing_by_hand(shape, halfway):
    annealing = Annealing(start=1.0, end=0.1, until=0.5, shape=shape)
    assert [annealing.at(p) for p in (0, 0.25, 0.5, 0.9)] == pytest.approx([1.0, halfway, 0.1, 0.1])
    quarter = annealing.at(0.125)
    assert 1.0 > quarter > halfway


def test_exponential_annealing_goes_through_the_geometric_mean():
    annealing = Annealing(start=4.0, end=0.25, shape="exponential")
    assert [annealing.at(p) for p in (0, 0.25, 0.5, 1)] == pytest.approx([4.0, 2.0, 1.0, 0.25])


def test_strategies_follow_their_annealing():
    falling = {"start": 1.0, "end": 0.0}
    strategy = made("epsilon_greedy", epsilon=falling)
    assert [entropy(strategy.probabilities(np.array([0.0, 1.0]), NEW[:2], p)) for p in (0, 1)] == pytest.approx(
        [math.log(2), 0]
    )
    assert strategy.options.epsilon.at(0.25) == 0.75


def test_a_number_is_a_value_that_stays():
    assert EpsilonGreedy.Options(epsilon=0.2).epsilon.at(0.7) == pytest.approx(0.2)
    assert Boltzmann.Options(temperature=1).temperature.at(0.0) == 1


@pytest.mark.parametrize(
    "values",
    [{"start": -1, "end": 0}, {"start": 1, "end": 0, "until": 0}, {"start": 1, "end": 0, "shape": "exponential"}, True],
)
def test_wrong_annealing_is_refused(values):
    with pytest.raises(ValidationError):
        Annealing.model_validate(values)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_entropy_target_is_reached_whatever_the_scale(scale):
    strategy = EntropyTarget(EntropyTarget.Options(target=0.5))
    for _ in range(2000):
        found = strategy.probabilities(scale * VALUES[:3], NEW[:3], 0.0)
    assert entropy(found) == pytest.approx(0.5 * math.log(3), abs=0.01)


def test_equal_values_leave_the_temperature_alone():
    strategy = EntropyTarget()
    before = strategy.coefficient.weight
    strategy.probabilities(np.zeros(4), NEW, 0.0)
    assert strategy.coefficient.weight == before


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(1.0, 0.01), (0.0, 0.01 * math.exp(0.05)), (3.0, 0.01 * math.exp(-0.1)), (math.nan, 0.01)],
)
def test_entropy_coefficient_rises_below_the_target_and_falls_above(measured, expected):
    coefficient = EntropyCoefficient(0.01, rate=0.05)
    assert coefficient.update(measured, target=1.0) == pytest.approx(expected)
    assert coefficient.weight == pytest.approx(expected)


def test_entropy_coefficient_is_bounded_and_comes_back():
    coefficient = EntropyCoefficient(0.01, rate=1.0, bounds=(1e-6, 10.0))
    assert [coefficient.update(0.0, target=1000.0) for _ in range(3)] == pytest.approx([10.0] * 3)
    assert [coefficient.update(1e6, target=1000.0) for _ in range(3)] == pytest.approx([1e-6] * 3)
    assert coefficient.update(999.0, target=1000.0) > 2e-6


def test_without_a_target_or_a_weight_the_coefficient_stays():
    assert EntropyCoefficient(0.2, rate=0.1).update(9.0, None) == 0.2
    assert EntropyCoefficient(0.0, rate=0.1).update(9.0, target=1.0) == 0.0


def test_entropy_by_hand():
    assert entropy(np.array([0.5, 0.5, 0.0])) == pytest.approx(math.log(2))
    assert str(entropy(np.array([1.0, 0.0]))) == "0.0"  # and not -0.0, which a log would show


def test_defaults_are_what_the_docstrings_say():
    assert CountBonus.Options().beta == 0.3
    assert EpsilonGreedy.Options().epsilon.at(0.8) == pytest.approx(0.05)


@pytest.mark.parametrize(
    "module",
    [
        "exploration.annealing",
        "exploration.boltzmann",
        "exploration.count_bonus",
        "exploration.entropy",
        "exploration.epsilon_greedy",
        "exploration.bandits.exp3",
        "exploration.bandits.progress",
        "exploration.bandits.thompson",
        "exploration.bandits.ucb1",
        "environments.phrase_table",
        "environments.word_translation",
    ],
)
def test_example_runs(module):
    results = doctest.testmod(importlib.import_module(f"eclectus.{module}"))
    assert results.attempted > 1
    assert results.failed == 0
