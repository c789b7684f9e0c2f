"""Recorded steps: what is replayed says what the policy would say, for new sources and new weights, without Python.

Here a tape stands in for CUDA's graphs, and the device `meta` for a GPU; a test with both waits for such a machine.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from eclectus.config import Component, LoraConfig
from eclectus.engines import cuda_graphs
from eclectus.engines.base import engine_of
from eclectus.errors import ConfigError
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.compat import OLD
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from eclectus.rollouts.recorded import _SHAPES
from tests.engines.tape import recorded, tensors
from tests.policies.tiny_models import CAUSAL, SEQ2SEQ, build
from tests.tiny import segments, tiny_policy

__all__ = ["recorded"]


def engine(policy):
    return engine_of(Component(type="cuda_graphs"), policy, "reinforce.engine")


def draw(drawer, rows, seed, length=6, samples=3):
    return drawer.sample(rows, samples, Sampling(1.3, length), torch.Generator().manual_seed(seed))


def same(one, other, atol=2e-5):
    assert torch.equal(one.tokens, other.tokens) and torch.equal(one.mask, other.mask)
    torch.testing.assert_close(one.logprobs, other.logprobs, atol=atol, rtol=0)
    assert one.texts == other.texts


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CAUSAL])
def test_every_family_says_the_same_without_its_code(name, tmp_path, recorded, monkeypatch):
    policy = (CausalPolicy if name in CAUSAL else Seq2SeqPolicy)(*build(name, tmp_path))
    monkeypatch.setattr(type(policy), "stride", 2)  # as on a GPU: of rows that have ended it hears late
    drawing = engine(policy)
    rows = segments("en", "es")
    batches = [rows, rows[::-1], rows[1:] + rows[:1]]
    for seed, rows in enumerate(batches):
        same(draw(drawing, rows, seed), draw(policy, rows, seed))
    assert recorded
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.mul_(1.1)
    expected = draw(policy, batches[0], 9)
    decoder = type(drawing.drawer().model.get_decoder())
    calls, forward = [], decoder.forward
    if name not in CAUSAL:  # a prompt is no step
        monkeypatch.setattr(decoder, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    same(draw(drawing, batches[0], 9), expected)
    assert len(calls) <= 1


def test_a_longer_batch_goes_on_recording(recorded):
    policy = tiny_policy()
    drawing, rows = engine(policy), segments("en", "es")
    bias, end = policy.model.final_logits_bias, policy.end_id
    for seed, (value, known) in enumerate([(0, 0), (100, 1), (100, 1), (-100, 6), (4, 6)]):  # at once, never, some
        bias[0, end] = value
        drawn = draw(drawing, rows, seed)
        same(drawn, draw(policy, rows, seed))
        assert len(recorded) == known
    lengths = drawn.mask.sum(dim=-1)
    assert lengths.min() < lengths.float().mean() < lengths.max() == 6


def test_few_shapes_are_kept(recorded):
    policy = tiny_policy()
    drawing, rows = engine(policy), segments("en", "es")
    for _ in range(2):
        for samples in range(1, _SHAPES + 2):  # each shape has gone before it comes again
            same(draw(drawing, rows, 1, samples=samples), draw(policy, rows, 1, samples=samples))
    assert not recorded
    for _ in range(2):
        same(draw(drawing, rows, 1, samples=1), draw(policy, rows, 1, samples=1))
    assert recorded


def test_it_draws_in_the_type_of_autocast_and_with_adapters(recorded):
    policy = tiny_policy()
    policy.adapt(LoraConfig(rank=2), "tiny", ["es"], 1)
    drawing, rows = engine(policy), segments("en", "es")
    with torch.no_grad():
        for weight in policy.model.parameters():
            if weight.requires_grad:
                weight.normal_()
    for seed in range(3):
        same(draw(drawing, rows, seed), draw(policy, rows, seed))
    policy = tiny_policy()
    policy.autocast = torch.bfloat16
    drawing = engine(policy)
    for seed in range(3):
        same(draw(drawing, rows, seed), draw(policy.rounded(torch.bfloat16), rows, seed), atol=0.01)
    assert drawing.drawer().model.dtype == torch.bfloat16


def test_the_policy_stays_as_it_is(recorded):
    policy = tiny_policy()
    before = [weight.clone() for weight in policy.model.parameters()]
    drawing, rows = engine(policy), segments("en", "es")
    draw(drawing, rows, 1)
    own = {weight.data_ptr() for weight in policy.model.parameters()}
    assert not own & {weight.data_ptr() for weight in drawing.drawer().model.parameters()}
    assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))
    assert drawing.translate(rows, 8) == policy.translate(rows, 8)
    assert drawing.beam_search(rows, 2, 8) == policy.beam_search(rows, 2, 8)


@pytest.mark.parametrize(("old", "needs"), [(False, "a CUDA device .* 'cpu'"), (True, "transformers 5")])
def test_machines_without_graphs_are_refused(monkeypatch, old, needs):
    monkeypatch.setattr(cuda_graphs, "OLD", old)
    with pytest.raises(ConfigError, match=rf"reinforce\.engine.*need {needs}.* set it to \{{type: native\}}"):
        engine(tiny_policy())


def test_values_are_refused(recorded, monkeypatch):
    monkeypatch.setattr(Seq2SeqPolicy, "guide", object())
    with pytest.raises(ConfigError, match=r"reinforce\.engine.*values .* set it to \{type: native\}"):
        engine(tiny_policy())


@pytest.mark.skipif(OLD or not torch.cuda.is_available(), reason="needs a CUDA device and transformers 5")
@pytest.mark.parametrize("name", ["nllb", "t5", "opus_mt", "llama", "gemma2"])
def test_graphs_say_what_the_policy_says(name, tmp_path):
    policy = (CausalPolicy if name in CAUSAL else Seq2SeqPolicy)(*build(name, tmp_path))
    policy.model.to("cuda")
    drawing = engine(policy)
    for seed in range(4):
        rows = segments("en", "es")[:: (-1) ** seed]
        same(draw(drawing, rows, seed), draw(policy, rows, seed))


class Alone(TorchDispatchMode):
    """Refuses tensors of the host beside those of a device; numbers, which are handed over by value, are none."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        assert all(tensor.device.type == "meta" or not tensor.dim() for tensor in tensors((args, kwargs, made)))
        return made


@pytest.mark.skipif(OLD, reason="needs transformers 5")
@pytest.mark.parametrize("name", [*SEQ2SEQ, *CAUSAL])
def test_no_step_takes_anything_from_the_host(name, tmp_path, monkeypatch):
    policy = (CausalPolicy if name in CAUSAL else Seq2SeqPolicy)(*build(name, tmp_path))
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)  # it does not know the device `meta`
    policy.model.to("meta")
    with torch.inference_mode():
        stepper = policy.stepper(policy.tokenize_sources(segments("en", "es")), 3, 6)
        stepper.step(torch.zeros(12, dtype=torch.int64, device="meta"))
        with Alone():
            for _ in range(2):
                stepper.step(torch.zeros(12, dtype=torch.int64, device="meta"))
