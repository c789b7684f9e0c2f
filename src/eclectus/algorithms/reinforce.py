"""REINFORCE with a baseline that remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field

from eclectus.algorithms.advantages import judged, leave_one_out_mean, minus_baseline
from eclectus.algorithms.base import AdvantageInputs, Algorithm, SequenceOptions
from eclectus.algorithms.losses import Clip, LossInputs, policy_gradient


class Reinforce(Algorithm):
    """REINFORCE: reward minus a baseline from earlier steps, one sample of each source is enough.

    Loss: -1/N sum_i (r_i - b) * log pi(y_i | x_i). The baseline is the moving average of the mean rewards of the steps
    before, b <- decay * b + (1 - decay) * mean r, over everything or for each direction. It does not depend on the
    samples at hand, so the expected gradient is that of the expected reward. Where nothing is remembered yet, the
    baseline of a sample is the mean of the other samples at hand, which it does not depend on either.
    """

    reference = "Williams 1992, Simple statistical gradient-following algorithms (doi:10.1007/BF00992696)"

    class Options(SequenceOptions):
        """A baseline for each direction, because directions differ in what their rewards reach; a decay of 0.9
        remembers about ten steps: rewards move as the policy learns."""

        baseline: Literal["none", "moving", "direction"] = "direction"
        decay: float = Field(0.9, ge=0, lt=1)

    options: Options

    def __init__(self, options: SequenceOptions | None = None) -> None:
        super().__init__(options)
        self._means: dict[str, float] = {}

    def advantages(self, inputs: AdvantageInputs) -> torch.Tensor:
        rewards = inputs.rewards
        if self.options.baseline == "none":
            return minus_baseline(rewards, torch.zeros(len(rewards), device=rewards.device))
        everything = self.options.baseline == "moving"
        labels = ["" if everything else direction for direction in inputs.directions]
        result = torch.zeros_like(rewards)
        for label in dict.fromkeys(labels):
            rows = [row for row, other in enumerate(labels) if other == label]
            result[rows] = self._minus_mean(label, rewards[rows])
        return result

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        o = self.options
        return policy_gradient(inputs, Clip(o.clip, o.clip, o.max_ratio))

    def state_dict(self) -> dict[str, Any]:
        return {"means": dict(self._means)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._means = {str(label): float(mean) for label, mean in state["means"].items()}

    def _minus_mean(self, label: str, rewards: torch.Tensor) -> torch.Tensor:
        known = rewards[judged(rewards)]
        if label in self._means:
            baseline = torch.full_like(rewards, self._means[label])
        elif len(known) > 1:
            baseline = leave_one_out_mean(rewards.reshape(1, -1)).view(rewards.shape)
        else:
            baseline = torch.full_like(rewards, float("nan"))
        if len(known):
            mean, decay = float(known.mean()), self.options.decay
            self._means[label] = decay * self._means.get(label, mean) + (1 - decay) * mean
        return minus_baseline(rewards, baseline)
