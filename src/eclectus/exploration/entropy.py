"""A coefficient that keeps an entropy at its target."""

from __future__ import annotations

import math
from collections.abc import Mapping


class EntropyCoefficient:
    r"""Weight of an entropy bonus, or a temperature, that grows while the entropy is below its target.

    $$\log \alpha \leftarrow \log \alpha + \eta (H_\text{target} - H)$$

    Source: Haarnoja et al. 2018, https://arxiv.org/abs/1812.05905, equation 18, as a step on log alpha, which keeps
    alpha positive.

    Args:
        initial: first coefficient, above 0.
        rate: step size eta.
        lowest: bound from below, so that a long time above the target can be made good again.
        highest: bound from above.

    Example:
        >>> coefficient = EntropyCoefficient(0.1, rate=0.5)
        >>> coefficient.update(entropy=1.0, target=2.0) > 0.1 > coefficient.update(entropy=4.0, target=2.0)
        True
    """

    def __init__(self, initial: float, rate: float, lowest: float = 1e-4, highest: float = 1e2) -> None:
        if not 0 < lowest <= initial <= highest:
            raise ValueError(f"the coefficient {initial} must be above 0 and within [{lowest}, {highest}]")
        self.value = initial
        self.rate = rate
        self._bounds = (lowest, highest)

    def update(self, entropy: float, target: float) -> float:
        """Take one step from a measured entropy and return the coefficient."""
        lowest, highest = self._bounds
        self.value = min(max(self.value * math.exp(self.rate * (target - entropy)), lowest), highest)
        return self.value

    def state_dict(self) -> dict[str, float]:
        """Return what a resumed run needs."""
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from what `state_dict` returned."""
        self.value = float(state["value"])
