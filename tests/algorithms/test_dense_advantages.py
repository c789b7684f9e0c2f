"""Advantages of tokens: returns and baselines by hand, loops, and that all at the end is as without."""

import math
from dataclasses import replace

import pytest
import torch

from eclectus.algorithms import advantages as adv
from eclectus.algorithms.base import AdvantageInputs
from eclectus.config import ReinforceConfig
from eclectus.errors import ConfigError
from tests.algorithms.enumerated import algorithm, inputs

NAN = math.nan
EVERY = [
    ("rloo", {}),
    *(("grpo", {"scale": scale}) for scale in ("none", "group", "direction", "batch")),
    *(("reinforce", {"baseline": baseline}) for baseline in ("none", "moving", "direction")),
]


def step(rewards, mask, directions=None):
    """Inputs from token rewards [B, G, T]."""
    rewards = torch.as_tensor(rewards)
    return AdvantageInputs(
        rewards.sum(-1), directions or ["en-es"] * len(rewards), mask=torch.as_tensor(mask), token_rewards=rewards
    )


def test_returns_by_hand():
    rewards = torch.tensor([[[0.1, 0.2, 0.4], [0.5, -0.25, 0.0], [NAN, NAN, NAN], [1.0, 0.0, 0.0]]])
    mask = torch.tensor([[[True, True, True], [True, True, False], [True, True, True], [True, False, False]]])
    # what the last token earned stands behind the end
    expected = [[0.7, 0.6, 0.4], [0.25, -0.25, -0.25], [NAN] * 3, [1.0, 1.0, 1.0]]
    assert torch.allclose(adv.returns_to_go(rewards, mask)[0], torch.tensor(expected), equal_nan=True)


def test_leave_one_out_at_each_position_by_hand():
    rewards = [[[0.1, 0.2, 0.4], [0.5, -0.25, 0.0], [NAN, NAN, NAN], [1.0, 0.0, 0.0]]]
    mask = [[[True, True, True], [True, True, False], [True, True, True], [True, False, False]]]
    found = algorithm("rloo").advantages(step(rewards, mask))[0]
    expected = [
        [0.7 - (0.25 + 1) / 2, 0.6 - (-0.25 + 1) / 2, 0.4 - (-0.25 + 1) / 2],
        [0.25 - (0.7 + 1) / 2, -0.25 - (0.6 + 1) / 2, 0.0],
        [0.0, 0.0, 0.0],
        [1.0 - (0.7 + 0.25) / 2, 0.0, 0.0],
    ]
    assert torch.allclose(found, torch.tensor(expected))


def random_step(seed=1, groups=6, samples=4, length=5):
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(1, length + 1, (groups, samples), generator=generator)
    mask = torch.arange(length) < ends[..., None]
    rewards = torch.randn(groups, samples, length, generator=generator) * mask
    rewards[torch.rand(groups, samples, generator=generator) < 0.2] = NAN
    return step(rewards, mask, ["a", "a", "b", "b", "b", "c"])


def test_vectorised_equals_a_loop():
    found = random_step()
    rewards, mask = found.token_rewards, found.mask
    loo = torch.zeros_like(rewards)
    for b in range(6):
        known = [g for g in range(4) if not rewards[b, g].isnan().any()]
        lengths = {g: int(mask[b, g].sum()) for g in known}

        def left(g, t, b=b, lengths=lengths):
            return float(rewards[b, g, min(t, lengths[g] - 1) :].sum())

        for g in known if len(known) > 1 else []:
            for t in range(lengths[g]):
                others = [left(j, t) for j in known if j != g]
                loo[b, g, t] = left(g, t) - sum(others) / len(others)
    assert torch.allclose(algorithm("rloo").advantages(found), loo, atol=1e-6)
    count = (~found.rewards.isnan()).sum(1)[:, None, None]
    assert torch.allclose(algorithm("grpo").advantages(found), loo * (count - 1) / count.clamp(min=1), atol=1e-6)


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_all_at_the_last_token_is_as_without_rewards_of_tokens(name, options):
    dense, sparse = algorithm(name, **options), algorithm(name, **options)
    for seed in (1, 2, 3):
        given = random_step(seed)
        last = given.mask & ~given.mask.roll(-1, -1).index_fill(-1, torch.tensor([4]), False)
        rewards = torch.where(last, given.rewards[..., None], 0.0).masked_fill(given.rewards.isnan()[..., None], NAN)
        one = dense.advantages(step(rewards, given.mask, given.directions))
        two = sparse.advantages(AdvantageInputs(given.rewards, given.directions))
        assert torch.allclose(one, two[..., None] * given.mask, atol=1e-6)


