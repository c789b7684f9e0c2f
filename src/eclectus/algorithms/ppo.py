"""Proximal policy optimisation with a critic."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from eclectus.algorithms.critic import ActorCritic, CriticOptions
from eclectus.algorithms.losses import Clip, LossInputs, clipped_surrogate


class Ppo(ActorCritic):
    """PPO: generalised advantages of each token and a clipped ratio, several updates on the same samples.

    Loss: -1/N sum_i sum_t min(ratio * A, clip(ratio, 1 - clip, 1 + clip) * A) over the N translations, plus the mean
    over tokens of the critic's squared error by two. `reinforce.updates` are its epochs, `reinforce.minibatches` the
    parts that each is made in.
    """

    reference = "Schulman et al. 2017, Proximal Policy Optimization Algorithms (arXiv:1707.06347)"

    class Options(CriticOptions):
        """gae_lambda 0.95 and clip 0.2 as in the paper, advantages normalised as in Stable-Baselines3; the clip of
        values is off as there, because a comparison found no gain in it (Andrychowicz et al. 2021, arXiv:2006.05990).
        Tokens are summed and not averaged, so that `kl`, `mle` and `entropy` weigh as beside `a2c`."""

        gae_lambda: float = Field(
            0.95, ge=0, le=1, description="1: the return as it came, unbiased; less: trust the critic, less noise"
        )
        normalise: bool = Field(
            True, description="advantages minus their mean, by their deviation, over the step's tokens"
        )
        clip: float = Field(0.2, gt=0, lt=1, description="no gain from a token's ratio beyond 1 ± clip")
        max_ratio: float = Field(10.0, gt=1, description="larger ratios carry no gradient, whatever the advantage")
        value_clip: float | None = Field(
            None, gt=0, description="no gain from moving a value further from what it was before the first update"
        )
        length: Literal["token", "sequence", "constant"] = "constant"
        constant_length: float = Field(
            1.0, gt=0, description="tokens; with length: constant. 1: each translation's tokens are summed, as in a2c"
        )

    options: Options

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        o = self.options
        policy, clipped = clipped_surrogate(inputs, Clip(o.clip, o.clip, o.max_ratio), o.length, o.constant_length)
        value, metrics = self.value_loss(inputs, o.value_clip)
        share = clipped["clipped_tokens"] / inputs.size.tokens
        return policy + value, {**clipped, "clipped_fraction": share, **metrics}
