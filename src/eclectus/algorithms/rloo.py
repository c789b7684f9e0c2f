"""REINFORCE with a leave-one-out baseline."""

from __future__ import annotations

import torch

from eclectus.algorithms.advantages import leave_one_out
from eclectus.algorithms.base import Algorithm
from eclectus.algorithms.losses import LossInputs, policy_gradient


class Rloo(Algorithm):
    """RLOO: the baseline of a sample is the mean reward of the other samples of its source.

    Loss: -1/N sum_i (r_i - mean_{j != i} r_j) * log pi(y_i | x_i), the whole translation as one action. Unbiased: its
    expected gradient is that of the expected reward. No clipping, as each batch of samples is used for one update.
    """

    reference = "Ahmadian et al. 2024, Back to Basics: Revisiting REINFORCE-Style Optimization (arXiv:2402.14740)"

    def advantages(self, rewards: torch.Tensor) -> torch.Tensor:
        return leave_one_out(rewards)

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        return policy_gradient(inputs), {}