@pytest.mark.parametrize("scale", ["group", "direction", "batch"])
def test_returns_are_divided_by_the_deviation_of_whole_rewards(scale):
    given = random_step()
    plain = algorithm("grpo").advantages(given)
    scaled = algorithm("grpo", scale=scale).advantages(given)
    for b in range(6):
        known = given.rewards[b] if scale == "group" else given.rewards
        if scale == "direction":
            known = given.rewards[[i for i in range(6) if given.directions[i] == given.directions[b]]]
        known = known[~known.isnan()]
        assert torch.allclose(scaled[b], plain[b] / (known.std() + 1e-4), atol=1e-5)


def test_moving_baselines_of_positions_by_hand():
    chosen = algorithm("reinforce", decay=0.75)
    whole = torch.ones(1, 2, 3, dtype=torch.bool)
    chosen.advantages(step([[[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]], whole))  # returns .6 .5 .3 and .6 .3 .1
    assert chosen.state_dict()["as_given"]["en-es"] == pytest.approx([0.6, 0.4, 0.2])
    # a longer sample meets the last mean again, a shorter step leaves the memory as long as it was
    found = chosen.advantages(step([[[0.0, 0.0, 0.0, 1.0]]], torch.ones(1, 1, 4, dtype=torch.bool)))
    assert torch.allclose(found, torch.tensor([[[0.4, 0.6, 0.8, 0.8]]]))
    assert chosen.state_dict()["as_given"]["en-es"] == pytest.approx([0.7, 0.55, 0.4, 0.4])
    found = chosen.advantages(step([[[1.0]]], torch.ones(1, 1, 1, dtype=torch.bool)))
    assert torch.allclose(found, torch.tensor([[[0.3]]]))
    assert chosen.state_dict()["as_given"]["en-es"] == pytest.approx([0.775, 0.6625, 0.55, 0.55])


def test_moving_baselines_of_positions_are_remembered_as_given():
    chosen = algorithm("reinforce", decay=0.75)
    whole = torch.ones(1, 2, 2, dtype=torch.bool)
    chosen.advantages(step([[[0.2, 0.3], [0.4, 0.1]]], whole))  # returns .5 .3 and .5 .1
    # 6 4 and 4 3, as given a tenth of it
    given = replace(step([[[2.0, 4.0], [1.0, 3.0]]], whole), scales=torch.tensor([0.1]))
    found = chosen.advantages(given)
    assert torch.allclose(found, torch.tensor([[[6.0 - 5, 4.0 - 2], [4.0 - 5, 3.0 - 2]]]), atol=1e-5)
    assert chosen.state_dict()["as_given"]["en-es"] == pytest.approx([0.5, 0.75 * 0.2 + 0.25 * 0.35])


@pytest.mark.parametrize("name", ["rloo", "reinforce"])
def test_losses_of_tokens_by_hand(name):
    """Two sequences of two and of one token; what stands behind the end of the second must not be seen."""
    mask = torch.tensor([[True, True], [True, False]])
    advantages = torch.tensor([[1.0, 2.0], [-1.0, 5.0]])
    old = torch.tensor([[-0.5, -1.0], [-2.0, -9.0]])
    loss, metrics = algorithm(name).loss(inputs(old, torch.zeros(2), advantages, mask))
    assert loss.item() == pytest.approx((0.5 * 1 + 1.0 * 2 + 2.0 * -1) / 2) and metrics == {}
    # used again: ratios 1.5, 0.5 and 0.5, of which the clip at 1.2 and at 0.8 takes the first and the last
    now = (old + torch.tensor([[1.5, 0.5], [0.5, 3.0]]).log()).requires_grad_()
    loss, metrics = algorithm(name).loss(inputs(now, torch.zeros(2), advantages, mask, old_logprobs=old, reused=True))
    assert loss.item() == pytest.approx(-(1.2 * 1 + 0.5 * 2 + 0.8 * -1) / 2)
    assert metrics == {"clipped_tokens": 2.0, "exploded_tokens": 0.0}
    gradient = torch.autograd.grad(loss, now)[0]
    assert gradient.flatten().tolist() == pytest.approx([0.0, -0.5, 0.0, 0.0])


def test_rewards_of_tokens_need_their_mask():
    with pytest.raises(ValueError, match="need the mask"):
        algorithm("rloo").advantages(AdvantageInputs(torch.ones(1, 2), ["a"], token_rewards=torch.ones(1, 2, 3)))


@pytest.mark.parametrize("name", ["mrt", "self_critical"])
def test_an_algorithm_that_cannot_use_dense_terms_is_refused_at_the_door(name):
    task = {"name": "t", "directions": ["en-es"], "references": True}
    reward = {"terms": [{"type": "chrf"}, {"type": "bleu", "dense": "increments"}]}
    config = ReinforceConfig(tasks=[{**task, "reward": reward}])
    with pytest.raises(ConfigError, match=rf"'{name}' weighs whole translations .* of the task 't'; leave dense out"):
        algorithm(name).check(config)
    algorithm("grpo").check(config)
