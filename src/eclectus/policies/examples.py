"""Translations of other sentences for a prompt to show, chosen for each source."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice

from eclectus.config import FewShotConfig
from eclectus.corpora.clean import normalise_key
from eclectus.languages import direction
from eclectus.seeds import rng
from eclectus.segment import Segment

Example = tuple[str, str]
"""Source and translation."""

_POOL = 2000
"""Most pairs of a direction that are kept: they are saved with the model and searched for each source."""


class Examples:
    """Pairs by direction, from which `choose` takes k.

    Similarity of two sources is the summed inverse document frequency of the character trigrams they share, divided by
    the root of the number of trigrams of the one in the pool, so that long ones do not win by length. Trigrams need no
    words and so serve every script. Choosing by similarity of the source follows Agrawal et al. 2023,
    https://aclanthology.org/2023.findings-acl.564, who rank by BM25 over words.

    A source's own pair is never shown: in training it would give the reference away. The choice depends on the seed and
    the source alone, not on the batch.
    """

    def __init__(self, config: FewShotConfig, pairs: Mapping[str, Sequence[Example]] | None = None) -> None:
        self.config = config
        self.pairs: dict[str, list[Example]] = {}
        for name, rows in sorted((pairs or {}).items()):
            kept = list(dict.fromkeys(rows))
            self.pairs[name] = rng(config.seed, "pool", name).sample(kept, _POOL) if len(kept) > _POOL else kept
        self._found: dict[tuple[str, str], list[Example]] = {}
        self._indexes: dict[str, _Index] = {}

    @classmethod
    def of(cls, config: FewShotConfig, pairs: Mapping[str, Sequence[Segment]]) -> Examples:
        """Take segments that have a reference."""
        rows = {name: [(s.source, s.reference) for s in segments if s.reference] for name, segments in pairs.items()}
        return cls(config, rows)

    def choose(self, segment: Segment) -> list[Example]:
        """Return k examples, or as many as there are, the most similar one last."""
        key = (direction(segment.source_lang, segment.target_lang), segment.source)
        if key not in self._found:
            self._found[key] = self._choose(*key)
        return self._found[key]

    def _choose(self, name: str, source: str) -> list[Example]:
        rows, own = self.pairs.get(name, []), normalise_key(source)
        if not self.config.k or not rows:
            return []
        if self.config.choose == "random":
            order = rng(self.config.seed, "few_shot", name, source).sample(range(len(rows)), len(rows))
        else:
            if name not in self._indexes:
                self._indexes[name] = _Index([row[0] for row in rows])
            order = self._indexes[name].ranked(source)
        others = (rows[i] for i in order if normalise_key(rows[i][0]) != own)
        return list(islice(others, self.config.k))[::-1]


class _Index:
    """Texts by trigram."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._places: defaultdict[str, list[int]] = defaultdict(list)
        grams = [_trigrams(text) for text in texts]
        for place, found in enumerate(grams):
            for gram in found:
                self._places[gram].append(place)
        self._sizes = [math.sqrt(len(found)) for found in grams]

    def ranked(self, text: str) -> list[int]:
        """Places of all texts, the most similar first."""
        scores: Counter[int] = Counter()
        for gram in sorted(_trigrams(text)):
            places = self._places.get(gram, ())
            for place in places:
                scores[place] += math.log(1 + len(self._sizes) / len(places))  # type: ignore[assignment]
        return sorted(range(len(self._sizes)), key=lambda i: (-scores[i] / self._sizes[i], i))


def _trigrams(text: str) -> set[str]:
    padded = f"  {normalise_key(text)} "
    return {padded[i : i + 3] for i in range(len(padded) - 2)}
