"""Agreement with the translation by way of a pivot language."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from eclectus.errors import ConfigError
from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.matching.similarity import Similarity, SimilarityOptions
from eclectus.rewards.models.cache import Translations, TranslationsOptions
from eclectus.rewards.text import visible
from eclectus.segment import Segment


class Pivot(Reward):
    r"""How close a direct translation is to the starting policy's translation via the pivot.

    $$r(x, y) = m\big(y, \pi_0(\pi_0(x; s \to p); p \to t)\big)$$

    with s, p, t the source, pivot and target languages, pi_0 the starting policy (greedy) and m the weighted mean of
    BLEU, chrF and exact match, or the cosine of embeddings. Range [0, 1]; a hypothesis with nothing visible is 0. No
    references are needed: a model that knows s-p and p-t can learn s-t. Abstains where the pivot is the source or the
    target language, and if a translation is empty. With `refresh` the translations via the pivot are by a copy of the
    policy, refreshed as it learns.

    Source: zero-resource translation through a pivot as a teacher: Chen et al. 2017, https://aclanthology.org/P17-1176;
    agreement between the direct and the pivot path: Al-Shedivat and Parikh 2019, https://aclanthology.org/N19-1121.

    Example:
        >>> from eclectus.segment import Segment
        >>> table = {"gato": "cat", "cat": "chat"}
        >>> context = RewardContext(languages=["en", "es", "fr"], translate=lambda s: [table[x.source] for x in s])
        >>> Pivot(context=context)([Segment("gato", "es", "fr"), Segment("gato", "es", "en")], ["chat", "cat"])
        [1.0, None]

    How it is cheated: it is not cheated but imitated: the policy learns the pivot's mistakes too (lost gender, number
    and politeness), and nothing rewards being better than the pivot path. Compare with the `distillation` control, and
    keep `kl` above 0.
    """

    class Options(TranslationsOptions, SimilarityOptions):
        """The measure, who translates, and the pivot."""

        pivot: str | None = Field(None, description="BCP-47 tag of the pivot language; None: the run's first")

    requires = frozenset({"translate"})
    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        pivot = self.options.pivot or next(iter(self.context.languages), None)
        if pivot is None:
            raise ConfigError("reward 'pivot' has no pivot language; set its option 'pivot' or list data.languages")
        self.pivot: str = pivot
        self._similarity = Similarity(self.options, self.name)
        self._translations = Translations(self.context, self.name, self.options)

    @property
    def signature(self) -> str:
        """The pivot and the measure."""
        return f"pivot|via:{self.pivot}|{self._similarity.signature}{self._translations.signature}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis against the pivot translation of its source; None where there is none."""
        references = self.demonstrations(segments)
        scores: list[Score] = [0.0 if reference.strip() else None for reference in references]
        apt = [
            (i, hypothesis, reference, segment.target_lang)
            for i, (segment, hypothesis, reference) in enumerate(zip(segments, hypotheses, references, strict=True))
            if scores[i] is not None and visible(hypothesis)
        ]
        values = self._similarity([h for _, h, _, _ in apt], [r for _, _, r, _ in apt], [lang for *_, lang in apt])
        for (i, *_), value in zip(apt, values, strict=True):
            scores[i] = value
        return scores

    def prepare(self, segments: Sequence[Segment]) -> None:
        """Translate the sources of many steps at once: a few large batches take a fraction of many small ones."""
        if not self.options.refresh:  # a policy that is renewed on the way must be asked when its time has come
            self.demonstrations(segments)

    def reset(self) -> None:
        """Forget the remembered translations and embeddings."""
        self._translations.forget()
        self._similarity.forget()

    def demonstrations(self, segments: Sequence[Segment]) -> list[str]:
        """Return the translation of each source through the pivot, "" where there is none."""
        apt = [s for s in segments if s.source.strip() and self.pivot not in (s.source_lang, s.target_lang)]
        first = self._translations([s.source for s in apt], [(s.source_lang, self.pivot) for s in apt], self.step)
        halfway = [(s, text) for s, text in zip(apt, first, strict=True) if text.strip()]
        onward = [(self.pivot, s.target_lang) for s, _ in halfway]
        second = self._translations([text for _, text in halfway], onward, self.step)
        found = {(s.source, s.direction): text for (s, _), text in zip(halfway, second, strict=True) if text.strip()}
        return [found.get((s.source, s.direction), "") for s in segments]
