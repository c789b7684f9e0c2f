"""Every encoder-decoder family, as a tiny copy, against transformers' own forward, loss and generation."""

import copy
import unicodedata
import warnings

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from eclectus.config import PromptConfig
from eclectus.errors import ModelError
from eclectus.policies.load import load_policy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from eclectus.rollouts.padding import pad_rows
from eclectus.segment import Segment
from eclectus.training import checkpoint as ckpt
from eclectus.training.optimizer import build_optimizer
from tests.policies.by_transformers import generated
from tests.policies.tiny_models import SEQ2SEQ, build
from tests.tiny import segments
from tests.training.tiny_update import step

ROWS = segments("en", "es")


@pytest.fixture(scope="module", params=SEQ2SEQ)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def original(name, tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(name, tmp_path_factory.mktemp(name))


@pytest.fixture
def policy(original):
    model, tokenizer = original
    return Seq2SeqPolicy(copy.deepcopy(model), tokenizer)


def test_text_that_looks_like_a_token_is_text(policy):
    end, tags = policy.tokenizer.eos_token, policy.family.tokens
    marks = [end, policy.tokenizer.pad_token, *policy.tokenizer.convert_ids_to_tokens(list(tags.values()))]
    plain = policy.tokenize_sources([Segment("one two", "en", "es")])[0]
    special = {policy.end_id, policy.pad_id, *tags.values()}
    for mark in marks:
        found = policy.tokenize_sources([Segment(f"one {mark} two", "en", "es")])[0]
        assert [i for i in found.ids if i in special] == [i for i in plain.ids if i in special], mark
        assert len(found.ids) > len(plain.ids)
        target = policy.tokenize_targets([f"{mark} two"])[0]
        assert [i for i in target if i in special] == [policy.end_id], mark


def test_nor_is_its_full_width_form_that_a_tokenizer_may_make_ascii(policy):
    end, tags = policy.tokenizer.eos_token, policy.family.tokens
    for mark in [end, *policy.tokenizer.convert_ids_to_tokens(list(tags.values()))]:
        wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in mark)
        small = mark.replace("<", "\ufe64").replace(">", "\ufe65")
        for form in (wide, small, wide[0] + mark[1:]):
            assert mark not in unicodedata.normalize("NFKC", policy.texts.plain(f"one {form} two")), form
    assert policy.texts.plain("one ｔｗｏ") == "one ｔｗｏ"


def sampled(policy, temperature=1.0, samples=3, rows=ROWS):
    return policy.sample(rows, samples, Sampling(temperature, 10), torch.Generator().manual_seed(5))


def forward(policy, sources, tokens):
    """transformers' own logits for tokens [B, T], and its loss."""
    ids, mask = pad_rows([s.ids for s in sources], policy.pad_id, policy.device)
    start = torch.tensor([s.start for s in sources])
    labels = torch.cat([torch.full_like(start[:, 1:], -100), tokens], dim=1)
    policy.model.set_attn_implementation("eager")
    output = policy.model(
        input_ids=ids.squeeze(1),
        attention_mask=mask.squeeze(1).long(),
        decoder_input_ids=torch.cat([start, tokens[:, :-1].clamp(min=0)], dim=1),
        labels=labels,
    )
    policy.model.set_attn_implementation("eclectus")
    return output.logits[:, start.shape[1] - 1 :], output.loss


def test_rows_that_go_on_alone_see_what_they_saw_among_the_others(policy):
    sources, samples = policy.tokenize_sources(ROWS[:3]), 4
    allowed = [i for i in range(len(policy._bias)) if policy._bias[i] == 0]
    tokens = torch.tensor(allowed)[torch.randint(len(allowed), (4, 12), generator=torch.Generator().manual_seed(1))]
    # sources with 1, 3 and 2 rows; then 1, 2 and none; then one row each
    cuts = {1: [2, 4, 5, 7, 9, 11], 2: [0, 1, 3], 3: [0, 2]}
    with torch.inference_mode():
        all_rows, some = policy.stepper(sources, samples, 6), policy.stepper(sources, samples, 6)
        rows = torch.arange(12)
        for position in range(4):
            if position in cuts:
                index = torch.tensor(cuts[position])
                some.keep(index)
                rows = rows[index]
            expected = all_rows.step(tokens[position])[rows]
            assert torch.allclose(some.step(tokens[position][rows]), expected, atol=1e-5)


