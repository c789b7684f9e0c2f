"""The gradient of a value-based update does not depend on how its batch is cut, ordered or padded."""

from dataclasses import replace

import pytest
import torch

from eclectus.algorithms.base import AdvantageInputs
from eclectus.algorithms.replay import Replay
from eclectus.policies.causal import CausalPolicy
from eclectus.rollouts.base import Sampling
from tests.algorithms.enumerated import algorithm
from tests.policies.tiny_models import build
from tests.tiny import segments, tiny_policy

NETWORK = {"hidden": 16, "rank": 4, "beta": 2.0, "n_step": 2, "cut": "continues"}
EVERY = [("q_learning", {}), ("q_learning", {"double": False}), ("sarsa", {}), ("expected_sarsa", {})]
CONSERVATIVE = [(name, {**options, "conservative": 0.5}) for name, options in EVERY]
EXPLORING = Sampling(0.7, 10, 0.3, 5)


@pytest.fixture(params=["seq2seq", "causal"])
def policy(request, tmp_path):
    """An encoder-decoder pads its sources on the right, a decoder its prompts on the left."""
    return tiny_policy() if request.param == "seq2seq" else CausalPolicy(*build("llama", tmp_path))


@pytest.fixture(autouse=True)
def everything_is_drawn(monkeypatch):
    """A batch is all that is remembered, once, in the order it came."""
    monkeypatch.setattr(Replay, "sample", lambda self, count, rng: list(self._episodes))


def built(name, policy, **options):
    """An algorithm whose networks already say something, and not the same."""
    chosen = algorithm(name, **NETWORK | options)
    chosen.build(policy, seed=1)
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in (*chosen.online.parameters(), *chosen.target.parameters()):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return chosen


def step(policy, order=range(8), wider=0):
    """Three samples of eight sources, of all lengths, every other one cut, and one that was not judged."""
    rows = [*segments("en", "es"), *segments("en", "fr")]
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, 10, (8, 3), generator=generator)
    mask = torch.arange(10) < lengths[..., None]
    finished = torch.arange(24).view(8, 3) % 2 == 0
    can_be_said = (policy._bias.isfinite()).nonzero().flatten()
    tokens = can_be_said[torch.randint(len(can_be_said), mask.shape, generator=generator)]
    tokens = tokens.masked_fill(tokens == policy.end_id, int(can_be_said[-1]))
    tokens.scatter_(2, lengths[..., None] - 1, torch.where(finished[..., None], policy.end_id, can_be_said[-1]))
    rewards = torch.rand(8, 3, generator=generator)
    rewards[4, 1] = float("nan")
    sources = policy.tokenize_sources(rows)
    assert len({len(source.ids) for source in sources}) > 1
    references = policy.tokenize_targets([row.reference for row in rows])
    order = list(order)
    return AdvantageInputs(
        rewards[order],
        ["en-es"] * 8,
        tokens=torch.nn.functional.pad((tokens * mask)[order], (0, wider)),
        mask=torch.nn.functional.pad(mask[order], (0, wider)),
        sources=[sources[i] for i in order],
        finished=finished[order],
        references=[references[i] for i in order],
        reference_rewards=torch.linspace(0.5, 1.0, 8)[order],
    )


def update(chosen, policy, inputs, budget=100_000):
    """Gradient and metrics of one update on what this step leaves in an empty memory."""
    chosen.rollouts, chosen.demonstrations, chosen.refused = Replay(100), Replay(100), 0
    chosen.signals(inputs)
    metrics = chosen.accumulate(policy, EXPLORING, budget, 1)
    gradients = [parameter.grad.flatten() for parameter in chosen.online.parameters()]
    chosen.online.zero_grad()
    return torch.cat(gradients), metrics


@pytest.mark.parametrize(("name", "options"), EVERY + CONSERVATIVE, ids=str)
def test_gradient_does_not_depend_on_the_micro_batch_order_or_padding(policy, name, options):
    chosen = built(name, policy, **options)
    plain, other = step(policy), step(policy, order=[3, 1, 7, 0, 5, 2, 6, 4], wider=5)
    expected, metrics = update(chosen, policy, plain, 1)  # each translation alone, so that nothing is padded
    assert expected.abs().max() > 1e-2 and metrics["replay"] == 23 and metrics["demonstrations"] == 8
    for inputs, budget in ((plain, 40), (plain, 100_000), (other, 1), (other, 40), (other, 100_000)):
        gradient, values = update(chosen, policy, inputs, budget)
        assert torch.allclose(gradient, expected, atol=2e-6)
        assert values == pytest.approx(metrics, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("name", "options"), EVERY + CONSERVATIVE, ids=str)
def test_nothing_after_the_end_has_a_part_in_the_update(policy, name, options):
    chosen, inputs = built(name, policy, **options), step(policy)
    expected, _ = update(chosen, policy, inputs)
    changed = replace(inputs, tokens=inputs.tokens.masked_fill(~inputs.mask, 9))
    assert torch.equal(update(chosen, policy, changed)[0], expected)
    policy.pad_id = 9  # what translations of a batch are filled up with
    assert torch.allclose(update(chosen, policy, inputs)[0], expected, atol=2e-6)


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_the_end_is_moved_towards_the_reward_alone(policy, name, options):
    """By hand: an end token's own bias has the gradient of its errors, Q less the reward, over all tokens."""
    chosen = built(name, policy, **options)
    chosen.signals(step(policy))
    chosen.accumulate(policy, EXPLORING, 40, 1)
    episodes = [*chosen.rollouts._episodes, *chosen.demonstrations._episodes]
    ended, errors = [e for e in episodes if e.ended], 0.0
    for e in ended:
        state = policy.states([e.source], torch.tensor([e.tokens]))[0, -1:]
        value = chosen.online.values_of(policy.predicted(state).hidden, torch.tensor([policy.end_id]))
        errors += value.item() - e.rewards[-1]
    assert 0 < len(ended) < len(episodes) and all(e.tokens[-1] == policy.end_id for e in ended)
    found = chosen.online.token_bias.grad[policy.end_id].item()
    assert found == pytest.approx(errors / sum(len(e.tokens) for e in episodes), abs=1e-6)
