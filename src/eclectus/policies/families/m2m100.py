"""M2M100, and NLLB-200, which has the same architecture.

Source: `<source language> text </s>` (NLLB checkpoints with `legacy_behaviour`: `text </s> <source language>`).
Decoder: `</s> <target language>`, then the translation. Language tokens are `__en__` in M2M100, `eng_Latn` in NLLB.

Source of the convention: Fan et al. 2020, https://arxiv.org/abs/2010.11125; NLLB Team 2022,
https://arxiv.org/abs/2207.04672.
"""

from __future__ import annotations

import re

from langcodes import Language

from eclectus.errors import ModelError
from eclectus.policies.families.base import Seq2SeqFamily
from eclectus.segment import Segment

_FLORES = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
# M2M100's own codes are bare languages; one that was added may carry a script.
_ISO = re.compile(r"__([a-z]{2,3}(?:_[A-Za-z0-9]+)*)__")


class M2M100(Seq2SeqFamily):
    """The encoder is told the source language, the decoder the target language."""

    model_types = ("m2m_100",)

    def language_tokens(self) -> dict[str, int]:
        special = self.special_tokens()
        codes = {token: i for token, i in special.items() if _FLORES.fullmatch(token)}
        codes = codes or {match.group(1): i for token, i in special.items() if (match := _ISO.fullmatch(token))}
        if not codes:
            raise ModelError(
                "model: its tokenizer has no language tokens such as 'eng_Latn' or '__en__';"
                " the folder mixes files of two models"
            )
        return codes

    def new_token(self, language: str) -> str:
        if not all(_FLORES.fullmatch(code) for code in self.tokens):
            return f"__{language.replace('-', '_')}__"
        full = Language.get(language).maximize()
        return f"{full.to_alpha3()}_{full.script}"

    def affixes(self, segment: Segment) -> tuple[list[int], list[int]]:
        language = self.token(segment.source_lang)
        if getattr(self.tokenizer, "legacy_behaviour", False):
            return [], [self.end, language]
        return [language], [self.end]

    def start(self, segment: Segment) -> tuple[int, ...]:
        return self.needed_start, self.token(segment.target_lang)