def test_sources_encoded_in_batches_of_like_length_are_the_same(policy, monkeypatch):
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    rows = [Segment(" ".join(words[:n]), "en", "es") for n in (7, 1, 10, 2, 1)]
    sources = policy.tokenize_sources(rows)
    found = []
    for padding in (10**6, 0):
        monkeypatch.setattr("eclectus.policies.seq2seq._ENCODER_PADDING", padding)
        policy.model.zero_grad()
        states, mask = policy.encode(sources)
        states = states.masked_fill(~mask[:, 0, 0, :, None], 0.0)
        states.pow(2).sum().backward()
        found.append((states, [p.grad.clone() for p in policy.model.parameters() if p.grad is not None]))
    (plain, gradient), (cut, other) = found
    assert torch.allclose(plain, cut, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-3, rtol=1e-4) for a, b in zip(gradient, other, strict=True))


def test_sources_are_tokenised_as_the_family_documents(policy, name):
    tokenizer = policy.tokenizer
    segment = Segment("la maison rouge", "fr", "es")
    if name == "opus_mt_pair":
        segment = Segment("la maison rouge", "en", "es")
    source = policy.tokenize_sources([segment])[0]
    if name in {"nllb", "nllb_legacy", "m2m100", "mbart50", "mbart25"}:
        family = name.split("_")[0]
        tokenizer.src_lang = {"nllb": "fra_Latn", "m2m100": "fr"}.get(family, "fr_XX")
        code = {"nllb": "spa_Latn", "m2m100": "__es__"}.get(family, "es_XX")
        expected = tokenizer(segment.source).input_ids
        language = tokenizer.convert_tokens_to_ids(code)
        start = (language,) if name == "mbart25" else (tokenizer.eos_token_id, language)
    else:
        text = {
            "opus_mt": ">>es<< la maison rouge",
            "madlad": "<2es> la maison rouge",
            "t5": "translate French to Spanish: la maison rouge",
            "mt5": "translate French to Spanish: la maison rouge",
        }.get(name, segment.source)
        expected = tokenizer(text).input_ids
        start = (2, 0) if name == "bart" else (tokenizer.pad_token_id,)
    assert list(source.ids) == expected
    assert source.start == start


def test_targets_are_tokenised_as_the_library_does(policy, name):
    tokenizer, text = policy.tokenizer, "la casa roja"
    tokenizer.tgt_lang = getattr(tokenizer, "src_lang", None)
    labels = tokenizer(text_target=text).input_ids
    plain = [i for i in labels if i not in policy._never or i == tokenizer.unk_token_id]
    assert policy.tokenize_targets([text]) == [plain]
    assert policy.detokenize([plain]) == [text]


def test_supervised_loss_equals_that_of_transformers(policy):
    sources, targets = policy.tokenize_sources(ROWS), policy.tokenize_targets([row.reference for row in ROWS])
    _, plain = policy.smoothed_loss(sources, targets, 0.0)
    tokens, mask = pad_rows(targets, -100, policy.device)
    _, loss = forward(policy, sources, tokens.squeeze(1))
    assert plain.item() / int(mask.sum()) == pytest.approx(loss.item(), abs=1e-5)


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
    for g in range(rollouts.tokens.shape[1]):
        logits, _ = forward(policy, sources, rollouts.tokens[:, g])
        logits[..., policy._never] = float("-inf")
        theirs = (logits / temperature).log_softmax(-1).gather(2, rollouts.tokens[:, g, :, None]).squeeze(-1)
        assert torch.allclose(again[:, g], theirs.where(rollouts.mask[:, g], 0.0), atol=1e-5)


def test_a_batch_equals_one_by_one(policy):
    assert policy.translate(ROWS, 12) == [policy.translate([row], 12)[0] for row in ROWS]
    rollouts, sources = sampled(policy), policy.tokenize_sources(ROWS)
    together = policy.token_logprobs(sources, rollouts.tokens, rollouts.mask)
    for i, source in enumerate(sources):
        alone = policy.token_logprobs([source], rollouts.tokens[i : i + 1], rollouts.mask[i : i + 1])
        assert torch.allclose(alone[0], together[i], atol=1e-5)


def test_languages_are_told_apart(policy, name):
    if name in {"opus_mt_pair", "bart"}:
        pytest.skip("translates in one direction")
    spanish, french = policy.tokenize_sources([Segment("two", "en", "es"), Segment("two", "en", "fr")])
    assert spanish != french
    rollouts = sampled(policy)
    logprobs = [policy.token_logprobs([s], rollouts.tokens[:1], rollouts.mask[:1]) for s in (spanish, french)]
    assert (logprobs[0] - logprobs[1]).abs().max() > 1e-3


