"""A weighted mix of BLEU, chrF and exact match: how near one text is to another (used by `similarity`)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from eclectus.rewards.base import Reward
from eclectus.rewards.bleu import Bleu
from eclectus.rewards.chrf import ChrF
from eclectus.rewards.exact import Exact


class SurfaceOptions(Reward.Options):
    """Weights of the three measures; they are divided by their sum. chrF alone is easily cheated, see there."""

    bleu: float = Field(0.5, ge=0)
    chrf: float = Field(0.5, ge=0)
    exact: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _some_weight(self) -> SurfaceOptions:
        if self.bleu + self.chrf + self.exact <= 0:
            raise ValueError("bleu, chrf and exact are all 0; give one of them a weight")
        return self


class Surface:
    """Similarity of two texts in one language, in [0, 1].

    Args:
        options: the weights.
    """

    def __init__(self, options: SurfaceOptions) -> None:
        weights = (options.bleu, options.chrf, options.exact)
        total = sum(weights)
        self._parts = [w / total for w in weights]
        self._bleu, self._chrf, self._exact = Bleu(), ChrF(), Exact()

    @property
    def signature(self) -> str:
        """The weights, for example `bleu:0.5|chrf:0.5`."""
        names = ("bleu", "chrf", "exact")
        return "|".join(f"{name}:{part:.3g}" for name, part in zip(names, self._parts, strict=True) if part)

    def scores(self, texts: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> list[float]:
        """Return the weighted means of BLEU, chrF and exact match of `texts[i]` against `references[i]`."""
        values = [0.0] * len(texts)
        for part, reward in zip(self._parts, (self._bleu, self._chrf, self._exact), strict=True):
            if part:
                scores = reward.score(texts, [(reference,) for reference in references], languages)
                values = [value + part * score for value, score in zip(values, scores, strict=True)]
        return values
