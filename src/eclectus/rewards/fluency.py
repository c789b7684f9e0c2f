"""Does the hypothesis look like text of its language?"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from eclectus import atomic
from eclectus.errors import ConfigError
from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.models.calibration import Calibration
from eclectus.rewards.models.ngram import NgramModel, Smoothing, Unit
from eclectus.segment import Segment

_HELD_BACK = 10  # every tenth text calibrates


class Fluency(Reward):
    r"""How usual the characters or words of a hypothesis are, measured against real text of the target language.

    $$r(y) = \sigma\Big(\frac{\bar\ell(y) - \mu(n)}{s(n)}\Big), \qquad
      \mu(n) = a + \frac{b}{n}, \quad s(n)^2 = c + \frac{d}{n}$$

    with the log-probability of y under an n-gram model (see `ngram`) of the run's training text in that language,
    divided by its n characters; the logistic function sigma; and mu and s fitted on a tenth of the text that is held
    back. So real text of any length averages about 0.5, shuffled or foreign text is near 0, and only text that is more
    usual than usual text is above. With `words` = w a word model takes part:

    $$\bar\ell(y) = \frac{(1 - w) \log P_\text{char}(y) + w \log P_\text{word}(y)}{n}$$

    Range [0, 1]. Abstains in languages with fewer than `min_texts` texts; an empty hypothesis is 0.

    How often a sentence of multi30k's test_2016_flickr scores higher than a damaged one (area under the ROC curve; two
    neighbouring words swapped, one dropped, one replaced by a random one, two neighbouring letters swapped):

    | text | model | swapped | dropped | replaced | letters |
    |---|---|---|---|---|---|
    | en, 300 | Witten-Bell | 0.59 | 0.52 | 0.57 | 0.66 |
    | en, 300 | Kneser-Ney | 0.60 | 0.53 | 0.58 | 0.66 |
    | en, 300 | Kneser-Ney, words: 0.5 | 0.62 | 0.53 | 0.59 | 0.66 |
    | en, 300 | Kneser-Ney, words: 1 | 0.64 | 0.53 | 0.60 | 0.63 |
    | en, 20,000 | Witten-Bell | 0.71 | 0.60 | 0.66 | 0.87 |
    | en, 20,000 | Kneser-Ney | 0.70 | 0.60 | 0.66 | 0.82 |
    | en, 20,000 | Kneser-Ney, words: 0.5 | 0.73 | 0.61 | 0.67 | 0.80 |
    | en, 20,000 | Kneser-Ney, words: 1 | 0.74 | 0.61 | 0.68 | 0.76 |
    | en, 20,000 | Kneser-Ney, order: 7 | 0.76 | 0.62 | 0.71 | 0.83 |

    German gives the same picture. So Kneser-Ney is the default, for the little text of a small language. Witten-Bell
    detects more misspellings from a few thousand texts on; longer n-grams and words detect more errors of grammar.

    The models are saved with a run, one `<language>.npz` for each; `path` names a folder of them to be used instead of
    training text.

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
    translation; keep its weight small, never use it alone, and preferably combine it with `round_trip` or `pivot`.
    """

    class Options(Reward.Options):
        """The models and their text."""

        order: int = Field(5, ge=2, le=8, description="characters in the longest n-gram")
        words: float = Field(0.0, ge=0, le=1, description="weight of the word model; 0: characters only, 1: words only")
        word_order: int = Field(3, ge=2, le=5, description="words in the longest n-gram")
        smoothing: Smoothing = Field("kneser-ney", description="modified Kneser-Ney, or Witten-Bell")
        min_texts: int = Field(100, ge=20, description="distinct texts that a language needs to be judged")
        max_texts: int = Field(20_000, ge=20, description="texts used for each language, evenly spaced")
        path: Path | None = Field(None, description="folder of saved models, <language>.npz, used instead of text")

    requires = frozenset({"target_texts"})
    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._models: dict[str, _Calibrated | None] = {}
        if self.options.path is not None:
            self.requires = frozenset()
            if not any(self.options.path.glob("*.npz")):
                raise ConfigError(
                    f"reward '{self.name}': no models in '{self.options.path}'; give the folder of a run's reward with"
                    " files such as es.npz, or remove 'path' to train on the run's text"
                )

    @property
    def signature(self) -> str:
        """The models."""
        options = self.options
        units = [f"char-{options.order}-gram"] * (options.words < 1) + [
            f"{options.words:g}*word-{options.word_order}-gram"
        ] * (options.words > 0)
        source = f"min:{options.min_texts}" if options.path is None else f"path:{options.path}"
        return f"fluency|{'+'.join(units)}|smooth:{options.smoothing}|{source}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis by the model of its target language, made at first use."""
        scores: list[Score] = [None] * len(hypotheses)
        places: dict[str, list[int]] = {}
        for i, (segment, _) in enumerate(zip(segments, hypotheses, strict=True)):
            places.setdefault(segment.target_lang, []).append(i)
        for language, rows in places.items():
            model = self._model(language)
            if model is not None:
                for i, value in zip(rows, model.values([hypotheses[i] for i in rows]).tolist(), strict=True):
                    scores[i] = value if hypotheses[i].strip() else 0.0
        return scores

    def unjudged(self, languages: Iterable[str]) -> dict[str, str]:
        path, least = self.options.path, self.options.min_texts
        if path is not None:
            return {tag: f"'{path}' has no {tag}.npz" for tag in languages if not (path / f"{tag}.npz").exists()}
        counts = {tag: len(_distinct(self.context.target_texts.get(tag, ()))) for tag in languages}
        return {
            tag: f"it has {n} distinct texts and needs {least} (min_texts)" for tag, n in counts.items() if n < least
        }

    def save(self, folder: Path, languages: Iterable[str]) -> None:
        """Write the models of the languages as `<language>.npz`."""
        for language in languages:
            model = self._model(language)
            if model is not None:
                folder.mkdir(parents=True, exist_ok=True)
                model.save(folder / f"{language}.npz")

    def _model(self, language: str) -> _Calibrated | None:
        if language not in self._models:
            if self.options.path is not None:
                self._models[language] = self._load(self.options.path / f"{language}.npz")
            else:
                self._models[language] = self._train(self.context.target_texts.get(language, ()))
        return self._models[language]

    def _load(self, path: Path) -> _Calibrated | None:
        if not path.exists():
            return None
        try:
            return _Calibrated.load(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"reward '{self.name}': cannot read the model '{path}' ({error}); save it anew with a run"
            ) from error

    def _train(self, texts: Sequence[str]) -> _Calibrated | None:
        distinct, options = _distinct(texts), self.options
        if len(distinct) < options.min_texts:
            return None
        step = max(1.0, len(distinct) / options.max_texts)
        distinct = [distinct[int(i * step)] for i in range(int(len(distinct) / step))]
        training = [text for i, text in enumerate(distinct) if i % _HELD_BACK]
        wanted: list[tuple[float, int, Unit]] = [
            (1 - options.words, options.order, "char"),
            (options.words, options.word_order, "word"),
        ]
        models = [(w, NgramModel(training, order, unit, options.smoothing)) for w, order, unit in wanted if w]
        return _Calibrated.fit(models, distinct[::_HELD_BACK])


