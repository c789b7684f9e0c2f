"""The weight of the KL term, which may follow a target instead of staying where it was set."""

from __future__ import annotations

import math


class KlCoefficient:
    """Weight of the KL term, moved in proportion to how far the KL is from its target.

    After each step: error = clip(KL / target - 1, -0.2, 0.2); weight *= 1 + gain * error. Ziegler et al. 2019,
    "Fine-tuning language models from human preferences" (arXiv:1909.08593), section 2.2, with gain 0.1.

    Args:
        weight: the start; 0 stays 0.
        target: nats per token; None keeps the weight.
        gain: largest relative change in a step is 0.2 times it.
    """

    def __init__(self, weight: float, target: float | None, gain: float) -> None:
        self.weight, self._target, self._gain = weight, target, gain

    def update(self, measured: float) -> None:
        """Take in the KL of one step, in nats per token."""
        if self._target is None or not math.isfinite(measured):
            return
        error = min(0.2, max(-0.2, measured / self._target - 1))
        self.weight *= 1 + self._gain * error
