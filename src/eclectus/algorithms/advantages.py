"""Advantages from rewards in groups: pure functions of tensors [B, G].

A sample whose reward is NaN (or infinite) was not judged: it takes no part in any statistics and gets advantage 0. For
the functions that compare a group with itself, a group with fewer than two judged samples, or whose judged rewards are
all equal, carries no signal: all its advantages are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch


def judged(rewards: torch.Tensor) -> torch.Tensor:
    """Bool [B, G]: true where there is a reward."""
    return rewards.isfinite()


def _known(rewards: torch.Tensor) -> torch.Tensor:
    """The rewards, 0 where not judged."""
    return rewards.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def has_signal(rewards: torch.Tensor) -> torch.Tensor:
    """Bool [B]: true for groups with at least two different rewards.

    Equality is asked of the rewards themselves: the standard deviation of equal floats is not always exactly 0.
    """
    valid = judged(rewards)
    low = rewards.where(valid, float("inf")).amin(dim=1)
    high = rewards.where(valid, float("-inf")).amax(dim=1)
    return high > low


def minus_baseline(rewards: torch.Tensor, baseline: torch.Tensor) -> torch.Tensor:
    """Reward minus a baseline: A_i = r_i - b, 0 where either is not known.

    Unbiased for any baseline that does not depend on the sample itself (Williams 1992, section 4).

    Args:
        rewards: [B, G].
        baseline: [B] or [B, G].
    """
    baseline = baseline[:, None] if baseline.dim() == 1 else baseline
    return torch.where(judged(rewards) & judged(baseline), _known(rewards) - _known(baseline), 0.0)


def leave_one_out_mean(rewards: torch.Tensor) -> torch.Tensor:
    """Mean reward [B, G] of the other judged samples of the group; 0 where there are none."""
    values = _known(rewards)
    count = judged(rewards).sum(dim=1, keepdim=True)
    return (values.sum(dim=1, keepdim=True) - values) / (count - 1).clamp(min=1)


def leave_one_out(rewards: torch.Tensor) -> torch.Tensor:
    """Reward minus the mean reward of the other samples of the group: A_i = r_i - mean_{j != i} r_j.

    Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free!", equation 8; RLOO in Ahmadian et al. 2024,
    "Back to basics", section 2.4. Unbiased, because the baseline of a sample does not depend on that sample.

    Args:
        rewards: [B, G], NaN where not judged.

    Returns:
        [B, G].
    """
    signal = judged(rewards) & has_signal(rewards)[:, None]
    return torch.where(signal, _known(rewards) - leave_one_out_mean(rewards), 0.0)


def group_mean(rewards: torch.Tensor) -> torch.Tensor:
    """Reward minus the mean of its group: A_i = r_i - mean_j r_j, as in Dr. GRPO (Liu et al. 2025, section 3.1).

    Equals `leave_one_out` times (n - 1) / n for a group of n judged samples.
    """
    valid = judged(rewards)
    values = _known(rewards)
    mean = values.sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(valid & has_signal(rewards)[:, None], values - mean, 0.0)


def group_deviation(rewards: torch.Tensor) -> torch.Tensor:
    """Sample standard deviation (n - 1) [B] of each group's rewards; infinite where they are no signal.

    Divided by it, `group_mean` is GRPO as published (Shao et al. 2024, "DeepSeekMath", section 4.1.2): a spread of 0.2
    chrF weighs as much as one of 20.
    """
    centred = group_mean(rewards)
    count = judged(rewards).sum(dim=1)
    deviation = (centred.square().sum(dim=1) / (count - 1).clamp(min=1)).sqrt()
    return deviation.where(has_signal(rewards), float("inf"))


def deviation_over(rewards: torch.Tensor, parts: Sequence[str]) -> torch.Tensor:
    """Sample standard deviation [B] of all rewards of each group's part of the batch; infinite for fewer than two.

    With one part, `group_mean` divided by it is TRL's `scale_rewards="batch"` (Liu et al. 2025, "Tricks or traps",
    arXiv:2508.08221, section 4.2: group mean, batch deviation): groups that differ much keep their weight. One part for
    each direction keeps directions of different spread on one scale as well.

    Args:
        rewards: [B, G].
        parts: label of each of the B groups, such as its direction.
    """
    result = rewards.new_full((len(rewards),), float("inf"))
    for label in dict.fromkeys(parts):
        rows = [row for row, part in enumerate(parts) if part == label]
        known = rewards[rows][judged(rewards[rows])]
        if len(known) > 1:
            result[rows] = known.std()
    return result


def returns_to_go(token_rewards: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What is left to earn at each token: R_t = sum_{s >= t} r_s (Sutton and Barto 2018, equation 3.8, gamma 1).

    Whatever a token does, it cannot change what was earned before it, so the gradient of the expected reward is that of
    sum_t log pi(y_t) * R_t as well (Sutton et al. 2000, "Policy gradient methods"). A sample that has ended keeps what
    its last token earned, so that longer ones have something to be compared with; where the whole reward stands at the
    last token, every position holds the reward.

    Args:
        token_rewards: [B, G, T], NaN throughout a sample that was not judged, 0 where masked.
        mask: bool [B, G, T], true up to the end of each sample.

    Returns:
        [B, G, T].
    """
    left = token_rewards.flip(-1).cumsum(-1).flip(-1)
    places = torch.arange(mask.shape[-1], device=mask.device)
    last = (places * mask).amax(dim=-1, keepdim=True)
    return left.gather(-1, torch.minimum(places.expand_as(left), last))


def at_each_position(compare: Callable[[torch.Tensor], torch.Tensor], returns: torch.Tensor) -> torch.Tensor:
    """Compare the samples of a group [B, G] at each position of what they have left to earn, [B, G, T].

    Unbiased where `compare` is: what the others have left does not depend on the sample itself, at any position.
    """
    by_position = returns.transpose(1, 2)
    return compare(by_position.flatten(0, 1)).view(by_position.shape).transpose(1, 2)
