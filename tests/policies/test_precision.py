"""Autocast: one type for sampling, scoring and training; near float32, and refused where a device has none."""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from eclectus.config import RunConfig
from eclectus.errors import RunError
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.precision import autocast_type, loss_scaler, rounded_copy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from eclectus.training import run
from eclectus.training.backward import accumulate
from eclectus.training.optimizer import build_optimizer, update
from tests.algorithms.enumerated import algorithm
from tests.policies.tiny_models import CAUSAL, SEQ2SEQ, build
from tests.tiny import segments, tiny_policy
from tests.tiny_run import lines, same_weights, settings, stopped
from tests.training.tiny_update import make_work

ROWS = segments("en", "es")
CPU = torch.device("cpu")
TOLERANCE = {torch.bfloat16: 0.1, torch.float16: 0.02}
"""Mean distance of log-probabilities from float32's, in nats, with weights ten times the usual size."""


@pytest.fixture(params=["m2m100", "llama"])
def policy(request, tmp_path):
    model, tokenizer = build(request.param, tmp_path)
    return (CausalPolicy if request.param == "llama" else Seq2SeqPolicy)(model, tokenizer)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_sampled_equals_scored_and_both_are_near_float32(policy, dtype):
    policy.autocast = dtype
    rollouts = policy.sample(ROWS, 3, Sampling(1.0, 8), torch.Generator().manual_seed(1))
    sources = policy.tokenize_sources(ROWS)
    again = policy.token_logprobs(sources, rollouts.tokens, rollouts.mask).detach()
    policy.autocast = None
    exact = policy.token_logprobs(sources, rollouts.tokens, rollouts.mask).detach()
    count = rollouts.mask.sum()
    apart, rounded = (again - rollouts.logprobs).abs().sum() / count, (again - exact).abs().sum() / count
    assert again.dtype == torch.float32
    assert apart < TOLERANCE[dtype]
    assert 1e-5 < rounded < TOLERANCE[dtype]  # it does compute in the other type


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_gradients_are_float32_and_point_where_those_of_float32_do(policy, dtype):
    work, found = make_work(policy), []
    for policy.autocast in (None, dtype):
        # A run begins at a larger scale and halves it where float16 overflows.
        scaler = torch.amp.GradScaler("cpu", init_scale=256.0, enabled=policy.autocast is torch.float16)
        metrics = accumulate(policy, policy.copy(), algorithm("rloo"), work, 10_000, scaler)
        grads = {key: p.grad for key, p in policy.model.named_parameters() if p.grad is not None}
        assert all(grad.dtype == torch.float32 for grad in grads.values())
        found.append(torch.cat([grads[key].flatten() for key in sorted(grads)]) / scaler.get_scale())
        policy.model.zero_grad()
    assert 1e-5 < metrics["logprob_mismatch"] < TOLERANCE[dtype]  # samples were drawn in float32
    assert torch.cosine_similarity(found[0], found[1], dim=0) > 0.97


def test_a_scaled_loss_makes_the_same_step_and_too_large_a_scale_makes_none():
    steps = []
    for dtype in (None, torch.float16):
        policy, scaler = tiny_policy(), loss_scaler(dtype, CPU)
        work = make_work(policy)
        accumulate(policy, policy.copy(), algorithm("rloo"), work, 1000, scaler)
        norm = update(build_optimizer("adamw", policy.model, 0.01), 0.01, 1.0, scaler)
        steps.append((norm, [p.detach().clone() for p in policy.model.parameters()]))
    assert steps[0][0] == pytest.approx(steps[1][0], rel=1e-5)
    for a, b in zip(steps[0][1], steps[1][1], strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    before, scale = [p.detach().clone() for p in policy.model.parameters()], scaler.get_scale()
    scaler.scale(sum(p.sum() for p in policy.model.parameters() if p.requires_grad) * 1e38).backward()
    assert not torch.isfinite(torch.tensor(update(build_optimizer("adamw", policy.model, 0.01), 0.01, 1.0, scaler)))
    assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))
    assert scaler.get_scale() == scale / 2
    update(build_optimizer("adamw", policy.model, 0.01), 0.01, 1.0, scaler)  # a step without any gradient


