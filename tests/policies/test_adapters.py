"""LoRA through peft: what is trained, shared, saved and routed; for an encoder-decoder and a decoder-only model."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from eclectus import inference
from eclectus.config import LoraConfig, PolicyConfig, SupervisedConfig
from eclectus.corpora.dataset import prepare
from eclectus.errors import ModelError, RunError
from eclectus.policies.adapters import Adapters, linear_layers
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.load import load_policy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from eclectus.training import checkpoint as ckpt
from eclectus.training import optimizer as optimizers
from eclectus.training import run
from eclectus.training.backward import accumulate
from eclectus.training.context import RunContext
from eclectus.training.first_policy import first_policy
from eclectus.training.optimizer import build_optimizer, update
from eclectus.training.tracking import Tracker
from tests.algorithms.enumerated import algorithm
from tests.policies.adapted_models import ROWS, adapted, trained
from tests.policies.tiny_models import CAUSAL, SEQ2SEQ, build
from tests.tiny import segments
from tests.tiny_run import lines, settings
from tests.training.tiny_update import make_work

peft = pytest.importorskip("peft")

KINDS = ["m2m100", "llama"]


@pytest.fixture(params=KINDS)
def name(request):
    return request.param


@pytest.fixture
def plain(name, tmp_path):
    """The model without adapters, saved at `start`."""
    model, tokenizer = build(name, tmp_path)
    policy = (CausalPolicy if name == "llama" else Seq2SeqPolicy)(model, tokenizer)
    policy.save(tmp_path / "start")
    return policy


@pytest.fixture
def policy(plain, tmp_path):
    return adapted(tmp_path)


def scores(policy, rollouts, rows=ROWS):
    with torch.no_grad():
        return policy.token_logprobs(policy.tokenize_sources(rows), rollouts.tokens, rollouts.mask)


def sampled(policy):
    return policy.sample(ROWS, 2, Sampling(1.0, 8), torch.Generator().manual_seed(1))


def tensors(policy):
    return {name: value.detach().clone() for name, value in policy.model.named_parameters()}


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("opus_mt", {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}),
        ("mbart50", {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}),
        ("t5", {"q", "k", "v", "o", "wi", "wo"}),
        ("madlad", {"q", "k", "v", "o", "wi_0", "wi_1", "wo"}),
        ("qwen3", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        ("gemma2", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_every_linear_layer_but_the_vocabularys_has_an_adapter(name, layers, tmp_path):
    assert linear_layers(build(name, tmp_path)[0]) == layers


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CAUSAL])
def test_no_family_gets_an_adapter_of_its_output_embeddings(name, tmp_path):
    model, _ = build(name, tmp_path)
    Adapters.new(model, LoraConfig(), "x", ["es"], 1)
    assert not isinstance(model.get_output_embeddings(), peft.tuners.lora.LoraLayer)


def test_at_the_start_nothing_changes(plain, policy):
    rollouts = sampled(plain)
    assert torch.equal(scores(policy, rollouts), scores(plain, rollouts))
    assert policy.translate(ROWS, 8) == plain.translate(ROWS, 8)
    again = sampled(policy)
    assert torch.equal(again.tokens, rollouts.tokens) and torch.equal(again.logprobs, rollouts.logprobs)


def test_a_supervised_and_an_rl_step_change_every_adapter_and_nothing_else(policy):
    for kind in ("supervised", "rl"):
        before = tensors(policy)
        if kind == "supervised":
            trained(policy, steps=1)
        else:
            accumulate(policy, policy.copy(), algorithm("rloo"), make_work(policy), 1000)
            update(build_optimizer("adamw", policy.model, 0.01), 0.01, 1.0)
        for key, value in policy.model.named_parameters():
            # With B = 0 the first gradient of A is 0.
            still = "lora_" not in key or (kind == "supervised" and "lora_A" in key)
            assert torch.equal(value, before[key]) == still, key


def test_the_frozen_weights_are_held_once_and_the_reference_is_the_model_without_adapters(plain, policy):
    rollouts = sampled(plain)
    start = scores(plain, rollouts)
    reference, other = policy.copy(), policy.copy(trainable=True)
    trained(policy)
    assert not torch.equal(scores(policy, rollouts), start)
    assert torch.equal(scores(reference, rollouts), start)
    assert torch.equal(scores(other, rollouts), start)
    places = {p.data_ptr(): p.numel() for q in (policy, reference, other) for p in q.model.parameters()}
    adapters = sum(p.numel() for key, p in policy.model.named_parameters() if "lora_" in key)
    base = sum({p.data_ptr(): p.numel() for p in plain.model.parameters()}.values())
    assert sum(places.values()) == base + 3 * adapters
    layers = [m for m in reference.model.modules() if isinstance(m, peft.tuners.lora.LoraLayer)]
    assert layers and all(layer.disable_adapters for layer in layers)


def test_a_copy_of_a_trained_policy_keeps_its_adapters(policy):
    trained(policy)
    rollouts = sampled(policy)
    start = scores(policy, rollouts)
    reference = policy.copy()
    trained(policy)
    assert torch.equal(scores(reference, rollouts), start)
    assert not torch.equal(scores(policy, rollouts), start)
    twin = reference.copy(trainable=True)
    assert set(ckpt.weights(twin.model)) == set(ckpt.weights(policy.model))
    assert torch.equal(scores(trained(twin), rollouts), scores(trained(reference.copy(trainable=True)), rollouts))


def test_sampling_and_training_logprobs_are_equal(policy):
    trained(policy)
    rollouts = sampled(policy)
    assert torch.allclose(scores(policy, rollouts), rollouts.logprobs, atol=1e-5)


def test_a_merged_model_is_a_plain_one_that_translates_the_same(name, plain, policy, tmp_path):
    trained(policy)
    before = tensors(policy)
    policy.save(tmp_path / "merged")
    assert all(torch.equal(value, before[key]) for key, value in policy.model.named_parameters())
    library = AutoModelForCausalLM if name == "llama" else AutoModelForSeq2SeqLM
    model, info = library.from_pretrained(tmp_path / "merged", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    again, _ = load_policy(str(tmp_path / "merged"))
    assert type(again.model) is type(model) and not any("lora" in key for key in model.state_dict())
    expected = policy.translate(ROWS, 12)
    assert again.translate(ROWS, 12) == expected != plain.translate(ROWS, 12)
    assert again.beam_search(ROWS, 3, 8) == policy.beam_search(ROWS, 3, 8)
    theirs = (CausalPolicy if name == "llama" else Seq2SeqPolicy)(model.eval(), again.tokenizer)
    assert theirs.beam_search(ROWS, 1, 12) == expected  # through transformers' own attention and generation


def test_an_adapter_alone_is_read_by_us_and_by_peft(name, policy, tmp_path):
    policy = trained(adapted(tmp_path, merge=False))
    policy.save(tmp_path / "adapter")
    files = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= files and "model.safetensors" not in files
    again, _ = load_policy(str(tmp_path / "adapter"))
    rollouts = sampled(policy)
    assert torch.equal(scores(again, rollouts), scores(policy, rollouts))
    library = AutoModelForCausalLM if name == "llama" else AutoModelForSeq2SeqLM
    base = library.from_pretrained(tmp_path / "start")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload()
    own = type(policy)(theirs, policy.tokenizer)
    assert torch.allclose(scores(own, rollouts), scores(policy, rollouts), atol=1e-5)
    assert set(ckpt.weights(again.model)) == set(ckpt.weights(policy.model))  # it is trained on as an adapter
    again.save(tmp_path / "twice")
    with pytest.raises(ModelError, match=r"holds adapters.*drop policy\.lora"):
        again.adapt(LoraConfig(), "x", ["es"], 1)


def test_an_adapter_of_another_model_is_refused(policy, tmp_path):
    adapted(tmp_path, merge=False).save(tmp_path / "adapter")
    (tmp_path / "other").mkdir()
    model, tokenizer = build("t5", tmp_path / "other")
    Seq2SeqPolicy(model, tokenizer).save(tmp_path / "other" / "start")
    path = tmp_path / "adapter" / "adapter_config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | {"base_model_name_or_path": str(tmp_path / "other" / "start")}))
    with pytest.raises(ModelError, match="does not fit") as caught:
        load_policy(str(tmp_path / "adapter"))
    assert "\n" not in str(caught.value)


def made_by_peft(name, tmp_path, folder="made", **options):
    """A model with an adapter of peft's own, moved away from its start and saved in `folder`."""
    library, task = (AutoModelForCausalLM, "CAUSAL_LM") if name == "llama" else (AutoModelForSeq2SeqLM, "SEQ_2_SEQ_LM")
    values = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": task}
    torch.manual_seed(2)
    model = peft.get_peft_model(library.from_pretrained(tmp_path / "start"), peft.LoraConfig(**values | options))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / folder)
    return model


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("m2m100", {"use_dora": True}),
        ("llama", {"use_dora": True}),
        ("m2m100", {"lora_bias": True}),
        ("llama", {"use_rslora": True, "target_modules": ["q_proj", "embed_tokens"]}),
    ],
)
def test_every_kind_of_adapter_is_merged_as_peft_merges_it(name, options, plain, tmp_path):
    theirs = made_by_peft(name, tmp_path, **options).merge_and_unload().state_dict()
    policy, _ = load_policy(str(tmp_path / "made"))
    before, rollouts = tensors(policy), sampled(policy)
    expected = scores(policy, rollouts)
    assert not torch.allclose(scores(plain, rollouts), expected, atol=0.1)
    merged = policy.plain_model()
    assert merged.state_dict().keys() == theirs.keys()
    for key, value in merged.state_dict().items():
        assert torch.allclose(value, theirs[key], atol=1e-5), key
    assert torch.allclose(scores(type(policy)(merged, policy.tokenizer), rollouts), expected, atol=1e-4)
    assert all(torch.equal(value, before[key]) for key, value in policy.model.named_parameters())
    assert torch.equal(scores(policy, rollouts), expected)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("m2m100", {"target_modules": ["q_proj", "lm_head"]}, "changes the output embeddings"),
        ("llama", {"target_modules": ["q_proj", "lm_head"]}, "changes the output embeddings"),
        ("llama", {"lora_bias": True}, "has biases .* for layers that have none"),
        ("llama", {"alora_invocation_tokens": [4, 5]}, "waits for words of the prompt"),
    ],
)
def test_an_adapter_that_would_not_be_followed_is_refused(name, options, message, plain, tmp_path):
    made_by_peft(name, tmp_path, **options)
    with pytest.raises(ModelError, match=f"adapter in '.*made' {message}") as caught:
        load_policy(str(tmp_path / "made"))
    assert "\n" not in str(caught.value)


