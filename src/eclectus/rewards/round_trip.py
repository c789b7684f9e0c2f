"""Does the source come back when the hypothesis is translated back?"""

from __future__ import annotations

from collections.abc import Sequence

from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.matching.similarity import Similarity, SimilarityOptions
from eclectus.rewards.models.cache import Translations, TranslationsOptions
from eclectus.rewards.text import visible
from eclectus.segment import Segment


class RoundTrip(Reward):
    r"""How close the source is to the hypothesis translated back by the starting policy.

    $$r(x, y) = m\big(\pi_0(y; t \to s), x\big)$$

    with pi_0 the starting policy (greedy) and m the weighted mean of BLEU, chrF and exact match, or the cosine of
    embeddings. Range [0, 1]; an empty hypothesis is 0. Neither references nor a pivot are needed. Abstains if the
    source is empty. With `refresh` a copy of the policy, refreshed as it learns, translates back: a start that reads
    the target language badly does not judge for ever.

    Source: dual learning, He et al. 2016, https://arxiv.org/abs/1611.00179, with the backward model frozen or refreshed
    every `refresh` steps instead of trained alongside the forward one.

    Example:
        >>> from eclectus.segment import Segment
        >>> back = {"chat": "gato", "lit": "cum"}
        >>> context = RewardContext(translate=lambda segments: [back[s.source] for s in segments])
        >>> RoundTrip(context=context)([Segment("gato", "es", "fr")] * 3, ["chat", "lit", ""])
        [1.0, 0.0, 0.0]

    How it is cheated: **copying the source** comes back unchanged and scores 1, as does any private code that the
    backward policy can read: another language of the run, a word-by-word gloss, half a translation and half a copy.
    Never use it without the gates `language` and `copy`; rewarded with a neural metric instead of BLEU and chrF the
    round trip collapses, because such a metric forgives fluent text about something else. With `refresh` both ways
    belong to the policy, so they may agree on a code of their own over time; a large `refresh` gives them less chance.
    """

    class Options(TranslationsOptions, SimilarityOptions):
        """The measure, and who translates back."""

    requires = frozenset({"translate"})
    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._similarity = Similarity(self.options, self.name)
        self._translations = Translations(self.context, self.name, self.options)

    @property
    def signature(self) -> str:
        """The measure."""
        return f"round_trip|{self._similarity.signature}{self._translations.signature}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis by its way back; all that are not remembered are translated in one call."""
        scores: list[Score] = [0.0 if segment.source.strip() else None for segment in segments]
        apt = [
            (i, segment, hypothesis)
            for i, (segment, hypothesis) in enumerate(zip(segments, hypotheses, strict=True))
            if scores[i] is not None and visible(hypothesis)
        ]
        directions = [(s.target_lang, s.source_lang) for _, s, _ in apt]
        back = self._translations([hypothesis for *_, hypothesis in apt], directions, self.step)
        values = self._similarity(back, [s.source for _, s, _ in apt], [s.source_lang for _, s, _ in apt])
        for (i, *_), value in zip(apt, values, strict=True):
            scores[i] = value
        return scores

    def reset(self) -> None:
        """Forget the remembered translations and embeddings."""
        self._translations.forget()
        self._similarity.forget()