def test_saved_it_is_loaded_by_us_and_by_transformers_alone(policy, name, tmp_path):
    policy.save(tmp_path)
    again, seen = load_policy(str(tmp_path))
    assert seen is None
    assert again.languages == policy.languages
    for (key, ours), (_, theirs) in zip(policy.model.named_parameters(), again.model.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), key
    assert again.translate(ROWS, 12) == policy.translate(ROWS, 12)
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    ids, mask = pad_rows([s.ids for s in policy.tokenize_sources(ROWS)], policy.pad_id, policy.device)
    start = torch.tensor([s.start for s in policy.tokenize_sources(ROWS)])
    batch = {"input_ids": ids.squeeze(1), "attention_mask": mask.squeeze(1)}
    # As a user of the library asks for a language, with the saved settings.
    if start.shape[1] == 2:
        language = {} if name == "bart" else {"forced_bos_token_id": int(start[0, 1])}
        assert torch.equal(model.generate(**batch, **language, max_length=4)[:, :2], start)
    model.generation_config.forced_bos_token_id = None
    for beams, ours in ((1, policy.translate(ROWS, 12)), (3, policy.beam_search(ROWS, 3, 12))):
        assert ours == generated(model, tokenizer, policy, ROWS, beams)


def test_a_step_changes_the_weights_and_nothing_else(policy):
    buffers = {key: value.clone() for key, value in policy.model.named_buffers()}
    before, twin = ckpt.weights(policy.model), policy.copy()
    work = step(policy, build_optimizer("adamw", policy.model, 1e-3), seed=3)
    moved = {
        key: not torch.equal(value, before[key]) for key, value in policy.model.named_parameters() if key in before
    }
    # A bias of keys shifts all scores of a row alike, so its gradient is zero but for rounding.
    assert all(changed for key, changed in moved.items() if "k_proj.bias" not in key), moved
    assert all(torch.equal(value, buffers[key]) for key, value in policy.model.named_buffers())
    assert all(torch.equal(value, before[key]) for key, value in twin.model.named_parameters() if key in before)
    old, new = (
        (p.token_logprobs(work.sources, work.rollouts.tokens, work.rollouts.mask).sum(-1) * work.advantages).sum()
        for p in (twin, policy)
    )
    assert new > old


def test_stopped_saved_and_resumed_ends_at_the_same_weights(policy, tmp_path):
    policy.save(tmp_path / "model")
    optimizer = build_optimizer("adamw", policy.model, 1e-3)
    step(policy, optimizer, seed=3)
    tensors = {"model": ckpt.weights(policy.model), "optimizer": ckpt.optimizer_tensors(policy.model, optimizer)}
    ckpt.save(tmp_path / "checkpoints", 1, ckpt.Checkpoint(tensors, {}))
    step(policy, optimizer, seed=4)

    resumed, _ = load_policy(str(tmp_path / "model"))
    found = ckpt.latest(tmp_path / "checkpoints")
    optimizer = build_optimizer("adamw", resumed.model, 1e-3)
    ckpt.load_weights(resumed.model, found.tensors["model"])
    ckpt.load_optimizer_tensors(resumed.model, optimizer, found.tensors["optimizer"])
    step(resumed, optimizer, seed=4)
    for (key, ours), (_, theirs) in zip(policy.model.named_parameters(), resumed.model.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), key


def test_long_sources_and_length_limits_are_cut_to_what_the_model_holds(policy):
    source = policy.tokenize_sources([Segment("one two three " * 400, "en", "es")])[0]
    assert len(source) == policy._family.max_positions and source.cut
    assert not any(whole.cut for whole in policy.tokenize_sources(ROWS))
    assert policy.end_id in source.ids[-2:]
    if policy.max_length < 100:
        assert policy.sample(ROWS[:1], 2, Sampling(1.0, 1000), torch.Generator().manual_seed(1)).tokens.shape[2] <= 64


def test_beam_search_goes_as_far_as_the_model_does(policy):
    if policy.max_length > 100:
        policy.max_length = 20  # 512 of T5 would take long
    limit = policy.max_length
    greedy = policy.translate(ROWS, 1000)
    assert greedy == policy.translate(ROWS, limit) != policy.translate(ROWS, limit - 1)
    assert policy.beam_search(ROWS, 1, 1000) == greedy
    assert len(policy.beam_search(ROWS, 3, 1000)) == len(ROWS)


def test_a_translation_never_holds_special_tokens(policy):
    rollouts = sampled(policy, temperature=4.0, samples=16)
    drawn = rollouts.tokens[rollouts.mask]
    assert not torch.isin(drawn, torch.tensor(policy._never)).any()


