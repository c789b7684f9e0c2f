"""Passes over all samples of a step in micro-batches, and how these are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from eclectus.policies.base import Policy
from eclectus.policies.source import Source
from eclectus.rollouts.base import Rollouts


def micro_batches(rollouts: Rollouts, rows: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Rows of the rollouts, samples of like length together, at most `budget` padded target tokens at once."""
    samples = rollouts.tokens.shape[1]
    lengths = rollouts.mask.sum(dim=-1).amax(dim=1).tolist()
    part: list[int] = []
    for row in sorted(rows, key=lambda r: (lengths[r], r)):
        if part and (len(part) + 1) * samples * lengths[row] > budget:
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def hidden_states(policy: Policy, sources: Sequence[Source], rollouts: Rollouts, budget: int) -> torch.Tensor:
    """States [B, G, T, d] that the tokens of the rollouts are predicted from, without gradient; 0 where masked."""
    result = torch.zeros(*rollouts.mask.shape, policy.width, device=policy.device)
    return _filled(result, policy.hidden_states, sources, rollouts, budget)


def logprobs(
    policy: Policy, sources: Sequence[Source], rollouts: Rollouts, temperature: float, budget: int
) -> torch.Tensor:
    """Log-probabilities [B, G, T] of the tokens of the rollouts under `policy`, without gradient; 0 where masked."""
    result = torch.zeros(rollouts.mask.shape, device=policy.device)

    def scored(rows: list[Source], tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return policy.token_logprobs(rows, tokens, mask, temperature)

    return _filled(result, scored, sources, rollouts, budget)


@torch.no_grad()
def _filled(
    result: torch.Tensor,
    function: Callable[[list[Source], torch.Tensor, torch.Tensor], torch.Tensor],
    sources: Sequence[Source],
    rollouts: Rollouts,
    budget: int,
) -> torch.Tensor:
    for rows in micro_batches(rollouts, range(len(sources)), budget):
        width = int(rollouts.mask[rows].sum(dim=-1).max())
        tokens, mask = rollouts.tokens[rows, :, :width], rollouts.mask[rows, :, :width]
        result[rows, :, :width] = function([sources[row] for row in rows], tokens, mask)
    return result
