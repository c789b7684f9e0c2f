"""How near one text is to another in the same language: surface measures or sentence embeddings.

Used by the rewards that compare with a translation (`pivot`, `round_trip`, `joint`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from eclectus.rewards.matching.surface import Surface, SurfaceOptions
from eclectus.rewards.models.encoders import MODELS, Embedder, label


class SimilarityOptions(SurfaceOptions):
    """The measure: `mix` weighs BLEU, chrF and exact match; `embeddings` compares sentence vectors."""

    similarity: Literal["mix", "embeddings"] = "mix"
    encoder: str | None = Field(None, description=f"with similarity: embeddings; {MODELS}")
    prefix: str = Field("", description="put before each text; E5 in a folder wants 'query: '")
    floor: float = Field(
        0.0, ge=-1, lt=1, description="cosine that counts as 0; about 0.7 for E5, whose cosines all lie above it"
    )

    @model_validator(mode="after")
    def _encoder_given(self) -> SimilarityOptions:
        if (self.similarity == "embeddings") != (self.encoder is not None):
            raise ValueError(f"similarity: embeddings and encoder ({MODELS}) go together; give both")
        return self


class Similarity:
    r"""Similarity in [0, 1] of texts to references in the same language.

    Either the weighted mean of BLEU, chrF and exact match (`Surface`), or with an encoder e

    $$m(a, b) = \max\Big(0, \frac{\cos(e(a), e(b)) - \text{floor}}{1 - \text{floor}}\Big)$$

    Embeddings forgive other words for the same meaning, and fluent text about something else more than they should.

    Args:
        options: which measure, and its settings.
        reward: the reward that asks, named in errors.

    Raises:
        ConfigError: the encoder cannot be loaded.
    """

    def __init__(self, options: SimilarityOptions, reward: str) -> None:
        self._floor = options.floor
        self._surface = Surface(options)
        self._model = options.encoder
        self._embedder = None if self._model is None else Embedder(self._model, reward, options.prefix)

    @property
    def signature(self) -> str:
        """The measure, for example `bleu:0.5|chrf:0.5`."""
        return self._surface.signature if self._model is None else f"encoder:{label(self._model)}|floor:{self._floor:g}"

    def __call__(self, texts: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> list[float]:
        """Compare `texts[i]` with `references[i]`, both in `languages[i]`."""
        if not texts:
            return []
        if self._embedder is None:
            return self._surface.scores(texts, references, languages)
        cosines = self._embedder.cosines(texts, references)
        return [min(1.0, max(0.0, (cosine - self._floor) / (1 - self._floor))) for cosine in cosines]

    def forget(self) -> None:
        """Forget the remembered embeddings."""
        if self._embedder is not None:
            self._embedder.forget()
