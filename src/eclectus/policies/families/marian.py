"""Marian: OPUS-MT models, and the models that eclectus builds.

Source: `>>xx<< text </s>`, the tag naming the target language; the source's own language is not marked. Models of one
direction have no tags. Decoder: starts with padding.

Source of the convention: Tiedemann and Thottingal 2020, https://aclanthology.org/2020.eamt-1.61.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from langcodes import Language

from eclectus.errors import ModelError
from eclectus.languages import Codes, Direction
from eclectus.policies.families.base import Seq2SeqFamily
from eclectus.segment import Segment

_TAG = re.compile(r">>(.+)<<")


class Marian(Seq2SeqFamily):
    """The target language's tag opens the source."""

    model_types = ("marian",)

    def language_tokens(self) -> dict[str, int]:
        if getattr(self.tokenizer, "separate_vocabs", False):
            raise ModelError(
                "model: its source and target vocabularies are separate, which is not supported;"
                " use a Marian model with one vocabulary"
            )
        vocabulary = sorted(self.tokenizer.get_vocab().items())
        tags = {match.group(1): i for token, i in vocabulary if (match := _TAG.fullmatch(token))}
        source, target = (getattr(self.tokenizer, f"{side}_lang", None) for side in ("source", "target"))
        if not tags and not target:
            raise ModelError(
                "model: its tokenizer has no '>>xx<<' language tags, so it cannot be told what to translate into;"
                " use a multilingual Marian model, or train one with policy.new"
            )
        if not tags and not Codes([str(target)]).tags:
            raise ModelError(
                f"model: its tokenizer translates into '{target}', which is no language, and has no '>>xx<<' language"
                " tags; write the language as target_lang into its tokenizer_config.json, or use another model"
            )
        # OPUS-MT models name a language, or a group such as `roa`, for each side; ours read what they write.
        self._reads_all = source is not None and _is_group(source)
        self._reads = Codes([str(source)] if source else tags)
        self._writes = Codes(tags or [str(target)])
        return tags

    def new_token(self, language: str) -> str:
        return f">>{language}<<"

    @property
    def languages(self) -> list[str]:
        return list(dict.fromkeys([*self._writes.tags, *self._reads.tags]))

    def has_language(self, language: str) -> bool:
        return self._reads_all or any(codes.find(language) for codes in (self._writes, self._reads))

    def language_mark(self, language: str) -> str | None:
        return self._writes.find(language)  # a source's language is not marked

    def check_directions(self, directions: Sequence[Direction]) -> None:
        for source, target in directions:
            if not self._writes.find(target):
                raise ModelError(
                    f"model: it does not translate into '{target}', only into {', '.join(self._writes.tags)};"
                    f" drop the direction {source}-{target}"
                )
            if not (self._reads_all or self._reads.find(source)):
                raise ModelError(
                    f"model: it does not translate from '{source}', only from {', '.join(self._reads.tags)};"
                    f" drop the direction {source}-{target}"
                )

    def affixes(self, segment: Segment) -> tuple[list[int], list[int]]:
        return ([self.token(segment.target_lang)] if self.tokens else []), [self.end]

    def start(self, segment: Segment) -> tuple[int, ...]:
        return (self.needed_start,)


def _is_group(code: str) -> bool:
    """Whether a code means several languages: one of ISO 639-5 (`roa`, `mul`), or no code at all (`ROMANCE`)."""
    return not Codes([code]).tags or Language.get(code).language_name().lower().endswith("languages")
