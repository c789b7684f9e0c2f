"""The gradient of a step does not depend on how the step is cut, ordered or padded."""

from dataclasses import replace

import pytest
import torch

from eclectus.algorithms.losses import StepSize
from eclectus.rollouts.base import Rollouts, Sampling
from eclectus.training.update import Update, accumulate
from tests.algorithms.enumerated import algorithm
from tests.tiny import segments, tiny_policy


def gradient(policy):
    parts = [p.grad.flatten() for p in policy.model.parameters() if p.grad is not None]
    policy.model.zero_grad()
    return torch.cat(parts)


@pytest.fixture
def policy():
    return tiny_policy()


@pytest.fixture
def work(policy):
    rows = [*segments("en", "es"), *segments("en", "fr")]
    rollouts = policy.sample(rows, 3, Sampling(1.0, 10), torch.Generator().manual_seed(5))
    torch.manual_seed(6)
    advantages = torch.randn(len(rows), 3)
    advantages[2] = 0.0  # a group without signal
    return Update(
        sources=policy.tokenize_sources(rows),
        rollouts=rollouts,
        advantages=advantages,
        kl_weights=[0.1, 0.0] * 4,
        mle_weights=[0.5, 0.0] * 4,
        references=[row.reference if i % 2 == 0 else None for i, row in enumerate(rows)],
        size=StepSize(24.0, float(rollouts.mask.sum())),
        temperature=1.0,
        measure_kl=False,
    )


@pytest.mark.parametrize("name", ["rloo", "grpo"])
def test_gradient_does_not_depend_on_the_micro_batch(policy, work, name):
    reference = tiny_policy(seed=2).copy()
    gradients, metrics = [], []
    for budget in (1, 60, 100_000):
        metrics.append(accumulate(policy, reference, algorithm(name), work, budget))
        gradients.append(gradient(policy))
    for other, values in zip(gradients[1:], metrics[1:], strict=True):
        assert torch.allclose(other, gradients[0], atol=1e-6)
        assert values == pytest.approx(metrics[0], rel=1e-4, abs=1e-6)
    assert gradients[0].abs().max() > 1e-3


def test_gradient_does_not_depend_on_order_or_padding(policy, work):
    reference = tiny_policy(seed=2).copy()
    accumulate(policy, reference, algorithm("rloo"), work, 100_000)
    before = gradient(policy)
    order = [3, 1, 7, 0, 5, 2, 6, 4]
    rolled = work.rollouts

    def wider(values):
        return torch.nn.functional.pad(values[order], (0, 5))

    padded = Rollouts(
        wider(rolled.tokens), wider(rolled.logprobs), wider(rolled.mask), rolled.finished[order], rolled.texts
    )
    shuffled = replace(
        work,
        rollouts=padded,
        advantages=work.advantages[order],
        sources=[work.sources[i] for i in order],
        kl_weights=[work.kl_weights[i] for i in order],
        mle_weights=[work.mle_weights[i] for i in order],
        references=[work.references[i] for i in order],
    )
    accumulate(policy, reference, algorithm("rloo"), shuffled, 100_000)
    assert torch.allclose(gradient(policy), before, atol=1e-6)


def test_groups_without_signal_are_skipped(policy, work):
    reference = tiny_policy(seed=2).copy()
    nothing = replace(work, advantages=torch.zeros_like(work.advantages), mle_weights=[0.0] * 8)
    assert accumulate(policy, reference, algorithm("rloo"), nothing, 100) == {"loss": 0.0}
    assert all(p.grad is None for p in policy.model.parameters())


def test_likelihood_term_equals_the_mean_over_reference_tokens(policy, work):
    alone = replace(work, advantages=torch.zeros_like(work.advantages), mle_weights=[1.0, 0.0] * 4)
    metrics = accumulate(policy, policy.copy(), algorithm("rloo"), alone, 100)
    ours = gradient(policy)
    rows = [i for i in range(8) if i % 2 == 0]
    targets = policy.tokenize_targets([work.references[i] for i in rows])
    loss, _ = policy.smoothed_loss([work.sources[i] for i in rows], targets, 0.0)
    mean = loss / sum(map(len, targets))
    mean.backward()
    theirs = gradient(policy)
    # The policy's own likelihood leaves out tokens that can never be part of a translation; the tiny model, untrained,
    # spreads some probability there.
    assert metrics["mle_loss"] == pytest.approx(mean.item(), abs=0.1)
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.99


def test_kl_is_zero_for_the_same_policy_and_grows_with_the_distance(policy, work):
    measured = replace(work, measure_kl=True)
    same = accumulate(policy, policy.copy(), algorithm("rloo"), measured, 100_000)["kl"]
    other = accumulate(policy, tiny_policy(seed=2).copy(), algorithm("rloo"), measured, 100_000)["kl"]
    assert same == pytest.approx(0.0, abs=1e-6)
    assert other > 0.001
