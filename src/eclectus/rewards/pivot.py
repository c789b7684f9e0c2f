"""Agreement with the translation by way of a pivot language."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from eclectus.errors import ConfigError
from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.cache import Translations
from eclectus.rewards.mix import Mix, MixOptions
from eclectus.segment import Segment


class Pivot(Reward):
    r"""How near a direct translation is to the one through the pivot by the frozen starting policy.

    $$r(x, y) = m\big(y, \pi_0(\pi_0(x; s \to p); p \to t)\big)$$

    with s, p, t the source, pivot and target languages, pi_0 the starting policy (greedy) and m the weighted mean of
    BLEU, chrF and exact match. Range [0, 1]. No references are needed: a model that knows s-p and p-t can learn s-t.
    Abstains where the pivot is the source or the target language, and where a translation comes out empty.

    Source: zero-resource translation through a pivot as a teacher: Chen et al. 2017, https://aclanthology.org/P17-1176;
    agreement between the direct and the pivot path: Al-Shedivat and Parikh 2019, https://aclanthology.org/N19-1121.

    Example:
        >>> from eclectus.segment import Segment
        >>> table = {"gato": "cat", "cat": "chat"}
        >>> context = RewardContext(languages=["en", "es", "fr"], translate=lambda s: [table[x.source] for x in s])
        >>> Pivot(context=context)([Segment("gato", "es", "fr"), Segment("gato", "es", "en")], ["chat", "cat"])
        [1.0, None]

    How it is cheated: it is not, it is imitated: the policy learns the pivot's mistakes too (lost gender, number and
    politeness), and nothing pays for being better than the pivot path. Compare with the `distillation` control, and
    keep `kl` above 0.
    """

    class Options(MixOptions):
        """Weights of the measures, and the pivot."""

        pivot: str | None = Field(None, description="BCP-47 tag of the pivot language; None: the run's first")
        cache: int = Field(100_000, ge=0, description="translations remembered over steps")

    requires = frozenset({"translate"})
    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        pivot = self.options.pivot or next(iter(self.context.languages), None)
        if pivot is None:
            raise ConfigError("reward 'pivot' has no pivot language; set its option 'pivot' or list data.languages")
        self.pivot: str = pivot
        self._mix = Mix(self.options)
        self._translations = Translations(self.context, self.name, self.options.cache)

    @property
    def signature(self) -> str:
        """The pivot and the weights."""
        return f"pivot|via:{self.pivot}|{self._mix.signature}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis against the pivot translation of its source; None where there is none."""
        references = self.references(segments)
        rows = zip(segments, hypotheses, references, strict=True)
        apt = [(h, reference, segment.target_lang) for segment, h, reference in rows if reference.strip()]
        values = iter(self._mix.scores(*zip(*apt, strict=True)) if apt else [])
        return [next(values) if reference.strip() else None for reference in references]

    def reset(self) -> None:
        """Forget the remembered translations."""
        self._translations.forget()

    def references(self, segments: Sequence[Segment]) -> list[str]:
        """Return the translation of each source through the pivot, "" where there is none."""
        apt = [s for s in segments if s.source.strip() and self.pivot not in (s.source_lang, s.target_lang)]
        first = self._translations([s.source for s in apt], [(s.source_lang, self.pivot) for s in apt])
        halfway = [(s, text) for s, text in zip(apt, first, strict=True) if text.strip()]
        second = self._translations([text for _, text in halfway], [(self.pivot, s.target_lang) for s, _ in halfway])
        found = {(s.source, s.direction): text for (s, _), text in zip(halfway, second, strict=True) if text.strip()}
        return [found.get((s.source, s.direction), "") for s in segments]
