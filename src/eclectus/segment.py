"""`Segment`: the one thing to translate that corpora make, policies translate and rewards judge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

REFERENCE_COLUMN = re.compile(r"references?[-_ ]?\d*")
"""What a column of references is called: `reference`, and `reference2`, `reference_3`, … where there are several."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One text to translate.

    Args:
        source: the text in `source_lang`.
        source_lang: BCP-47 tag of the source language, as the run's config writes it.
        target_lang: BCP-47 tag of the language to translate into.
        reference: a known good translation; None for monolingual text, which is a full training signal too.
        id: stable name of the segment inside its corpus.
        attributes: free labels, for example `{"corpus": "cldr"}`.
        alternatives: further good translations beside `reference`.
    """

    source: str
    source_lang: str
    target_lang: str
    reference: str | None = None
    id: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    alternatives: tuple[str, ...] = ()

    @property
    def references(self) -> tuple[str, ...]:
        """The reference and its alternatives; none where `reference` is None, which withholds them all."""
        return () if self.reference is None else (self.reference, *self.alternatives)

    @property
    def direction(self) -> str:
        """`source-target`, for example `es-fr`."""
        return f"{self.source_lang}-{self.target_lang}"