def test_dora_for_one_of_several_languages_is_refused(name, plain, tmp_path):
    made_by_peft(name, tmp_path, "made/to-es", use_dora=True)
    with pytest.raises(ModelError, match=r"'.*to-es' is DoRA .*; train it without use_dora, or use one adapter"):
        load_policy(str(tmp_path / "made"))


def test_an_adapter_that_is_not_finite_is_not_merged(policy):
    next(value for key, value in policy.model.named_parameters() if "lora_B" in key).data.fill_(float("nan"))
    with pytest.raises(ModelError, match=r"adapter of 'model\..*' makes weights that are not finite"):
        policy.plain_model()


def test_a_step_on_one_language_leaves_the_adapter_of_another_alone(policy, tmp_path):
    policy = adapted(tmp_path, per_language=True)
    es, fr = segments("en", "es"), segments("en", "fr")
    trained(policy)
    before, said, rollouts = tensors(policy), policy.translate(fr, 8), sampled(policy)
    rated = scores(policy, rollouts)
    trained(policy, es)
    changed = {key for key, value in policy.model.named_parameters() if not torch.equal(value, before[key])}
    assert changed == {key for key in before if "lora_" in key and "to-es" in key}
    assert policy.translate(fr, 8) == said
    now = scores(policy, rollouts)
    assert torch.equal(now[len(es) :], rated[len(es) :])
    assert not torch.allclose(now[: len(es)], rated[: len(es)], atol=1e-3)


