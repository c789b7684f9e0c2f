"""Say in one sentence why a folder is no model, before transformers says it in forty lines or loads random weights."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import transformers

from eclectus.errors import ModelError, resuming

_NOT_GENERATING = ("Encoder", "Classification", "QuestionAnswering", "MaskedLM", "Vision", "Image", "Audio", "Speech")
"""Parts of architecture names of models that write no text from text."""

_TOKENIZER_FILES = ("tokenizer.json", "*.spm", "*.model", "vocab.json", "vocab.txt", "tekken.json")


def model_of_run(path: str) -> str:
    """The model folder of a run folder; anything else stays as it is.

    Raises:
        ModelError: the run has not written its model yet.
    """
    folder = Path(path)
    if not (folder / "config.yaml").exists() or (folder / "config.json").exists():
        return path
    if not (folder / "model").is_dir():
        raise ModelError(f"model: the run '{path}' has no model yet; continue it with {resuming(path)}")
    return str(folder / "model")


def check_folder(folder: Path, known: Collection[str]) -> None:
    """Check a model folder.

    Args:
        known: the values of `model_type` that can be loaded.

    Raises:
        ModelError: no configuration, another architecture, no weights, no tokenizer.
    """
    if not folder.is_dir():
        raise ModelError(f"model: '{folder}' is a file; give the folder that holds config.json")
    path = folder / "config.json"
    if not path.exists():
        raise ModelError(
            f"model: '{folder}' has no config.json; give a folder that `eclectus train` or transformers wrote"
        )
    config = read_settings(path)
    if "model_type" not in config:
        why = "its config.json names no model_type"
        if (folder / "model.bin").exists():
            why = "it is a model of CTranslate2, for other programs"
        raise ModelError(f"model: '{folder}' cannot be used: {why}; give the run or model folder that it was made from")
    check_config(str(folder), config, known)
    _check_weights(folder)
    generation = folder / "generation_config.json"
    if generation.exists():
        read_settings(generation)  # the library would go on without it
    if not any(any(folder.glob(pattern)) for pattern in _TOKENIZER_FILES):
        raise ModelError(f"model: '{folder}' has no tokenizer.json and no other tokenizer; copy the whole folder")


def check_config(name: str, config: dict[str, Any], known: Collection[str]) -> None:
    """Check the architecture that a config.json names.

    Raises:
        ModelError: it is no text-to-text model, not one of ours, or needs code of its own.
    """
    kind, architectures = config.get("model_type"), config.get("architectures") or []
    families = f"supported types: {', '.join(sorted(known))}"
    if not isinstance(kind, str) or not _are_names(architectures):
        raise ModelError(
            f"model: config.json of '{name}' does not name its model_type and architectures in text; copy the whole"
            " folder again"
        )
    # Beside an architecture that the library has, code is not needed.
    foreign = kind not in known or (architectures and not any(hasattr(transformers, each) for each in architectures))
    if config.get("auto_map") and foreign:
        raise ModelError(
            f"model: '{name}' (type '{kind}') brings code of its own (trust_remote_code), which is never run;"
            f" {families}"
        )
    if kind not in known:
        why = "writes no text from text" if _generates_nothing(kind) else "is not supported"
        raise ModelError(f"model: '{name}' is of type '{kind}', which {why}; {families}")
    if config.get("quantization_config"):
        raise ModelError(f"model: the weights of '{name}' are quantised and cannot be trained; give the original model")
    for architecture in architectures:
        if any(part in architecture for part in _NOT_GENERATING):
            raise ModelError(
                f"model: '{name}' is a {architecture}, which writes no text from text;"
                " give the translation or language model that it was made from"
            )


def check_tokenizer_code(name: str, settings: dict[str, Any]) -> None:
    """Check the class that a tokenizer_config.json names.

    Raises:
        ModelError: it is one of the model's own, which the library would replace by another without a word.
    """
    kind = settings.get("tokenizer_class")
    if not settings.get("auto_map") or not isinstance(kind, str):
        return
    if not any(hasattr(transformers, each) for each in (kind, f"{kind}Fast", kind.removesuffix("Fast"))):
        raise ModelError(
            f"model: the tokenizer of '{name}', a {kind}, is code of its own (trust_remote_code), which is never run;"
            " give a model without"
        )


def _are_names(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _generates_nothing(kind: str) -> bool:
    from transformers.models.auto import modeling_auto as auto

    text = (auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    # Encoders such as BERT are listed among the causal models, for being made into decoders.
    masked = kind in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES and kind not in text[1]
    return kind in auto.CONFIG_MAPPING_NAMES and (masked or not any(kind in names for names in text))


def _check_weights(folder: Path) -> None:
    files = [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]
    for index in (folder / "model.safetensors.index.json", folder / "pytorch_model.bin.index.json"):
        if index.exists():
            shards = read_settings(index).get("weight_map")
            if not isinstance(shards, dict) or not _are_names([*shards.values()]):
                raise ModelError(f"model: '{index}' names no file for each tensor; copy the folder again")
            missing = sorted(shard for shard in set(shards.values()) if not (folder / shard).exists())
            if missing:
                raise ModelError(
                    f"model: '{folder}' lacks {missing[0]}, which {index.name} names; copy the whole folder"
                )
    if not files:
        raise ModelError(f"model: '{folder}' has no .safetensors or pytorch_model.bin weights; copy the whole folder")


def read_settings(path: Path) -> dict[str, Any]:
    """What a file of settings says.

    Raises:
        ModelError: it is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"model: '{path}' is not valid JSON ({error}); copy the folder again") from error
    if not isinstance(values, dict):
        raise ModelError(f"model: '{path}' holds no settings; copy the folder again")
    return values
