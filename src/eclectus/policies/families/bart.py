"""BART: a monolingual model to start one direction from.

Source: `<s> text </s>`; decoder: `</s> <s>`, then the translation. It marks no languages; several target languages need
`policy.prompt.template`.

Source of the convention: Lewis et al. 2020, https://arxiv.org/abs/1910.13461.
"""

from __future__ import annotations

from collections.abc import Sequence

from eclectus.languages import Direction, name
from eclectus.policies.families.base import Seq2SeqFamily, check_words
from eclectus.segment import Segment


class Bart(Seq2SeqFamily):
    """The source as it is, or told in words what to do."""

    model_types = ("bart",)

    def language_tokens(self) -> dict[str, int]:
        return {}

    def check_directions(self, directions: Sequence[Direction]) -> None:
        check_words(self.prompt, self.prompt.template or "", directions)

    def text(self, segment: Segment) -> str:
        if self.prompt.template is None:
            return segment.source
        return self.prompt.template.format(
            source=segment.source,
            source_language=name(segment.source_lang),
            target_language=name(segment.target_lang),
        )

    def affixes(self, segment: Segment) -> tuple[list[int], list[int]]:
        return [self._begin], [self.end]

    def start(self, segment: Segment) -> tuple[int, ...]:
        return self.needed_start, self._begin

    @property
    def _begin(self) -> int:
        return int(self.tokenizer.bos_token_id)