def test_rows_of_several_languages_go_each_through_its_own_adapter(policy, tmp_path):
    policy = trained(adapted(tmp_path, per_language=True))
    mixed = [row for pair in zip(segments("en", "es"), segments("en", "fr"), strict=True) for row in pair]
    rollouts = policy.sample(mixed, 2, Sampling(1.0, 8), torch.Generator().manual_seed(1))
    together = scores(policy, rollouts, mixed)
    assert torch.allclose(together, rollouts.logprobs, atol=1e-5)
    for i, row in enumerate(mixed):
        alone = policy.token_logprobs(
            policy.tokenize_sources([row]), rollouts.tokens[i : i + 1], rollouts.mask[i : i + 1]
        )
        assert torch.allclose(alone[0], together[i], atol=1e-5)
    assert policy.beam_search(mixed, 2, 8) == [policy.beam_search([row], 2, 8)[0] for row in mixed]
    policy.save(tmp_path / "adapters")
    assert (tmp_path / "adapters" / "to-es" / "adapter_config.json").exists()
    again, _ = load_policy(str(tmp_path / "adapters"))
    assert torch.equal(scores(again, rollouts, mixed), together)


def test_a_language_without_adapter_is_translated_by_the_model_as_it_is(plain, tmp_path):
    policy = adapted(tmp_path, per_language=True)
    trained(policy, segments("en", "es"))
    policy.save(tmp_path / "adapters")
    for folder in (tmp_path / "adapters").glob("to-*"):
        if folder.name != "to-es":
            for file in folder.iterdir():
                file.unlink()
    again, _ = load_policy(str(tmp_path / "adapters"))
    assert again.translate(segments("en", "fr"), 8) == plain.translate(segments("en", "fr"), 8)
    assert again.translate(segments("en", "es"), 8) != plain.translate(segments("en", "es"), 8)


