"""How near one text is to another in the same language: surface measures or sentence embeddings.

Used by the rewards that compare with a translation (`pivot`, `round_trip`, `joint`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from eclectus.errors import ConfigError, RunError
from eclectus.rewards.function import load_function
from eclectus.rewards.mix import Mix, MixOptions

Encoder = Callable[[Sequence[str]], Any]
"""Texts to vectors, an array [n, d]; like texts get vectors in like directions, whatever the language."""


class SimilarityOptions(MixOptions):
    """The measure: `mix` weighs BLEU, chrF and exact match; `embeddings` compares sentence vectors."""

    similarity: Literal["mix", "embeddings"] = "mix"
    encoder: str | None = Field(
        None, description="package.module:function, texts to an array [n, d]; with similarity: embeddings"
    )
    floor: float = Field(
        0.0, ge=-1, lt=1, description="cosine that counts as 0; about 0.7 for E5, whose cosines all lie above it"
    )

    @model_validator(mode="after")
    def _encoder_given(self) -> SimilarityOptions:
        if (self.similarity == "embeddings") != (self.encoder is not None):
            raise ValueError("similarity: embeddings and encoder: package.module:function go together; give both")
        return self


class Similarity:
    r"""Similarity in [0, 1] of texts to references in the same language.

    Either the weighted mean of BLEU, chrF and exact match (`Mix`), or with an encoder e

    $$m(a, b) = \max\Big(0, \frac{\cos(e(a), e(b)) - \text{floor}}{1 - \text{floor}}\Big)$$

    Embeddings forgive other words for the same meaning, and fluent text about something else more than they should.

    Args:
        options: which measure, and its settings.
        reward: the reward that asks, named in errors.

    Raises:
        ConfigError: the encoder cannot be loaded.
    """

    def __init__(self, options: SimilarityOptions, reward: str) -> None:
        self._reward = reward
        self._floor = options.floor
        self._mix = Mix(options)
        self._kind = options.encoder
        self._encoder: Encoder | None = None
        if options.encoder is not None:
            self._encoder = load_function(options.encoder)
            if self._encoder is None:
                raise ConfigError(
                    f"reward '{reward}': cannot load the encoder '{options.encoder}'; write it as"
                    " package.module:function"
                )

    @property
    def signature(self) -> str:
        """The measure, for example `bleu:0.5|chrf:0.5`."""
        return self._mix.signature if self._kind is None else f"encoder:{self._kind}|floor:{self._floor:g}"

    def __call__(self, texts: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> list[float]:
        """Compare `texts[i]` with `references[i]`, both in `languages[i]`."""
        if not texts:
            return []
        if self._encoder is None:
            return self._mix.scores(texts, references, languages)
        places = {text: i for i, text in enumerate(dict.fromkeys([*texts, *references]))}
        vectors = self._encode(list(places))
        found = []
        for text, reference in zip(texts, references, strict=True):
            # A text is itself: the cosine of a vector with itself is not always exactly 1.
            cosine = 1.0 if text == reference else float(vectors[places[text]] @ vectors[places[reference]])
            found.append(min(1.0, max(0.0, (cosine - self._floor) / (1 - self._floor))))
        return found

    def _encode(self, texts: list[str]) -> Any:
        assert self._encoder is not None
        vectors = np.asarray(self._encoder(texts), dtype=np.float64)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise RunError(
                f"reward '{self._reward}': the encoder '{self._kind}' must return an array of finite numbers"
                f" [{len(texts)}, d] for {len(texts)} texts, not {list(vectors.shape)}"
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths > 0, lengths, 1.0)