def _distinct(texts: Sequence[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text.strip()]


@dataclass(frozen=True)
class _Calibrated:
    """Weighted models, and what their log-probability of a character is in real text.

    Args:
        models: weights and models, one or two.
        calibration: in characters.
    """

    models: Sequence[tuple[float, NgramModel]]
    calibration: Calibration

    @classmethod
    def fit(cls, models: Sequence[tuple[float, NgramModel]], texts: Sequence[str]) -> _Calibrated:
        """Calibrate with texts that the models have not seen."""
        return cls(models, Calibration.fit(*_scores(models, texts)))

    def values(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the calibrated value of each text, [B]."""
        return self.calibration.values(*_scores(self.models, texts))

    def save(self, path: Path) -> None:
        """Write everything into one compressed file, whole or not at all."""
        arrays = {"calibration": np.array([self.calibration.mean, self.calibration.variance])}
        arrays["weights"] = np.array([weight for weight, _ in self.models])
        for i, (_, model) in enumerate(self.models):
            arrays |= {f"model-{i}.{name}": array for name, array in model.arrays().items()}
        with atomic.writing_bytes(path) as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> _Calibrated:
        """Read what `save` wrote.

        Raises:
            KeyError: something is missing from the file.
            OSError: the file cannot be read.
            ValueError: the file is no such file.
        """
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        mean, variance = arrays["calibration"].tolist()
        models = []
        for i, weight in enumerate(arrays["weights"].tolist()):
            start = f"model-{i}."
            own = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
            models.append((weight, NgramModel.from_arrays(own)))
        return cls(models, Calibration(tuple(mean), tuple(variance)))


def _scores(
    models: Sequence[tuple[float, NgramModel]], texts: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the weighted log-probability of each text and its number of characters with the end, both [B]."""
    totals = sum((weight * model.log_probabilities(texts)[0] for weight, model in models), start=np.zeros(len(texts)))
    return totals, np.array([len(" ".join(text.split())) + 1 for text in texts], dtype=np.int64)
