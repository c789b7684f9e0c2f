"""The vLLM engine against a stand-in with vLLM's interface, made of plain transformers; and against vLLM where it is.

The stand-in reads the folder that the engine wrote, takes weights by their names, and draws token by token. So what is
tested here is our side: what is asked, how weights arrive, and what is made of the answers.
"""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

from eclectus.config import Component, CorrectionConfig, LoraConfig, PromptConfig
from eclectus.engines.base import engine_of
from eclectus.errors import ConfigError, RunError
from eclectus.policies.causal import CausalPolicy
from eclectus.rollouts.base import Sampling
from eclectus.training import run
from tests.policies.tiny_models import CAUSAL, build
from tests.tiny import random_guide, segments, tiny_policy
from tests.tiny_run import lines, settings

ROWS = segments("en", "es")


class StandIn:
    """`vllm.LLM` as far as the engine knows it."""

    made = 0

    def __init__(self, model, **options):
        assert options.pop("logprobs_mode") == "processed_logprobs"
        assert set(options) == {"dtype", "max_model_len", "gpu_memory_utilization", "enforce_eager"}
        type(self).options = options
        type(self).made += 1
        self.model = AutoModelForCausalLM.from_pretrained(model, attn_implementation="eager").eval()
        self.stale = False
        runner = SimpleNamespace(model=SimpleNamespace(load_weights=self._load))
        executor = SimpleNamespace(driver_worker=SimpleNamespace(model_runner=runner))
        self.llm_engine = SimpleNamespace(model_executor=executor)

    def _load(self, weights):
        missing, unexpected = self.model.load_state_dict(dict(weights), strict=False)
        assert not unexpected and set(missing) <= {"lm_head.weight"}
        self.stale = True

    def reset_prefix_cache(self):
        self.stale = False

    @torch.no_grad()
    def generate(self, prompts, sampling_params, use_tqdm):
        assert not self.stale and not use_tqdm and len(prompts) == len(sampling_params)
        return [
            SimpleNamespace(outputs=[self._one(prompt["prompt_token_ids"], params, i) for i in range(params.n)])
            for prompt, params in zip(prompts, sampling_params, strict=True)
        ]

    def _one(self, prompt, params, number):
        generator = torch.Generator().manual_seed(0 if params.seed is None else params.seed + number)
        tokens, found, reason = [], [], "length"
        while len(tokens) < params.max_tokens:
            logits = self.model(torch.tensor([[*prompt, *tokens]])).logits[0, -1].float()
            for token, bias in (params.logit_bias or {}).items():
                logits[token] += bias
            logprobs = torch.log_softmax(logits / (params.temperature or 1.0), dim=-1)
            greedy = params.temperature == 0
            token = int(logprobs.argmax() if greedy else torch.multinomial(logprobs.exp(), 1, generator=generator))
            tokens.append(token)
            found.append({token: SimpleNamespace(logprob=float(logprobs[token]))})
            if token in params.stop_token_ids:
                reason = "stop"
                break
        return SimpleNamespace(token_ids=tokens, logprobs=found, finish_reason=reason)


@pytest.fixture
def library(monkeypatch):
    StandIn.made = 0
    made = SimpleNamespace(LLM=StandIn, SamplingParams=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "vllm", made)
    return made


