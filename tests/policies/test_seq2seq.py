import json

import pytest
import torch
from transformers import AutoTokenizer, MarianConfig, MarianMTModel

from eclectus.errors import ModelError
from eclectus.policies.load import load_policy, new_policy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from eclectus.rollouts.padding import pad_rows
from eclectus.segment import Segment
from tests.tiny import SENTENCES, TINY, segments, tiny_policy


@pytest.fixture
def policy():
    return tiny_policy()


def sampled(policy, temperature=1.0, samples=3, seed=1):
    rows = segments("en", "es")
    generator = torch.Generator().manual_seed(seed)
    return rows, policy.sample(rows, samples, Sampling(temperature, 12), generator)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
def test_sampling_and_training_logprobs_are_equal(policy, temperature):
    rows, rollouts = sampled(policy, temperature)
    again = policy.token_logprobs(policy.tokenize_sources(rows), rollouts.tokens, rollouts.mask, temperature)
    assert torch.allclose(again, rollouts.logprobs, atol=1e-5)


def test_logprobs_equal_transformers_own_forward(policy):
    rows, rollouts = sampled(policy)
    ids, mask = pad_rows([s.ids for s in policy.tokenize_sources(rows)], policy.pad_id, policy.device)
    ours = policy.token_logprobs(policy.tokenize_sources(rows), rollouts.tokens, rollouts.mask)
    policy.model.set_attn_implementation("eager")
    for g in range(rollouts.tokens.shape[1]):
        labels = rollouts.tokens[:, g]
        begin = torch.tensor([source.start for source in policy.tokenize_sources(rows)])
        logits = policy.model(
            input_ids=ids.squeeze(1),
            attention_mask=mask.squeeze(1).long(),
            decoder_input_ids=torch.cat([begin, labels[:, :-1]], dim=1),
        ).logits
        logits[..., policy._never] = float("-inf")
        theirs = logits.log_softmax(-1).gather(2, labels[..., None]).squeeze(-1)
        assert torch.allclose(ours[:, g], theirs.where(rollouts.mask[:, g], 0.0), atol=1e-5)


def test_supervised_loss_equals_cross_entropy_of_transformers(policy):
    rows = segments("en", "es")
    sources, targets = policy.tokenize_sources(rows), policy.tokenize_targets([r.reference for r in rows])
    smoothed, plain = policy.smoothed_loss(sources, targets, 0.1)
    policy.model.set_attn_implementation("eager")
    ids, mask = pad_rows([s.ids for s in sources], policy.pad_id, policy.device)
    labels, label_mask = pad_rows(targets, policy.pad_id, policy.device)
    labels = labels.squeeze(1).masked_fill(~label_mask.squeeze(1), -100)
    output = policy.model(input_ids=ids.squeeze(1), attention_mask=mask.squeeze(1).long(), labels=labels)
    count = int(label_mask.sum())
    assert plain.item() / count == pytest.approx(output.loss.item(), abs=1e-5)
    expected = torch.nn.functional.cross_entropy(
        output.logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1, reduction="sum"
    )
    assert smoothed.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_batch_equals_one_by_one(policy):
    rows = segments("en", "fr")
    assert policy.translate(rows, 12) == [policy.translate([row], 12)[0] for row in rows]
    many, rollouts = sampled(policy)
    sources = policy.tokenize_sources(many)
    together = policy.token_logprobs(sources, rollouts.tokens, rollouts.mask)
    for i in range(len(many)):
        alone = policy.token_logprobs([sources[i]], rollouts.tokens[i : i + 1], rollouts.mask[i : i + 1])
        assert torch.allclose(alone[0], together[i], atol=1e-5)


def test_greedy_and_beam_equal_transformers_generate(policy, tmp_path):
    policy.save(tmp_path / "model")
    rows = segments("en", "es")
    model = MarianMTModel.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    inputs = tokenizer([f">>es<< {row.source}" for row in rows], return_tensors="pt", padding=True)
    for beams, ours in ((1, policy.translate(rows, 12)), (3, policy.beam_search(rows, 3, 12))):
        made = model.generate(
            input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, max_length=13, num_beams=beams
        )
        assert ours == [t.strip() for t in tokenizer.batch_decode(made, skip_special_tokens=True)]


def test_save_and_load_translate_the_same_and_keep_every_weight(policy, tmp_path):
    policy.save(tmp_path / "model")
    again, seen = load_policy(str(tmp_path / "model"))
    assert seen is None
    assert again.languages == policy.languages
    for (name, a), (_, b) in zip(policy.model.named_parameters(), again.model.named_parameters(), strict=True):
        assert torch.equal(a, b), name
    assert again.translate(segments("en", "fr"), 12) == policy.translate(segments("en", "fr"), 12)


