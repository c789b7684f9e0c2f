"""Temporal-difference targets over sequences of tokens, and the conservative term: pure functions of tensors.

State s_t is a source with the first t tokens of its translation, action a_t the next token. What the algorithms differ
in is the value of a state: the best one (Q-learning), that of the action taken (SARSA), the mean under the policy that
acts (expected SARSA). Sutton and Barto 2018, *Reinforcement Learning*, equations 6.7 to 6.9 and section 7.1.
"""

from __future__ import annotations

import torch


def n_step_targets(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, after: torch.Tensor, steps: int, gamma: float
) -> torch.Tensor:
    """What Q(s_t, a_t) is moved towards: sum_{k < m} gamma^k r_{t+k} + gamma^m V(s_{t+m}), m = min(steps, L - t).

    Args:
        rewards: [N, T], of each token.
        values: [N, T], V(s_t) of the state before each token.
        mask: bool [N, T], true for the L tokens of each row, which stand first.
        after: [N], V(s_L) of the state behind the last token: 0 where the sequence has ended, its value where it was
            only cut (Pardo et al. 2018, https://arxiv.org/abs/1712.00378).
        steps: rewards before a value stands for the rest; from T on the targets are returns (Monte Carlo).

    Returns:
        [N, T], 0 where masked.
    """
    width = mask.shape[1]
    steps = min(steps, width)
    last = mask & ~torch.nn.functional.pad(mask, (0, 1))[:, 1:]
    # V(s_L) is one step behind the last reward wherever that is reached, so it can be counted as part of it.
    known = rewards * mask + gamma * after[:, None] * last
    padded = torch.nn.functional.pad(known, (0, steps))
    later = torch.nn.functional.pad(values * mask, (0, steps))
    targets = gamma**steps * later[:, steps : steps + width]
    for k in range(steps):
        targets = targets + gamma**k * padded[:, k : k + width]
    return targets


def best_values(values: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """max_a Q(s, a) over the tokens that can be said: values [n, V], allowed bool [V]; [n]. Watkins 1989."""
    return values.masked_fill(~allowed, float("-inf")).amax(dim=-1)


def double_values(choosing: torch.Tensor, judging: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Q'(s, argmax_a Q(s, a)): one network chooses, the other judges, [n].

    The maximum of noisy values is too high on average, because it takes the luckiest; a value that is asked of another
    network is not. Van Hasselt et al. 2016 (arXiv:1509.06461), equation 4.
    """
    best = choosing.masked_fill(~allowed, float("-inf")).argmax(dim=-1, keepdim=True)
    return judging.gather(1, best).squeeze(1)


def expected_values(values: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """sum_a pi(a | s) Q(s, a), [n]. Van Seijen et al. 2009 (doi:10.1109/ADPRL.2009.4927542), equation 5."""
    return (probabilities * values).sum(dim=-1)


def excess(values: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """log sum_a exp Q(s, a) over the tokens that can be said, [n].

    Less Q(s, a) of the token in the data, it is the conservative term of CQL, E[log sum_a exp Q(s, a) - Q(s, a_t)]
    (Kumar et al. 2020, arXiv:2006.04779, equation 4): it lowers the values of tokens that are not in the data.
    """
    return torch.logsumexp(values.masked_fill(~allowed, float("-inf")), dim=-1)
