"""Does the source come back when the hypothesis is translated back?"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.cache import Translations
from eclectus.rewards.mix import Mix, MixOptions
from eclectus.rewards.text import visible
from eclectus.segment import Segment


class RoundTrip(Reward):
    r"""How near the source is to the hypothesis translated back by the frozen starting policy.

    $$r(x, y) = m\big(\pi_0(y; t \to s), x\big)$$

    with pi_0 the starting policy (greedy) and m the weighted mean of BLEU, chrF and exact match. Range [0, 1]; an empty
    hypothesis is 0. Neither references nor a pivot are needed. Abstains where the source is empty.

    Source: dual learning, He et al. 2016, https://arxiv.org/abs/1611.00179, with the backward model frozen.

    Example:
        >>> from eclectus.segment import Segment
        >>> back = {"chat": "gato", "lit": "cum"}
        >>> context = RewardContext(translate=lambda segments: [back[s.source] for s in segments])
        >>> RoundTrip(context=context)([Segment("gato", "es", "fr")] * 3, ["chat", "lit", ""])
        [1.0, 0.0, 0.0]

    How it is cheated: **copying the source** comes back unchanged and scores 1, so does any private code that the
    backward policy can read: another language of the run, a word-by-word gloss, half a translation and half a copy.
    Never use it without the gates `language` and `copy`; rewarded with a neural metric instead of BLEU and chrF the
    round trip collapses, because such a metric forgives fluent text about something else.
    """

    class Options(MixOptions):
        """Weights of the measures."""

        cache: int = Field(100_000, ge=0, description="back-translations remembered over steps")

    requires = frozenset({"translate"})
    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._mix = Mix(self.options)
        self._translations = Translations(self.context, self.name, self.options.cache)

    @property
    def signature(self) -> str:
        """The weights."""
        return f"round_trip|{self._mix.signature}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis by its way back; all that are not remembered are translated in one call."""
        scores: list[Score] = [0.0 if segment.source.strip() else None for segment in segments]
        apt = [
            (i, segment, hypothesis)
            for i, (segment, hypothesis) in enumerate(zip(segments, hypotheses, strict=True))
            if scores[i] is not None and visible(hypothesis)
        ]
        back = self._translations([h for *_, h in apt], [(s.target_lang, s.source_lang) for _, s, _ in apt])
        values = self._mix.scores(back, [s.source for _, s, _ in apt], [s.source_lang for _, s, _ in apt])
        for (i, *_), value in zip(apt, values, strict=True):
            scores[i] = value
        return scores

    def reset(self) -> None:
        """Forget the remembered translations."""
        self._translations.forget()
