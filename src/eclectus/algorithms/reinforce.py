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
    before, b <- decay * b + (1 - decay) * mean r, for each task or for each direction of each task, whose rewards are
    on scales of their own. It does not depend on the samples at hand, so the expected gradient is that of the expected
    reward. Where nothing is remembered yet, the baseline of a sample is the mean of the other samples at hand, which it
    does not depend on either. Where tokens have rewards of their own, there is such a baseline of the return at each
    position.

    Means are remembered of the rewards as given and divided by the divisor of the step at hand: the running deviation
    that divides rewards may halve from one step to the next, and a mean on the old scale would then make everything
    look better than usual.
    """

    takes_token_rewards = True
    reference = "Williams 1992, Simple statistical gradient-following algorithms (doi:10.1007/BF00992696)"

    class Options(SequenceOptions):
        """A baseline for each direction, because directions differ in what their rewards reach; a decay of 0.9
        remembers about ten steps: rewards move as the policy learns."""

        baseline: Literal["none", "moving", "direction"] = "direction"
        decay: float = Field(0.9, ge=0, lt=1)

    options: Options

    def __init__(self, options: SequenceOptions | None = None) -> None:
        super().__init__(options)
        self._means: dict[str, list[float]] = {}

    def advantages(self, inputs: AdvantageInputs) -> torch.Tensor:
        if self.options.baseline == "none":
            return inputs.compared(lambda rewards: minus_baseline(rewards, torch.zeros_like(rewards)))
        labels = inputs.labels
        if self.options.baseline == "moving":
            labels = list(inputs.tasks) or ["" for _ in inputs.directions]
        returns = inputs.returns
        scales = torch.ones(len(returns)) if inputs.scales is None else inputs.scales
        scales = scales.to(returns)[:, None, None]
        result = torch.zeros_like(returns)
        for label in dict.fromkeys(labels):
            rows = [row for row, other in enumerate(labels) if other == label]
            baseline = self._baseline(label, returns[rows] * scales[rows])
            result[rows] = minus_baseline(returns[rows], baseline / scales[rows])
        return inputs.masked(result)

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        o = self.options
        return policy_gradient(inputs, Clip(o.clip, o.clip, o.max_ratio))

    def state_dict(self) -> dict[str, Any]:
        return {"as_given": {label: list(means) for label, means in self._means.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        # Checkpoints of before had `means` of divided rewards; nothing is remembered instead, as in a first step.
        found = state.get("as_given", {})
        self._means = {str(label): [float(mean) for mean in means] for label, means in found.items()}

    def _baseline(self, label: str, returns: torch.Tensor) -> torch.Tensor:
        """What returns [n, G, T], as given, are compared with at each position, NaN where with nothing; then they are
        remembered. T is 1 where only whole rewards are known."""
        positions = returns.flatten(0, 1).T
        known = positions[:, judged(positions[0])]
        if label in self._means:
            remembered = _padded(self._means[label], len(positions))[: len(positions)]
            baseline = torch.tensor(remembered, dtype=returns.dtype, device=returns.device).expand(returns.shape)
        elif known.shape[1] > 1:
            baseline = leave_one_out_mean(positions).T.view(returns.shape)
        else:
            baseline = torch.full_like(returns, float("nan"))
        if known.shape[1]:
            means, decay = known.mean(dim=1).tolist(), self.options.decay
            old = _padded(self._means.get(label, means), len(means))
            means = _padded(means, len(old))
            self._means[label] = [decay * a + (1 - decay) * b for a, b in zip(old, means, strict=True)]
        return baseline


def _padded(means: list[float], length: int) -> list[float]:
    """At least `length` means: behind the end stands what the last token has left, as in the returns."""
    return means + means[-1:] * (length - len(means))
