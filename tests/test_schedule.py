"""Schedules against hand-computed values, and how a config field reads a number or a schedule."""

import doctest
import re

import pytest

from eclectus import schedule
from eclectus.config import RewardConfig
from eclectus.exploration.annealing import Annealing
from eclectus.registry import describe
from eclectus.schedule import Schedule, value_at, within, written


@pytest.mark.parametrize(
    ("shape", "step", "expected"),
    [
        *[("linear", step, value) for step, value in ((0, 2.0), (1, 1.75), (4, 1.0), (8, 0.0), (9, 0.0), (None, 0.0))],
        # (1 - cos(pi / 4)) / 2 = 0.1464466
        *[("cosine", step, value) for step, value in ((0, 2.0), (2, 1.7071068), (4, 1.0), (8, 0.0), (None, 0.0))],
        *[("step", step, value) for step, value in ((0, 2.0), (7, 2.0), (8, 0.0), (None, 0.0))],
    ],
)
def test_values(shape, step, expected):
    assert Schedule(start=2, end=0, steps=8, shape=shape).at(step) == pytest.approx(expected)


def test_exponential_by_hand():
    # a quarter of the way from 2 to 2^-1 is 2^0.5
    halving = Schedule(start=2, end=0.5, steps=8, shape="exponential")
    assert [halving.at(step) for step in (0, 2, 4, 8, 9, None)] == pytest.approx([2, 2**0.5, 1, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential", "step"])
def test_annealing_by_share_and_schedule_by_step_are_one_curve(shape):
    by_step = Schedule(start=2, end=0.5, steps=8, shape=shape)
    by_share = Annealing(start=2, end=0.5, until=0.5, shape=shape)
    for step in range(17):
        assert by_share.at(step / 16) == by_step.at(step)


def test_a_number_is_the_same_at_every_step():
    assert [value_at(0.3, step) for step in (0, 5, None)] == [0.3] * 3
    assert written(0.3) == "0.3" and written(Schedule(start=0, end=1, steps=9)) == "(0>1:9:linear)"


def test_bounds_look_at_both_ends():
    assert within(0.5, 0, 1) and not within(2.0, 0, 1)
    assert within(Schedule(start=0, end=1, steps=9), 0, 1)
    assert not within(Schedule(start=0, end=2, steps=9), 0, 1) and not within(Schedule(start=-1, end=1, steps=9), 0, 1)


def test_examples_run():
    assert doctest.testmod(schedule).failed == 0


def reward(**changes):
    return {"terms": [{"type": "bleu"}]} | changes


def test_config_writes_and_reads_schedules():
    config = RewardConfig.model_validate(
        {
            "terms": [
                {"type": "bleu", "weight": {"start": 0, "end": 1, "steps": 10}, "clip": [0.1, 0.9], "max_order": 2}
            ],
            "gates": [{"type": "language", "strength": {"start": 0, "end": 1, "steps": 3, "shape": "step"}}],
        }
    )
    assert RewardConfig.model_validate(config.model_dump(mode="json")) == config
    assert config.terms[0].options == {"max_order": 2} and config.gates[0].options == {}
    assert isinstance(config.terms[0].weight, Schedule)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"terms": [{"type": "bleu", "weight": "much"}]}, r"terms\.0\.weight': input should be a valid number"),
        ({"terms": [{"type": "bleu", "weight": float("inf")}]}, r"terms\.0\.weight'.*finite"),
        ({"terms": [{"type": "bleu", "weight": 0}]}, r"terms\.0\.weight'.*above 0"),
        ({"terms": [{"type": "bleu", "weight": {"start": -1, "end": 1, "steps": 2}}]}, r"terms\.0\.weight'.*below"),
        ({"terms": [{"type": "bleu", "weight": {"start": 1, "end": 2}}]}, r"terms\.0\.weight\.steps' is missing"),
        (
            {"terms": [{"type": "bleu", "weight": {"start": 1, "end": 2, "steps": 3, "shap": "step"}}]},
            r"unknown key 'reward\.terms\.0\.weight\.shap'; did you mean 'shape'",
        ),
        ({"terms": [{"type": "bleu", "weight": {"start": 1, "end": 0, "steps": 2}}]}, "all terms end at 0"),
        (
            {"terms": [{"type": "bleu", "weight": {"start": 0, "end": 1, "steps": 2, "shape": "exponential"}}]},
            "exponential cannot begin or end at 0; give a small positive value",
        ),
        ({"terms": [{"type": "bleu", "clip": [1, 0]}]}, r"terms\.0\.clip'.*lower one first"),
        ({"clip": [0.5]}, r"'reward\.clip'.*two numbers"),
        ({"clip": [0, 1], "normalise": "terms"}, "clip the terms instead"),
        ({"gates": [{"type": "copy", "strength": 1.5}]}, r"gates\.0\.strength'.*0\.\.1"),
    ],
)
def test_mistakes_in_one_sentence(changes, message):
    with pytest.raises(ValueError) as caught:
        RewardConfig.model_validate(reward(**changes))
    text = describe(caught.value, "reward", RewardConfig)
    assert re.search(message, text), text
    assert "\n" not in text
