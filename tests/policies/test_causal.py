"""Every decoder-only family, as a tiny copy, against transformers' own forward, loss and generation."""

import copy
import json
from datetime import datetime

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from eclectus.config import PromptConfig
from eclectus.errors import ModelError
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.load import load_policy
from eclectus.policies.prompt import Prompt
from eclectus.rollouts.base import Sampling
from eclectus.rollouts.padding import pad_left
from eclectus.segment import Segment
from eclectus.training import checkpoint as ckpt
from eclectus.training.optimizer import build_optimizer
from tests.policies.tiny_models import CAUSAL, CHATML, build
from tests.tiny import segments
from tests.training.tiny_update import step

ROWS = segments("en", "es")


@pytest.fixture(scope="module", params=CAUSAL)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def original(name, tmp_path_factory):
    return build(name, tmp_path_factory.mktemp(name))


@pytest.fixture
def policy(original):
    model, tokenizer = original
    return CausalPolicy(copy.deepcopy(model), tokenizer)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A base model without a chat template."""
    return build("llama", tmp_path_factory.mktemp("base"))


def sampled(policy, temperature=1.0, samples=3):
    return policy.sample(ROWS, samples, Sampling(temperature, 8), torch.Generator().manual_seed(5))


def plain(policy, source, tokens):
    """transformers' own logits for a list of tokens after one prompt, and its loss with the prompt masked."""
    prompt = [*source.ids, *source.start]
    labels = torch.tensor([[-100] * len(prompt) + tokens])
    policy.model.set_attn_implementation("eager")
    output = policy.model(input_ids=torch.tensor([prompt + tokens]), labels=labels)
    policy.model.set_attn_implementation("eclectus")
    return output.logits[0, len(prompt) - 1 : -1], output.loss


def test_supervised_loss_equals_that_of_transformers(policy):
    sources, targets = policy.tokenize_sources(ROWS), policy.tokenize_targets([row.reference for row in ROWS])
    _, ours = policy.smoothed_loss(sources, targets, 0.0)
    theirs = sum(plain(policy, s, t)[1].item() * len(t) for s, t in zip(sources, targets, strict=True))
    assert ours.item() == pytest.approx(theirs, abs=1e-5 * sum(map(len, targets)))


@pytest.mark.parametrize("temperature", [0.7, 1.3])
def test_sampling_training_and_transformers_logprobs_are_equal(policy, temperature):
    rollouts = sampled(policy, temperature)
    sources = policy.tokenize_sources(ROWS)
    again = policy.token_logprobs(sources, rollouts.tokens, rollouts.mask, temperature)
    assert rollouts.mask.sum() > 40
    assert (again - rollouts.logprobs).abs().max() < 1e-5
    with torch.no_grad():  # as the frozen starting policy is asked, through the fused kernel
        frozen = policy.token_logprobs(sources, rollouts.tokens, rollouts.mask, temperature)
    assert torch.allclose(frozen, again, atol=1e-5)
    for b, source in enumerate(sources):
        tokens = rollouts.tokens[b, 0][rollouts.mask[b, 0]]
        logits, _ = plain(policy, source, tokens.tolist())
        logits[:, policy._never] = float("-inf")
        theirs = (logits / temperature).log_softmax(-1).gather(1, tokens[:, None]).squeeze(1)
        assert torch.allclose(again[b, 0, : len(tokens)], theirs, atol=1e-5)


def test_a_batch_equals_one_by_one(policy):
    assert policy.translate(ROWS, 8) == [policy.translate([row], 8)[0] for row in ROWS]
    rollouts, sources = sampled(policy), policy.tokenize_sources(ROWS)
    together = policy.token_logprobs(sources, rollouts.tokens, rollouts.mask)
    for i, source in enumerate(sources):
        alone = policy.token_logprobs([source], rollouts.tokens[i : i + 1], rollouts.mask[i : i + 1])
        assert torch.allclose(alone[0], together[i], atol=1e-5)


