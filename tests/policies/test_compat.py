"""What is written for both transformers 4 and 5, and what one of them does in another way."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from eclectus.errors import ModelError
from eclectus.policies import compat
from eclectus.policies.attention import layout_of
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.compat import _run_apart, stack
from eclectus.policies.load import load_policy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from tests.policies.tiny_models import CAUSAL, build
from tests.tiny import segments, tiny_policy


@pytest.mark.parametrize("name", ["nllb", "mbart50", "madlad", "t5", "bart", "m2m100", "opus_mt", "qwen3", "gemma"])
def test_a_tokenizer_is_saved_in_words_that_both_know(name, tmp_path):
    model, tokenizer = build(name, tmp_path)
    (CausalPolicy if name in CAUSAL else Seq2SeqPolicy)(model, tokenizer).save(tmp_path / "saved")
    settings = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert not isinstance(settings.get("extra_special_tokens"), list)
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert set(again.all_special_tokens) == set(tokenizer.all_special_tokens)
    assert again("the red house is old").input_ids == tokenizer("the red house is old").input_ids


def test_a_new_models_tokenizer_is_of_a_class_that_both_know(tmp_path):
    policy = tiny_policy()
    policy.save(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert settings["additional_special_tokens"] == [">>en<<", ">>es<<", ">>fr<<"]


@pytest.mark.parametrize(("name", "tied"), [("t5", True), ("mt5", False), ("madlad", False)])
def test_a_t5_says_whether_its_embeddings_are_tied(name, tied, tmp_path):
    """transformers 5 writes `true` for all; 4 would then take the embeddings for the head and scale its input."""
    policy = Seq2SeqPolicy(*build(name, tmp_path))
    policy.save(tmp_path / "saved")
    settings = json.loads((tmp_path / "saved" / "config.json").read_text(encoding="utf-8"))
    assert settings.get("tie_word_embeddings", True) is tied
    again, _ = load_policy(str(tmp_path / "saved"))
    assert again.hidden_scale == policy.hidden_scale == (policy.width**-0.5 if tied else 1.0)
    assert torch.equal(again._head, policy._head)
    assert AutoConfig.from_pretrained(tmp_path / "saved").model_type in {"t5", "mt5"}


@pytest.mark.parametrize(
    "settings", [{"tokenizer_class": "TokenizersBackend"}, {"extra_special_tokens": [">>es<<"]}], ids=["class", "list"]
)
def test_transformers_4_refuses_settings_of_5_in_one_sentence(settings, tmp_path, monkeypatch):
    policy = tiny_policy()
    policy.save(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | settings), encoding="utf-8")
    monkeypatch.setattr(compat, "OLD", True)
    with pytest.raises(ModelError, match=r"saved by transformers 5, and .*; install transformers 5$"):
        load_policy(str(tmp_path))


@pytest.mark.parametrize("apart", [False, True], ids=["as here", "as in transformers 4"])
@pytest.mark.parametrize("owners", [[0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 1, 1, 3], [1, 0, 3, 1], [2]])
def test_rows_see_their_own_source(apart, owners):
    """Against the library's own pass over a batch in which each row brings its own source."""
    policy = tiny_policy()
    states, mask = policy.encode(policy.tokenize_sources(segments("en", "es")))
    kept, places = torch.tensor(owners).unique(return_inverse=True)
    ids = torch.randint(5, 150, (len(owners), 6), generator=torch.Generator().manual_seed(1))
    decoder = policy.model.get_decoder()
    with torch.no_grad(), policy.library_search("sdpa"):
        wanted = decoder(
            input_ids=ids,
            encoder_hidden_states=states[owners],
            encoder_attention_mask=mask[owners, 0, 0],
            use_cache=False,
        ).last_hidden_state
    call = {
        "input_ids": ids,
        "encoder_hidden_states": states[kept],
        "encoder_attention_mask": mask[kept],
        "use_cache": False,
    }
    layout = layout_of(places, len(kept))
    assert (layout is None) == (owners in ([0, 0, 1, 1, 2, 2, 3, 3], [2]))
    with torch.no_grad():
        if apart:
            with policy.library_search("sdpa"):
                found = _run_apart(decoder, **call, layout=layout)
        else:
            found = stack(decoder)(**call, layout=layout)
    assert torch.allclose(found.last_hidden_state, wanted, atol=1e-5)
    shifted = states[[(owner + 1) % 4 for owner in owners]]
    with torch.no_grad(), policy.library_search("sdpa"):
        other = decoder(input_ids=ids, encoder_hidden_states=shifted, use_cache=False).last_hidden_state
    assert not torch.allclose(other, wanted, atol=1e-3)
