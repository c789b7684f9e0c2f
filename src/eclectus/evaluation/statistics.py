"""Sufficient statistics of BLEU and chrF++, so that any sum of segments is scored without reading text again.

The counts are sacreBLEU's own (the methods that `sacrebleu.significance` uses too); only the last step, from
summed counts to a score, is written anew for whole arrays: a paired bootstrap takes it thousands of times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics import BLEU, CHRF

from eclectus.rewards.text.tokens import for_language

Array = npt.NDArray[np.float64]

BLEU_ORDER = 4
CHAR_ORDER, WORD_ORDER, BETA = 6, 2, 2


@dataclass(frozen=True)
class Statistics:
    """Counts of the segments of one direction, translated by one system.

    Args:
        bleu: [N, 10]: hypothesis length, reference length, 4 matched and 4 total n-gram counts.
        chrf: [N, 24]: (hypothesis, reference, match) counts for 6 character and 2 word orders.
    """

    bleu: Array
    chrf: Array

    def __len__(self) -> int:
        return len(self.bleu)

    def rows(self, index: Sequence[int]) -> Statistics:
        """Return the statistics of some segments."""
        return Statistics(self.bleu[list(index)], self.chrf[list(index)])

    def total(self) -> dict[str, float]:
        """Return the corpus scores, 0 to 100, by metric name."""
        return {name: float(score(getattr(self, name).sum(0))) for name, score in SCORES.items()}


class Extractor:
    """Counts n-grams against one set of references, which are read once for all systems.

    Args:
        references: the references of one direction.
        target_lang: chooses sacreBLEU's tokenizer, as in rewards.
    """

    def __init__(self, references: Sequence[str], target_lang: str) -> None:
        self.size = len(references)
        read = [list(references)]
        self._metrics = (
            BLEU(tokenize=for_language(target_lang), references=read),
            CHRF(word_order=WORD_ORDER, references=read),  # chrF++
        )
        self._seen: dict[tuple[int, str], tuple[list[int], list[int]]] = {}

    def __call__(self, hypotheses: Sequence[str]) -> Statistics:
        """Count `hypotheses[i]` against reference i; what another system said before is not counted again."""
        if len(hypotheses) != self.size:
            raise ValueError(f"{len(hypotheses)} hypotheses for {self.size} references")
        rows = [self._row(i, hypothesis) for i, hypothesis in enumerate(hypotheses)]
        return Statistics(*(np.array(part, dtype=np.float64) for part in zip(*rows, strict=True)))

    def _row(self, i: int, hypothesis: str) -> tuple[list[int], list[int]]:
        if (i, hypothesis) not in self._seen:
            bleu, chrf = (
                metric._compute_segment_statistics(metric._preprocess_segment(hypothesis), metric._ref_cache[i])
                for metric in self._metrics
            )
            self._seen[i, hypothesis] = (bleu, chrf)
        return self._seen[i, hypothesis]

    @property
    def signatures(self) -> dict[str, str]:
        """SacreBLEU's signatures by metric name."""
        return {name: str(metric.get_signature()) for name, metric in zip(SCORES, self._metrics, strict=True)}


def bleu_scores(counts: Array) -> Array:
    """BLEU from summed counts [..., 10] to scores [...], as `sacrebleu.BLEU` with exp smoothing.

    BLEU = BP * exp(mean over n of log p_n); a precision without a match becomes 1 / (2^k * total) for the k-th
    such order (Chen and Cherry 2014, method 3). No match, or no 4-gram in the whole corpus, is 0.
    """
    counts = np.asarray(counts, dtype=np.float64)
    length, reference_length = counts[..., 0], counts[..., 1]
    matches, totals = counts[..., 2 : 2 + BLEU_ORDER], counts[..., 2 + BLEU_ORDER :]
    usable = matches.any(-1) & totals.all(-1)
    smoothed = matches == 0
    numerators = np.where(smoothed, 0.5 ** np.cumsum(smoothed, axis=-1), matches)
    precisions = numerators / np.where(totals > 0, totals, 1)
    brevity = np.exp(np.minimum(0, 1 - reference_length / np.where(length > 0, length, 1)))
    return np.where(usable, 100 * brevity * np.exp(np.log(precisions).mean(-1)), 0.0)


def chrf_scores(counts: Array) -> Array:
    """chrF++ from summed counts [..., 24] to scores [...], as `sacrebleu.CHRF(word_order=2)`.

    F_2 of the precision and the recall averaged over the orders that both sides have (Popović 2017).
    """
    counts = np.asarray(counts, dtype=np.float64)
    hypothesis, reference, match = counts[..., 0::3], counts[..., 1::3], counts[..., 2::3]
    present = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(present.sum(-1), 1)
    precision = np.where(present, match / np.where(present, hypothesis, 1), 0).sum(-1) / orders
    recall = np.where(present, match / np.where(present, reference, 1), 0).sum(-1) / orders
    below = BETA**2 * precision + recall
    return 100 * (1 + BETA**2) * precision * recall / np.where(below > 0, below, 1)


SCORES: dict[str, Callable[[Array], Array]] = {"bleu": bleu_scores, "chrf": chrf_scores}
NAMES = {"bleu": "BLEU", "chrf": "chrF++"}
