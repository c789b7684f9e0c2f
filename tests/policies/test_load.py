"""A model that cannot be used is refused in one sentence, before any training."""

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from eclectus.config import PromptConfig
from eclectus.errors import ModelError
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.compat import OLD
from eclectus.policies.load import load_policy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from tests.policies.tiny_models import build
from tests.tiny import segments, tiny_policy

ROWS = segments("en", "es")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A healthy NLLB folder."""
    folder = tmp_path_factory.mktemp("saved")
    model, tokenizer = build("nllb", folder)
    Seq2SeqPolicy(model, tokenizer).save(folder / "model")
    return folder / "model"


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def refused(folder):
    with pytest.raises(ModelError) as caught:
        load_policy(str(folder))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("model: ")
    assert len(message) < 400
    return message


def changed(folder, file="config.json", **values):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    assert "no .safetensors or pytorch_model.bin weights" in refused(folder)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("bert", "writes no text from text"),
        ("xlm-roberta", "writes no text from text"),
        ("vit", "writes no text from text"),
        ("gpt2", "is not supported"),
        ("pegasus", "is not supported"),
    ],
)
def test_another_architecture(folder, kind, why):
    changed(folder, model_type=kind)
    message = refused(folder)
    assert f"of type '{kind}', which {why}" in message
    assert "m2m_100" in message


@pytest.mark.parametrize("architecture", ["T5EncoderModel", "MBartForSequenceClassification"])
def test_an_architecture_that_writes_nothing(folder, architecture):
    changed(folder, architectures=[architecture])
    assert f"is a {architecture}, which writes no text" in refused(folder)


def test_code_of_its_own_is_never_run(folder):
    (folder / "modeling_own.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")
    changed(folder, model_type="own", auto_map={"AutoModelForSeq2SeqLM": "modeling_own.Own"})
    assert "brings code of its own (trust_remote_code), which is never run" in refused(folder)
    changed(folder, model_type="m2m_100", architectures=["OwnTranslator"])
    assert "brings code of its own" in refused(folder)
    changed(folder, architectures=["M2M100ForConditionalGeneration"])
    assert load_policy(str(folder))[0].translate(ROWS, 5)  # a family that needs none of that code


def test_a_tokenizer_of_its_own_is_neither_run_nor_replaced(folder):
    (folder / "tokenization_own.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")
    own = {"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]}
    kind = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["tokenizer_class"]
    changed(folder, "tokenizer_config.json", tokenizer_class="OwnTokenizer", auto_map=own)
    assert "a OwnTokenizer, is code of its own (trust_remote_code), which is never run" in refused(folder)
    changed(folder, "tokenizer_config.json", tokenizer_class=kind)
    assert load_policy(str(folder))[0].translate(ROWS, 5)


def test_a_damaged_generation_config(folder):
    (folder / "generation_config.json").write_text('{"bad_words_ids": [[', encoding="utf-8")
    assert "generation_config.json' is not valid JSON" in refused(folder)


def test_a_setting_of_another_kind(folder):
    changed(folder, d_model="wide")
    message = refused(folder)
    assert "str" in message
    assert OLD or "'d_model'" in message


@pytest.mark.parametrize("values", [{"model_type": ["t5"]}, {"architectures": [3]}, {"architectures": "T5"}])
def test_a_configuration_that_names_no_model(folder, values):
    changed(folder, **values)
    assert "does not name its model_type and architectures in text" in refused(folder)


@pytest.mark.parametrize("weight_map", [None, ["model.safetensors"], {"a": 1}])
def test_an_index_that_names_no_files(folder, weight_map):
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    assert "model.safetensors.index.json' names no file for each tensor" in refused(folder)


def test_a_first_token_that_the_model_does_not_have(folder):
    changed(folder, decoder_start_token_id=99999)
    assert "start from token 99999, and the weights have" in refused(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(folder, value):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if "fc1.weight" in name)
    tensors[name][0, 0] = value
    save_file(tensors, path, metadata={"format": "pt"})
    assert f"are damaged: {name} is not finite" in refused(folder)


def test_a_corrupt_safetensors_file(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    assert "damaged" in refused(folder)
    path.write_bytes(b"not a tensor" * 100)
    assert "damaged" in refused(folder)


def test_weights_of_another_architecture(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file({k: v for k, v in tensors.items() if "decoder.layers.1" not in k}, path, metadata={"format": "pt"})
    assert "belong to another architecture" in refused(folder)


def test_weights_with_more_layers_than_the_configuration(folder):
    changed(folder, decoder_layers=1)
    assert "have layers that its config.json does not, model.decoder.layers.1." in refused(folder)


def test_what_another_program_kept_beside_the_model_is_left(folder):
    path = folder / "model.safetensors"
    save_file(load_file(path) | {"ema.step": torch.zeros(1)}, path, metadata={"format": "pt"})
    assert load_policy(str(folder))[0].translate(ROWS, 5)


def test_shards_are_loaded_and_a_missing_one_is_named(saved, tmp_path):
    whole, _ = load_policy(str(saved))
    whole.model.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    whole.tokenizer.save_pretrained(tmp_path / "model")
    shards = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(shards) > 1
    assert load_policy(str(tmp_path / "model"))[0].translate(ROWS, 8) == whole.translate(ROWS, 8)
    shards[0].unlink()
    assert f"lacks {shards[0].name}" in refused(tmp_path / "model")


def test_old_weights_are_loaded_and_nothing_in_them_is_run(saved, folder, tmp_path):
    whole, _ = load_policy(str(saved))
    (folder / "model.safetensors").unlink()
    torch.save(whole.model.state_dict(), folder / "pytorch_model.bin")
    assert load_policy(str(folder))[0].translate(ROWS, 8) == whole.translate(ROWS, 8)

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    torch.save({"weight": Bomb()}, folder / "pytorch_model.bin")
    refused(folder)
    assert not (tmp_path / "exploded").exists()


def test_a_tokenizer_of_another_model(folder, tmp_path):
    _, tokenizer = build("bart", tmp_path)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert "no tokenizer" in refused(folder)
    tokenizer.save_pretrained(folder)
    assert refused(folder)


def test_weights_of_other_shapes(folder):
    changed(folder, vocab_size=json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"] + 9)
    assert "have other shapes than its config.json says" in refused(folder)


def test_a_tokenizer_with_code_of_its_own(folder, monkeypatch):
    def refuse(*_, **options):
        assert not options["trust_remote_code"]
        raise ValueError("contains custom code which must be executed; pass trust_remote_code=True")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", refuse)
    assert "brings code of its own (trust_remote_code), which is never run" in refused(folder)


def test_a_folder_of_another_program(folder):
    (folder / "config.json").write_text('{"bos_token": "<s>"}', encoding="utf-8")
    assert "names no model_type; give the run or model folder that it was made from" in refused(folder)
    (folder / "model.bin").touch()
    assert "it is a model of CTranslate2, for other programs" in refused(folder)


def test_a_damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert refused(folder)


def test_a_language_that_the_model_lacks(saved):
    policy, _ = load_policy(str(saved))
    policy.check_languages(["en", "sw", "zh-Hant", "pt-BR"])
    for language in ("pcm", "tlh", "qya-Teng"):
        with pytest.raises(ModelError, match=f"no language '{language}'") as caught:
            policy.check_languages(["en", language])
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "error", [ImportError("requires the SentencePiece library"), ValueError("need sentencepiece or")]
)
def test_a_tokenizer_that_needs_sentencepiece_says_how_to_install_it(folder, monkeypatch, error):
    def without(*arguments, **options):
        raise error

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", without)
    assert "pip install 'eclectus[sentencepiece]'" in refused(folder)


def test_another_package_that_is_missing_is_named(folder, monkeypatch):
    def without(*arguments, **options):
        raise ImportError("Loading this needs optimum")

    monkeypatch.setattr(transformers.AutoModelForSeq2SeqLM, "from_pretrained", without)
    assert "needs optimum" in refused(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "are quantised and cannot be trained"),
        ({"d_model": "16"}, "cannot load"),
    ],
)
def test_settings_that_nothing_can_be_trained_with(folder, values, message):
    changed(folder, **values)
    assert message in refused(folder)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_a_model_is_asked_in_the_words_that_it_was_trained_with(tmp_path, name):
    asked = Seq2SeqPolicy(*build(name, tmp_path), PromptConfig(template="say in {target_language}: {source}"))
    asked.save(tmp_path / "model")
    again, _ = load_policy(str(tmp_path / "model"))
    assert again.tokenize_sources(ROWS) == asked.tokenize_sources(ROWS)
    other, _ = load_policy(str(tmp_path / "model"), PromptConfig(template="{source}"))
    assert other.tokenize_sources(ROWS) != asked.tokenize_sources(ROWS)


@pytest.mark.parametrize("text", ["[]", '{"prompt": {}, "examples": [1]}', '{"prompt": {"chat": 1}, "examples": {}}'])
def test_a_damaged_prompt(tmp_path, text):
    Seq2SeqPolicy(*build("t5", tmp_path)).save(tmp_path / "model")
    (tmp_path / "model" / "prompt.json").write_text(text, encoding="utf-8")
    assert "prompt.json' is damaged" in refused(tmp_path / "model")


def test_loading_says_nothing_on_the_screen(tmp_path, capfd):
    for name in ("madlad", "opus_mt"):
        (tmp_path / name).mkdir()
        model, tokenizer = build(name, tmp_path / name)
        Seq2SeqPolicy(model, tokenizer).save(tmp_path / name / "model")
        capfd.readouterr()
        load_policy(str(tmp_path / name / "model"))
        assert capfd.readouterr() == ("", "")


def test_what_a_new_model_does_not_train_stays_fixed_when_loaded(tmp_path):
    policy = tiny_policy()
    policy.save(tmp_path)
    fixed = {name for name, value in policy.model.named_parameters() if not value.requires_grad}
    loaded, _ = load_policy(str(tmp_path))
    assert fixed and fixed == {name for name, value in loaded.model.named_parameters() if not value.requires_grad}


def test_the_tokenizer_of_a_smaller_model(tmp_path):
    """M2M100's languages are NLLB's too, and all its tokens have rows; but half of the rows have no token."""
    model, tokenizer = build("nllb", tmp_path)
    model.resize_token_embeddings(len(tokenizer) + 1024)
    Seq2SeqPolicy(model, tokenizer)  # rows for the processor's sake
    model.resize_token_embeddings(len(tokenizer) + 1025)
    with pytest.raises(ModelError, match=r"has \d+ tokens but the weights \d+; the folder mixes files of two models"):
        Seq2SeqPolicy(model, tokenizer)


def test_the_tokenizer_of_another_causal_model(tmp_path):
    model, _ = build("gemma2", tmp_path)
    _, tokenizer = build("llama", tmp_path)
    with pytest.raises(ModelError, match=r"bos and eos are numbers 1 and 2 of the tokenizer but 2 and 1 of the model"):
        CausalPolicy(model, tokenizer)
    model.config.bos_token_id = 1  # a chat model's ends may be named in the tokenizer alone
    assert CausalPolicy(model, tokenizer).end_ids == [1, 2]


def test_the_tokenizer_of_a_causal_model_without_a_first_token(tmp_path):
    """Nothing but the end tells it from another: here the model ends with what is a word of the tokenizer."""
    model, tokenizer = build("qwen2", tmp_path)
    assert tokenizer.bos_token_id is None
    assert CausalPolicy(model, tokenizer)
    model.config.eos_token_id = model.generation_config.eos_token_id = 50
    with pytest.raises(ModelError, match="eos are numbers None and 0 of the tokenizer but None and 50 of the model"):
        CausalPolicy(model, tokenizer)


def test_a_prompt_of_tokens_that_the_model_lacks(tmp_path):
    model, tokenizer = build("gemma3", tmp_path)
    tokenizer.chat_template = "<image_soft_token>" + tokenizer.chat_template
    with pytest.raises(ModelError, match="the folder mixes files of two models"):
        CausalPolicy(model, tokenizer)