def test_gradient_equals_that_of_transformers(policy):
    """Through the prompt's keys and values, which are made once for all samples."""
    rollouts, sources = sampled(policy, samples=2), policy.tokenize_sources(ROWS)
    policy.token_logprobs(sources, rollouts.tokens, rollouts.mask).sum().backward()
    ours = {key: value.grad.clone() for key, value in policy.model.named_parameters()}
    policy.model.zero_grad()
    for b, source in enumerate(sources):
        for g in range(2):
            tokens = rollouts.tokens[b, g][rollouts.mask[b, g]]
            logits, _ = plain(policy, source, tokens.tolist())
            never = torch.zeros_like(logits[0])
            never[policy._never] = float("-inf")
            (logits + never).log_softmax(-1).gather(1, tokens[:, None]).sum().backward()
    for key, value in policy.model.named_parameters():
        assert torch.allclose(ours[key], value.grad, atol=1e-4 * max(1.0, value.grad.abs().max().item())), key


def test_saved_it_is_loaded_by_us_and_by_transformers_alone(policy, name, tmp_path):
    policy.save(tmp_path)
    again, seen = load_policy(str(tmp_path))
    assert seen is None
    for (key, ours), (_, theirs) in zip(policy.model.named_parameters(), again.model.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), key
    assert again.translate(ROWS, 8) == policy.translate(ROWS, 8)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    if name == "gemma2":
        model.set_attn_implementation("eager")  # the library's fused attention has no soft cap
    ids, mask = pad_left([(*s.ids, *s.start) for s in policy.tokenize_sources(ROWS)], policy.pad_id, policy.device)
    for beams, ours in ((1, policy.translate(ROWS, 8)), (2, policy.beam_search(ROWS, 2, 8))):
        made = model.generate(
            input_ids=ids,
            attention_mask=mask.long(),
            max_new_tokens=8,
            num_beams=beams,
            stop_strings=policy._prompt.stop or None,
            tokenizer=tokenizer,
        )
        texts = tokenizer.batch_decode(made[:, ids.shape[1] :], skip_special_tokens=True)
        assert ours == [policy._prompt.cut(text).strip() for text in texts]


def test_a_step_changes_the_weights_and_nothing_else_and_resumes(policy, tmp_path):
    policy.save(tmp_path / "model")
    buffers = {key: value.clone() for key, value in policy.model.named_buffers()}
    before, twin, optimizer = ckpt.weights(policy.model), policy.copy(), build_optimizer("adamw", policy.model, 1e-3)
    work = step(policy, optimizer, seed=3)
    moved = {key: not torch.equal(value, before[key]) for key, value in policy.model.named_parameters()}
    # A bias of keys that is not rotated shifts all scores of a row alike; these are rotated, so all weights move.
    assert all(moved.values()), moved
    assert all(torch.equal(value, buffers[key]) for key, value in policy.model.named_buffers())
    assert all(torch.equal(value, before[key]) for key, value in twin.model.named_parameters())
    old, new = (
        (p.token_logprobs(work.sources, work.rollouts.tokens, work.rollouts.mask).sum(-1) * work.advantages).sum()
        for p in (twin, policy)
    )
    assert new > old
    tensors = {"model": ckpt.weights(policy.model), "optimizer": ckpt.optimizer_tensors(policy.model, optimizer)}
    ckpt.save(tmp_path / "checkpoints", 1, ckpt.Checkpoint(tensors, {}))
    step(policy, optimizer, seed=4)
    resumed, _ = load_policy(str(tmp_path / "model"))
    found, optimizer = ckpt.latest(tmp_path / "checkpoints"), build_optimizer("adamw", resumed.model, 1e-3)
    ckpt.load_weights(resumed.model, found.tensors["model"])
    ckpt.load_optimizer_tensors(resumed.model, optimizer, found.tensors["optimizer"])
    step(resumed, optimizer, seed=4)
    for (key, ours), (_, theirs) in zip(policy.model.named_parameters(), resumed.model.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), key


def test_targets_end_as_the_chat_template_ends_a_turn(policy, name):
    (target,) = policy.tokenize_targets(["uno dos tres"])
    ends = {"qwen": "<|im_end|>", "gemm": "<end_of_turn>"}
    assert policy.tokenizer.convert_ids_to_tokens(target[-1]) == ends.get(name[:4], "</s>")
    assert policy.detokenize([target]) == ["uno dos tres"]
    if policy._prompt.chat:
        turns = [{"role": "user", "content": policy._prompt._ask(ROWS[0], ROWS[0].source)}]
        turns.append({"role": "assistant", "content": "uno dos tres"})
        whole = policy.tokenizer.apply_chat_template(turns, tokenize=False)
        ids = policy.tokenizer(whole, add_special_tokens=False).input_ids
        source = policy.tokenize_sources(ROWS[:1])[0]
        ours = [*source.ids, *source.start, *target]
        assert ids[: len(ours)] == ours


