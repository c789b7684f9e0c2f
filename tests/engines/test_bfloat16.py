"""The native sampler on rounded weights: what is drawn from, and that the policy stays as it is."""

import pytest
import torch

from eclectus.config import Component
from eclectus.engines.base import engine_of
from eclectus.errors import ConfigError
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from tests.policies.tiny_models import CAUSAL, build
from tests.tiny import segments, tiny_policy


def engine(policy):
    return engine_of(Component(type="bfloat16"), policy, "reinforce.engine")


@pytest.mark.parametrize("name", ["nllb", "t5", "opus_mt", "llama", "gemma2"])
def test_it_draws_from_the_rounded_policy(tmp_path, name):
    policy = (CausalPolicy if name in CAUSAL else Seq2SeqPolicy)(*build(name, tmp_path))
    rows, before = segments("en", "es"), [p.clone() for p in policy.model.parameters()]
    drawn = engine(policy).sample(rows, 20, Sampling(1.3, 6), torch.Generator().manual_seed(1))
    own = policy.token_logprobs(policy.tokenize_sources(rows), drawn.tokens, drawn.mask, 1.3).detach()
    apart = (own - drawn.logprobs).abs()[drawn.mask]
    assert 0 < float(apart.mean()) < 0.02
    # The rounded weights in single precision are nearer to it than the policy's own.
    twin = policy.rounded(torch.bfloat16)
    twin.model.float()
    rounded = twin.token_logprobs(policy.tokenize_sources(rows), drawn.tokens, drawn.mask, 1.3).detach()
    assert float((rounded - drawn.logprobs).abs()[drawn.mask].mean()) < float(apart.mean())
    assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))
    assert next(policy.model.parameters()).dtype == torch.float32


def test_it_follows_the_policy():
    policy = tiny_policy()
    drawing, rows = engine(policy), segments("en", "es")
    first = drawing.sample(rows, 4, Sampling(1.0, 8), torch.Generator().manual_seed(1))
    policy.model.final_logits_bias[0, policy.end_id] = 100.0
    second = drawing.sample(rows, 4, Sampling(1.0, 8), torch.Generator().manual_seed(1))
    assert first.tokens.shape[2] > 1 and second.tokens.shape[2] == 1
    assert drawing.translate(rows, 8) == [""] * len(rows)


def test_values_are_refused(monkeypatch):
    monkeypatch.setattr(Seq2SeqPolicy, "guide", object())
    with pytest.raises(ConfigError, match=r"reinforce\.engine.*values .* set it to \{type: native\}"):
        engine(tiny_policy())