def test_an_adapter_serves_its_language_by_whatever_tag_the_model_takes_for_it(tmp_path):
    model, tokenizer = build("nllb", tmp_path)
    Seq2SeqPolicy(model, tokenizer).save(tmp_path / "start")
    texts = {
        tag: [replace(row, target_lang=tag) for row in segments("en", "es")] for tag in ("zh", "zh-Hans", "zh-Hant")
    }
    policy = trained(adapted(tmp_path, per_language=True, languages=["en", "zh"]), texts["zh"], rate=0.1)
    policy.save(tmp_path / "adapters")
    start, again = (load_policy(str(tmp_path / folder))[0] for folder in ("start", "adapters"))
    said = {}
    for tag, rows in texts.items():
        rollouts = again.sample(rows, 2, Sampling(1.0, 8), torch.Generator().manual_seed(1))
        assert torch.allclose(scores(again, rollouts, rows), rollouts.logprobs, atol=1e-5)
        said[tag] = again.translate(rows, 8), again.beam_search(rows, 2, 8)
        assert (said[tag][0] == start.translate(rows, 8)) == (tag == "zh-Hant"), tag  # of another script
    assert said["zh"] == said["zh-Hans"]
    again.check_trained(["zh-Hans", "en"])
    with pytest.raises(ModelError, match=r"has adapters for en, zh, and none for zh-Hant, fr, which the run trains"):
        again.check_trained(["zh-Hant", "zh-Hans", "fr"])


