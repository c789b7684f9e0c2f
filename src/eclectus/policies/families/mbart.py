"""mBART-50, and the older mBART-25.

mBART-50, source: `<source language> text </s>`; decoder: `</s> <target language>`, then the translation.
mBART-25, source: `text </s> <source language>`; decoder: `<target language>`, then the translation.
Language tokens are `en_XX`, `zh_CN`.

Source of the convention: Tang et al. 2020, https://arxiv.org/abs/2008.00401; Liu et al. 2020,
https://arxiv.org/abs/2001.08210.
"""

from __future__ import annotations

import re

from langcodes import Language

from eclectus.errors import ModelError
from eclectus.policies.families.base import Seq2SeqFamily
from eclectus.segment import Segment

_TOKEN = re.compile(r"[a-z]{2,3}_[A-Z]{2}")


class MBart(Seq2SeqFamily):
    """The encoder is told the source language, the decoder the target language."""

    model_types = ("mbart",)

    def language_tokens(self) -> dict[str, int]:
        codes = {token: i for token, i in self.special_tokens().items() if _TOKEN.fullmatch(token)}
        if not codes:
            raise ModelError(
                "model: its tokenizer has no language tokens such as 'en_XX'; the folder mixes files of two models"
            )
        return codes

    def new_token(self, language: str) -> str:
        parsed = Language.get(language)
        # The only room for a script is the country that writes so.
        bare = parsed.script is None and parsed.territory is None
        return f"{parsed.language}_{'XX' if bare else parsed.maximize().territory}"

    @property
    def _older(self) -> bool:
        return type(self.tokenizer).__name__.startswith("MBartTokenizer")  # transformers 4 has two kinds of it

    def affixes(self, segment: Segment) -> tuple[list[int], list[int]]:
        language = self.token(segment.source_lang)
        return ([], [self.end, language]) if self._older else ([language], [self.end])

    def start(self, segment: Segment) -> tuple[int, ...]:
        language = self.token(segment.target_lang)
        return (language,) if self._older else (self.end, language)
