"""Group-relative policy optimisation."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from eclectus import registry
from eclectus.algorithms.advantages import group_mean, group_standardised, standardised_over
from eclectus.algorithms.base import AdvantageInputs, Algorithm
from eclectus.algorithms.losses import Clip, LossInputs, clipped_surrogate


class Grpo(Algorithm):
    """GRPO: rewards centred within the samples of a source, PPO's clipped ratio per token or per sequence.

    With one update for each batch of samples the ratio is 1 and the clip never acts; it matters with
    `reinforce.updates` above 1.
    """

    reference = "Shao et al. 2024, DeepSeekMath (arXiv:2402.03300)"
    min_samples = 2

    class Options(registry.Options):
        """Defaults: advantages not divided by the group's deviation and a constant length (Dr. GRPO, arXiv:2503.20783),
        because dividing makes a spread of 0.2 chrF weigh as much as one of 20; the higher upper clip is DAPO's
        (arXiv:2503.14476)."""

        scale: Literal["group", "direction", "batch", "none"] = Field(
            "none", description="whose deviation divides the advantages"
        )
        length: Literal["token", "sequence", "constant"] = "constant"
        constant_length: float = Field(16.0, gt=0, description="tokens; with length: constant")
        ratio: Literal["token", "sequence"] = Field(
            "token", description="sequence: one ratio a translation, as in GSPO"
        )
        clip_low: float = Field(0.2, gt=0, lt=1)
        clip_high: float = Field(0.28, gt=0)
        max_ratio: float = Field(10.0, gt=1, description="larger ratios carry no gradient, whatever the advantage")

    options: Options

    def advantages(self, inputs: AdvantageInputs) -> torch.Tensor:
        scale = self.options.scale
        if scale == "group":
            return group_standardised(inputs.rewards)
        if scale == "none":
            return group_mean(inputs.rewards)
        parts = inputs.directions if scale == "direction" else ["" for _ in inputs.directions]
        return standardised_over(inputs.rewards, parts)

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        o = self.options
        return clipped_surrogate(
            inputs, Clip(o.clip_low, o.clip_high, o.max_ratio), o.length, o.constant_length, o.ratio
        )