def engine(policy, **options):
    return engine_of(Component(type="vllm", **options), policy, "reinforce.engine")


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", CAUSAL)
def test_every_family_gives_the_policys_own_tokens_and_probabilities(name, tmp_path, library):
    policy = CausalPolicy(*build(name, tmp_path))
    policy._bias[policy.end_id] = 0.0
    vllm = engine(policy)
    ours = policy.sample(ROWS, 1, Sampling(0.0, 6), None)
    theirs = vllm.sample(ROWS, 1, Sampling(0.0, 6), None)
    assert torch.equal(theirs.tokens, ours.tokens) and torch.equal(theirs.finished, ours.finished)
    assert torch.allclose(theirs.logprobs, ours.logprobs, atol=2e-4)
    assert vllm.translate(ROWS, 6) == policy.translate(ROWS, 6)
    assert vllm.translate([], 6) == []
    drawn = vllm.sample(ROWS, 3, Sampling(1.3, 6), seeded())
    exact = policy.token_logprobs(policy.tokenize_sources(ROWS), drawn.tokens, drawn.mask, 1.3).detach()
    assert torch.allclose(drawn.logprobs, exact, atol=5e-4)
    assert (drawn.tokens[~drawn.mask] == policy.pad_id).all()
    assert len({tuple(row) for row in drawn.tokens.flatten(0, 1).tolist()}) > len(ROWS)
    again, other = (vllm.sample(ROWS, 3, Sampling(1.3, 6), seeded(seed)) for seed in (1, 2))
    assert torch.equal(again.tokens, drawn.tokens) and not torch.equal(other.tokens, drawn.tokens)
    assert StandIn.made == 1


def test_the_weights_are_those_of_the_moment_and_one_copy_serves_all(tmp_path, library):
    policy = CausalPolicy(*build("qwen2", tmp_path))
    before = engine(policy).translate(ROWS, 6)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeded()))
    assert engine(policy).translate(ROWS, 6) == policy.translate(ROWS, 6) != before
    assert engine(policy).beam_search(ROWS, 2, 6) == policy.beam_search(ROWS, 2, 6)
    assert StandIn.made == 1
    assert engine(policy, eager=True).translate(ROWS, 6) == policy.translate(ROWS, 6)
    assert StandIn.made == 2


def test_an_adapter_is_part_of_the_weights(tmp_path, library):
    pytest.importorskip("peft", reason="needs the extra lora")
    policy = CausalPolicy(*build("llama", tmp_path))
    plain = policy.translate(ROWS, 6)
    policy.adapt(LoraConfig(rank=2), "x", ["es"], 1)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=seeded())
    assert engine(policy).translate(ROWS, 6) == policy.translate(ROWS, 6) != plain


def test_a_run_samples_with_it_corrects_and_logs_how_far_it_is_from_the_policy(corpus, tmp_path, library):
    CausalPolicy(*build("qwen2", tmp_path)).save(tmp_path / "start")
    config = settings(
        corpus,
        policy={"path": str(tmp_path / "start")},
        supervised=None,
        reinforce__steps=2,
        reinforce__evaluate_every=2,
        reinforce__engine=Component(type="vllm"),
        reinforce__correction=CorrectionConfig(level="sequence", cap=3),
    )
    run.start(config, tmp_path / "run")
    steps = [row for row in lines(tmp_path / "run") if row["kind"] == "step"]
    assert StandIn.made == 1 and len(steps) == 2
    for step in steps:
        assert step["grad_norm"] > 0
        # Samples of weights that had not arrived would be farther away after the first update.
        assert 0 < step["engine_mismatch"] < 1e-4
        assert step["engine_truncated"] == 0 and step["engine_ess"] == pytest.approx(1, abs=1e-3)


def test_a_translation_that_ends_has_its_end(tmp_path, library):
    policy = CausalPolicy(*build("llama", tmp_path))
    sources = policy.tokenize_sources(ROWS[:1])
    seen = []
    monitored = engine(policy)
    copy = monitored._synchronised()
    copy._one = lambda prompt, params, number: (
        seen.append((prompt, params))
        or SimpleNamespace(
            token_ids=[9, policy.end_id] if number else [9, 8, 7],
            logprobs=[{9: SimpleNamespace(logprob=-1.0)}, {policy.end_id: SimpleNamespace(logprob=-2.0)}]
            if number
            else [{t: SimpleNamespace(logprob=-0.5)} for t in (9, 8, 7)],
            finish_reason="stop" if number else "length",
        )
    )
    drawn = monitored.sample(ROWS[:1], 2, Sampling(0.7, 3), seeded())
    assert drawn.finished.tolist() == [[False, True]]
    assert drawn.mask.tolist() == [[[True, True, True], [True, True, False]]]
    assert drawn.logprobs.tolist() == [[[-0.5, -0.5, -0.5], [-1.0, -2.0, 0.0]]]
    prompt, params = seen[0]
    assert prompt == [*sources[0].ids, *sources[0].start]
    assert (params.temperature, params.max_tokens, params.n, params.logprobs) == (0.7, 3, 2, 0)
    assert set(params.stop_token_ids) == set(policy.end_ids)


