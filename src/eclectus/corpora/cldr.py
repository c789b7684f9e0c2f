"""Phrases of the Unicode Common Locale Data Repository, written out in every language of the run at once.

Dates, amounts, units, lists and names are formatted through Babel from random values, so the supply is
practically unlimited and the translations are exact. Numbers in words come from num2words, where it has the language.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from pydantic import Field

from eclectus import registry
from eclectus.corpora.base import Corpus, Entry
from eclectus.errors import DataError

Kind = Literal[
    "lists", "names", "dates", "units", "durations", "relative", "money", "times", "zones", "numbers", "words"
]

WEIGHTS: dict[str, float] = {
    "lists": 26,
    "dates": 14,
    "units": 14,
    "names": 10,
    "durations": 8,
    "money": 8,
    "words": 6,
    "relative": 4,
    "times": 4,
    "zones": 3,
    "numbers": 3,
}
"""Share of each kind in the draw: rich in words, poor in digits, which a model learns to copy in no time."""

DRAWS_PER_PHRASE = 30
"""Some kinds run dry (there are 12 months): after so many draws for each phrase the corpus is what was found."""


class Cldr(Corpus):
    """Phrases made on the fly through Babel."""

    class Options(registry.Options):
        phrases: int = Field(4000, ge=1, description="distinct entries")
        kinds: list[Kind] = Field(list(get_args(Kind)), min_length=1)

    options: Options

    def __init__(self, options: registry.Options | None, languages: Sequence[str], seed: int) -> None:
        super().__init__(options, languages, seed)
        try:
            from eclectus.corpora import phrases, voices
        except ImportError as error:
            raise DataError("cldr: needs Babel and num2words; `pip install eclectus[quickstart]`") from error
        self._phrases, self._voices = phrases, voices

    @property
    def signature(self) -> str:
        """For example `cldr|babel:2.16.0 (BSD-3-Clause; …)|num2words:0.5.13 (LGPL)|n:4000|kinds:all|seed:1`."""
        kinds = "all" if set(self.options.kinds) == set(get_args(Kind)) else "+".join(self.options.kinds)
        versions = self._voices.versions()
        return f"{self.name}|{versions}|n:{self.options.phrases}|kinds:{kinds}|seed:{self.seed}"

    def entries(self) -> Iterator[Entry]:
        """Yield distinct entries, the same ones for the same seed, languages and versions."""
        voices = self._voices.voices(self.languages)
        if not voices:
            raise DataError(f"cldr: Babel has none of the languages {', '.join(self.languages)}; take 'cldr' out")
        pools = self._voices.Pools(list(voices.values()))
        rng = random.Random(f"cldr {self.seed}")
        kinds = list(self.options.kinds)
        weights = [WEIGHTS[kind] for kind in kinds]
        seen: set[tuple[str, ...]] = set()
        for _ in range(DRAWS_PER_PHRASE * self.options.phrases):
            kind = rng.choices(kinds, weights)[0]
            say = self._phrases.KINDS[kind](rng, pools)
            texts = {tag: text for tag, voice in voices.items() if (text := say(voice))}
            key = tuple(texts.values())
            if key in seen or (len(texts) < 2 and len(voices) > 1):
                continue
            seen.add(key)
            yield Entry(texts, self.name, f"{self.name}/{kind}/{len(seen)}")
            if len(seen) >= self.options.phrases:
                return
