"""Directions by temperature, and epochs that a resumed run goes on with."""

import json
import random
from collections import Counter

import pytest

from eclectus.corpora.sampling import DirectionSampler, EpochIterator


@pytest.mark.parametrize(
    ("temperature", "expected"), [(1.0, (0.8, 0.2)), (2.0, (2 / 3, 1 / 3)), (1e9, (0.5, 0.5)), (0.01, (1.0, 0.0))]
)
def test_probabilities_follow_size_to_the_inverse_temperature(temperature: float, expected: tuple[float, ...]) -> None:
    sampler = DirectionSampler({("en", "es"): 8000, ("en", "gl"): 2000}, temperature, random.Random(1))
    assert tuple(sampler.probabilities.values()) == pytest.approx(expected, abs=1e-6)


def test_draws_follow_the_probabilities_and_skip_empty_directions() -> None:
    sampler = DirectionSampler({("en", "es"): 900, ("en", "gl"): 100, ("en", "cy"): 0}, 2.0, random.Random(1))
    counts = Counter(sampler.draw(4000))
    assert set(counts) == {("en", "es"), ("en", "gl")}
    assert counts["en", "es"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_a_step_can_bring_its_own_randomness() -> None:
    sampler = DirectionSampler({("en", "es"): 1, ("en", "gl"): 1}, 1.0, random.Random(1))
    sampler.draw(7)
    assert sampler.draw(20, random.Random("step 3")) == sampler.draw(20, random.Random("step 3"))


@pytest.mark.parametrize(("sizes", "temperature"), [({("en", "es"): 0}, 1.0), ({}, 1.0), ({("en", "es"): 1}, 0.0)])
def test_nothing_to_draw_is_refused(sizes: dict[tuple[str, str], int], temperature: float) -> None:
    with pytest.raises(ValueError, match=r"no direction|temperature"):
        DirectionSampler(sizes, temperature, random.Random(1))


def test_every_epoch_holds_each_item_once_in_another_order() -> None:
    items = EpochIterator(range(50), seed="1 en-es")
    epochs = [items.take(50) for _ in range(3)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert EpochIterator(range(50), seed="1 en-gl").take(50) != epochs[0]


@pytest.mark.parametrize("taken", [0, 7, 10, 23])
def test_a_restored_iterator_goes_on_identically(taken: int) -> None:
    first = EpochIterator(range(10), seed=1)
    first.take(taken)
    state = json.loads(json.dumps(first.state_dict()))
    second = EpochIterator(range(10), seed=1)
    second.load_state_dict(state)
    assert second.take(25) == first.take(25)


def test_a_place_behind_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="corpus has changed"):
        EpochIterator(range(3), seed=1).load_state_dict({"epoch": 0, "position": 9})
    with pytest.raises(ValueError, match="at least one"):
        EpochIterator([], seed=1)
