"""The sampler on a device that is not there: what it draws, how often it waits, and in which precision."""

from itertools import pairwise

import pytest
import torch

from eclectus.policies.base import _STRIDE
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.compat import OLD
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts import native
from eclectus.rollouts.base import Sampling
from tests import device
from tests.policies.tiny_models import CAUSAL, SEQ2SEQ, build
from tests.tiny import segments

pytestmark = pytest.mark.skipif(OLD, reason="transformers 4 takes weights on `meta`, which it stands on, for absent")

LENGTH = 3 * _STRIDE
SAMPLINGS = {
    "plain": Sampling(1.3, LENGTH),
    "greedy": Sampling(0.0, LENGTH),
    "epsilon": Sampling(1.0, LENGTH, epsilon=0.2, explore_k=5),
    "any": Sampling(1.0, LENGTH, epsilon=0.2),
    "top-k": Sampling(1.0, LENGTH, top_k=4),
    "top-p": Sampling(1.0, LENGTH, top_p=0.8, min_length=5),
}


def draw(policy, sampling, count=3):
    return policy.sample(segments("en", "es"), count, sampling, torch.Generator().manual_seed(2))


def same(there, here):
    assert torch.equal(there.tokens.cpu(), here.tokens) and torch.equal(there.mask.cpu(), here.mask)
    assert torch.equal(there.finished.cpu(), here.finished) and there.texts == here.texts
    torch.testing.assert_close(there.logprobs.cpu(), here.logprobs, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CAUSAL])
def test_every_family_draws_what_it_draws_on_the_host(name, tmp_path):
    policy = (CausalPolicy if name in CAUSAL else Seq2SeqPolicy)(*build(name, tmp_path))
    here = draw(policy, SAMPLINGS["plain"])
    with device.pretended():
        policy.model.to(device.NAME)
        same(draw(policy, SAMPLINGS["plain"]), here)


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_every_way_to_sample_draws_what_it_draws_on_the_host(sampling, tmp_path):
    policy = Seq2SeqPolicy(*build("nllb", tmp_path))
    here = draw(policy, sampling)
    with device.pretended():
        policy.model.to(device.NAME)
        same(draw(policy, sampling), here)


@pytest.mark.parametrize("name", ["nllb", "t5", "opus_mt", "llama", "gemma3"])
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_the_host_waits_at_every_eighth_token_alone(name, sampling, tmp_path, monkeypatch):
    policy = (CausalPolicy if name in CAUSAL else Seq2SeqPolicy)(*build(name, tmp_path))
    with device.pretended() as there:
        policy.model.to(device.NAME)
        waited = []  # before each token
        choose = native.Choice.__call__

        def choosing(*args):
            waited.append(len(there.waits))
            return choose(*args)

        monkeypatch.setattr(native.Choice, "__call__", choosing)
        draw(policy, sampling)
    assert len(waited) > _STRIDE
    looks = [place for place, (a, b) in enumerate(pairwise(waited), 1) if b > a]
    assert looks == [place for place in range(1, len(waited)) if place % _STRIDE == 0]


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_nothing_is_in_double_precision_where_there_is_none(sampling, tmp_path, monkeypatch):
    policy = Seq2SeqPolicy(*build("nllb", tmp_path))
    uniform = native._uniform
    monkeypatch.setattr(native, "_uniform", lambda *args: uniform(*args).float())  # as on MPS
    with device.pretended(doubles=False):
        policy.model.to(device.NAME)
        drawn = draw(policy, sampling)
        policy.token_scores(
            policy.tokenize_sources(segments("en", "es")), drawn.tokens, drawn.mask, limits=drawn.limits
        )
