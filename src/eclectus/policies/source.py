"""`Source`: one tokenised thing to translate, ready for a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """Token ids of a source, and what the decoder is given before the first token of its translation.

    Args:
        ids: what is encoded: the source with its language tags, or a decoder-only model's prompt without its last
            token.
        start: decoder input that precedes the translation, at least one token and as many for every source of a
            policy: the decoder's start token, a forced language token, the last token of a prompt.
        language: the target language (BCP-47), which chooses the adapter where each language has its own.
        cut: whether the end of the source is missing, for want of positions.
    """

    ids: tuple[int, ...]
    start: tuple[int, ...]
    language: str = ""
    cut: bool = False

    def __len__(self) -> int:
        return len(self.ids)
