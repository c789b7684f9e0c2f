"""Importance weights against numbers worked out by hand and exact gradients."""

import math

import pytest
import torch

from eclectus.algorithms.base import AdvantageInputs
from eclectus.algorithms.importance import effective_share, truncated_weights, weighted
from tests.algorithms.enumerated import algorithm, exact_gradient, inputs, rows, some_logits

PI = torch.tensor([[[0.5, 0.5, 0.9], [0.2, 0.4, 0.3]]]).log()
MU = torch.tensor([[[0.25, 0.5, 0.1], [0.4, 0.1, 0.6]]]).log()
MASK = torch.tensor([[[True, True, False], [True, True, True]]])


def test_weights_are_ratios_of_translations_or_of_tokens_up_to_the_cap():
    # 2 * 1 and 1/2 * 4 * 1/2; what lies behind the end does not count
    assert truncated_weights(PI, MU, MASK, 10.0, "sequence")[0].tolist() == pytest.approx([2.0, 1.0])
    assert truncated_weights(PI, MU, MASK, 1.5, "sequence")[0].tolist() == pytest.approx([1.5, 1.0])
    tokens = truncated_weights(PI, MU, MASK, 10.0, "token")
    assert tokens.flatten().tolist() == pytest.approx([2.0, 1.0, 0.0, 0.5, 4.0, 0.5])
    assert truncated_weights(PI, MU, MASK, 3.0, "token").max() == 3.0
    far = torch.full((1, 1, 3), -1e4)
    assert truncated_weights(torch.zeros(1, 1, 3), far, MASK[:, :1], 3.0, "sequence").tolist() == [[3.0]]
    assert truncated_weights(far, torch.zeros(1, 1, 3), MASK[:, :1], 3.0, "sequence").tolist() == [[0.0]]


def test_advantages_of_translations_and_of_tokens_take_either_weight():
    one, many = torch.tensor([[2.0, -1.0]]), torch.tensor([[[2.0, 1.0, 0.0], [-1.0, 0.0, 3.0]]])
    weight, each = torch.tensor([[0.5, 3.0]]), torch.tensor([[[1.0, 2.0, 0.0], [3.0, 1.0, 0.5]]])
    assert weighted(one, weight).tolist() == [[1.0, -3.0]]
    assert weighted(many, weight).tolist() == [[[1.0, 0.5, 0.0], [-3.0, 0.0, 9.0]]]
    assert weighted(one, each).tolist() == [[[2.0, 4.0, 0.0], [-3.0, -1.0, -0.5]]]
    assert weighted(many, each).tolist() == [[[2.0, 2.0, 0.0], [-3.0, 0.0, 1.5]]]


def test_effective_share_is_one_for_equal_weights_and_one_nth_for_a_single_one():
    assert effective_share(torch.full((3, 4), 0.7)) == pytest.approx(1.0)
    assert effective_share(torch.tensor([0.0, 0.0, 2.0, 0.0])) == pytest.approx(0.25)
    assert effective_share(torch.tensor([1.0, 3.0])) == pytest.approx(16 / 20)


def update_from(name, cap, level="sequence", size=2, correct=True):
    """Minus the mean gradient of the loss over groups that a wrong distribution draws, and the exact gradient."""
    logits = some_logits()
    # Far from the policy: up to three times as likely, or as unlikely.
    shift = torch.tensor([[0.9, -0.6, 0.1], [-0.8, 0.5, 0.6], [0.2, 0.9, -1.0]], dtype=torch.float64)
    found, wrong = rows(logits), rows((logits + shift).detach())
    chosen, total = algorithm(name), torch.zeros_like(logits)
    state = chosen.state_dict()
    for group in torch.cartesian_prod(*[torch.arange(len(found))] * size).view(-1, size).tolist():
        pi, mu = [found[i] for i in group], [wrong[i] for i in group]
        logprobs, behaviour, mask = (
            torch.stack(parts) for parts in ([r.logprobs for r in pi], [r.logprobs for r in mu], [r.mask for r in pi])
        )
        rewards = torch.tensor([[row.reward for row in pi]], dtype=torch.float64)
        chosen.load_state_dict(state)  # each group is met by the same baseline
        advantages = chosen.advantages(AdvantageInputs(rewards, ["en-es"], mask=mask[None]))
        if correct:
            weights = truncated_weights(logprobs.detach()[None], behaviour[None], mask[None], cap, level)
            advantages = weighted(advantages, weights)
        loss, _ = chosen.loss(inputs(logprobs, rewards[0], advantages[0], mask))
        total -= behaviour.sum().exp() * torch.autograd.grad(loss, logits, retain_graph=True)[0]
    return total, exact_gradient(logits)


@pytest.mark.parametrize("name", ["rloo", "reinforce"])
def test_samples_of_a_wrong_distribution_give_the_exact_gradient(name):
    found, exact = update_from(name, cap=1e9)
    assert torch.allclose(found, exact, atol=1e-7)
    without, _ = update_from(name, cap=1e9, correct=False)
    assert (without - exact).abs().max() > 0.03
    # Token by token what came before is still drawn from the wrong distribution; the cap takes away a little.
    by_token, _ = update_from(name, cap=1e9, level="token")
    assert (by_token - exact).norm() > 1e-3
    capped, _ = update_from(name, cap=2.0)
    assert 1e-3 < (capped - exact).norm() < (without - exact).norm()


def test_weights_of_tokens_are_exact_where_a_translation_is_one_token():
    logits = torch.tensor([0.3, -0.4, 0.8, 0.1], dtype=torch.float64, requires_grad=True)
    pi, mu = torch.log_softmax(logits, 0), torch.tensor([0.4, 0.3, 0.1, 0.2], dtype=torch.float64).log()
    rewards = torch.tensor([0.1, 0.9, 0.4, 0.0], dtype=torch.float64)
    mask = torch.ones(1, 4, 1, dtype=torch.bool)
    weights = truncated_weights(pi.detach().view(1, 4, 1), mu.view(1, 4, 1), mask, math.inf, "token")
    advantages = weighted(rewards[None], weights)[0] * mu.exp()[:, None] * 4
    loss, _ = algorithm("reinforce", baseline="none").loss(inputs(pi[:, None], rewards, advantages))
    exact = torch.autograd.grad((pi.exp() * rewards).sum(), logits, retain_graph=True)[0]
    assert torch.allclose(-torch.autograd.grad(loss, logits)[0], exact)
