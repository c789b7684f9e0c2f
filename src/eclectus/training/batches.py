"""Batches of sentence pairs for supervised training: directions by temperature, lengths together, a token budget."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from unicodedata import category

from eclectus.config import DenoisingConfig
from eclectus.corpora.sampling import DirectionSampler
from eclectus.errors import DataError
from eclectus.policies.base import Policy
from eclectus.policies.source import Source
from eclectus.rewards.text import UNITS, UNSPACED
from eclectus.seeds import rng
from eclectus.segment import Segment

_POOL_BATCHES = 32
"""Batches that are drawn, sorted by length and shuffled together; more means less padding, less mixing."""

_UNSPACED = re.compile(f"[{UNSPACED}]")


@dataclass(frozen=True)
class Pair:
    """A source and the token ids of its target (with end-of-sequence)."""

    source: Source
    target: list[int]


class PairBatches:
    """An endless, restorable stream of token-budgeted batches.

    What the model has no positions for is left out: from a target without its end it would learn to stop in the middle.

    Pool `k` of batches depends on the seed and `k` alone, so position `n` is found again without replaying the run.

    Args:
        policy: tokenises the pairs.
        pairs: training pairs by direction; empty directions are left out.
        batch_tokens: target tokens in one batch, padding included.
        temperature: a direction is drawn in proportion to size ** (1 / temperature), see `DirectionSampler`.
        denoising: also restore monolingual text from a noised copy of it, noised anew each time.
        texts: monolingual text by language, for `denoising`.
        part: of the config that the settings stand in, for errors.
    """

    def __init__(
        self,
        policy: Policy,
        pairs: dict[str, Sequence[Segment]],
        batch_tokens: int,
        temperature: float,
        seed: int,
        denoising: DenoisingConfig | None = None,
        texts: Mapping[str, Sequence[str]] | None = None,
        part: str = "supervised",
    ) -> None:
        whole = {d: _whole(policy, rows) for d, rows in sorted(pairs.items()) if rows}
        self._pairs = {direction: rows for direction, rows in whole.items() if rows}
        self.too_long = sum(map(len, pairs.values())) - len(self)
        """Pairs, and texts to restore, that are left out."""
        self._policy, self._denoising = policy, denoising
        self._to_restore: list[tuple[Segment, list[int]]] = []
        for language in denoising.languages if denoising else ():
            rows = [Segment(text, language, language) for text in (texts or {}).get(language, ())]
            if not rows:
                raise DataError(
                    f"{part}.denoising: no training text in '{language}'; add a corpus that has it, or take it out"
                )
            kept = _texts_that_fit(policy, rows)
            if not kept:
                raise DataError(
                    f"{part}.denoising: every training text in '{language}' is longer than the model reads; give one"
                    " sentence a line, or take it out"
                )
            self.too_long += len(rows) - len(kept)
            self._to_restore += kept
        if whole and not self._pairs:
            raise DataError(
                f"{part}: each of the {sum(map(len, pairs.values())):,} sentence pairs is longer than the model reads"
                f" or writes ({policy.target_room} tokens); give one sentence a line, or take a model that has more"
            )
        if not self._pairs:
            raise DataError(
                f"no sentence pairs to train on in {', '.join(sorted(pairs)) or 'any direction'}; add text that has"
                " them, or train other directions"
            )
        sizes = {direction: len(rows) for direction, rows in self._pairs.items()}
        self._directions = DirectionSampler(sizes, temperature, random.Random(0))
        self._budget = batch_tokens
        self._seed = seed
        total = sum(len(p.target) for rows in self._pairs.values() for p in rows)
        count = sum(len(rows) for rows in self._pairs.values())
        self._pool_size = max(1, _POOL_BATCHES * batch_tokens * count // total)
        self._pool_number = 0
        self._pool: list[list[Pair]] = []
        self._offset = 0

    def __len__(self) -> int:
        """Number of training pairs."""
        return sum(len(rows) for rows in self._pairs.values())

    def next(self) -> list[Pair]:
        """The next batch."""
        if self._offset == len(self._pool):
            self._pool = self._draw(self._pool_number)
            self._pool_number += 1
            self._offset = 0
        self._offset += 1
        return self._pool[self._offset - 1]

    def state_dict(self) -> dict[str, int]:
        return {"pool": self._pool_number, "offset": self._offset}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._pool_number, self._offset = state["pool"], state["offset"]
        self._pool = self._draw(self._pool_number - 1) if self._pool_number else []

    def _draw(self, number: int) -> list[list[Pair]]:
        random = rng(self._seed, "pairs", number)
        noised = self._noised(random)
        chosen = noised + [
            random.choice(self._pairs[direction])
            for direction in self._directions.draw(self._pool_size - len(noised), random)
        ]
        chosen.sort(key=lambda p: (len(p.target), len(p.source)))
        batches: list[list[Pair]] = [[]]
        for pair in chosen:
            # Sorted upwards, so the pair at hand is the longest of its batch.
            if batches[-1] and (len(batches[-1]) + 1) * len(pair.target) > self._budget:
                batches.append([])
            batches[-1].append(pair)
        random.shuffle(batches)
        return batches

    def _noised(self, random: random.Random) -> list[Pair]:
        """Draw the pool's share of texts to restore."""
        if self._denoising is None:
            return []
        count = round(self._denoising.share * self._pool_size)
        rows = random.choices(self._to_restore, k=count)
        segments = [replace(row, source=add_noise(row.source, self._denoising, random)) for row, _ in rows]
        sources = self._policy.tokenize_sources(segments)
        return [Pair(source, target) for source, (_, target) in zip(sources, rows, strict=True)]


