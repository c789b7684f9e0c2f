"""A language that a model has no tag for: it starts as a copy of a related one, is saved, and is trained."""

import warnings

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from eclectus.config import PolicyConfig
from eclectus.errors import ConfigError, ModelError
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.load import load_policy
from eclectus.policies.new_language import add_languages
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from eclectus.segment import Segment
from eclectus.training.optimizer import build_optimizer, update
from tests.policies.by_transformers import generated
from tests.policies.tiny_models import build
from tests.tiny import segments, tiny_policy
from tests.training.tiny_update import step

TOKENS = {
    "eclectus": ">>pcm<<",
    "opus_mt": ">>pcm<<",
    "m2m100": "__pcm__",
    "nllb": "pcm_Latn",
    "nllb_legacy": "pcm_Latn",
    "mbart50": "pcm_XX",
    "mbart25": "pcm_XX",
    "madlad": "<2pcm>",
}
SPANISH, PIDGIN = segments("en", "es"), [Segment(s.source, "en", "pcm", s.reference) for s in segments("en", "es")]


def made(name, folder):
    if name == "eclectus":
        return tiny_policy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Seq2SeqPolicy(*build(name, folder))


@pytest.fixture(params=TOKENS)
def name(request):
    return request.param


@pytest.fixture
def policy(name, tmp_path):
    return made(name, tmp_path)


def scores(policy, rows, tokens, mask):
    return policy.token_logprobs(policy.tokenize_sources(rows), tokens, mask).detach()


def test_it_starts_as_the_related_language_and_leaves_the_others_alone(policy, name):
    rollouts = policy.sample(SPANISH, 3, Sampling(1.0, 10), torch.Generator().manual_seed(5))
    tokens, mask = rollouts.tokens, rollouts.mask
    before, translations = scores(policy, SPANISH, tokens, mask), policy.translate(SPANISH, 12)
    rows, languages = policy.model.get_input_embeddings().weight.shape[0], policy.languages
    extended = add_languages(policy, {"pcm": "es"})
    token = extended.tokenizer.convert_tokens_to_ids(TOKENS[name])
    assert extended.family.token("pcm") == token
    # Nobody else's row.
    assert list(extended.family.tokens.values()).count(token) == 1
    assert len(extended.model.get_input_embeddings().weight) <= rows + 1
    assert sorted(extended.languages) == sorted([*languages, "pcm"])
    assert torch.allclose(scores(extended, SPANISH, tokens, mask), before, atol=1e-6)
    assert torch.allclose(scores(extended, PIDGIN, tokens, mask), before, atol=1e-6)
    assert extended.translate(PIDGIN, 12) == extended.translate(SPANISH, 12) == translations
    assert extended.beam_search(PIDGIN, 3, 12) == extended.beam_search(SPANISH, 3, 12)


def test_head_and_bias_start_from_the_related_language_too(policy, name):
    policy = add_languages(policy, {"pcm": "es"})
    new, old = policy.family.token("pcm"), policy.family.token("es")
    head = policy.model.get_output_embeddings().weight
    assert torch.equal(head[new], head[old])
    bias = getattr(policy.model, "final_logits_bias", None)
    if bias is not None:
        assert bias.shape[1] == len(head)
        assert bias[0, new] == bias[0, old]
    if name == "opus_mt":
        assert bias[0, new] != 0
    assert new in policy._never


def test_its_sources_are_those_of_the_related_language_but_for_the_tag(policy):
    policy = add_languages(policy, {"pcm": "es"})
    swap = {policy.family.token("es"): policy.family.token("pcm")}
    for spanish, pidgin in zip(policy.tokenize_sources(SPANISH), policy.tokenize_sources(PIDGIN), strict=True):
        assert [swap.get(i, i) for i in spanish.ids] == list(pidgin.ids)
        assert [swap.get(i, i) for i in spanish.start] == list(pidgin.start)
        assert (spanish.ids, spanish.start) != (pidgin.ids, pidgin.start)


def test_saved_it_is_loaded_by_us_and_by_transformers_alone(policy, name, tmp_path):
    policy = add_languages(policy, {"pcm": "es"})
    update_on(policy)
    policy.save(tmp_path / "model")
    again, _ = load_policy(str(tmp_path / "model"))
    assert again.languages == policy.languages
    assert again.family.token("pcm") == policy.family.token("pcm")
    expected = policy.translate(PIDGIN, 12)
    assert again.translate(PIDGIN, 12) == expected
    rollouts = policy.sample(SPANISH, 2, Sampling(1.0, 10), torch.Generator().manual_seed(5))
    told = [scores(again, rows, rollouts.tokens, rollouts.mask) for rows in (SPANISH, PIDGIN)]
    assert (told[0] - told[1]).abs().max() > 1e-4  # before: within 1e-6

    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    token = tokenizer.convert_tokens_to_ids(TOKENS[name])
    assert token == policy.family.token("pcm")
    sources = policy.tokenize_sources(PIDGIN)
    if name in {"eclectus", "opus_mt", "madlad"}:
        # A tag in the text is cut out of it by the library's own tokenizer.
        texts = [f"{TOKENS[name]} {row.source}" for row in PIDGIN]
        assert [list(source.ids) for source in sources] == tokenizer(texts).input_ids
    assert generated(model, tokenizer, policy, PIDGIN) == expected


