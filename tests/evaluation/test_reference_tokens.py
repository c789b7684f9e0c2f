"""Ranks, entropy and likelihood of the references' tokens against transformers' own logits, and under sharpening."""

import math
from dataclasses import replace

import pytest
import torch

from eclectus.errors import DataError
from eclectus.evaluation import reference_tokens as module
from eclectus.evaluation.reference_tokens import reference_tokens
from tests.tiny import segments, tiny_policy


@pytest.fixture
def policy():
    policy = tiny_policy()
    for parameter in policy.model.parameters():  # far from uniform, so that ranks are not a matter of rounding
        parameter.data.mul_(2)
    return policy


def by_hand(policy, rows):
    """Log-distribution at each reference token, by the model's own forward pass of one segment at a time."""
    policy.model.set_attn_implementation("eager")
    found = []
    for row, source in zip(rows, policy.tokenize_sources(rows), strict=True):
        (labels,) = policy.tokenize_targets([row.reference])
        logits = policy.model(
            input_ids=torch.tensor([source.ids]), decoder_input_ids=torch.tensor([[*source.start, *labels[:-1]]])
        ).logits[0]
        logits[:, policy._never] = float("-inf")
        found += list(zip(logits.log_softmax(-1).detach(), labels, strict=True))
    return found


def test_all_four_equal_those_by_hand(policy, monkeypatch):
    monkeypatch.setattr(module, "_BATCH_TOKENS", 20)  # several batches of unlike width
    rows = segments("en", "es")
    ours = reference_tokens(policy, rows)
    theirs = by_hand(policy.copy(), rows)
    ranks = [sorted(logs.tolist(), reverse=True).index(float(logs[label])) + 1 for logs, label in theirs]
    assert len(set(ranks)) > 5
    assert ours.reference_first == pytest.approx(ranks.count(1) / len(ranks))
    assert ours.reference_rank == pytest.approx(math.prod(ranks) ** (1 / len(ranks)), rel=1e-5)
    assert ours.reference_nll == pytest.approx(-sum(float(logs[y]) for logs, y in theirs) / len(ranks), rel=1e-5)
    entropies = [torch.distributions.Categorical(logits=logs).entropy() for logs, _ in theirs]
    assert ours.reference_entropy == pytest.approx(float(sum(entropies)) / len(ranks), rel=1e-5)


def learnt(policy, rows, steps):
    """A copy that has learnt the references."""
    learner = policy.copy(trainable=True)
    optimizer = torch.optim.Adam(learner.model.parameters(), lr=0.01)
    sources, targets = learner.tokenize_sources(rows), learner.tokenize_targets([r.reference for r in rows])
    for _ in range(steps):
        optimizer.zero_grad()
        learner.smoothed_loss(sources, targets, 0.0)[0].backward()
        optimizer.step()
    return learner


def test_sharpening_lowers_entropy_and_leaves_ranks(policy):
    rows = segments("en", "fr")
    half = learnt(policy, rows, 15)
    sharp = half.copy()
    with torch.no_grad():  # the last layer norm scales the logits, whose bias is zero in a new model
        norm = sharp.model.get_decoder().layers[-1].final_layer_norm
        norm.weight.mul_(3)
        norm.bias.mul_(3)
    before, after = reference_tokens(half, rows), reference_tokens(sharp, rows)
    assert 0.1 < before.reference_first < 0.95
    assert after.reference_entropy < 0.5 * before.reference_entropy
    assert after.reference_first == before.reference_first
    assert after.reference_rank == pytest.approx(before.reference_rank)


def test_learning_the_references_lifts_their_ranks(policy):
    rows = segments("en", "es")
    before, after = reference_tokens(policy, rows), reference_tokens(learnt(policy, rows, 60), rows)
    assert before.reference_first < 0.3 and before.reference_rank > 5
    assert after.reference_first > 0.9 and after.reference_rank < 1.2 and after.reference_nll < 0.5


def test_tokens_that_can_never_be_said_are_left_out(policy):
    rows = segments("en", "es")
    unknown = replace(rows[0], reference="ж")  # no such character in the tokenizer's text
    (tokens,) = policy.tokenize_targets([unknown.reference])
    assert set(tokens[:-1]) & set(policy._never)
    alone = reference_tokens(policy, [unknown])
    every = [float(logs[label]) for logs, label in by_hand(policy.copy(), [unknown])]
    said = [value for value in every if math.isfinite(value)]
    assert 0 < len(said) < len(every)
    assert alone.reference_nll == pytest.approx(-sum(said) / len(said), rel=1e-5)
    assert math.isfinite(reference_tokens(policy, [*rows, unknown]).reference_nll)


def test_a_segment_without_reference_is_refused(policy):
    first, *others = segments("en", "es")
    with pytest.raises(DataError, match="need a reference in every segment"):
        reference_tokens(policy, [replace(first, reference=None), *others])
    with pytest.raises(DataError, match="need a reference"):
        reference_tokens(policy, [])