BACK_FROM_FRENCH = {"directions": ["en-es"], "synthetic": ["es-fr"], "texts": 4}
TASK_IN_FRENCH = {"name": "f", "directions": ["en-*"], "reward": {"terms": [{"type": "chrf"}]}, "references": True}


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"supervised__directions": ["en-fr"]}, "fr"),
        ({"supervised__directions": ["en-es", "en-fr"]}, "fr"),
        ({"supervised__directions": ["*-*"]}, "fr, en"),
        ({"supervised__denoising": {"languages": ["es", "fr"]}}, "fr"),
        ({"back_translation": BACK_FROM_FRENCH}, "fr"),
        ({"reinforce": {"tasks": [TASK_IN_FRENCH]}}, "fr"),
        ({"supervised__directions": ["*-es"], "evaluation__directions": ["*-*"]}, None),
    ],
)
def test_training_a_language_that_has_no_adapter_is_refused_and_translating_it_is_not(
    plain, changes, missing, corpus, tmp_path
):
    adapted(tmp_path, per_language=True, languages=["es"]).save(tmp_path / "adapters")
    changes = {"supervised__directions": ["en-es"], "reinforce": None, **changes}
    config = settings(corpus, policy={"path": str(tmp_path / "adapters")}, **changes)
    if missing is None:
        assert at_the_door(config, tmp_path).has_routed_adapters
        return
    with pytest.raises(ModelError, match=rf"has adapters for es, and none for {missing}, which the run") as caught:
        at_the_door(config, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_direction_without_pairs_needs_no_adapter(plain, corpus, tmp_path):
    adapted(tmp_path, per_language=True, languages=["en", "es"]).save(tmp_path / "adapters")
    rows = [line.split("\t") for line in corpus.read_text(encoding="utf-8").splitlines()]
    parts = {"pairs": slice(2), "french": slice(2, 3)}
    for name, part in parts.items():
        (tmp_path / name).write_text("".join("\t".join(row[part]) + "\n" for row in rows), encoding="utf-8")
    corpora = [{"type": "tsv", "path": str(tmp_path / name), "header": True} for name in parts]
    config = settings(
        corpus,
        data__corpora=corpora,
        policy={"path": str(tmp_path / "adapters")},
        supervised__directions=["*-*"],
        reinforce=None,
    )
    at_the_door(config, tmp_path)


def at_the_door(config, folder):
    """The policy that a run would begin with."""
    dataset = prepare(config.data, config.data.split_seed)
    context = RunContext(config, folder, dataset, Tracker(folder, None), False)
    return first_policy(context, torch.device("cpu"))[0]


@pytest.mark.parametrize(
    "values",
    [
        {"base_model_name_or_path": "other/name"},
        {"base_model_name_or_path": None},
        {"revision": "v3"},
        {"revision": 3},
    ],
)
def test_adapters_that_name_no_one_model_are_refused(values, plain, tmp_path):
    adapted(tmp_path, per_language=True).save(tmp_path / "adapters")
    path = tmp_path / "adapters" / "to-es" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values))
    with pytest.raises(ModelError, match=r"do not name one base_model_name_or_path and one revision of it; write"):
        load_policy(str(tmp_path / "adapters"))


@pytest.mark.parametrize("per_language", [False, True])
def test_gradient_checkpointing_gives_the_same_gradient_and_keeps_less(policy, tmp_path, per_language):
    policy = adapted(tmp_path, per_language=per_language)
    trained(policy, steps=1)
    work = make_work(policy)
    found, kept = [], []
    for policy.gradient_checkpointing in (False, True):
        held = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, held=held: (held.append(t.numel()), t)[1], lambda t: t):
            accumulate(policy, policy.copy(), algorithm("rloo"), work, 10_000)
        kept.append(sum(held))
        found.append({key: p.grad for key, p in policy.model.named_parameters() if p.grad is not None})
        policy.model.zero_grad()
    assert found[0].keys() == found[1].keys()
    assert max(float(grad.abs().max()) for grad in found[0].values()) > 1e-3
    for key, grad in found[0].items():
        assert torch.allclose(grad, found[1][key], atol=1e-6), key
    assert kept[1] < kept[0] / 2


