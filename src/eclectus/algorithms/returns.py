"""Returns and advantages of each token of a translation: pure functions of tensors [..., T].

A translation is an episode: its tokens are the steps, and the sampled ones stand together. Nothing comes after the last
of them, end-of-sequence or not. A translation that the length limit cut is over as well: it has been rewarded as it
stands, so there is no later reward whose value would have to be guessed (the limit is part of the task, as in Pardo et
al. 2018, "Time limits in reinforcement learning", arXiv:1712.00378, section 2.1).
"""

from __future__ import annotations

import torch


def at_last_token(rewards: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The whole reward at the last sampled token, 0 elsewhere.

    Args:
        rewards: [...]; mask: bool [..., T].

    Returns:
        [..., T].
    """
    later = mask.flip(-1).cumsum(dim=-1).flip(-1)
    return torch.where(mask & (later == 1), rewards[..., None], 0.0)


def discounted(rewards: torch.Tensor, gamma: float) -> torch.Tensor:
    """sum_{k >= 0} gamma^k r_{t+k} at each token t, [..., T]."""
    result, following = torch.empty_like(rewards), torch.zeros_like(rewards[..., 0])
    for t in range(rewards.shape[-1] - 1, -1, -1):
        following = rewards[..., t] + gamma * following
        result[..., t] = following
    return result


def generalised_advantages(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float
) -> torch.Tensor:
    """A_t = sum_{k >= 0} (gamma * lam)^k delta_{t+k} with delta_t = r_t + gamma * V(s_{t+1}) - V(s_t).

    Schulman et al. 2016, "High-dimensional continuous control using generalized advantage estimation"
    (arXiv:1506.02438), equation 16, with V = 0 after the last token. With lam = 1 it is the return minus the value,
    unbiased for any critic; with less it trusts the critic and has less variance.

    Args:
        rewards: [..., T], what each token earned.
        values: [..., T], V of the state that each token is predicted from.
        mask: bool [..., T], the sampled tokens.

    Returns:
        [..., T], 0 where masked.
    """
    rewards, values = rewards * mask, values * mask
    following = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], dim=-1)
    return discounted(rewards + gamma * following - values, gamma * lam) * mask


def explained_variance(targets: torch.Tensor, values: torch.Tensor) -> float | None:
    """1 - Var(targets - values) / Var(targets): 1 for a perfect critic, 0 for a constant one, below 0 for a worse one.

    Args:
        targets, values: [n].

    Returns:
        None where the targets do not vary.
    """
    if len(targets) < 2 or bool((targets == targets[0]).all()):
        return None
    return float(1 - (targets - values).var() / targets.var())


def normalised(advantages: torch.Tensor, known: torch.Tensor, epsilon: float = 1e-4) -> torch.Tensor:
    """(A - mean) / (std + epsilon) over the known tokens; as they are where there are fewer than two.

    Epsilon is larger than the usual 1e-8 so that the noise of a critic on equal rewards is not blown up.

    Args:
        advantages: [..., T]; known: bool [..., T].
    """
    if known.sum() < 2:
        return advantages
    chosen = advantages[known]
    return (advantages - chosen.mean()) / (chosen.std() + epsilon)
