"""Sentence chrF and chrF++, identical to sacreBLEU's and ten times faster on groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sacrebleu
from pydantic import Field

from eclectus.rewards.base import Reward, RewardContext
from eclectus.rewards.matching.ngrams import matches, ngram_counts
from eclectus.rewards.matching.overlap import Overlap, Remembered, apart, best, in_groups, lengths_of
from eclectus.rewards.text.tokens import Speller, Tokenizer

_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class ChrF(Overlap):
    r"""chrF (`words: 0`) or chrF++ (`words: 2`) of a hypothesis against its references, the best of them.

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

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._speller = Speller(self.options.lowercase)
        self._words = self._speller.using(_WORDS)
        self._references = Remembered(self._read)

    @property
    def signature(self) -> str:
        """SacreBLEU's signature with the metric's name in front."""
        options = self.options
        case = "lc" if options.lowercase else "mixed"
        return (
            f"chrF{options.beta:g}{'+' * options.words}|nrefs:var|case:{case}|eff:yes|nc:{options.characters}"
            f"|nw:{options.words}|space:no|version:{sacrebleu.__version__}"
        )

    def _squeezed(self, texts: Sequence[str]) -> list[str]:
        if self.options.lowercase:
            texts = [text.lower() for text in texts]
        together = "\0".join(texts)
        if together.count("\0") == len(texts) - 1:
            return "".join(together.split()).split("\0")
        return ["".join(text.split()) for text in texts]

    def _read(self, references: tuple[str, ...], language: str) -> tuple[list[str], list[str]]:
        return self._squeezed(references), self._words(references) if self.options.words else []

    def _judge(
        self, languages: Sequence[str], references: Sequence[tuple[str, ...]], hypotheses: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        if self._speller.full:
            self._speller.clear()
            self._references.clear()
            self._words = self._speller.using(_WORDS)
        known = [*map(self._references, references, languages)]
        texts, owners = apart([characters for characters, _ in known])
        squeezed = in_groups(self._squeezed, hypotheses)
        sums = _sums(texts, [squeezed[b] for b in owners], self.options.characters)
        if self.options.words:
            texts, _ = apart([words for _, words in known])
            words = in_groups(self._words, hypotheses)
            more = _sums(texts, [words[b] for b in owners], self.options.words)
            sums = [a + b for a, b in zip(sums, more, strict=True)]
        return best(self._f(*sums), owners, len(known)).tolist()

    def _f(self, precision: np.ndarray, recall: np.ndarray, orders: np.ndarray) -> np.ndarray:
        """Return F-beta of precision and recall, given as sums over `orders`."""
        orders = np.maximum(orders, 1)
        precision, recall = precision / orders, recall / orders
        factor = self.options.beta**2
        below = factor * precision + recall
        return (1 + factor) * precision * recall / np.where(below > 0, below, 1)


def _sums(references: list[list[str]], hypotheses: list[list[str]], order: int) -> list[np.ndarray]:
    """Sum precision and recall [N, G] over the orders that both texts have n-grams of, and count these orders."""
    found = matches(references, hypotheses, order)
    mine = ngram_counts(lengths_of(hypotheses), order)
    theirs = ngram_counts(lengths_of(references), order)
    precision, recall = found / np.maximum(mine, 1), found / np.maximum(theirs, 1)
    return [precision.sum(-1), recall.sum(-1), ((mine > 0) & (theirs > 0)).sum(-1)]


def _part_punctuation(word: str) -> list[str]:
    """Part a mark from a word's end or else from its start, one mark only, as chrF++ and sacreBLEU do."""
    if len(word) > 1 and word[-1] in _PUNCTUATION:
        return [word[:-1], word[-1]]
    if len(word) > 1 and word[0] in _PUNCTUATION:
        return [word[0], word[1:]]
    return [word]


_WORDS = Tokenizer(
    lambda text: [part for word in text.split() for part in _part_punctuation(word)], _part_punctuation, str.split, True
)