@pytest.mark.parametrize(("name", "interrupted"), [("m2m100", "supervised"), ("llama", "reinforce")])
def test_a_run_with_adapters_resumes_to_the_same_weights(plain, corpus, tmp_path, monkeypatch, interrupted):
    config = settings(
        corpus,
        policy={"path": str(tmp_path / "start"), "lora": {"rank": 2, "dropout": 0.1, "per_language": True}},
        supervised__steps=2,
        supervised__evaluate_every=1,
        supervised__warmup=1,
        reinforce__steps=3,
        reinforce__evaluate_every=3,
        reinforce__checkpoint_every=1,
        reinforce__entropy={"weight": 0.01},  # a gradient at every step, whatever random weights are rewarded with
    )
    run.start(config, tmp_path / "whole")
    advance = Tracker.advance

    def interrupt(self, at, note):
        advance(self, at, note)
        if (interrupted == "supervised") == note.startswith("loss"):
            self.stop_requested = True

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "advance", interrupt)
        with pytest.raises(run.InterruptedRunError):
            run.start(config, tmp_path / "stopped")
    held = ckpt.latest(tmp_path / "stopped" / "checkpoints" / interrupted)
    for group in ("model", "best", *(["mean"] if interrupted == "reinforce" else [])):
        assert held.tensors[group] and all("lora_" in key for key in held.tensors[group])
    run.resume(tmp_path / "stopped")
    one, two = (inference.load(str(tmp_path / folder))[0] for folder in ("whole", "stopped"))
    values = tensors(one)
    assert all(torch.equal(value, values[key]) for key, value in two.model.named_parameters())
    apart = [row["logprob_mismatch"] for row in lines(tmp_path / "whole") if "logprob_mismatch" in row]
    assert apart and max(apart) < 1e-5


def test_mistakes_are_one_sentence(policy, plain, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="no linear layer 'q_pro'; did you mean 'q_proj'"):
        plain.adapt(LoraConfig(targets=["q_pro"]), "x", ["es"], 1)
    with pytest.raises(ModelError, match="no linear layer 'lm_head'"):
        plain.adapt(LoraConfig(targets=["lm_head"]), "x", ["es"], 1)
    for values in ({"rank": 0}, {"targets": []}, {"per_language": True, "merge": True}):
        with pytest.raises(ValueError):
            LoraConfig(**values)
    with pytest.raises(ValueError, match=r"policy\.new has none"):
        PolicyConfig(new={}, lora={})
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ModelError, match=r"pip install 'eclectus\[lora\]'"):
        plain.adapt(LoraConfig(), "x", ["es"], 1)


def test_eight_bit_adam_that_is_not_there_or_does_not_work(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "bitsandbytes", None)
        with pytest.raises(RunError, match=r"pip install 'eclectus\[bitsandbytes\]'"):
            optimizers.check("adamw_8bit", torch.device("cpu"))

    class Broken(torch.optim.SGD):
        def step(self):
            raise NotImplementedError("no kernel\nfor this")

    monkeypatch.setattr(optimizers, "_adamw_8bit", lambda: Broken)
    with pytest.raises(RunError, match=r"adamw_8bit does not work on 'cpu' \(no kernel\); set optimizer: adamw"):
        optimizers.check("adamw_8bit", torch.device("cpu"))


def test_eight_bit_adam_resumes_to_the_same_weights_near_those_of_32_bits(tmp_path):
    pytest.importorskip("bitsandbytes")
    optimizers.check(SupervisedConfig(optimizer="adamw_8bit").optimizer, torch.device("cpu"))

    def steps(model, optimizer, first, last):
        for step in range(first, last):
            torch.manual_seed(step)
            model(torch.randn(32, 96)).square().mean().backward()
            update(optimizer, 1e-2, 1.0)

    def fresh(kind="adamw_8bit"):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(96, 96), torch.nn.Tanh(), torch.nn.Linear(96, 96))
        return model, optimizers.build_optimizer(kind, model, 1e-2)

    whole, plain, half = fresh(), fresh("adamw"), fresh()
    steps(*whole, 0, 8)
    steps(*plain, 0, 8)
    steps(*half, 0, 4)
    held = {"model": ckpt.weights(half[0]), "optimizer": ckpt.optimizer_tensors(*half)}
    ckpt.save(tmp_path, 4, ckpt.Checkpoint(held, {}))
    found, again = ckpt.latest(tmp_path), fresh()
    ckpt.load_weights(again[0], found.tensors["model"])
    ckpt.load_optimizer_tensors(*again, found.tensors["optimizer"])
    steps(*again, 4, 8)
    for a, b, c in zip(whole[0].parameters(), again[0].parameters(), plain[0].parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c) or a.numel() < 4096
        assert (a - c).abs().mean() < 5e-3
