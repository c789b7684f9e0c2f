"""Sentence BLEU, identical to sacreBLEU's and faster on groups: the more sources a call has, the more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import sacrebleu
from pydantic import Field
from sacrebleu.metrics.bleu import BLEU

from eclectus.rewards.base import RewardContext
from eclectus.rewards.matching.ngrams import matches, ngram_counts
from eclectus.rewards.matching.overlap import SpeltOverlap, lengths_of
from eclectus.rewards.text.tokens import Chooser, Speller, Tokenizer, TokenOptions


class Bleu(SpeltOverlap):
    r"""Sentence BLEU of a hypothesis against its references.

    $$\mathrm{BLEU} = \min(1, e^{1 - r/h}) \exp\Big(\frac{1}{N} \sum_{n=1}^{N} \log p_n\Big)$$

    with h the length in tokens, r that of the reference nearest in length, p_n the n-gram precision, clipped at the
    most that any one reference has, and N the *effective* order: the highest one that the hypothesis is long enough
    for. Range [0, 1]; equal to sacreBLEU's `BLEU(effective_order=True).sentence_score(...).score / 100` to 1e-9.

    A call costs a few array operations for each n-gram order, however many texts it judges, plus a little for each
    text. So the gain over sacreBLEU grows with the batch: a call of 4 sources gains much less than one of 32.
    `benchmarks/bench_rewards.py` measures both.

    Source: Papineni et al. 2002, https://aclanthology.org/P02-1040; smoothing: Chen and Cherry 2014,
    https://aclanthology.org/W14-3346 (`floor`, `add-k` and `exp` are their methods 1, 2 and 3); sacreBLEU: Post 2018,
    https://aclanthology.org/W18-6319; spBLEU: Goyal et al. 2022, https://aclanthology.org/2022.tacl-1.30.

    Example:
        >>> from eclectus.segment import Segment
        >>> bleu = Bleu()
        >>> segment = Segment("Un chat noir", "fr", "en", reference="A black cat sleeps here .")
        >>> [round(value, 3) for value in bleu([segment] * 2, ["A black cat sleeps .", "A dog"])]
        [0.579, 0.068]

    How it is cheated: dropping what is hard to translate costs only the brevity penalty; frequent function words in any
    order win unigrams; it is flat near 0 for a weak policy (no signal). Combine it with `chrf`.
    """

    class Options(TokenOptions):
        """Options of sentence BLEU; the defaults are sacreBLEU's."""

        smooth_method: Literal["exp", "add-k", "floor", "none"] = "exp"
        smooth_value: float | None = Field(None, ge=0, description="for add-k (None: 1) and floor (None: 0.1)")
        max_order: int = Field(4, ge=1, le=8)

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        value = self.options.smooth_value
        default = BLEU.SMOOTH_DEFAULTS[self.options.smooth_method] or 0.0
        self._smooth_value = default if value is None else value
        self._chooser = Chooser(self.options, self.name)
        self._speller = Speller(self.options.lowercase)

    def tokenizer_for(self, language: str) -> Tokenizer:
        """Return the tokenizer for a target language (a BCP-47 tag)."""
        return self._chooser(language)

    @property
    def signature(self) -> str:
        """SacreBLEU's signature; `tok:auto` stands for the choice by target language."""
        options = self.options
        case = "lc" if options.lowercase else "mixed"
        value = f"[{self._smooth_value:.2f}]" if options.smooth_method in ("add-k", "floor") else ""
        order = f"|n:{options.max_order}" if options.max_order != 4 else ""
        return (
            f"BLEU|nrefs:var|case:{case}|eff:yes|{self._chooser.signature}|smooth:{options.smooth_method}{value}"
            f"{order}|version:{sacrebleu.__version__}"
        )

    def _compare(self, references: list[list[str]], hypotheses: list[list[str]]) -> np.ndarray:
        lengths = lengths_of(hypotheses)
        sizes = [[*map(len, texts)] for texts in references]
        if all(len(row) == 1 for row in sizes):
            nearest = np.array(sizes)
        else:
            nearest = np.array([[_nearest(row, n) for n in group] for row, group in zip(sizes, lengths, strict=True)])
        return self._bleu(matches(references, hypotheses, self.options.max_order), lengths, nearest)

    def _bleu(self, correct: np.ndarray, lengths: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Return [B, G] BLEU from [B, G, N] clipped matches, [B, G] lengths and the references' lengths in tokens."""
        method, k = self.options.smooth_method, self._smooth_value
        orders = self.options.max_order
        total = ngram_counts(lengths, orders)
        match = correct.astype(np.float64)
        if method == "add-k":
            match[..., 1:] += k
            total = total + np.where(np.arange(orders) > 0, k, 0)
        elif method != "none":
            empty = match == 0
            match[empty] = np.ldexp(1.0, -empty.cumsum(-1)[empty]) if method == "exp" else k
        counted = total > 0
        match[~counted] = 1
        with np.errstate(divide="ignore"):
            logs = np.log(match / np.where(counted, total, 1))
        precision = np.exp(logs.sum(-1) / np.maximum(counted.sum(-1), 1))
        brevity = np.exp(np.minimum(1 - nearest / np.maximum(lengths, 1), 0))
        return np.where(correct[..., 0] > 0, brevity * precision, 0.0)


def _nearest(sizes: Sequence[int], length: int) -> int:
    """Return the reference length that is nearest to `length`, the shorter of two equally near."""
    return min((abs(size - length), size) for size in sizes)[1]
