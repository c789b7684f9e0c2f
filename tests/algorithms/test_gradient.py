"""On a problem small enough to enumerate, the expected update is the exact gradient of the expected reward."""

from itertools import product

import pytest
import torch

from eclectus import registry
from eclectus.algorithms.base import Algorithm
from eclectus.algorithms.losses import LossInputs, StepSize, kl_k3

END = 0
REWARD = {(0,): 0.1, (1, 0): 0.9, (1, 1): 0.2, (1, 2): 0.4, (2, 0): 0.0, (2, 1): 0.7, (2, 2): 0.3}


def algorithm(name, **options):
    kind = registry.find("algorithms", name, Algorithm)
    return kind(registry.parse_options("algorithm", kind.Options, options))


@pytest.fixture
def logits():
    """First token from row 0, second from row of the first; three tokens, at most two steps."""
    torch.manual_seed(3)
    return torch.randn(3, 3, dtype=torch.float64, requires_grad=True)


def sequences(logits):
    """Every sequence with its token log-probabilities [2], mask [2] and reward."""
    table = torch.log_softmax(logits, dim=-1)
    for sequence, reward in REWARD.items():
        first = table[0, sequence[0]]
        second = table[sequence[0], sequence[1]] if len(sequence) > 1 else torch.zeros((), dtype=torch.float64)
        yield torch.stack([first, second]), torch.tensor([True, len(sequence) > 1]), reward


def exact_gradient(logits):
    expected = sum(logprobs.sum().exp() * reward for logprobs, _, reward in sequences(logits))
    return torch.autograd.grad(expected, logits)[0]


def expected_update(logits, chosen, group):
    """Minus the gradient of the loss, averaged over every group of samples with its probability."""
    total = torch.zeros_like(logits)
    rows = list(sequences(logits))
    for combination in product(rows, repeat=group):
        logprobs = torch.stack([row[0] for row in combination])
        mask = torch.stack([row[1] for row in combination])
        rewards = torch.tensor([[row[2] for row in combination]], dtype=torch.float64)
        advantages = chosen.advantages(rewards)[0]
        size = StepSize(float(group), float(mask.sum()))
        loss, _ = chosen.loss(LossInputs(logprobs, logprobs.detach(), advantages, mask, size))
        gradient = torch.autograd.grad(loss, logits, retain_graph=True)[0]
        total -= logprobs.detach().sum().exp() * gradient
    return total


def test_rloo_is_unbiased(logits):
    assert torch.allclose(expected_update(logits, algorithm("rloo"), 3), exact_gradient(logits), atol=1e-10)


def test_grpo_without_scaling_and_with_constant_length_is_unbiased_up_to_a_factor(logits):
    """Centring on the whole group's mean shrinks the gradient by (G - 1) / G; Dr. GRPO divides by a constant."""
    update = expected_update(logits, algorithm("grpo", constant_length=5), 3)
    assert torch.allclose(update * 5 * 3 / 2, exact_gradient(logits), atol=1e-10)


@pytest.mark.parametrize("options", [{"scale": "group"}, {"length": "sequence"}])
def test_grpo_as_published_is_biased(logits, options):
    update = expected_update(logits, algorithm("grpo", **options), 3)
    exact = exact_gradient(logits)
    cosine = torch.nn.functional.cosine_similarity(update.flatten(), exact.flatten(), dim=0)
    assert 0.3 < cosine < 0.9999


def test_k3_is_an_unbiased_estimate_of_the_divergence(logits):
    torch.manual_seed(4)
    other = torch.log_softmax(logits + torch.randn(3, 3, dtype=torch.float64), dim=-1)
    estimate = exact = 0.0
    for (logprobs, mask, _), (reference, _, _) in zip(sequences(logits), sequences(other), strict=True):
        probability = logprobs.detach().sum().exp()
        estimate += float((probability * kl_k3(logprobs[None], reference[None], mask[None])).detach())
        exact += float((probability * (logprobs - reference).sum()).detach())
    assert estimate == pytest.approx(float(exact), abs=1e-10)


def test_clip_stops_the_gradient_only_where_the_ratio_ran_too_far():
    old = torch.zeros(4, 1)
    logprobs = torch.tensor([[0.5], [0.5], [-0.5], [-0.5]], requires_grad=True)
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0])
    mask = torch.ones(4, 1, dtype=torch.bool)
    chosen = algorithm("grpo", clip_low=0.2, clip_high=0.28, length="token")
    loss, metrics = chosen.loss(LossInputs(logprobs, old, advantages, mask, StepSize(4, 4)))
    loss.backward()
    # exp(0.5) > 1.28 with A > 0, and exp(-0.5) < 0.8 with A < 0, are clipped; the others push back.
    assert (logprobs.grad.squeeze(1) == 0).tolist() == [True, False, False, True]
    assert metrics["clipped_tokens"] == 2


def test_nothing_after_the_end_gets_gradient():
    for name in ("rloo", "grpo"):
        logprobs = torch.zeros(2, 3, requires_grad=True)
        mask = torch.tensor([[True, True, False], [True, True, True]])
        inputs = LossInputs(logprobs, torch.zeros(2, 3), torch.tensor([1.0, -1.0]), mask, StepSize(2, 5))
        loss, _ = algorithm(name).loss(inputs)
        loss.backward()
        assert logprobs.grad[0, 2] == 0
        assert (logprobs.grad[mask] != 0).all()  # the end itself is trained
