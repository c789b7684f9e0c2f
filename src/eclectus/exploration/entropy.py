"""A coefficient that keeps an entropy at its target."""

from __future__ import annotations

import math


class EntropyCoefficient:
    r"""Weight of an entropy bonus, or a temperature, that grows while the entropy is below its target.

    $$\log \alpha \leftarrow \log \alpha + \eta (H_\text{target} - H)$$

    Source: Haarnoja et al. 2018, https://arxiv.org/abs/1812.05905, equation 18, as a step on log alpha, which keeps
    alpha positive.

    Args:
        weight: first coefficient; 0 stays 0.
        rate: step size eta, for each nat.
        bounds: the coefficient stays between them, so that a long time off the target can be made good again.

    Example:
        >>> coefficient = EntropyCoefficient(0.1, rate=0.5)
        >>> coefficient.update(entropy=1.0, target=2.0) > 0.1 > coefficient.update(entropy=4.0, target=2.0)
        True
    """

    def __init__(self, weight: float, rate: float, bounds: tuple[float, float] = (1e-6, 1e2)) -> None:
        self.weight, self._rate, self._bounds = weight, rate, bounds

    def update(self, entropy: float, target: float | None) -> float:
        """Take one step from a measured entropy and return the coefficient; without a target it stays."""
        if self.weight and target is not None and math.isfinite(entropy):
            low, high = (math.log(bound) for bound in self._bounds)
            moved = math.log(self.weight) + self._rate * (target - entropy)
            self.weight = math.exp(min(high, max(low, moved)))
        return self.weight
