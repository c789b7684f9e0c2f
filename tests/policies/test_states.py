"""The hidden state that a token is predicted from: of its source and prefix alone, for both kinds of policy."""

import pytest
import torch

from eclectus.policies.causal import CausalPolicy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from eclectus.training import passes
from tests.policies.tiny_models import build
from tests.tiny import segments, tiny_policy

ROWS = segments("en", "es")


@pytest.fixture(scope="module", params=["marian", "t5", "llama"])
def policy(request, tmp_path_factory):
    if request.param == "marian":
        return tiny_policy()
    model, tokenizer = build(request.param, tmp_path_factory.mktemp(request.param))
    return (CausalPolicy if request.param == "llama" else Seq2SeqPolicy)(model, tokenizer)


@pytest.fixture(scope="module")
def sampled(policy):
    rollouts = policy.sample(ROWS, 3, Sampling(1.0, 8), torch.Generator().manual_seed(5))
    return policy.tokenize_sources(ROWS), rollouts


def test_states_give_the_probabilities_of_the_tokens(policy, sampled):
    sources, rollouts = sampled
    scores = policy.token_scores(sources, rollouts.tokens, rollouts.mask, states=True)
    assert scores.states.shape == (*rollouts.mask.shape, policy.width)
    assert not scores.states[~rollouts.mask].any()
    logits = policy.next_logits(scores.states[rollouts.mask])
    labels = rollouts.tokens[rollouts.mask]
    expected = torch.log_softmax(logits, -1).gather(1, labels[:, None]).squeeze(1)
    assert torch.allclose(scores.logprobs[rollouts.mask], expected, atol=1e-5)
    assert policy.token_scores(sources, rollouts.tokens, rollouts.mask).states is None


def test_a_state_knows_the_tokens_before_it_and_no_other(policy, sampled):
    sources, rollouts = sampled
    tokens, mask = rollouts.tokens.clone(), torch.ones_like(rollouts.mask)
    before = policy.hidden_states(sources, tokens, mask)
    tokens[:, :, 2] = (tokens[:, :, 2] + 1) % 50
    after = policy.hidden_states(sources, tokens, mask)
    changed = (before - after).abs().amax(dim=(0, 1, 3)) > 1e-6
    assert changed.tolist() == [False, False, False] + [True] * (mask.shape[2] - 3)


def test_states_carry_gradient_to_the_trunk(policy, sampled):
    sources, rollouts = sampled
    policy.token_scores(sources, rollouts.tokens, rollouts.mask, states=True).states.square().sum().backward()
    reached = [name for name, p in policy.model.named_parameters() if p.grad is not None and p.grad.any()]
    policy.model.zero_grad()
    assert any("layers.0" in name or "block.0" in name for name in reached)


def test_a_pass_in_micro_batches_gives_the_same_without_gradient(policy, sampled):
    sources, rollouts = sampled
    whole = policy.token_scores(sources, rollouts.tokens, rollouts.mask, 0.7, states=True)
    for budget in (1, 60, 10_000):
        states = passes.hidden_states(policy, sources, rollouts, budget)
        logprobs = passes.logprobs(policy, sources, rollouts, 0.7, budget)
        assert torch.allclose(states, whole.states, atol=1e-5) and not states.requires_grad
        assert torch.allclose(logprobs, whole.logprobs, atol=1e-5) and not logprobs.requires_grad
