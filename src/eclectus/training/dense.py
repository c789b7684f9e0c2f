"""Token rewards of a step: the texts of the prefixes that were sampled, judged, as a tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from eclectus.policies.base import Policy
from eclectus.rewards.composite.dense import Prefixes, hand_out, potentials
from eclectus.rewards.composite.scaling import Scaled
from eclectus.rollouts.base import Rollouts
from eclectus.segment import Segment
from eclectus.training.tasks import Task


def at_the_end(rewards: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Token rewards [B, G, T] that are 0 but at the last token, which has the reward [B, G]; NaN where that is NaN."""
    last = (torch.arange(mask.shape[-1]) * mask.cpu()).amax(dim=-1, keepdim=True)
    found = torch.zeros(mask.shape, dtype=rewards.dtype).scatter_(-1, last, rewards[..., None])
    return found.masked_fill(rewards.isnan()[..., None], math.nan)


def token_rewards(
    policy: Policy,
    task: Task,
    segments: Sequence[Segment],
    rows: Sequence[int],
    rollouts: Rollouts,
    scaled: Scaled,
    step: int,
    first: int = 0,
) -> torch.Tensor:
    """Token rewards [n, G, T] of one task: their sum over a sample is its scaled reward, see `rewards.composite.dense`.

    Args:
        segments: n sources of the task.
        rows: which of the rollouts are theirs.
        scaled: their rewards, which those of other translations may stand beside.
        first: the column of the first of the G samples there.
    """
    tokens, mask, texts = rollouts.tokens[rows], rollouts.mask[rows], [rollouts.texts[row] for row in rows]
    worth = potentials(task.reward, segments, texts, prefix_texts(policy, tokens, mask), scaled.divisors, step)
    found = torch.zeros(mask.shape)
    for b, group in enumerate(worth):
        for g, values in enumerate(group):
            total = scaled.totals[b][first + g]
            if total is None:
                found[b, g] = math.nan
            else:
                found[b, g, : len(values) + 1] = torch.tensor(hand_out(total, values))
    return found


def prefix_texts(policy: Policy, tokens: torch.Tensor, mask: torch.Tensor) -> Prefixes:
    """Texts of the prefixes of samples [B, G, T], without the empty and the whole one; each distinct one decoded once.

    A character whose bytes are not all there yet is left out.
    """
    lengths = mask.sum(dim=-1).tolist()
    rows = [
        [[tuple(row[:n]) for n in range(1, length)] for row, length in zip(group, sizes, strict=True)]
        for group, sizes in zip(tokens.tolist(), lengths, strict=True)
    ]
    distinct = list(dict.fromkeys(prefix for group in rows for row in group for prefix in row))
    texts = dict(zip(distinct, policy.detokenize(distinct), strict=True))
    return [[[texts[prefix].rstrip("\ufffd") for prefix in row] for row in group] for group in rows]


def early_share(rewards: torch.Tensor, mask: torch.Tensor) -> float:
    """Share of the rewards, by size, that stands before the last token of each sample: 0 where all is at the end."""
    sizes = rewards.abs().nan_to_num(nan=0.0)
    last = (torch.arange(mask.shape[-1]) * mask.cpu()).amax(dim=-1, keepdim=True)
    total = float(sizes.sum())
    return 1 - float(sizes.gather(-1, last).sum()) / total if total else 0.0