def test_languages_that_the_model_lacks_are_refused(policy, name):
    if name in {"t5", "mt5", "bart"}:
        policy.check_languages(["en", "eu"])  # marks none, so any may be tried
        return
    policy.check_languages(["en", "es"])
    with pytest.raises(ModelError, match="no language 'tlh'"):
        policy.check_languages(["en", "tlh"])


def test_languages_that_share_a_tag_are_refused(policy, name):
    if name in {"t5", "mt5", "bart"}:
        policy.check_languages(["en", "es", "es-MX"])  # told in words, or not at all
        return
    with pytest.raises(ModelError, match=r"'es' and 'es-MX' are one language to it, called '.*; keep one") as caught:
        policy.check_languages(["en", "es", "es-MX"])
    assert "\n" not in str(caught.value)


def test_languages_that_only_a_source_has_share_no_tag(tmp_path):
    model, tokenizer = build("opus_mt", tmp_path)
    tokenizer.source_lang = "roa"
    policy = Seq2SeqPolicy(model, tokenizer)
    policy.check_languages(["pt", "pt-BR", "es"])  # its sources are not marked
    policy.check_directions([("pt", "es"), ("pt-BR", "es")])


def test_directions_that_nothing_asks_for_are_refused(original, policy, name):
    both = [("en", "es"), ("en", "fr")]
    if name == "bart":
        with pytest.raises(ModelError, match="which of es, fr to translate into"):
            policy.check_directions(both)
        told = Seq2SeqPolicy(original[0], original[1], PromptConfig(template="to {target_language}: {source}"))
        told.check_directions(both)
        source = told.tokenize_sources(ROWS[:1])[0]
        assert told.tokenizer.decode(source.ids, skip_special_tokens=True) == "to Spanish: one two three"
    elif name == "opus_mt_pair":
        with pytest.raises(ModelError, match="does not translate into 'fr', only into es"):
            policy.check_directions(both)
        with pytest.raises(ModelError, match="does not translate from 'es', only from en"):
            policy.check_directions([("es", "es")])
    else:
        policy.check_directions(both)


def test_a_tokenizer_of_another_model_is_refused(original, name):
    model, tokenizer = original
    small = copy.deepcopy(model)
    small.resize_token_embeddings(40)
    with pytest.raises(ModelError, match=r"the tokenizer has \d+ tokens but the weights only 40"):
        Seq2SeqPolicy(small, tokenizer)
    other = copy.deepcopy(model)
    other.config.eos_token_id = 7
    with pytest.raises(ModelError, match=r"token eos is number \d of the tokenizer but 7 of the model"):
        Seq2SeqPolicy(other, tokenizer)


def test_a_configuration_without_the_decoders_first_token_is_refused_where_it_is_needed(original, name, tmp_path):
    model, tokenizer = copy.deepcopy(original[0]), original[1]
    vars(model.config).pop("decoder_start_token_id", None)
    if getattr(model.config, "decoder_start_token_id", None) is not None:  # a default of the class
        vars(model.config)["decoder_start_token_id"] = None
    if name.startswith("mbart"):
        Seq2SeqPolicy(model, tokenizer).save(tmp_path)  # starts from tokens of the tokenizer
        return
    with pytest.raises(ModelError, match=r"config\.json has no decoder_start_token_id, .*; write it there") as caught:
        Seq2SeqPolicy(model, tokenizer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("group", ["ROMANCE", "CELTIC", "NORTH_EU", "en_el_es_fi", "mul"])
def test_opus_mt_reads_all_of_a_group_that_it_has_a_name_of_its_own_for(group, tmp_path):
    model, tokenizer = build("opus_mt_pair", tmp_path)
    tokenizer.source_lang = group
    policy = Seq2SeqPolicy(model, tokenizer)
    policy.check_languages(["fr", "pt", "es"])
    policy.check_directions([("fr", "es"), ("pt", "es")])
    with pytest.raises(ModelError, match="does not translate into 'fr', only into es"):
        policy.check_directions([("es", "fr")])


def test_opus_mt_that_writes_into_no_language_is_refused(tmp_path):
    model, tokenizer = build("opus_mt_pair", tmp_path)
    tokenizer.target_lang = "CELTIC"
    with pytest.raises(ModelError, match=r"translates into 'CELTIC', which is no language.*target_lang") as caught:
        Seq2SeqPolicy(model, tokenizer)
    assert "\n" not in str(caught.value)
    Seq2SeqPolicy(*build("opus_mt", tmp_path))  # tags say it better