def test_supervised_loss_is_near_that_of_float32(policy):
    sources, targets = policy.tokenize_sources(ROWS), policy.tokenize_targets([row.reference for row in ROWS])
    exact = policy.smoothed_loss(sources, targets, 0.1)[0]
    policy.autocast = torch.bfloat16
    rounded = policy.smoothed_loss(sources, targets, 0.1)[0]
    assert 0 < abs(rounded.item() / exact.item() - 1) < 0.02


class _Products(TorchDispatchMode):
    """Types of the matrix products whose sides have the size of the vocabulary."""

    def __init__(self, vocabulary):
        super().__init__()
        self.vocabulary, self.types = vocabulary, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        sides = [side for side in args if isinstance(side, torch.Tensor)]
        product = func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm)
        if product and any(self.vocabulary in side.shape for side in sides[-2:]):
            self.types.append(sides[-1].dtype)
        return func(*args, **(kwargs or {}))


def test_supervised_products_of_the_vocabulary_are_of_the_type_around_them(policy):
    sources, targets = policy.tokenize_sources(ROWS), policy.tokenize_targets([row.reference for row in ROWS])
    vocabulary = policy.model.get_output_embeddings().weight.shape[0]
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        with _Products(vocabulary) as products:
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
                loss = policy.smoothed_loss(sources, targets, 0.1)[0]
            loss.backward()
        assert products.types == [dtype] * 3  # the logits, and the gradients of states and head
        grads = [p.grad for p in policy.model.parameters() if p.grad is not None]
        assert all(grad.dtype == torch.float32 for grad in grads)
        found[dtype] = torch.cat([grad.flatten() for grad in grads])
        policy.model.zero_grad()
    assert 0.97 < torch.cosine_similarity(*found.values(), dim=0) < 1 - 1e-6


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CAUSAL])
def test_a_rounded_copy_has_the_types_that_transformers_loads(name, tmp_path):
    model, _ = build(name, tmp_path)
    model.save_pretrained(tmp_path / "model")
    twin = rounded_copy(model, torch.bfloat16)
    theirs = type(model).from_pretrained(tmp_path / "model", dtype=torch.bfloat16)
    assert {key: value.dtype for key, value in twin.state_dict().items()} == {
        key: value.dtype for key, value in theirs.state_dict().items()
    }
    # Of rotary frequencies, rounding shifts late positions the most.
    own = dict(model.named_buffers())
    frequencies = {key: value for key, value in twin.named_buffers() if "inv_freq" in key}
    assert bool(frequencies) == (name in CAUSAL)
    for key, value in frequencies.items():
        assert value.dtype == torch.float32 == dict(theirs.named_buffers())[key].dtype and value.equal(own[key])
    assert all(value.dtype == torch.float32 for value in own.values() if value.is_floating_point())


def test_a_run_under_autocast_resumes_to_the_same_weights(corpus, tmp_path, monkeypatch):
    values = settings(corpus).model_dump()
    values["policy"] |= {"autocast": "float16", "gradient_checkpointing": True}
    values["supervised"] |= {"steps": 2, "evaluate_every": 1}
    values["reinforce"] |= {"steps": 3, "checkpoint_every": 1}
    config = RunConfig(**values)
    run.start(config, tmp_path / "whole")
    stopped(config, tmp_path / "stopped", monkeypatch, lambda at, note: not note.startswith("loss"))
    run.resume(tmp_path / "stopped")
    assert same_weights(tmp_path / "whole", tmp_path / "stopped")
    apart = [row["logprob_mismatch"] for row in lines(tmp_path / "whole") if "logprob_mismatch" in row]
    assert apart and max(apart) < 0.01


def test_a_device_that_cannot_is_refused(corpus, monkeypatch):
    assert autocast_type(None, CPU) is None
    assert autocast_type("bfloat16", CPU) is torch.bfloat16
    with monkeypatch.context() as patch:
        patch.setattr(torch, "autocast", lambda *_: nullcontext())  # it goes on in float32
        with pytest.raises(RunError, match=r"device 'cpu' does not compute in float16; set policy\.autocast: null"):
            autocast_type("float16", CPU)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: False)
    with pytest.raises(RunError, match=r"'cuda' does not compute in bfloat16; set policy\.autocast: float16 or null"):
        autocast_type("bfloat16", torch.device("cuda"))
    values = settings(corpus).model_dump()
    values["policy"]["autocast"], values["supervised"]["precision"] = "bfloat16", "bfloat16"
    with pytest.raises(ValueError, match=r"drop supervised\.precision"):
        RunConfig(**values)
