"""Do the translations of one source into several languages say the same?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from eclectus.errors import ConfigError
from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.matching.similarity import Similarity, SimilarityOptions
from eclectus.rewards.models.cache import Translations, TranslationsOptions
from eclectus.rewards.text import visible
from eclectus.segment import Segment

Pair = tuple[str, str]
"""A text and what it is compared with, both in the pivot language."""


class Joint(Reward):
    r"""How far a hypothesis agrees, in the pivot language, with its source and with the source's other translations.

    Let x have hypotheses y_{l,1} ... y_{l,G} in each target language l, and let q = pi_0(y; l -> p) be what one of them
    says in the pivot language p (q = y where l is p). The agreement of y_{l,g} with the source is

    $$a_{lg,x} = m\big(q_{lg}, \pi_0(x; s \to p)\big),$$

    with x itself where s is p, and with its sibling language k, as `siblings` says:

    $$\text{mean: } a_{lg,k} = \frac{1}{G} \sum_h m(q_{lg}, q_{kh}); \qquad
      \text{paired: } m(q_{lg}, q_{kg}); \qquad
      \text{best: } m(q_{lg}, q_{kh^*}), \; h^* = \arg\max_h a_{kh,x}$$

    The reward aggregates the n parties k with which it can agree, the source and the sibling languages:

    $$\text{mean: } r = \frac{1}{n} \sum_k a_{lg,k}; \qquad \text{geometric: } \prod_k a_{lg,k}^{1/n}; \qquad
      \text{min: } \min_k a_{lg,k}$$

    m is the weighted mean of BLEU, chrF and exact match, or the cosine of embeddings. With the mean, agreement with
    four languages outweighs a fifth that is left alone; the geometric mean and the minimum pay most for the language
    that is agreed with least, so that none is sacrificed. `mean` compares G x G pairs of texts for each two languages,
    the others G.

    Range [0, 1]; a hypothesis that says nothing in the pivot language is 0 and judges no sibling. The source abstains
    if the target is the pivot (it would be the start's own translation), if its translation is empty, and with
    `source: false`; a sibling language if it says nothing. Abstains if nobody is left to agree with. Needs the task
    option `joint: true`.

    Source: agreement of several translations of one source by way of a third language: Al-Shedivat and Parikh 2019,
    https://aclanthology.org/N19-1121, equation 4; the expected agreement with samples is minimum Bayes risk, Eikema and
    Aziz 2020, https://aclanthology.org/2020.coling-main.398. The geometric mean over parties as a welfare that
    sacrifices none: Nash 1950, *The bargaining problem*.

    Example:
        >>> from eclectus.segment import Segment
        >>> english = {"gato": "cat", "chat": "cat", "chien": "dog"}
        >>> context = RewardContext(languages=["en", "es", "fr"], translate=lambda s: [english[x.source] for x in s])
        >>> segments = [Segment("cat", "en", "es"), Segment("cat", "en", "fr")]
        >>> Joint(context=context).score_groups(segments, [["gato"], ["chat"]])
        [[1.0], [1.0]]
        >>> Joint(context=context).score_groups(segments, [["gato"], ["chien"]])
        [[0.5], [0.0]]

    How it is cheated: with `source: false` the siblings may agree on anything, such as one short sentence for every
    source. With it, as for `round_trip`: a **copy of the source** in every language comes back unchanged and agrees
    with itself, so never use it without the gates `language` and `copy`. Siblings repeat each other's mistakes where
    the pivot has no word for the difference (number, politeness, gender).
    """

    class Options(TranslationsOptions, SimilarityOptions):
        """The measure, who translates, the pivot, and how agreements become one value."""

        pivot: str | None = Field(None, description="BCP-47 tag of the pivot language; None: the run's first")
        aggregate: Literal["mean", "min", "geometric"] = "mean"
        siblings: Literal["mean", "best", "paired"] = Field(
            "mean",
            description="which samples of a sibling language: all, the one nearest to the source, the same place",
        )
        source: bool = Field(True, description="the source's own text in the pivot language is one to agree with")

    requires = frozenset({"translate", "siblings"})
    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        pivot = self.options.pivot or next(iter(self.context.languages), None)
        if pivot is None:
            raise ConfigError("reward 'joint' has no pivot language; set its option 'pivot' or list data.languages")
        self.pivot: str = pivot
        self._similarity = Similarity(self.options, self.name)
        self._translations = Translations(self.context, self.name, self.options)

    @property
    def signature(self) -> str:
        """The pivot, the aggregate and the measure."""
        o = self.options
        source = "" if o.source else "|source:no"
        return (
            f"joint|via:{self.pivot}|{o.aggregate}|siblings:{o.siblings}{source}|{self._similarity.signature}"
            f"{self._translations.signature}"
        )

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge single hypotheses; those of one source in different target languages are siblings."""
        groups = [[hypothesis] for hypothesis in hypotheses]
        return [row[0] for row in self.score_groups(segments, groups)]

    def score_groups(self, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]]) -> list[list[Score]]:
        """Judge `hypotheses[b][g]`; segments with one source and different target languages are siblings."""
        said = self._said(segments, hypotheses)
        anchors = self._anchors(segments)
        near = self._compare((text, x) for row, x in zip(said, anchors, strict=True) for text in row)
        voices = [self._voices(row, x, near) for row, x in zip(said, anchors, strict=True)]
        against: list[list[list[list[str]]]] = [[] for _ in segments]
        for family in _families(segments):
            for b in family:
                others = [voices[k] for k in family if k != b]
                own = [[anchors[b]]] if self.options.source and anchors[b] else []
                heard = [[voice[g] for voice in others if g < len(voice)] for g in range(len(said[b]))]
                against[b] = [own + [texts for texts in row if texts] for row in heard]
        known = near | self._compare(
            (text, other)
            for row, parties in zip(said, against, strict=True)
            for text, party in zip(row, parties, strict=True)
            for texts in party
            for other in texts
        )
        return [
            [self._value(text, party, known) for text, party in zip(row, parties, strict=True)]
            for row, parties in zip(said, against, strict=True)
        ]

    def reset(self) -> None:
        """Forget the remembered translations and embeddings."""
        self._translations.forget()
        self._similarity.forget()

    def _said(self, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]]) -> list[list[str]]:
        """What each hypothesis says in the pivot language, "" for nothing."""
        found = [list(group) for group in hypotheses]
        places = [
            (b, g)
            for b, (segment, group) in enumerate(zip(segments, hypotheses, strict=True))
            for g, hypothesis in enumerate(group)
            if segment.target_lang != self.pivot and visible(hypothesis)
        ]
        directions = [(segments[b].target_lang, self.pivot) for b, _ in places]
        back = self._translations([found[b][g] for b, g in places], directions, self.step)
        for (b, g), text in zip(places, back, strict=True):
            found[b][g] = text
        return [[text if visible(text) else "" for text in row] for row in found]

    def _anchors(self, segments: Sequence[Segment]) -> list[str]:
        """What each source says in the pivot language; "" where that is nothing, or the translation asked for."""
        apt = [s for s in segments if self.pivot not in (s.source_lang, s.target_lang) and visible(s.source)]
        texts = self._translations([s.source for s in apt], [(s.source_lang, self.pivot) for s in apt], self.step)
        known = {(s.source, s.source_lang): text for s, text in zip(apt, texts, strict=True)}
        known |= {(s.source, s.source_lang): s.source for s in segments if s.source_lang == self.pivot}
        found = ["" if s.target_lang == self.pivot else known.get((s.source, s.source_lang), "") for s in segments]
        return [text if visible(text) else "" for text in found]

    def _voices(self, row: list[str], anchor: str, near: dict[Pair, float]) -> list[list[str]]:
        """What a language says to the g-th sample of its siblings: pivot texts of its own samples."""
        if self.options.siblings == "paired":
            return [[text] if text else [] for text in row]
        texts = [text for text in row if text]
        if self.options.siblings == "best" and anchor and texts:
            texts = [max(texts, key=lambda text: near[text, anchor])]
        return [texts] * len(row)

    def _compare(self, pairs: Iterable[Pair]) -> dict[Pair, float]:
        """The similarity of each pair of texts that are both there."""
        distinct = [pair for pair in dict.fromkeys(pairs) if all(pair)]
        values = self._similarity([a for a, _ in distinct], [b for _, b in distinct], [self.pivot] * len(distinct))
        return dict(zip(distinct, values, strict=True))

    def _value(self, text: str, party: list[list[str]], known: dict[Pair, float]) -> Score:
        if not party:
            return None
        if not text:
            return 0.0
        agreements = [math.fsum(known[text, other] for other in texts) / len(texts) for texts in party]
        if self.options.aggregate == "min":
            return min(agreements)
        if self.options.aggregate == "geometric":
            return math.prod(agreements) ** (1 / len(agreements))
        return math.fsum(agreements) / len(agreements)


def _families(segments: Sequence[Segment]) -> list[list[int]]:
    """Rows that hold one source in different target languages; what comes twice makes a family of its own."""
    seen: Counter[tuple[str, str, str]] = Counter()
    found: dict[tuple[str, str, int], list[int]] = {}
    for b, segment in enumerate(segments):
        key = (segment.source_lang, segment.source, segment.target_lang)
        found.setdefault((*key[:2], seen[key]), []).append(b)
        seen[key] += 1
    return list(found.values())
