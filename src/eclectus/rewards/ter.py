"""One minus the translation edit rate, which is identical to sacreBLEU's."""

from __future__ import annotations

from typing import Literal

import numpy as np
import sacrebleu
from pydantic import Field
from sacrebleu.tokenizers.tokenizer_ter import TercomTokenizer

from eclectus.rewards.base import Reward, RewardContext
from eclectus.rewards.matching.edits import translation_edits
from eclectus.rewards.matching.overlap import SpeltOverlap
from eclectus.rewards.text import units
from eclectus.rewards.text.tokens import Speller, Tokenizer, unspaced


class Ter(SpeltOverlap):
    r"""1 minus the translation edit rate of a hypothesis, not below 0.

    $$r = \max(0, 1 - \mathrm{TER}), \qquad \mathrm{TER} = \frac{\min_k e_k}{\frac{1}{K} \sum_k |y^*_k|}$$

    with e_k the insertions, deletions, substitutions and shifts of blocks of words that turn the hypothesis into
    reference k, and |y*_k| that reference's length in words. Range [0, 1]; 1 where both texts are empty. TER is equal
    to sacreBLEU's sentence TER / 100 to 1e-9, with its limits on shifts. With `tokenize: auto` characters count as
    words in languages written without spaces, where sacreBLEU's default takes a whole sentence for one word.

    Source: Snover et al. 2006, https://aclanthology.org/2006.amta-papers.25.

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("Un chat noir dort", "fr", "en", reference="a black cat sleeps here now")
        >>> [round(value, 3) for value in Ter()([segment] * 2, ["a black cat sleeps", "here now a black cat sleeps"])]
        [0.667, 0.833]

    How it is cheated: leaving out what is hard costs one edit per word, no more than getting it wrong, so short and
    safe beats complete; anything worse than an empty text is 0, where a weak policy finds no signal. Combine it with
    `chrf`.
    """

    class Options(Reward.Options):
        """Options of TER; the last four are sacreBLEU's, with its defaults."""

        tokenize: Literal["auto", "tercom", "char"] = Field(
            "auto", description="auto: char for languages written without spaces, else tercom"
        )
        normalized: bool = Field(False, description="part punctuation from words")
        no_punct: bool = Field(False, description="drop punctuation")
        asian_support: bool = Field(False, description="let `normalized` and `no_punct` see Chinese and Japanese")
        case_sensitive: bool = False

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        chosen = self.options
        tercom = TercomTokenizer(chosen.normalized, chosen.no_punct, chosen.asian_support, chosen.case_sensitive)
        self._by_word = Tokenizer(lambda text: tercom(text.rstrip()).split())
        self._by_character = Tokenizer(lambda text: units(tercom(text.rstrip())))
        self._speller = Speller()

    @property
    def signature(self) -> str:
        """SacreBLEU's signature with the metric's name in front."""
        options = self.options
        case = "mixed" if options.case_sensitive else "lc"
        norm, punct, asian = (
            "yes" if on else "no" for on in (options.normalized, not options.no_punct, options.asian_support)
        )
        return (
            f"TER|nrefs:var|case:{case}|tok:{options.tokenize}|norm:{norm}|punct:{punct}|asian:{asian}"
            f"|version:{sacrebleu.__version__}"
        )

    def tokenizer_for(self, language: str) -> Tokenizer:
        """Return the tokenizer for a target language (a BCP-47 tag)."""
        kind = self.options.tokenize
        return self._by_character if kind == "char" or (kind == "auto" and unspaced(language)) else self._by_word

    def _compare(self, references: list[list[str]], hypotheses: list[list[str]]) -> np.ndarray:
        width = max(map(len, hypotheses), default=0)
        values = np.zeros((len(hypotheses), width))
        for b, (texts, group) in enumerate(zip(references, hypotheses, strict=True)):
            length = sum(map(len, texts)) / len(texts)
            for g, hypothesis in enumerate(group):
                edits = min(translation_edits(hypothesis, text) for text in texts)
                values[b, g] = max(0.0, 1 - edits / length) if length else float(not edits)
        return values