def test_text_that_looks_like_a_token_is_text(policy):
    special = {i for i, token in policy.tokenizer.added_tokens_decoder.items() if token.special}

    def marks(text):
        source = policy.tokenize_sources([Segment(text, "en", "es")])[0]
        return [i for i in (*source.ids, *source.start) if i in special]

    for i in sorted(special):
        mark = str(policy.tokenizer.added_tokens_decoder[i])
        assert marks(f"one {mark} two") == marks("one two"), mark
        assert [t for t in policy.tokenize_targets([f"uno {mark} dos"])[0] if t in special] == [policy.end_id], mark


def test_padding_without_a_row_in_the_model_is_done_with_end_of_sequence(base):
    model, tokenizer = copy.deepcopy(base)
    model.resize_token_embeddings(len(tokenizer))
    expected = CausalPolicy(copy.deepcopy(model), tokenizer).translate(ROWS, 8)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id == len(model.get_output_embeddings().weight)
    policy = CausalPolicy(model, tokenizer)
    assert policy.pad_id == tokenizer.eos_token_id and policy.translate(ROWS, 8) == expected


def test_a_window_that_the_family_does_not_have_is_ignored(base):
    model, tokenizer = copy.deepcopy(base)
    model.config.sliding_window = 2
    policy = CausalPolicy(model, tokenizer)
    source, target = policy.tokenize_sources(ROWS[:1])[0], policy.tokenize_targets(["uno dos tres"])[0]
    theirs = plain(policy, source, target)[1].item() * len(target)
    assert policy.smoothed_loss([source], [target], 0.0)[1].item() == pytest.approx(theirs, rel=1e-5)


def test_an_end_that_only_the_model_knows_of_is_not_in_the_text(base):
    model, tokenizer = copy.deepcopy(base)
    end = tokenizer.encode("hola", add_special_tokens=False)[-1]
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, end]
    policy = CausalPolicy(model, tokenizer)
    said = policy.texts.encode(["uno dos"])[0]
    assert end in policy.end_ids and end not in said
    assert policy.detokenize([[*said, end]]) == policy.detokenize([said]) != [""]


def test_too_long_a_prompt_loses_the_end_of_its_source(policy):
    source = policy.tokenize_sources([Segment("one two three " * 400, "en", "es")])[0]
    assert 100 < len(source) < policy._prompt_limit == 128 and source.cut
    assert source.start == policy.tokenize_sources(ROWS[:1])[0].start  # the question is still put
    assert not any(whole.cut for whole in policy.tokenize_sources(ROWS))


def test_a_plain_prompt_has_examples_and_ends_at_a_line_break(base):
    prompt = PromptConfig(few_shot={"k": 2}, template="{source_language}: {source}\n{target_language}:")
    policy = CausalPolicy(*base, prompt)
    policy.use_examples({"en-es": segments("en", "es")})
    source = policy.tokenize_sources([Segment("one two", "en", "es")])[0]
    assert policy.tokenizer.decode(source.ids + source.start, skip_special_tokens=True) == (
        "English: two\nSpanish: dos\n\nEnglish: one two three\nSpanish: uno dos tres\n\nEnglish: one two\nSpanish:"
    )
    line_break, word = (policy.texts.encode([text])[0][-1] for text in ("a\n", "a roja"))
    rows = [[word, word], [word, line_break], [line_break, word], [word, word, line_break, word, line_break]]
    assert policy.stopped(rows, 0) == [None, 1, 0, 2]
    assert policy.stopped([rows[0], rows[3][:3]], 1) == [None, 2]
    assert policy.detokenize([[word, line_break, word]]) == [policy.detokenize([[word]])[0]]


