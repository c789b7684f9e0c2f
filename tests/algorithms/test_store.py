"""An algorithm's module stands beside the model it was trained with and comes back from there."""

import json

import pytest
import torch

from eclectus.algorithms import store
from eclectus.algorithms.base import Algorithm
from eclectus.errors import ModelError
from tests.algorithms.enumerated import algorithm
from tests.tiny import tiny_policy


class Counter(Algorithm):
    """Outside the package, with a module of its own."""

    def build(self, policy, seed):
        self.module = torch.nn.Linear(policy.width, 1)

    def advantages(self, inputs):
        return inputs.rewards

    def loss(self, inputs):
        return inputs.logprobs.sum(), {}


@pytest.fixture
def saved(tmp_path):
    chosen, policy = algorithm("ppo", gae_lambda=0.7, hidden=5), tiny_policy()
    chosen.build(policy, seed=3)
    torch.nn.init.normal_(chosen.module.value.weight)
    store.save(chosen, tmp_path)
    return chosen, policy


def test_a_critic_comes_back_with_its_options_and_weights(tmp_path, saved):
    chosen, policy = saved
    back = store.load(tmp_path, policy)
    states = torch.randn(3, 4, policy.width)
    assert back.name == "ppo" and back.options == chosen.options
    assert torch.equal(back.module(states), chosen.module(states))
    assert chosen.module(states).abs().min() > 0


def test_an_algorithm_of_ones_own_comes_back(tmp_path):
    chosen, policy = Counter(), tiny_policy()
    chosen.build(policy, seed=3)
    store.save(chosen, tmp_path)
    back = store.load(tmp_path, policy)
    assert type(back) is Counter and torch.equal(back.module.weight, chosen.module.weight)


def test_without_a_module_nothing_is_written(tmp_path):
    store.save(algorithm("rloo"), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert store.load(tmp_path, tiny_policy()) is None


def test_first_weights_depend_on_the_seed_alone():
    weights = []
    for noise, seed in ((0, 1), (7, 1), (7, 2)):
        torch.manual_seed(noise)
        chosen = algorithm("a2c")
        chosen.build(tiny_policy(), seed)
        weights.append(chosen.module.hidden[0].weight)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / store.SETTINGS).write_text("{"),
        lambda folder: (folder / store.SETTINGS).write_text(json.dumps({"type": "ppo"})),
        lambda folder: (folder / store.SETTINGS).write_text(json.dumps({"type": "none", "options": {}})),
        lambda folder: (folder / store.SETTINGS).write_text(json.dumps({"type": "rloo", "options": {}})),
        lambda folder: (folder / store.SETTINGS).write_text(json.dumps({"type": "ppo", "options": {"hidden": 6}})),
        lambda folder: (folder / store.WEIGHTS).write_bytes(b"no tensors"),
        lambda folder: (folder / store.WEIGHTS).unlink(),
    ],
)
def test_damaged_files_are_named_in_one_sentence(tmp_path, saved, damage):
    damage(tmp_path)
    with pytest.raises(ModelError, match=r"^model: .*algorithm.json") as caught:
        store.load(tmp_path, saved[1])
    assert "\n" not in str(caught.value)
