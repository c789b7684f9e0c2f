"""Agreement with the other translations of the same source: what a policy says most surely, and no references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.matching.similarity import Similarity, SimilarityOptions
from eclectus.rewards.text import visible
from eclectus.segment import Segment


class Consensus(Reward):
    r"""Mean similarity of a translation to the other translations of its source that were drawn with it.

    $$r(y_g) = \frac{1}{G - 1} \sum_{h \ne g} m(y_g, y_h)$$

    with y_1 … y_G the samples of a source and m the weighted mean of BLEU, chrF and exact match with y_h as the
    reference, or the cosine of embeddings. Range [0, 1]; a hypothesis with nothing visible is 0. The sample with the
    highest value is that of minimum Bayes risk decoding. Needs a few samples: with 8 the value is coarse, 16 or more
    are better. Abstains if a translation is the only one of its source, as in greedy translations of the dev set:
    select checkpoints by a metric.

    Source: minimum Bayes risk decoding for translation: Eikema and Aziz 2020,
    https://aclanthology.org/2020.coling-main.398; trained into the policy: Finkelstein and Freitag 2023,
    https://arxiv.org/abs/2309.10966.

    Example:
        >>> segment = Segment("the cat sleeps", "en", "es")
        >>> groups = [["el gato duerme", "el gato duerme", "la casa"]]
        >>> [values] = Consensus(Consensus.Options(bleu=0)).score_groups([segment], groups)
        >>> [round(value, 2) for value in values]
        [0.52, 0.52, 0.03]

    How it is cheated: by saying the same whatever the source is, since only the samples are compared: a policy that has
    collapsed is in full agreement. Hold it with KL to the start, and gate with what knows the source or the language.
    """

    comparative = True

    class Options(SimilarityOptions):
        """The measure of agreement."""

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._similarity = Similarity(self.options, self.name)

    @property
    def signature(self) -> str:
        """For example `consensus|bleu:0.5|chrf:0.5`."""
        return f"{self.name}|{self._similarity.signature}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Abstain: nothing was drawn with them."""
        return [None] * len(hypotheses)

    def score_groups(self, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]]) -> list[list[Score]]:
        """Judge each hypothesis of a segment by the others, equal ones included."""
        counts = [Counter(group) for group in hypotheses]
        pairs = [
            (place, one, other)
            for place, found in enumerate(counts)
            for one, other in permutations(found, 2)
            if visible(one)
        ]
        values = self._similarity(
            [one for _, one, _ in pairs],
            [other for _, _, other in pairs],
            [segments[place].target_lang for place, _, _ in pairs],
        )
        sums = [{text: float(number - 1) * visible(text) for text, number in found.items()} for found in counts]
        for (place, one, other), value in zip(pairs, values, strict=True):
            sums[place][one] += counts[place][other] * value
        return [
            [sums[place][text] / (len(group) - 1) if len(group) > 1 else None for text in group]
            for place, group in enumerate(hypotheses)
        ]
