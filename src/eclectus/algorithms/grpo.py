"""Group-relative policy optimisation."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from eclectus import registry
from eclectus.algorithms.advantages import deviation_over, group_deviation, group_mean
from eclectus.algorithms.base import AdvantageInputs, Algorithm
from eclectus.algorithms.losses import Clip, LossInputs, clipped_surrogate

_EPSILON = 1e-4


class Grpo(Algorithm):
    """GRPO: rewards centred within the samples of a source, PPO's clipped ratio per token or per sequence.

    With one update for each batch of samples the ratio is 1 and the clip never acts; it matters with
    `reinforce.updates` or `reinforce.minibatches` above 1. Where tokens have rewards of their own, their returns
    are centred at each position; the deviation that divides them stays that of whole rewards.
    """

    reference = "Shao et al. 2024, DeepSeekMath (arXiv:2402.03300)"
    min_samples = 2
    takes_token_rewards = True

    class Options(registry.Options):
        """Defaults: advantages not divided by the group's deviation and a constant length (Dr. GRPO, arXiv:2503.20783),
        because dividing makes a spread of 0.2 chrF weigh as much as one of 20; the constant is 1, so that `kl`, `mle`
        and `entropy` weigh as they do beside `rloo`; the higher upper clip is DAPO's (arXiv:2503.14476)."""

        scale: Literal["group", "direction", "batch", "none"] = Field(
            "none", description="whose deviation divides the advantages"
        )
        length: Literal["token", "sequence", "constant"] = "constant"
        constant_length: float = Field(
            1.0, gt=0, description="tokens; with length: constant. 1: each translation's tokens are summed, as in rloo"
        )
        ratio: Literal["token", "sequence"] = Field(
            "token", description="sequence: one ratio a translation, as in GSPO"
        )
        clip_low: float = Field(0.2, gt=0, lt=1)
        clip_high: float = Field(0.28, gt=0)
        max_ratio: float = Field(10.0, gt=1, description="larger ratios carry no gradient, whatever the advantage")

    options: Options

    def advantages(self, inputs: AdvantageInputs) -> torch.Tensor:
        scale = self.options.scale
        centred = inputs.compared(group_mean)
        if scale == "none":
            return centred
        if scale == "group":
            deviation = group_deviation(inputs.rewards)
        else:
            parts = inputs.labels if scale == "direction" else ["" for _ in inputs.directions]
            deviation = deviation_over(inputs.rewards, parts)
        return centred / (deviation + _EPSILON).view(-1, *[1] * (centred.dim() - 1))

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        o = self.options
        return clipped_surrogate(
            inputs, Clip(o.clip_low, o.clip_high, o.max_ratio), o.length, o.constant_length, o.ratio
        )
