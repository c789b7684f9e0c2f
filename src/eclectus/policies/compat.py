"""Where versions of transformers differ for us; nothing else asks for the version.

The attention of encoder-decoders in transformers 4 wants as many rows of keys as of queries, its models take no further
arguments to hand on to it, and they make their own masks from [B, S]. There each sample has a copy of its source's
encoder states, keys and values; a source is encoded once all the same. T5 does not go through the attention registry.

What is saved is read by both: transformers 5 takes the older names of a tokenizer's settings too, and says of every T5
that its embeddings are tied, which 4 believes.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from eclectus.errors import ModelError
from eclectus.policies.attention import Layout

TOKENIZER_SETTINGS = "tokenizer_config.json"

OLD = int(transformers.__version__.partition(".")[0]) < 5
"""Whether this is transformers 4."""


CACHE = "cache" if "cache" in inspect.signature(transformers.MarianMTModel.forward).parameters else "past_key_values"
"""What models call the argument that holds keys and values; renamed in 5.24."""


def stack(part: Any) -> Callable[..., Any]:
    """An encoder or decoder, to be called as those of transformers 5 are: with ready masks [B, 1, 1, S], true where a
    key may be seen, and with decoder rows of which several share a source, by number or by a `layout`."""
    return partial(_run_apart, part) if OLD else part


def set_attention(model: Any, name: str) -> None:
    """Choose an attention by its name in the registry; models that have one of their own keep it."""
    if not OLD or model._can_set_attn_implementation():
        model.set_attn_implementation(name)


def freeze_positions(model: Any) -> None:
    """Keep sinusoidal positions fixed, as a new model has them; transformers 5.24 makes them trainable on loading."""
    for module in model.modules():
        if "Sinusoidal" in type(module).__name__:
            module.requires_grad_(False)


def scales_output(config: Any) -> bool:
    """Whether a T5 divides the states before its vocabulary head by the root of their width."""
    return bool(config.tie_word_embeddings if OLD else getattr(config, "scale_decoder_outputs", False))


def check_tokenizer(folder: Path) -> None:
    """Check that this version of transformers knows what a tokenizer's settings say.

    Raises:
        ModelError: they were written by transformers 5, and this is 4.
    """
    file = folder / TOKENIZER_SETTINGS
    settings = json.loads(file.read_text(encoding="utf-8")) if OLD and file.exists() else {}
    if isinstance(settings.get("extra_special_tokens"), list) or settings.get("tokenizer_class") == "TokenizersBackend":
        raise ModelError(
            f"model: the tokenizer in '{folder}' was saved by transformers 5, and"
            f" {transformers.__version__}, which is installed, cannot read it; install transformers 5"
        )


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write a tokenizer for transformers 4 and 5 alike."""
    tokenizer.save_pretrained(folder)
    file = folder / TOKENIZER_SETTINGS
    settings = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(settings.get("extra_special_tokens"), list):
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    if settings["tokenizer_class"] == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    _write(file, settings)


def save_model(model: Any, folder: Path, **options: Any) -> None:
    """Write a model for transformers 4 and 5 alike; `options` are those of `save_pretrained`."""
    model.save_pretrained(folder, **options)
    file = folder / "config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    if settings.get("tie_word_embeddings", tied) != tied:
        _write(file, settings | {"tie_word_embeddings": tied})


def _write(file: Path, settings: dict[str, Any]) -> None:
    text = json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def _run_apart(part: Any, *, input_ids: torch.Tensor, layout: Layout | None = None, **inputs: Any) -> Any:
    """Run a stack of transformers 4, giving each row of a decoder its own states and mask."""
    states = inputs.get("encoder_hidden_states")
    if states is None:
        return part(input_ids=input_ids, attention_mask=inputs["attention_mask"][:, 0, 0])
    if layout is not None:
        owners = layout.places // layout.group
    else:
        owners = torch.arange(len(states), device=states.device).repeat_interleave(len(input_ids) // len(states))
    own = {
        "encoder_hidden_states": states.index_select(0, owners),
        "encoder_attention_mask": inputs["encoder_attention_mask"][:, 0, 0].index_select(0, owners),
    }
    return part(input_ids=input_ids, **inputs | own)
