"""Self-critical sequence training."""

from __future__ import annotations

import torch

from eclectus.algorithms.advantages import minus_baseline
from eclectus.algorithms.base import AdvantageInputs, Algorithm, SequenceOptions
from eclectus.algorithms.losses import Clip, LossInputs, policy_gradient


class SelfCritical(Algorithm):
    """SCST: the baseline is the reward of the policy's own greedy translation of the source.

    Loss: -1/N sum_i (r_i - r(greedy)) * log pi(y_i | x_i). A sample is encouraged when it beats what the policy would
    give at test time. The baseline does not depend on the samples, so the expected gradient is that of the expected
    reward. A source whose greedy translation nobody judged is left out.
    """

    reference = "Rennie et al. 2017, Self-critical sequence training for image captioning (arXiv:1612.00563)"
    needs_greedy = True

    class Options(SequenceOptions):
        """Defaults of the clip are PPO's."""

    options: Options

    def advantages(self, inputs: AdvantageInputs) -> torch.Tensor:
        if inputs.greedy_rewards is None:
            raise ValueError("self-critical training needs the rewards of the greedy translations")
        return minus_baseline(inputs.rewards, inputs.greedy_rewards)

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        o = self.options
        return policy_gradient(inputs, Clip(o.clip, o.clip, o.max_ratio))
