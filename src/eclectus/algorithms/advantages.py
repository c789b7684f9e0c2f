"""Advantages from rewards in groups: pure functions of tensors [B, G].

A sample whose reward is NaN was not judged: it takes no part in its group's statistics and gets advantage 0. A group
with fewer than two judged samples, or whose judged rewards are all equal, carries no signal: all its advantages are 0.
"""

from __future__ import annotations

import torch


def judged(rewards: torch.Tensor) -> torch.Tensor:
    """Bool [B, G]: true where there is a reward."""
    return ~rewards.isnan()


def has_signal(rewards: torch.Tensor) -> torch.Tensor:
    """Bool [B]: true for groups with at least two different rewards.

    Equality is asked of the rewards themselves: the standard deviation of equal floats is not always exactly 0.
    """
    low = rewards.nan_to_num(nan=float("inf")).amin(dim=1)
    high = rewards.nan_to_num(nan=float("-inf")).amax(dim=1)
    return high > low


def leave_one_out(rewards: torch.Tensor) -> torch.Tensor:
    """Reward minus the mean reward of the other samples of the group: A_i = r_i - mean_{j != i} r_j.

    Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free!", equation 8; RLOO in Ahmadian et al. 2024,
    "Back to basics", section 2.4. Unbiased, because the baseline of a sample does not depend on that sample.

    Args:
        rewards: [B, G], NaN where not judged.

    Returns:
        [B, G].
    """
    valid = judged(rewards)
    values = rewards.nan_to_num(nan=0.0)
    count = valid.sum(dim=1, keepdim=True)
    others = (values.sum(dim=1, keepdim=True) - values) / (count - 1).clamp(min=1)
    return torch.where(valid & has_signal(rewards)[:, None], values - others, 0.0)


def group_mean(rewards: torch.Tensor) -> torch.Tensor:
    """Reward minus the mean of its group: A_i = r_i - mean_j r_j, as in Dr. GRPO (Liu et al. 2025, section 3.1).

    Equals `leave_one_out` times (n - 1) / n for a group of n judged samples.
    """
    valid = judged(rewards)
    values = rewards.nan_to_num(nan=0.0)
    mean = values.sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(valid & has_signal(rewards)[:, None], values - mean, 0.0)


def group_standardised(rewards: torch.Tensor, epsilon: float = 1e-4) -> torch.Tensor:
    """(r_i - mean) / (std + epsilon) within the group: GRPO (Shao et al. 2024, "DeepSeekMath", section 4.1.2).

    The standard deviation is the sample one (n - 1). It makes a spread of 0.2 chrF weigh as much as one of 20.
    """
    centred = group_mean(rewards)
    count = judged(rewards).sum(dim=1, keepdim=True)
    deviation = (centred.square().sum(dim=1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return centred / (deviation + epsilon)
