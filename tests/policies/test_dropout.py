"""Dropout from sixteen bits: the right share, the same mean, and the same noise when a layer runs again."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from eclectus.policies.dropout import cheaper_dropout, dropout
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.training import run
from tests.policies.tiny_models import build
from tests.tiny import segments
from tests.tiny_run import settings

CPU = torch.device("cpu")


@pytest.fixture(params=["mbart50", "t5"])
def policy(request, tmp_path):
    """With functional dropout and with dropout modules."""
    model, tokenizer = build(request.param, tmp_path)
    return Seq2SeqPolicy(model, tokenizer)


def operations(function):
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        function()
    return {event.key for event in seen.key_averages()}


def gradient(policy, seed):
    rows = segments("en", "es")
    sources, targets = policy.tokenize_sources(rows), policy.tokenize_targets([row.reference for row in rows])
    torch.manual_seed(seed)
    policy.model.train()
    with cheaper_dropout(CPU):
        policy.smoothed_loss(sources, targets, 0.1)[0].backward()
    policy.model.eval()
    found = torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None])
    policy.model.zero_grad()
    return found


@pytest.mark.parametrize("p", [0.001, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_asked_share_is_dropped_and_the_rest_is_scaled(p, dtype):
    torch.manual_seed(1)
    noise = dropout(torch.ones(1000, 1001, dtype=dtype), p)
    count = noise.numel()
    # Five standard deviations of a binomial, and what 2^-16 rounds away.
    assert abs(int((noise == 0).sum()) - p * count) < 5 * (count * p * (1 - p)) ** 0.5 + count * 2**-17
    assert noise.dtype == dtype
    assert noise.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=0.004 if dtype is torch.bfloat16 else 1e-3)


def test_the_smallest_share_is_one_level():
    torch.manual_seed(1)
    dropped = int((dropout(torch.ones(1 << 22), 2**-16) == 0).sum())
    assert abs(dropped - 64) < 5 * 8


def test_elements_of_one_draw_fall_apart():
    """Four neighbours come from 64 bits of one draw; none of them tells of another."""
    torch.manual_seed(1)
    dropped = (dropout(torch.ones(400_000), 0.3) == 0).double().view(-1, 4)
    assert torch.allclose(dropped.mean(0), torch.full((4,), 0.3, dtype=torch.float64), atol=0.008)
    assert (torch.corrcoef(dropped.T) - torch.eye(4)).abs().max() < 0.016


def test_the_gradient_is_the_noise():
    values = torch.randn(7, 9, requires_grad=True)
    noisy = dropout(values, 0.5)
    noisy.sum().backward()
    assert set(values.grad.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(noisy, values * values.grad)


def test_a_seed_sets_the_noise_and_outside_of_training_there_is_none():
    values, layer = torch.randn(50, 3), nn.Dropout(0.5)
    with cheaper_dropout(CPU):
        torch.manual_seed(1)
        first = layer(values)
        torch.manual_seed(1)
        assert torch.equal(functional.dropout(values, 0.5), first)
        assert not torch.equal(functional.dropout(values, 0.5), first)
        assert torch.equal(layer.eval()(values), values)
        assert torch.equal(functional.dropout(values, 0.0), values)
        assert not functional.dropout(values, 1.0).any()
        assert 0 < int((functional.dropout(values) == 0).sum()) < values.numel()  # a half, as torch's own
        inplace = values.clone()
        assert functional.dropout(inplace, 0.5, inplace=True) is inplace
    torch.manual_seed(1)
    assert not torch.equal(functional.dropout(values, 0.5), first)  # torch's own again


def test_a_layer_that_runs_again_has_the_same_noise(policy):
    plain = gradient(policy, 1)
    assert not torch.allclose(gradient(policy, 2), plain)
    policy.gradient_checkpointing = True
    assert torch.allclose(gradient(policy, 1), plain, atol=1e-6)


def test_supervised_training_draws_by_it(corpus, tmp_path):
    config = settings(corpus, policy__new__dropout=0.1, supervised__steps=2, reinforce=None, controls=[])
    seen = operations(lambda: run.start(config, tmp_path / "run"))
    assert "aten::random_" in seen
    assert "aten::bernoulli_" not in seen
