"""Sentence chrF and chrF++, identical to sacreBLEU's and several times faster on groups."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import fastchrf
import sacrebleu
from pydantic import Field

from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.grams import Grams, matches
from eclectus.rewards.text import reference_of
from eclectus.segment import Segment

_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_CACHED_REFERENCES = 2048  # about 35 kB each for 60 characters


class ChrF(Reward):
    r"""chrF (`words: 0`) or chrF++ (`words: 2`) of a hypothesis against its reference.

    $$\mathrm{chrF}_\beta = (1 + \beta^2) \frac{P R}{\beta^2 P + R}$$

    with P and R the precision and recall of character n-grams (1..6, without spaces) and word n-grams (1..`words`),
    averaged over the orders that both texts are long enough for. Range [0, 1]; equal to sacreBLEU's sentence chrF / 100
    (`eps_smoothing=False`) to 1e-9.

    Source: Popović 2015, https://aclanthology.org/W15-3049 (chrF); Popović 2017, https://aclanthology.org/W17-4770
    (chrF++); beta = 2: Popović 2016, https://aclanthology.org/W16-2341.

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("Un chat noir", "fr", "en", reference="A black cat")
        >>> [round(value, 3) for value in ChrF()([segment] * 2, ["A black cat", "black cats"])]
        [1.0, 0.834]

    How it is cheated: recall counts four times, so saying more is nearly free: the reference twice scores about 0.83,
    the reference with the source appended 0.85, its words shuffled 0.65. Never use it as the only reward: add `bleu`,
    and gate with `length` and `repetition`.
    """

    class Options(Reward.Options):
        """Options of chrF; the defaults are sacreBLEU's, that is chrF2 without word n-grams."""

        words: int = Field(0, ge=0, le=4, description="highest word n-gram order: 0 is chrF, 2 is chrF++")
        characters: int = Field(6, ge=1, le=10, description="highest character n-gram order")
        beta: float = Field(2, gt=0, description="recall counts beta squared times as much as precision")
        lowercase: bool = False

    requires = frozenset({"reference"})
    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._reference = lru_cache(maxsize=_CACHED_REFERENCES)(self._count_reference)

    @property
    def signature(self) -> str:
        """SacreBLEU's signature with the metric's name in front."""
        options = self.options
        case = "lc" if options.lowercase else "mixed"
        return (
            f"chrF{options.beta:g}{'+' * options.words}|nrefs:1|case:{case}|eff:yes|nc:{options.characters}"
            f"|nw:{options.words}|space:no|version:{sacrebleu.__version__}"
        )

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis against its segment's reference; DataError where there is none."""
        references = [reference_of(segment, self.name) for segment in segments]
        if references and not self.options.words:  # fastchrf (Rust, all cores) knows characters only
            try:
                return self._fast(hypotheses, references)
            except UnicodeEncodeError:  # a lone surrogate
                pass
        return [self.score(hypothesis, text) for hypothesis, text in zip(hypotheses, references, strict=True)]

    def _fast(self, hypotheses: Sequence[str], references: Sequence[str]) -> list[Score]:
        groups: dict[str, list[int]] = {}
        for i, (_, reference) in enumerate(zip(hypotheses, references, strict=True)):
            groups.setdefault(reference, []).append(i)
        fold = str.lower if self.options.lowercase else str
        scores: list[Score] = [None] * len(references)
        table = fastchrf.pairwise_chrf(
            [[fold(hypotheses[i]) for i in group] for group in groups.values()],
            [[fold(reference)] for reference in groups],
            char_order=self.options.characters,
            beta=self.options.beta,
        )
        for group, values in zip(groups.values(), table, strict=True):
            for i, value in zip(group, values, strict=True):
                scores[i] = value[0] / 100
        return scores

    def score(self, hypothesis: str, reference: str) -> float:
        """Return chrF in [0, 1] of one text against another."""
        characters, words = self._reference(reference)
        pieces = (hypothesis.lower() if self.options.lowercase else hypothesis).split()
        precision, recall, orders = _sums(characters, "".join(pieces))
        if words:
            sums = _sums(words, _split_punctuation(pieces))
            precision, recall, orders = precision + sums[0], recall + sums[1], orders + sums[2]
        if not precision:
            return 0.0
        precision, recall = precision / orders, recall / orders
        factor = self.options.beta**2
        return (1 + factor) * precision * recall / (factor * precision + recall)

    def _count_reference(self, reference: str) -> tuple[list[Grams], list[Grams]]:
        pieces = (reference.lower() if self.options.lowercase else reference).split()
        text, words = "".join(pieces), _split_punctuation(pieces)
        return (
            [Grams(text, n) for n in range(1, self.options.characters + 1)],
            [Grams(words, n) for n in range(1, self.options.words + 1)],
        )


def _sums(reference: list[Grams], items: str | list[str]) -> tuple[float, float, int]:
    """Sum precision and recall over the orders that both texts have n-grams of, and count these orders."""
    precision = recall = 0.0
    for n, (count, order) in enumerate(zip(matches(reference, items), reference, strict=False)):
        precision += count / (len(items) - n)
        recall += count / order.size
    return precision, recall, sum(1 for n, order in enumerate(reference) if order.size and len(items) > n)


def _split_punctuation(words: list[str]) -> list[str]:
    """Part a mark from a word's end or else from its start, one mark only, as chrF++ and sacreBLEU do."""
    parts = []
    for word in words:
        if len(word) > 1 and word[-1] in _PUNCTUATION:
            parts += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in _PUNCTUATION:
            parts += [word[0], word[1:]]
        else:
            parts.append(word)
    return parts
