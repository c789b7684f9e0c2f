"""A bounded memory of translations and their rewards, that survives in a checkpoint."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch

from eclectus.policies.source import Source


@dataclass(frozen=True, slots=True)
class Episode:
    """A translation as it is learnt from.

    Args:
        source: what was translated.
        tokens: with end-of-sequence where it has ended.
        rewards: of each token.
        ended: false where the length limit cut it.
    """

    source: Source
    tokens: tuple[int, ...]
    rewards: tuple[float, ...]
    ended: bool


class Replay:
    """The newest `capacity` episodes."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._episodes: list[Episode] = []
        self._oldest = 0

    def __len__(self) -> int:
        return len(self._episodes)

    def add(self, episode: Episode) -> None:
        """Remember an episode in place of the oldest one where there is no room."""
        if len(self) < self._capacity:
            self._episodes.append(episode)
        else:
            self._episodes[self._oldest] = episode
            self._oldest = (self._oldest + 1) % self._capacity

    def sample(self, count: int, rng: random.Random) -> list[Episode]:
        """Draw with replacement, each episode alike; none from an empty memory."""
        return rng.choices(self._episodes, k=count) if self._episodes else []

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything, as flat tensors with lengths."""
        rows = self._episodes
        found = {
            **_flat("ids", [row.source.ids for row in rows], torch.int32),
            **_flat("start", [row.source.start for row in rows], torch.int32),
            **_flat("tokens", [row.tokens for row in rows], torch.int32),
            **_flat("rewards", [row.rewards for row in rows], torch.float64),
        }
        return {
            **found,
            "ended": torch.tensor([row.ended for row in rows], dtype=torch.bool),
            "oldest": torch.tensor(self._oldest),
        }

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over what `tensors` returned."""
        parts = [_rows(tensors, name) for name in ("ids", "start", "tokens", "rewards")]
        ended = tensors["ended"].tolist()
        self._episodes = [
            Episode(Source(tuple(ids), tuple(start)), tuple(tokens), tuple(rewards), end)
            for ids, start, tokens, rewards, end in zip(*parts, ended, strict=True)
        ]
        self._oldest = int(tensors["oldest"])


def _flat(name: str, rows: Sequence[Sequence[float]], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {
        name: torch.tensor([value for row in rows for value in row], dtype=dtype),
        f"{name}_lengths": torch.tensor([len(row) for row in rows], dtype=torch.int32),
    }


def _rows(tensors: Mapping[str, torch.Tensor], name: str) -> list[list]:
    values = tensors[name].tolist()
    ends = accumulate(tensors[f"{name}_lengths"].tolist(), initial=0)
    return [values[first:last] for first, last in pairwise(ends)]
