"""Group-relative policy optimisation."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from eclectus import registry
from eclectus.algorithms.advantages import group_mean, group_standardised
from eclectus.algorithms.base import Algorithm
from eclectus.algorithms.losses import LossInputs, clipped_surrogate


class Grpo(Algorithm):
    """GRPO: rewards standardised within the samples of a source, PPO's clipped ratio per token.

    With one update for each batch of samples, as here, the ratio is 1 and the clip never acts; it matters once samples
    are used again.
    """

    reference = "Shao et al. 2024, DeepSeekMath (arXiv:2402.03300)"

    class Options(registry.Options):
        """Defaults: advantages not divided by the group's deviation and a constant length (Dr. GRPO, arXiv:2503.20783),
        because dividing makes a spread of 0.2 chrF weigh as much as one of 20; the higher upper clip is DAPO's
        (arXiv:2503.14476)."""

        scale: Literal["group", "none"] = "none"
        length: Literal["token", "sequence", "constant"] = "constant"
        constant_length: float = Field(16.0, gt=0, description="tokens; with length: constant")
        clip_low: float = Field(0.2, gt=0, lt=1)
        clip_high: float = Field(0.28, gt=0)

    options: Options

    def advantages(self, rewards: torch.Tensor) -> torch.Tensor:
        return group_standardised(rewards) if self.options.scale == "group" else group_mean(rewards)

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        o = self.options
        loss, clipped = clipped_surrogate(inputs, o.clip_low, o.clip_high, o.length, o.constant_length)
        return loss, {"clipped_tokens": float(clipped)}
