"""GGUF files: a decoder-only model, its tokenizer and its chat template in one file, as llama.cpp keeps them.

transformers reads them; quantised weights become float32 and can be trained. What is saved is a folder of transformers.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import transformers

from eclectus.errors import ModelError

_MAGIC = b"GGUF"


def is_gguf(path: Path) -> bool:
    """Whether a path is a file that is meant to be GGUF."""
    return path.suffix == ".gguf" and path.is_file()


def check_gguf(path: Path) -> None:
    """Check that a file is GGUF and can be read here.

    Raises:
        ModelError: it is something else, or the extra `gguf` is missing.
    """
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ModelError(f"model: '{path}' is no GGUF file or is damaged; copy it again")
    missing = [name for name in ("gguf", "accelerate") if find_spec(name) is None]
    if missing:
        raise ModelError(
            f"model: '{path}' needs {' and '.join(missing)} to be read; install with `pip install 'eclectus[gguf]'`"
        )


def float_weights() -> dict[str, Any]:
    """What asks `from_pretrained` for weights that can be trained; it may keep them quantised where it has kernels."""
    # Earlier releases of transformers 5 have no such setting and never keep them quantised.
    kind = getattr(transformers, "GgufConfig", None)
    return {} if kind is None else {"quantization_config": kind(dequantize=True)}


def forget_quantisation(model: Any) -> None:
    """Take off the mark that the file was quantised: the weights no longer are, and a marked model is not saved."""
    model.hf_quantizer = None
    for holder in (model, model.config):
        if hasattr(holder, "quantization_config"):
            del holder.quantization_config