def test_stop_texts_are_asked_for(tmp_path, library):
    policy = CausalPolicy(*build("llama", tmp_path), PromptConfig(stop=["###"]))
    asked = []
    monitored = engine(policy)
    copy = monitored._synchronised()
    one = copy._one
    copy._one = lambda prompt, params, number: asked.append(params.stop) or one(prompt, params, number)
    monitored.translate(ROWS[:1], 2)
    assert asked == [["###"]]


def test_the_copy_has_the_policys_type_and_room_for_a_row(tmp_path, library):
    """Of float32 weights vLLM's own auto makes 16 bits."""
    policy = CausalPolicy(*build("llama", tmp_path))
    engine(policy).translate(ROWS, 4)
    assert (StandIn.options["dtype"], StandIn.options["max_model_len"]) == ("float32", 256)
    policy.autocast = torch.bfloat16
    longest = max(len(source.ids) + len(source.start) for source in policy.tokenize_sources(ROWS))
    short = engine(policy, max_length=longest + 4)
    short.translate(ROWS, 4)
    assert (StandIn.options["dtype"], StandIn.options["max_model_len"]) == ("bfloat16", longest + 4)
    with pytest.raises(
        RunError, match=rf"prompt of {longest} tokens and 5 of .* more than the {longest + 4} that vLLM"
    ):
        short.translate(ROWS, 5)


def test_engines_that_cannot_run_a_policy_are_refused(tmp_path, library, monkeypatch):
    with pytest.raises(ConfigError, match=r"'reinforce\.engine': vLLM serves decoder-only models alone.*native"):
        engine(tiny_policy())
    guided = CausalPolicy(*build("llama", tmp_path))
    guided.follow(random_guide(guided))
    with pytest.raises(ConfigError, match=r"no place for values .*set it to \{type: native\}"):
        engine(guided)
    policy = CausalPolicy(*build("llama", tmp_path))
    with pytest.raises(ValueError, match="needs a generator"):
        engine(policy).sample(ROWS, 2, Sampling(1.0, 4), None)
    with pytest.raises(ValueError, match="ask for one"):
        engine(policy).sample(ROWS, 2, Sampling(0.0, 4), None)

    def full(**_):
        raise RuntimeError("no free memory\non the device")

    monkeypatch.setattr(library, "LLM", full)
    with pytest.raises(RunError, match=r"vLLM cannot load the model \(no free memory\)"):
        engine(policy, memory=0.5).translate(ROWS, 4)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(RunError, match="pip install vllm"):
        engine(policy)


@pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None or not torch.cuda.is_available(), reason="needs vLLM and a GPU"
)
def test_vllm_itself_draws_from_the_policy(tmp_path):
    policy = CausalPolicy(*build("llama", tmp_path))
    policy.model.cuda()
    vllm = engine(policy, dtype="float32", eager=True)
    for seed in (1, 2):
        drawn = vllm.sample(ROWS, 8, Sampling(0.8, 12), seeded(seed))
        exact = policy.token_logprobs(policy.tokenize_sources(ROWS), drawn.tokens, drawn.mask, 0.8).detach()
        assert float((drawn.logprobs - exact).abs()[drawn.mask].mean()) < 1e-2
        with torch.no_grad():
            for parameter in policy.model.parameters():
                parameter.mul_(1.05)  # the next samples are of other weights
