"""What a rollout engine takes and gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from eclectus.rollouts.limits import Limits


@dataclass(frozen=True)
class Sampling:
    """How translations are drawn.

    Args:
        temperature: logits are divided by it, in sampling and in the recorded log-probabilities alike; 0 is greedy.
        max_length: most tokens of one translation, end-of-sequence included.
        epsilon: with this probability a token is drawn uniformly from the `explore_k` likeliest instead of from the
            policy.
        explore_k: 0 is every token that the policy may say at all; not used where `epsilon` is 0.
        top_k, top_p: see `limits.truncated`; 0 and 1 cut nothing off.
        min_length: tokens of the shortest translation, end-of-sequence included; a text that ends one may come sooner.
    """

    temperature: float = 1.0
    max_length: int = 64
    epsilon: float = 0.0
    explore_k: int = 0
    top_k: int = 0
    top_p: float = 1.0
    min_length: int = 0


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
        limits: which tokens could be drawn; None: all.
    """

    tokens: torch.Tensor
    logprobs: torch.Tensor
    mask: torch.Tensor
    finished: torch.Tensor
    texts: list[list[str]]
    floor: torch.Tensor | None = None
    forced: torch.Tensor | None = None
    limits: Limits | None = None

    @property
    def actions(self) -> torch.Tensor:
        """Bool [B, G, T]: the tokens that were drawn."""
        return self.mask if self.forced is None else self.mask & ~self.forced

    def to(self, device: torch.device | str) -> Rollouts:
        """The same on another device."""
        moved: dict[str, Any] = {k: v.to(device) if hasattr(v, "to") else v for k, v in vars(self).items()}
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
            None if self.limits is None else self.limits.of(index),
        )


def joined(parts: Sequence[Rollouts], places: Sequence[Sequence[int]], pad: int) -> Rollouts:
    """The rollouts of a batch that was drawn in parts.

    Args:
        places: for each part, where its sources stand in the batch.
        pad: token after the end of a translation.
    """
    width = max(part.tokens.shape[2] for part in parts)
    count = sum(map(len, places))

    def whole(values: Sequence[torch.Tensor | None], filling: float) -> torch.Tensor | None:
        present = [value for value in values if value is not None]
        if not present:
            return None
        if present[0].dim() > 2:
            behind = (0, 0) * (present[0].dim() - 3)
            present = [torch.nn.functional.pad(v, (*behind, 0, width - v.shape[2]), value=filling) for v in present]
        result = present[0].new_empty(count, *present[0].shape[1:])
        for rows, value in zip(places, present, strict=True):
            result[list(rows)] = value
        return result

    texts: list[list[str]] = [[] for _ in range(count)]
    for rows, part in zip(places, parts, strict=True):
        for row, group in zip(rows, part.texts, strict=True):
            texts[row] = group
    tokens, logprobs = whole([part.tokens for part in parts], pad), whole([part.logprobs for part in parts], 0)
    mask, finished = whole([part.mask for part in parts], False), whole([part.finished for part in parts], False)
    assert tokens is not None and logprobs is not None and mask is not None and finished is not None
    ids = whole([None if part.limits is None else part.limits.ids for part in parts], -1)
    first = parts[0].limits
    return Rollouts(
        tokens,
        logprobs,
        mask,
        finished,
        texts,
        whole([part.floor for part in parts], 0),
        whole([part.forced for part in parts], False),
        None if ids is None or first is None else Limits(ids, first.only),
    )


def exploring(logprobs: torch.Tensor, floor: torch.Tensor, epsilon: float) -> torch.Tensor:
    """log((1 - epsilon) * pi + floor): log-probability of tokens under the policy with exploration mixed in.

    Args:
        logprobs: of the policy; floor: what exploration adds, epsilon / k for the k likeliest tokens and 0 for others.
    """
    # log 0 has no gradient problem here: `logaddexp` with -inf is the other value itself.
    return torch.logaddexp(logprobs + math.log1p(-epsilon), floor.log())


class Stopped(Protocol):
    """Finds texts that end a translation."""

    def __call__(self, rows: Sequence[Sequence[int]], since: int) -> Sequence[int | None]:
        """The position of the first token of each row, from `since` on, that completed such a text; None: none did."""
        ...


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
