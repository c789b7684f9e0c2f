"""The user's own translation memory: a TMX file, as localisation tools and OPUS write it, in two or more languages.

TMX 1.4b: <https://www.gala-global.org/tmx-14b>. A unit (`tu`) holds a variant (`tuv`) for each language, whose segment
(`seg`) is text with a program's own codes in between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import ClassVar

from eclectus.corpora.clean import GAP
from eclectus.corpora.memory import XML_LANG, Events, Memory, Unit, local


class Tmx(Memory):
    """A translation memory (TMX 1.1 to 1.4b); of a unit with several variants in a language each is a translation."""

    outermost = "tmx"
    # `hi` holds text. Only a pair of codes, or its half, may be inside a word.
    codes: ClassVar = {"bpt": "", "ept": "", "it": "", "ph": GAP, "ut": GAP}

    def units(self, events: Events) -> Iterator[Unit]:
        """Yield what each `tu` says."""
        for event, element in events:
            if event == "end" and local(element) == "tu":
                unit: defaultdict[str, list[str]] = defaultdict(list)
                for variant in element:
                    if local(variant) == "tuv":
                        tag = variant.get(XML_LANG) or variant.get("lang") or ""  # lang: before TMX 1.3
                        unit[tag] += [self.segment(child) for child in variant if local(child) == "seg"]
                yield dict(unit)
                element.clear()  # a memory of millions of units need not be held as elements
