"""What a rollout engine takes and gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch


@dataclass(frozen=True)
class Sampling:
    """How translations are drawn.

    Args:
        temperature: logits are divided by it, in sampling and in the recorded log-probabilities alike; 0 is greedy.
        max_length: most tokens of one translation, end-of-sequence included.
        epsilon: with this probability a token is drawn uniformly from the `top_k` likeliest instead of from the policy.
        top_k: 0 is every token that the policy may say at all; not used where `epsilon` is 0.
    """

    temperature: float = 1.0
    max_length: int = 64
    epsilon: float = 0.0
    top_k: int = 0


@dataclass(frozen=True)
class Among:
    """Where sources stand in a larger batch whose samples are drawn in parts.

    Args:
        places: of the sources, in their order.
        count: sources of the larger batch.
    """

    places: Sequence[int]
    count: int


@dataclass
class Rollouts:
    """G translations for each of B sources.

    Args:
        tokens: int64 [B, G, T], padded after the end of each translation.
        logprobs: float32 [B, G, T], log-probability with which each token was drawn: the policy's at the sampling
            temperature, exploration mixed in; 0 where masked.
        mask: bool [B, G, T], true up to and including end-of-sequence.
        finished: bool [B, G], false where the length limit cut the translation.
        texts: [B][G] decoded translations.
        floor: float32 [B, G, T], the part of each token's probability that exploration gave it; None without.
        forced: bool [B, G, T], tokens that were given and not drawn; None where there are none.
    """

    tokens: torch.Tensor
    logprobs: torch.Tensor
    mask: torch.Tensor
    finished: torch.Tensor
    texts: list[list[str]]
    floor: torch.Tensor | None = None
    forced: torch.Tensor | None = None

    @property
    def actions(self) -> torch.Tensor:
        """Bool [B, G, T]: the tokens that were drawn."""
        return self.mask if self.forced is None else self.mask & ~self.forced

    def to(self, device: torch.device | str) -> Rollouts:
        """The same on another device."""
        moved: dict[str, Any] = {k: v.to(device) if torch.is_tensor(v) else v for k, v in vars(self).items()}
        return Rollouts(**moved)

    def only(self, rows: Sequence[int]) -> Rollouts:
        """Those of some of the sources."""

        def chosen(values: torch.Tensor | None) -> torch.Tensor | None:
            return None if values is None else values[list(rows)]

        index = list(rows)
        return Rollouts(
            self.tokens[index],
            self.logprobs[index],
            self.mask[index],
            self.finished[index],
            [self.texts[row] for row in rows],
            chosen(self.floor),
            chosen(self.forced),
        )


def assembled(parts: Sequence[Rollouts], places: Sequence[Sequence[int]], pad: int) -> Rollouts:
    """The rollouts of a batch that was drawn in parts.

    Args:
        places: for each part, where its sources stand in the batch.
        pad: token after the end of a translation.
    """
    width = max(part.tokens.shape[2] for part in parts)
    count = sum(map(len, places))

    def whole(name: str, filling: float) -> torch.Tensor | None:
        values = [getattr(part, name) for part in parts]
        if values[0] is None:
            return None
        if values[0].dim() == 3:
            values = [torch.nn.functional.pad(v, (0, width - v.shape[2]), value=filling) for v in values]
        result = values[0].new_empty(count, *values[0].shape[1:])
        for rows, value in zip(places, values, strict=True):
            result[list(rows)] = value
        return result

    texts: list[list[str]] = [[] for _ in range(count)]
    for rows, part in zip(places, parts, strict=True):
        for row, group in zip(rows, part.texts, strict=True):
            texts[row] = group
    tokens, logprobs = whole("tokens", pad), whole("logprobs", 0)
    mask, finished = whole("mask", False), whole("finished", False)
    assert tokens is not None and logprobs is not None and mask is not None and finished is not None
    return Rollouts(tokens, logprobs, mask, finished, texts, whole("floor", 0), whole("forced", False))


def exploring(logprobs: torch.Tensor, floor: torch.Tensor, epsilon: float) -> torch.Tensor:
    """log((1 - epsilon) * pi + floor): log-probability of tokens under the policy with exploration mixed in.

    Args:
        logprobs: of the policy; floor: what exploration adds, epsilon / k for the k likeliest tokens and 0 for others.
    """
    # log 0 has no gradient problem here: `logaddexp` with -inf is the other value itself.
    return torch.logaddexp(logprobs + math.log1p(-epsilon), floor.log())


class Stepper(Protocol):
    """A policy's decoder, one token at a time, for the rows in work: at first as many of each source, in order."""

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Take the last token of each row, int64 [n]; return logits of the next, float [n, V], which the caller may
        overwrite."""
        ...

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only, after a step at least: int64 indices into the rows in work, increasing."""
        ...

    def branch(self, rows: torch.Tensor, places: torch.Tensor) -> None:
        """Copy each of `rows` to its place, after a step at least: int64 indices; places from n on add rows."""
        ...
