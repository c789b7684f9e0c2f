"""Passes over all samples of a step in micro-batches, and how these are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from eclectus import parallel
from eclectus.policies.base import Policy
from eclectus.policies.source import Source
from eclectus.rollouts.base import Rollouts

T = TypeVar("T")

_PADDING = 256
"""Padded target tokens that cost a processor about as much as one more pass of a small model."""


def micro_batches(rollouts: Rollouts, rows: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Rows of the rollouts, samples of like length together, at most `budget` padded target tokens at once.

    On a CPU a batch also ends where its rows' longest samples differ so much that padding costs more than a pass.
    """
    samples = rollouts.tokens.shape[1]
    lengths = rollouts.mask.sum(dim=-1).amax(dim=1).tolist()
    most = _PADDING if rollouts.mask.device.type == "cpu" else budget
    part: list[int] = []
    held = 0
    for row in sorted(rows, key=lambda r: (lengths[r], r)):
        padded = (len(part) + 1) * samples * lengths[row]
        if part and (padded > budget or padded - samples * (held + lengths[row]) > most):
            yield part
            part, held = [], 0
        part.append(row)
        held += lengths[row]
    if part:
        yield part


def in_step(policy: Policy, parts: Iterable[list[T]], spare: Sequence[T]) -> Iterator[tuple[list[T], bool]]:
    """This process's parts of a pass with gradient, each with True.

    Where the policy is sharded, the processes make each pass together: then come as many more as another process has,
    with `spare` for their part and False.
    """
    if not policy.sharded:
        yield from ((part, True) for part in parts)
        return
    own = list(parts)
    most = max(parallel.gather(len(own)))  # before the first pass
    yield from ((part, True) for part in own)
    yield from [(list(spare), False)] * (most - len(own))


def hidden_states(policy: Policy, sources: Sequence[Source], rollouts: Rollouts, budget: int) -> torch.Tensor:
    """States [B, G, T, d] that the tokens of the rollouts are predicted from, without gradient; 0 where masked."""
    result = torch.zeros(*rollouts.mask.shape, policy.width, device=policy.device)

    def met(rows: Sequence[int], tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return policy.hidden_states([sources[row] for row in rows], tokens, mask)

    with policy.whole():
        return _filled(result, met, rollouts, budget)


def logprobs(
    policy: Policy, sources: Sequence[Source], rollouts: Rollouts, temperature: float, budget: int
) -> torch.Tensor:
    """Log-probabilities [B, G, T] of the tokens of the rollouts under `policy`, without gradient; 0 where masked."""
    result = torch.zeros(rollouts.mask.shape, device=policy.device)

    def scored(rows: Sequence[int], tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        limits = None if rollouts.limits is None else rollouts.limits.of(rows, tokens.shape[2])
        return policy.token_logprobs([sources[row] for row in rows], tokens, mask, temperature, limits)

    with policy.whole():
        return _filled(result, scored, rollouts, budget)


@torch.no_grad()
def _filled(
    result: torch.Tensor,
    function: Callable[[Sequence[int], torch.Tensor, torch.Tensor], torch.Tensor],
    rollouts: Rollouts,
    budget: int,
) -> torch.Tensor:
    for rows in micro_batches(rollouts, parallel.share(range(len(result))), budget):
        width = int(rollouts.mask[rows].sum(dim=-1).max())
        tokens, mask = rollouts.tokens[rows, :, :width], rollouts.mask[rows, :, :width]
        result[rows, :, :width] = function(rows, tokens, mask)
    return parallel.add(result)
