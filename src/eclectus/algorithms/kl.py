"""Divergence from the starting policy: estimates from samples, and what to differentiate.

Three estimators of KL(policy || start) for one sampled translation, summed over its tokens, with d the log-ratio
log pi(y_t) - log pi_0(y_t) at each token:

- k1: sum of d. Unbiased, noisy, may be negative. Differentiated as it stands its expected gradient is zero, so it goes
  into the loss as a score function, d of the whole translation times log pi: unbiased for the gradient of the KL.
- k3: sum of exp(-d) - 1 + d. Unbiased, never negative, little noise (Schulman 2020, "Approximating KL divergence",
  http://joschu.net/blog/kl-approx.html). Its gradient is that of KL(start || policy): near the start the two agree.
- exact: the sum over the vocabulary of pi * (log pi - log pi_0) at each position. No noise but that of which positions
  the samples visit; its gradient leaves out that the policy also chooses which positions it visits.

What the gradients are is worked out in Tang and Munos 2025, "On a few pitfalls in KL divergence gradient estimation for
RL" (arXiv:2506.09477).
"""

from __future__ import annotations

import torch

from eclectus.algorithms.advantages import leave_one_out_mean

_LOG_RATIO = 20.0
"""exp(20) is as good as infinite, and stays a number."""


def k1(logprobs: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Sum over tokens of log pi - log pi_0, [N]; arguments as in `k3`."""
    return ((logprobs - reference) * mask).sum(dim=1)


def k1_surrogate(logprobs: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor, samples: int) -> torch.Tensor:
    """What to differentiate for k1, [N]: (k1_i - mean_{j != i} k1_j) * log pi(y_i), the first factor held fixed.

    The gradient of KL(pi || pi_0) is E[k1 * grad log pi] (the term E[grad k1] is zero); the other samples of the source
    are the baseline, as in RLOO.

    Args:
        samples: sequences of each source, which stand together; with one there is no baseline.
    """
    values = k1(logprobs.detach(), reference, mask).view(-1, samples)
    centred = values - leave_one_out_mean(values)
    return centred.flatten() * (logprobs * mask).sum(dim=1)


def k3(logprobs: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Sum over tokens of r - 1 - log r, r = reference / policy.

    Args:
        logprobs: [N, T] with gradient; reference: [N, T] without; mask: bool [N, T].

    Returns:
        [N].
    """
    difference = ((reference - logprobs) * mask).clamp(max=_LOG_RATIO)
    return (torch.expm1(difference) - difference).sum(dim=1)
