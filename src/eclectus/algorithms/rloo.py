"""REINFORCE with a leave-one-out baseline."""

from __future__ import annotations

import torch

from eclectus.algorithms.advantages import leave_one_out
from eclectus.algorithms.base import AdvantageInputs, Algorithm, SequenceOptions
from eclectus.algorithms.losses import Clip, LossInputs, policy_gradient


class Rloo(Algorithm):
    """RLOO: the baseline of a sample is the mean reward of the other samples of its source.

    Loss: -1/N sum_i (r_i - mean_{j != i} r_j) * log pi(y_i | x_i), the whole translation as one action. Unbiased: its
    expected gradient is that of the expected reward. The clip acts only when samples are used for several updates.
    Where tokens have rewards of their own, each token's return is compared with those of the others at its position.
    """

    reference = "Ahmadian et al. 2024, Back to Basics: Revisiting REINFORCE-Style Optimization (arXiv:2402.14740)"
    min_samples = 2
    takes_token_rewards = True

    class Options(SequenceOptions):
        """Defaults of the clip are PPO's and TRL's."""

    options: Options

    def advantages(self, inputs: AdvantageInputs) -> torch.Tensor:
        return inputs.compared(leave_one_out)

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        o = self.options
        return policy_gradient(inputs, Clip(o.clip, o.clip, o.max_ratio))