def update_on(policy, steps=3):
    """Supervised steps on pairs into the new language."""
    optimizer = build_optimizer("adamw", policy.model, 3e-2)
    for _ in range(steps):
        loss, _ = policy.smoothed_loss(
            policy.tokenize_sources(PIDGIN), policy.tokenize_targets([row.reference for row in PIDGIN]), 0.1
        )
        loss.backward()
        update(optimizer, 3e-2, 1.0)


def test_both_kinds_of_training_move_its_row(policy):
    policy = add_languages(policy, {"pcm": "es"})
    rows = policy.model.get_input_embeddings().weight
    new, old = policy.family.token("pcm"), policy.family.token("es")
    assert torch.equal(rows[new], rows[old])
    # Into Spanish: the head or the source moves Spanish alone.
    step(policy, build_optimizer("adamw", policy.model, 1e-3), seed=3)
    apart = not torch.equal(rows[new], rows[old])
    assert apart
    before = rows[new].clone()
    update_on(policy, 1)
    assert not torch.equal(rows[new], before)


@pytest.mark.parametrize(
    ("model", "tag", "token"),
    [
        ("nllb", "sco", "sco_Latn"),
        ("nllb", "chr", "chr_Cher"),
        ("nllb", "uz-Cyrl", "uzb_Cyrl"),
        ("m2m100", "uz-Cyrl", "__uz_Cyrl__"),
        ("mbart50", "sr-Cyrl", "sr_RS"),
        ("mbart50", "sco", "sco_XX"),
        ("madlad", "uz-Cyrl", "<2uz_Cyrl>"),
        ("opus_mt", "pt-BR", ">>pt-BR<<"),
    ],
)
def test_a_tag_is_written_as_the_family_writes_it(model, tag, token, tmp_path):
    policy = made(model, tmp_path)
    policy = add_languages(policy, {tag: "es"})
    assert policy.family.token(tag) == policy.tokenizer.convert_tokens_to_ids(token)
    assert policy.has_language(tag)


def test_several_languages_at_once(tmp_path):
    policy = made("m2m100", tmp_path)
    rows = len(policy.model.get_input_embeddings().weight)
    policy = add_languages(policy, {"pcm": "es", "tlh": "en"})
    head = policy.model.get_output_embeddings().weight
    assert len(head) == rows + 2
    assert torch.equal(head[policy.family.token("pcm")], head[policy.family.token("es")])
    assert torch.equal(head[policy.family.token("tlh")], head[policy.family.token("en")])
    assert not torch.equal(head[rows], head[rows + 1])
    with pytest.raises(ModelError, match="has the language 'pcm' already"):
        add_languages(policy, {"pcm": "es"})


@pytest.mark.parametrize(
    ("related", "message"),
    [
        ({"es": "en"}, "has the language 'es' already; take it out"),
        ({"pcm": "tlh"}, "has no language 'tlh' to start 'pcm' from; did you mean 'th'"),
        ({"pcm": "zz-nonsense-tag"}, "has no language 'zz-nonsense-tag' to start 'pcm' from among its 100"),
    ],
)
def test_what_cannot_be_added_is_one_sentence(related, message, tmp_path):
    with pytest.raises(ModelError, match=message) as caught:
        add_languages(made("m2m100", tmp_path), related)
    assert "\n" not in str(caught.value)


def test_an_unknown_tag_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="unknown language 'qqq'"):
        add_languages(made("eclectus", tmp_path), {"qqq": "es"})
    with pytest.raises(ConfigError, match="write 'pt-BR'"):
        add_languages(made("eclectus", tmp_path), {"pt_br": "es"})


@pytest.mark.parametrize("name", ["t5", "bart", "opus_mt_pair", "llama"])
def test_models_without_tags_have_no_need(name, tmp_path):
    policy = CausalPolicy(*build(name, tmp_path)) if name == "llama" else made(name, tmp_path)
    with pytest.raises(ModelError, match="has no language tags to add one to; drop the setting"):
        add_languages(policy, {"pcm": "en"})


def test_a_new_model_needs_none():
    with pytest.raises(ValueError, match=r"has a tag for every language of the run, drop policy\.add_languages"):
        PolicyConfig(new={}, add_languages={"pcm": "en"})
