"""Batches of sentence pairs for supervised training: directions by temperature, lengths together, a token budget."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eclectus.config import DenoisingConfig
from eclectus.corpora.sampling import DirectionSampler
from eclectus.errors import DataError
from eclectus.policies.base import Policy
from eclectus.policies.source import Source
from eclectus.seeds import rng
from eclectus.segment import Segment

_POOL_BATCHES = 32
"""Batches that are drawn, sorted by length and shuffled together; more means less padding, less mixing."""


@dataclass(frozen=True)
class Pair:
    """A source and the token ids of its target (with end-of-sequence)."""

    source: Source
    target: list[int]


class PairBatches:
    """An endless, restorable stream of token-budgeted batches.

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
        self._pairs = {d: _tokenize(policy, rows) for d, rows in sorted(pairs.items()) if rows}
        self._policy, self._denoising = policy, denoising
        self._to_restore: list[tuple[Segment, list[int]]] = []
        for language in denoising.languages if denoising else ():
            rows = [Segment(text, language, language) for text in (texts or {}).get(language, ())]
            if not rows:
                raise DataError(
                    f"{part}.denoising: no training text in '{language}'; add a corpus that has it, or take it out"
                )
            targets = policy.tokenize_targets([row.source for row in rows])
            self._to_restore += zip(rows, targets, strict=True)
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
    """Drop words and shuffle the others a little.

    Each word is dropped with probability `drop` (one always stays), then word i is moved to the place that sorting
    i + uniform(0, shuffle + 1) gives it, so that no word moves further than `shuffle` places.

    Source: Lample et al. 2018, https://arxiv.org/abs/1711.00043, section 2.3.
    """
    words = text.split()
    kept = [word for word in words if random.random() >= config.drop] or [random.choice(words)]
    places = [i + random.uniform(0, config.shuffle + 1) for i in range(len(kept))]
    return " ".join(word for _, word in sorted(zip(places, kept, strict=True), key=lambda pair: pair[0]))


def _tokenize(policy: Policy, segments: Sequence[Segment]) -> list[Pair]:
    sources = policy.tokenize_sources(segments)
    targets = policy.tokenize_targets([segment.reference or "" for segment in segments])
    return [Pair(source, target) for source, target in zip(sources, targets, strict=True)]
