"""Sentence GLEU: the smaller of n-gram precision and recall."""

from __future__ import annotations

import numpy as np
import sacrebleu
from pydantic import Field

from eclectus.rewards.base import RewardContext
from eclectus.rewards.matching.ngrams import matches, ngram_counts
from eclectus.rewards.matching.overlap import SpeltOverlap, apart, best, lengths_of
from eclectus.rewards.text.tokens import Chooser, Speller, Tokenizer, TokenOptions


class Gleu(SpeltOverlap):
    r"""Sentence GLEU ("Google BLEU") of a hypothesis against its references, the best of them.

    $$\mathrm{GLEU} = \min\Big(\frac{m}{h}, \frac{m}{r}\Big) = \frac{m}{\max(h, r)}$$

    with h and r the numbers of all n-grams, n = 1 .. `max_order`, of hypothesis and reference, and m the clipped
    matches among them. Made for rewards: symmetric, unsmoothed, above 0 as soon as one token matches. Range [0, 1]; 0
    where both texts are empty. Equal to NLTK's `sentence_gleu` on the same tokens to 1e-9.

    Source: Wu et al. 2016, https://arxiv.org/abs/1609.08144, section 5.

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("Un chat noir", "fr", "en", reference="a black cat")
        >>> Gleu()([segment] * 2, ["a black dog", "a black cat"])
        [0.5, 1.0]

    How it is cheated: frequent function words win unigrams without saying anything, and a sentence with its one hard
    word left out loses little. It has no brevity penalty beyond recall. Combine it with `chrf`.
    """

    class Options(TokenOptions):
        """Options of GLEU; the defaults are those of Wu et al."""

        max_order: int = Field(4, ge=1, le=8)

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._chooser = Chooser(self.options, self.name)
        self._speller = Speller(self.options.lowercase)

    def tokenizer_for(self, language: str) -> Tokenizer:
        """Return the tokenizer for a target language (a BCP-47 tag)."""
        return self._chooser(language)

    @property
    def signature(self) -> str:
        """`GLEU|nrefs:var|case:mixed|tok:auto|n:4|version:…`, the version being that of sacreBLEU's tokenizers."""
        case = "lc" if self.options.lowercase else "mixed"
        return (
            f"GLEU|nrefs:var|case:{case}|{self._chooser.signature}|n:{self.options.max_order}"
            f"|version:{sacrebleu.__version__}"
        )

    def _compare(self, references: list[list[str]], hypotheses: list[list[str]]) -> np.ndarray:
        rows, owners = apart(references)
        order = self.options.max_order
        groups = [hypotheses[b] for b in owners]
        shared = matches(rows, groups, order).sum(-1)
        sizes = [ngram_counts(lengths_of(texts), order).sum(-1) for texts in (groups, rows)]
        return best(shared / np.maximum(np.maximum(*sizes), 1), owners, len(references))
