"""The running deviation against the textbook, and that a run resumes with it to the last bit."""

import json
import math
import random
import statistics

import pytest

from eclectus.errors import RunError
from eclectus.rewards.composite.normalise import Normaliser


def test_equals_the_population_deviation():
    rng = random.Random(1)
    values = [rng.gauss(0.4, 0.2) for _ in range(1000)]
    normaliser = Normaliser()
    for start in range(0, 1000, 37):
        normaliser.update("en-es", values[start : start + 37])
    assert normaliser.deviation("en-es") == pytest.approx(statistics.pstdev(values), rel=1e-9)


def test_each_direction_has_its_own():
    normaliser = Normaliser()
    normaliser.update("en-es", [0.2, 0.6] * 50)
    normaliser.update("en-zh", [0.10, 0.22] * 50)
    assert normaliser.deviation("en-es") == pytest.approx(0.2)
    assert normaliser.deviation("en-zh") == pytest.approx(0.06)


def test_too_few_values_use_the_pool_and_then_one():
    normaliser = Normaliser(minimum=10)
    assert normaliser.deviation("en-es") == 1.0
    normaliser.update("en-es", [0.0, 1.0] * 4)
    assert normaliser.deviation("en-es") == 1.0
    normaliser.update("en-fr", [0.0, 1.0] * 3 + [None] * 50)
    assert normaliser.deviation("en-es") == normaliser.deviation("en-de") == pytest.approx(0.5)
    normaliser.update("en-es", [0.5, 0.5])
    assert normaliser.deviation("en-es") == pytest.approx(math.sqrt(0.2))


def test_equal_rewards_are_not_blown_up():
    normaliser = Normaliser()
    normaliser.update("en-es", [0.3] * 100)
    assert normaliser.deviation("en-es") == 0.05  # the floor


def test_the_window_forgets():
    normaliser = Normaliser(window=200)
    for _ in range(20):
        normaliser.update("en-es", [0.0, 1.0] * 50)
    for _ in range(40):
        normaliser.update("en-es", [0.4, 0.6] * 50)
    assert normaliser.deviation("en-es") == pytest.approx(0.1, abs=1e-3)
    assert normaliser.state_dict()["directions"]["en-es"][0] == 200


def test_none_and_nothing_change_nothing():
    normaliser = Normaliser()
    normaliser.update("en-es", [])
    normaliser.update("en-es", [None, None])
    assert normaliser.state_dict() == {"pooled": [0.0, 0.0, 0.0], "directions": {}}


def test_resumes_through_json_to_the_last_bit():
    rng = random.Random(3)
    batches = [("en-es" if rng.random() < 0.7 else "es-fr", [rng.random() for _ in range(16)]) for _ in range(600)]
    whole, first = Normaliser(), Normaliser()
    for batch in batches:
        whole.update(*batch)
    for batch in batches[:333]:
        first.update(*batch)
    second = Normaliser()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for batch in batches[333:]:
        second.update(*batch)
    assert second.state_dict() == whole.state_dict()
    assert second.deviation("es-fr") == whole.deviation("es-fr")


@pytest.mark.parametrize(
    "state", [{}, {"pooled": [1, 2, 3]}, {"pooled": [1], "directions": {}}, {"pooled": "abc", "directions": {}}, None]
)
def test_a_foreign_state_is_refused(state):
    with pytest.raises(RunError, match="cannot be read"):
        Normaliser().load_state_dict(state)