def test_a_translation_never_holds_padding_or_tags(policy):
    _, rollouts = sampled(policy, temperature=3.0, samples=16)
    drawn = rollouts.tokens[rollouts.mask]
    assert not torch.isin(drawn, torch.tensor(policy._never)).any()


def test_a_frozen_copy_stays_when_the_policy_moves(policy):
    twin = policy.copy()
    with torch.no_grad():
        policy.model.lm_head.weight.add_(1.0)
    assert not torch.equal(twin.model.lm_head.weight, policy.model.lm_head.weight)
    assert not any(p.requires_grad for p in twin.model.parameters())
    trainable = policy.copy(trainable=True)
    assert [p.requires_grad for p in trainable.model.parameters()] == [
        p.requires_grad for p in policy.model.parameters()
    ]


def test_too_long_sources_are_cut_to_what_the_model_holds(policy):
    ids = policy.tokenize_sources([Segment("one two three " * 500, "en", "es")])[0].ids
    assert len(ids) == policy.model.config.max_position_embeddings
    assert ids[-1] == policy.end_id


def test_a_length_limit_beyond_the_model_is_cut_to_it(policy):
    rows = segments("en", "es")
    assert policy.translate(rows, 1000) == policy.translate(rows, policy.max_length)
    assert len(policy.beam_search(rows, 2, 1000)) == len(rows)
    rollouts = policy.sample(rows, 2, Sampling(1.0, 1000), torch.Generator().manual_seed(1))
    assert rollouts.tokens.shape[2] <= policy.max_length


def test_unknown_language_names_the_known_ones(policy):
    with pytest.raises(ModelError, match=r"no language 'eu'.*known: en, es, fr"):
        policy.check_languages(["en", "eu"])


def test_digits_stand_alone_and_text_survives_the_tokenizer():
    policy = new_policy(TINY, [s for texts in SENTENCES.values() for s in texts], ["en", "es"], 1)
    text = SENTENCES["es"][0]
    assert policy.detokenize(policy.tokenize_targets([text])) == [text]
    pieces = policy.tokenizer.convert_ids_to_tokens(policy.tokenize_targets(["twenty 2020"])[0])
    assert sum(piece in {"2", "0", "▁2"} for piece in pieces) == 4


def damaged(folder, what):
    if what == "no config":
        (folder / "config.json").unlink()
    elif what == "not json":
        (folder / "config.json").write_text("{", encoding="utf-8")
    elif what == "other type":
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}), encoding="utf-8")
    elif what == "no weights":
        (folder / "model.safetensors").unlink()
    elif what == "cut weights":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    elif what == "no tokenizer":
        (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no config", "has no config.json"),
        ("not json", "is not valid JSON"),
        ("other type", "is of type 'bert'"),
        ("no weights", "has no .safetensors or pytorch_model.bin weights"),
        ("cut weights", "cannot load|damaged"),
        ("no tokenizer", "has no tokenizer.json"),
    ],
)
def test_a_damaged_folder_is_one_sentence(policy, tmp_path, what, message):
    folder = tmp_path / "model"
    policy.save(folder)
    damaged(folder, what)
    with pytest.raises(ModelError, match=message) as caught:
        load_policy(str(folder))
    assert "\n" not in str(caught.value)


def test_a_missing_model_is_one_sentence(tmp_path):
    with pytest.raises(ModelError, match="cannot load"):
        load_policy(str(tmp_path / "nothing"))


def test_a_model_without_language_tags_is_refused(policy):
    plain = new_policy(TINY, SENTENCES["en"], ["en"], 1).tokenizer
    vocabulary = json.loads(plain.backend_tokenizer.to_str())
    vocabulary["added_tokens"] = [t for t in vocabulary["added_tokens"] if t["content"] != ">>en<<"]
    vocabulary["model"]["vocab"] = {("xx" if k == ">>en<<" else k): v for k, v in vocabulary["model"]["vocab"].items()}
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    untagged = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(vocabulary)), pad_token="<pad>", eos_token="</s>"
    )
    config = MarianConfig(**{**policy.model.config.to_dict(), "vocab_size": len(untagged)})
    with pytest.raises(ModelError, match="no '>>xx<<' language tags"):
        Seq2SeqPolicy(MarianMTModel(config), untagged)
