"""Does the hypothesis look like text of its language?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydantic import Field

from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.ngram import CharacterModel
from eclectus.segment import Segment

_CACHED_LENGTH = 400
_HELD_BACK = 10  # every tenth text calibrates


class Fluency(Reward):
    r"""How usual the characters of a hypothesis are, measured against real text of the target language.

    $$r(y) = \sigma\Big(\frac{\bar\ell(y) - \mu(n)}{s(n)}\Big), \qquad
      \mu(n) = a + \frac{b}{n}, \quad s(n)^2 = c + \frac{d}{n}$$

    with the mean log-probability of a character of y, n characters long, under a character n-gram model (see `ngram`)
    of the run's training text in that language, the logistic function sigma, and mu and s fitted on a tenth of the text
    that is held back. So real text of any length averages about 0.5, shuffled or foreign text is near 0, and only what
    is more usual than usual text is above. Range [0, 1]. Abstains in languages with fewer than `min_texts` texts; an
    empty hypothesis is 0.

    Source: language-model rewards of dual learning, He et al. 2016, https://arxiv.org/abs/1611.00179; length-normalised
    as SLOR without the unigram term, Kann et al. 2018, https://aclanthology.org/K18-1031.

    Example:
        >>> from eclectus.segment import Segment
        >>> places = ("house", "garden", "street", "kitchen", "forest")
        >>> texts = [f"the {colour} {animal} sleeps in the {place}" for place in places
        ...          for colour in ("black", "white", "small") for animal in ("cat", "dog", "cow")]
        >>> fluency = Fluency(Fluency.Options(min_texts=20), RewardContext(target_texts={"en": texts}))
        >>> hypotheses = ["the white cat sleeps in the garden", "hte nde atc"]
        >>> real, shuffled = fluency([Segment("", "es", "en")] * 2, hypotheses)
        >>> real > 0.3, shuffled < 0.01
        (True, True)

    How it is cheated: it never sees the source, so the most usual sentence of the training text beats every
    translation; keep its weight small, never use it alone, and prefer it as a term beside `round_trip` or `pivot`.
    """

    class Options(Reward.Options):
        """The model and its text."""

        order: int = Field(5, ge=2, le=8, description="characters in the longest n-gram")
        min_texts: int = Field(100, ge=20, description="distinct texts that a language needs to be judged")
        max_texts: int = Field(20_000, ge=20, description="texts used for each language, evenly spaced")

    requires = frozenset({"target_texts"})
    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._models: dict[str, _Calibrated | None] = {}
        self._short = lru_cache(maxsize=2**16)(self._value)

    @property
    def signature(self) -> str:
        """The model."""
        return f"fluency|char-{self.options.order}-gram|smooth:witten-bell|min:{self.options.min_texts}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis by the model of its target language, made at first use."""
        return [
            (self._short if len(text) <= _CACHED_LENGTH else self._value)(segment.target_lang, text)
            for segment, text in zip(segments, hypotheses, strict=True)
        ]

    def _value(self, language: str, text: str) -> Score:
        if language not in self._models:
            self._models[language] = self._train(self.context.target_texts.get(language, ()))
        model = self._models[language]
        if model is None:
            return None
        return model.value(text) if text.strip() else 0.0

    def _train(self, texts: Sequence[str]) -> _Calibrated | None:
        distinct = [text for text in dict.fromkeys(texts) if text.strip()]
        if len(distinct) < self.options.min_texts:
            return None
        step = max(1.0, len(distinct) / self.options.max_texts)
        distinct = [distinct[int(i * step)] for i in range(int(len(distinct) / step))]
        training = [text for i, text in enumerate(distinct) if i % _HELD_BACK]
        return _Calibrated.fit(CharacterModel(training, self.options.order), distinct[::_HELD_BACK])


@dataclass(frozen=True)
class _Calibrated:
    """A model with the expected mean log-probability and its variance as functions of the length."""

    model: CharacterModel
    mean: tuple[float, float]
    variance: tuple[float, float]

    @classmethod
    def fit(cls, model: CharacterModel, texts: Sequence[str]) -> _Calibrated:
        """Fit mean and variance to texts that the model has not seen, by least squares in 1 / length."""
        points = []
        for text in texts:
            total, n = model.log_probability(text)
            points.append((1 / n, total / n))
        mean = _line(points)
        variance = _line([(x, (y - mean[0] - mean[1] * x) ** 2) for x, y in points])
        if min(variance) < 0:  # a variance that would turn negative somewhere: hold it constant
            variance = (sum((y - mean[0] - mean[1] * x) ** 2 for x, y in points) / len(points), 0.0)
        return cls(model, mean, variance)

    def value(self, text: str) -> float:
        """Return the logistic of the text's standard score."""
        total, n = self.model.log_probability(text)
        deviation = math.sqrt(max(1e-4, self.variance[0] + self.variance[1] / n))
        z = (total / n - self.mean[0] - self.mean[1] / n) / deviation
        return 1 / (1 + math.exp(-min(50.0, max(-50.0, z))))


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return intercept and slope of the least-squares line through the points."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread > 1e-12 else 0.0
    return mean_y - slope * mean_x, slope