def add_noise(text: str, config: DenoisingConfig, random: random.Random) -> str:
    """Drop words and shuffle the others a little; in scripts without spaces characters.

    Each word is dropped with probability `drop` (one always stays), then word i is moved to the place that sorting
    i + uniform(0, shuffle + 1) gives it, so that no word moves further than `shuffle` places.

    Source: Lample et al. 2018, https://arxiv.org/abs/1711.00043, section 2.3.
    """
    words = _words(text)
    kept = [word for word in words if random.random() >= config.drop] or [random.choice(words)]
    places = [i + random.uniform(0, config.shuffle + 1) for i in range(len(kept))]
    return _joined([word for _, word in sorted(zip(places, kept, strict=True), key=lambda pair: pair[0])])


def _words(text: str) -> list[tuple[str, str]]:
    """The units of a text, each with the space that stands before it; marks stay on the character that bears them."""
    found: list[tuple[str, str]] = []
    end = 0
    for match in UNITS.finditer(text):
        space, unit = text[end : match.start()], match[0]
        if found and not space and category(unit[0]).startswith("M"):
            before, bearer = found.pop()
            space, unit = before, bearer + unit
        found.append((space, unit))
        end = match.end()
    return found


def _joined(words: Sequence[tuple[str, str]]) -> str:
    """One text of the words, where two that are written with spaces have one between them wherever they come from."""
    text = words[0][1]
    for (_, before), (space, word) in pairwise(words):
        both_spaced = not (_UNSPACED.search(before) or _UNSPACED.search(word))
        text += (space or " " * both_spaced) + word
    return text


def _whole(policy: Policy, segments: Sequence[Segment]) -> list[Pair]:
    """The pairs of which the model reads and writes both sides to their end."""
    sources = policy.tokenize_sources(segments)
    targets = policy.encode_targets([segment.reference or "" for segment in segments])
    return [
        Pair(source, [*target, policy.end_id])
        for source, target in zip(sources, targets, strict=True)
        if policy.holds(source, target)
    ]


def _texts_that_fit(policy: Policy, rows: Sequence[Segment]) -> list[tuple[Segment, list[int]]]:
    """The texts that the model reads and writes to their end, with their token ids as targets."""
    targets, longer = policy.encode_targets([row.source for row in rows]), policy.too_long(rows)
    return [
        (row, [*target, policy.end_id])
        for row, target, cut in zip(rows, targets, longer, strict=True)
        if not cut and len(target) <= policy.target_room
    ]
