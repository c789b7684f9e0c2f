"""Batched scores against the model's own loss, and values on the scale of the run's text."""

import math
import random

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from eclectus.errors import ModelError
from eclectus.rewards.base import RewardContext
from eclectus.rewards.causal_lm import CausalLM
from eclectus.rewards.models.scorer import CausalScorer
from eclectus.segment import Segment

RNG = random.Random(1)
WORDS = ["black", "white", "cat", "dog", "sleeps", "runs", "house", "garden", "river", "near", "the", "old"]
TEXTS = list(dict.fromkeys(" ".join(RNG.choices(WORDS, k=RNG.randint(2, 14))) for _ in range(300)))


def tokenizer(**special):
    made = Tokenizer(models.BPE(unk_token=None))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)


def save(folder, kind="llama", **special):
    torch.manual_seed(3)
    if kind == "llama":
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        model = LlamaForCausalLM(
            LlamaConfig(vocab_size=300, max_position_embeddings=64, initializer_range=0.5, **sizes)
        )
    else:
        sizes = {"n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2}
        model = GPT2LMHeadModel(GPT2Config(vocab_size=300, initializer_range=0.5, **sizes))
    model.save_pretrained(folder)
    tokenizer(**special).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save(tmp_path_factory.mktemp("llama"), bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return save(tmp_path_factory.mktemp("gpt2"), "gpt2", eos_token="</s>")


def by_loss(folder, text, start):
    """Minus the sum of transformers' own loss of one text."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([start + tokenizer().encode(text, add_special_tokens=False)])
    with torch.no_grad():
        return -float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1), ids.shape[1] - 1


def score(folder, texts, batch_tokens=1024, max_length=512):
    return CausalScorer(str(folder), "cpu", batch_tokens, max_length)(texts)


@pytest.mark.parametrize(("kind", "start"), [("llama", [0]), ("gpt2", [1])])
def test_scores_are_the_models_own_loss(kind, start, request):
    folder = request.getfixturevalue(kind)
    texts = [*TEXTS[:10], "猫 ñ", "x"]
    totals, lengths = score(folder, texts)
    expected = [by_loss(folder, text, start) for text in texts]
    assert totals == pytest.approx([total for total, _ in expected], rel=1e-4)
    assert lengths.tolist() == [n for _, n in expected]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_batch_is_its_texts_one_by_one(kind, request):
    folder = request.getfixturevalue(kind)
    scorer = CausalScorer(str(folder), "cpu", 1024, 512)
    together, _ = scorer(TEXTS[:40])
    alone = [scorer([text])[0][0] for text in TEXTS[:40]]
    assert together == pytest.approx(alone, rel=1e-4)
    assert score(folder, TEXTS[:40], batch_tokens=50)[0] == pytest.approx(alone, rel=1e-4)
    assert score(folder, TEXTS[:40], batch_tokens=1)[0] == pytest.approx(alone, rel=1e-4)


def test_batches_stay_within_their_tokens(llama):
    scorer = CausalScorer(str(llama), "cpu", 60, 512)
    lengths = np.array([5, 0, 20, 3, 59, 70, 8])
    batches = list(scorer._batches(lengths))
    assert sorted(i for batch in batches for i in batch) == [0, 2, 3, 4, 5, 6]
    assert all(len(batch) == 1 or len(batch) * max(lengths[batch]) <= 60 for batch in batches)
    assert len(batches) == 4


def test_long_text_is_cut_at_what_the_model_reads(gpt2):
    assert score(gpt2, ["the cat " * 5000])[1].tolist() == [63]  # 64 positions, one for the beginning
    assert score(gpt2, ["the cat " * 5000], max_length=7)[1].tolist() == [7]


def judge(reward, texts, language="en"):
    return reward([Segment("", "es", language)] * len(texts), texts)


def test_without_text_the_value_is_the_inverse_perplexity(llama):
    reward = CausalLM(CausalLM.Options(path=str(llama), device="cpu"))
    total, n = by_loss(llama, TEXTS[0], [0])
    assert judge(reward, [TEXTS[0], "", "  "]) == pytest.approx([math.exp(total / n), 0.0, 0.0], rel=1e-4)


def test_with_text_real_text_averages_a_half_in_its_language_alone(llama):
    context = RewardContext(target_texts={"en": TEXTS[:200], "fr": TEXTS[:50]})
    reward = CausalLM(CausalLM.Options(path=str(llama), device="cpu"), context)
    values = judge(reward, TEXTS[200:])
    assert 0.4 < sum(values) / len(values) < 0.6
    assert judge(reward, ["zqx vvk jjj wwq", "猫猫猫"]) < [0.3, 0.3]
    (total,), (n,) = score(llama, TEXTS[:1])
    assert judge(reward, TEXTS[:1], "fr") == pytest.approx([math.exp(total / n)])


def test_few_texts_calibrate_where_told(llama):
    context = RewardContext(target_texts={"en": TEXTS})
    few = CausalLM(CausalLM.Options(path=str(llama), device="cpu", max_texts=20), context)
    many = CausalLM(CausalLM.Options(path=str(llama), device="cpu"), context)
    assert judge(few, TEXTS[:5]) != judge(many, TEXTS[:5])


def test_a_model_without_a_beginning(tmp_path):
    folder = save(tmp_path)
    reward = CausalLM(CausalLM.Options(path=str(folder), device="cpu"))
    total, n = by_loss(folder, "the cat", [])
    assert judge(reward, ["the cat", "x", ""]) == [pytest.approx(math.exp(total / n), rel=1e-4), None, 0.0]


def test_odd_text_has_a_value(llama):
    reward = CausalLM(CausalLM.Options(path=str(llama), device="cpu"), RewardContext(target_texts={"en": TEXTS}))
    assert reward([], []) == []
    for text in ("\ud800", "a\udfff b", "\x00", "😀", "<s>", "שלום", "\u200b", "a" * 100_000):
        (value,) = judge(reward, [text])
        assert 0 <= value <= 1, text
    assert reward.signature.startswith("causal_lm|")


def test_what_is_no_causal_model_is_refused(tmp_path, llama):
    with pytest.raises(ModelError, match=r"cannot load the causal model '.*nothing'"):
        CausalLM(CausalLM.Options(path=str(tmp_path / "nothing")))
    with pytest.raises(ModelError, match="cannot load"):
        CausalLM(CausalLM.Options(path=str(llama), device="no-such-device"))
    small = save(tmp_path, bos_token="<s>")
    LlamaForCausalLM(LlamaConfig(vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                 num_attention_heads=1)).save_pretrained(small)  # fmt: skip
    with pytest.raises(ModelError, match="has 300 tokens and the model 20"):
        CausalLM(CausalLM.Options(path=str(small), device="cpu"))
