"""What a rollout engine takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class Sampling:
    """How translations are drawn.

    Args:
        temperature: logits are divided by it, in sampling and in the recorded log-probabilities alike; 0 is greedy.
        max_length: most tokens of one translation, end-of-sequence included.
    """

    temperature: float = 1.0
    max_length: int = 64


@dataclass
class Rollouts:
    """G translations for each of B sources.

    Args:
        tokens: int64 [B, G, T], padded after the end of each translation.
        logprobs: float32 [B, G, T], log-probability of each token at the sampling temperature; 0 where masked.
        mask: bool [B, G, T], true up to and including end-of-sequence.
        finished: bool [B, G], false where the length limit cut the translation.
        texts: [B][G] decoded translations.
    """

    tokens: torch.Tensor
    logprobs: torch.Tensor
    mask: torch.Tensor
    finished: torch.Tensor
    texts: list[list[str]]


class Stepper(Protocol):
    """A policy's decoder, one token at a time, for B sources with G rows each (row `b * G + g`)."""

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Take the last token of each row, int64 [B * G]; return logits of the next, float [B * G, V]."""
        ...

    def keep(self, sources: torch.Tensor) -> None:
        """Go on with these sources only: int64 indices into the sources still in work."""
        ...