def test_a_stop_text_ends_a_translation_and_is_scored(base):
    policy = CausalPolicy(*base, PromptConfig(stop=["a"]))
    rollouts = sampled(policy, samples=40)
    ended = [(row[mask], text) for b in range(len(ROWS)) for row, mask, text, done in zip(
        rollouts.tokens[b], rollouts.mask[b], rollouts.texts[b], rollouts.finished[b], strict=True
    ) if done]  # fmt: skip
    assert len(ended) > 5
    for tokens, text in ended:
        whole = policy.texts.decode([tokens.tolist(), tokens[:-1].tolist()])
        assert "a" in whole[0] or tokens[-1] in policy.end_ids
        assert "a" not in whole[1]
        assert "a" not in text
    assert any(tokens[-1] not in policy.end_ids for tokens, _ in ended)


@pytest.mark.parametrize("choose", ["similar", "random"])
def test_examples_never_show_the_source_itself_and_repeat(base, choose):
    policy = CausalPolicy(*base, PromptConfig(few_shot={"k": 3, "choose": choose}))
    policy.use_examples({"en-es": segments("en", "es")})
    shown = [policy._examples.choose(row) for row in ROWS]
    for row, examples in zip(ROWS, shown, strict=True):
        assert len(examples) == 3
        assert row.source not in {source for source, _ in examples}
    policy.use_examples({"en-es": segments("en", "es")})
    assert [policy._examples.choose(row) for row in ROWS[::-1]][::-1] == shown
    assert policy._examples.choose(Segment("two", "en", "fr")) == []


def test_the_prompt_is_saved_with_the_model(base, tmp_path):
    policy = CausalPolicy(*base, PromptConfig(few_shot={"k": 1}, template="{source} ="))
    policy.use_examples({"en-es": segments("en", "es")})
    policy.save(tmp_path)
    again, _ = load_policy(str(tmp_path))
    assert again.tokenize_sources(ROWS) == policy.tokenize_sources(ROWS)
    other, _ = load_policy(str(tmp_path), PromptConfig(template="{source} in {target_language} is"))
    assert other.tokenize_sources(ROWS) != policy.tokenize_sources(ROWS)
    (tmp_path / "prompt.json").write_text(json.dumps({"prompt": {"template": "no source"}, "examples": {}}))
    with pytest.raises(ModelError, match=r"prompt\.json' is damaged"):
        load_policy(str(tmp_path))


def test_chat_without_a_template_is_one_sentence(base):
    with pytest.raises(ModelError, match=r"has no chat template; set policy\.prompt\.chat: off"):
        CausalPolicy(*base, PromptConfig(chat="on"))
    broken = copy.deepcopy(base[1])
    broken.chat_template = "{{ raise_exception('no system turn') }}"
    with pytest.raises(ModelError, match="chat template of its tokenizer fails"):
        CausalPolicy(base[0], broken)
    broken.chat_template = "{{ bos_token }}Translate."
    with pytest.raises(ModelError, match="chat template of its tokenizer leaves out what it is to translate"):
        CausalPolicy(base[0], broken)


def test_a_template_that_leaves_no_room_is_one_sentence(base):
    policy = CausalPolicy(*base, PromptConfig(template="word " * 300 + "{source}"))
    with pytest.raises(ModelError, match=r"the prompt alone takes \d+ tokens"):
        policy.tokenize_sources(ROWS)


def test_a_template_that_asks_for_the_date_is_told_the_same_every_day(tmp_path, monkeypatch):
    class Clock(datetime):
        day = datetime(2024, 7, 26)

        @classmethod
        def now(cls, tz=None):
            return cls.day

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Clock)
    model, tokenizer = build("qwen2", tmp_path)
    dated = "\n{% macro today() %}{{ strftime_now('%d %b %Y') }}{% endmacro %}Today: {{ today() }}"
    tokenizer.chat_template = (
        dated + "{% if strftime_now is defined %}, {{ strftime_now('%A %-d.%m.%y') }}{% endif %}" + CHATML
    )
    turns = [{"role": "user", "content": "one"}]
    asked = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert asked.startswith("\nToday: 26 Jul 2024, Friday 26.07.24<|im_start|>user\none")
    prompt = PromptConfig(template="{source}")
    before = Prompt(prompt, tokenizer).text(Segment("one", "en", "es"), ())
    Clock.day = datetime(2031, 1, 2)
    assert Prompt(prompt, tokenizer).text(Segment("one", "en", "es"), ()) == before == asked
    source = CausalPolicy(model, tokenizer, prompt).tokenize_sources(ROWS[:1])[0]
    assert "26 Jul 2024" in tokenizer.decode(source.ids)
