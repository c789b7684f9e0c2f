"""Minimum-risk training."""

from __future__ import annotations

import torch
from pydantic import Field

from eclectus import registry
from eclectus.algorithms.advantages import group_mean
from eclectus.algorithms.base import AdvantageInputs, Algorithm
from eclectus.algorithms.losses import LossInputs, expected_risk


class Mrt(Algorithm):
    """MRT: the expected reward over the distinct samples of a source, their probabilities raised to alpha and
    renormalised.

    Loss: -1/(alpha B) sum_x sum_i Q(y_i | x) r_i, Q(y_i | x) = pi(y_i | x)^alpha / sum_j pi(y_j | x)^alpha. The paper's
    risk divided by alpha, which its gradient grows with: so it is of the size of the other algorithms', and `kl`, `mle`
    and `entropy` weigh as much beside it. Biased: the candidates stand for all translations. The paper puts the
    reference among them; here they are the policy's own samples. It knows no ratio and no
    clip, because Q is that of the policy at hand also when samples are used for several updates. Mix it with the
    likelihood of references by the task's `mle`.
    """

    reference = "Shen et al. 2016, Minimum Risk Training for Neural Machine Translation (arXiv:1512.02433)"
    min_samples = 2

    class Options(registry.Options):
        """alpha 0.005 is what the paper chose on its development set."""

        alpha: float = Field(0.005, gt=0, description="sharpness of the candidates' distribution; 0.005: nearly even")

    options: Options

    def advantages(self, inputs: AdvantageInputs) -> torch.Tensor:
        """Where there is something to learn; the loss itself weighs the rewards."""
        return group_mean(inputs.rewards)

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        alpha = self.options.alpha
        return expected_risk(inputs, alpha) / alpha, {}
