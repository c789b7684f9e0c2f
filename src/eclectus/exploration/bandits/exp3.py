"""Exponential weights, for rewards that nobody promises to stay as they are."""

from __future__ import annotations

import math
from random import Random

from pydantic import Field

from eclectus import registry
from eclectus.exploration.bandits.base import Bandit


class Exp3(Bandit):
    r"""Draws from exponential weights mixed with uniform exploration; EXP3.S where `share` is above 0.

    $$p_i = (1 - \gamma) \frac{w_i}{\sum_j w_j} + \frac{\gamma}{K}, \qquad
      w_i \leftarrow w_i \exp\Big(\frac{\gamma \hat r_i}{K}\Big) + \frac{e \alpha}{K} \sum_j w_j$$

    with $\hat r_i = r / p_i$ for the arm that was drawn and 0 for the others, $p_i$ as it was when the arm was last
    drawn, and $\alpha$ the `share`, which lets an arm that was poor come back.

    Example:
        >>> bandit = Exp3(arms=2, seed=1)
        >>> for _ in range(400):
        ...     arm = bandit.draw()
        ...     bandit.update(arm, [0.2, 0.9][arm])
        >>> bandit.probabilities()[1] > 0.8
        True
    """

    reference = (
        "Auer, Cesa-Bianchi, Freund and Schapire 2002, https://doi.org/10.1137/S0097539701398375, figures 1 and 4"
    )
    _state = ("log_weights", "drawn_at")

    class Options(registry.Options):
        """Defaults: EXP3."""

        gamma: float = Field(0.1, gt=0, le=1, description="share of uniform exploration")
        share: float = Field(0.0, ge=0, lt=1, description="alpha of EXP3.S; 0.001 forgets over some hundred updates")

    options: Options

    def __init__(self, arms: int, seed: int, options: registry.Options | None = None) -> None:
        super().__init__(arms, seed, options)
        self.log_weights = [0.0] * arms
        self.drawn_at = [1 / arms] * arms

    def probabilities(self) -> list[float]:
        """The probability of each arm at the next draw."""
        gamma = self.options.gamma
        weights = [math.exp(value) for value in self.log_weights]
        total = sum(weights)
        return [(1 - gamma) * weight / total + gamma / self.arms for weight in weights]

    def _draw(self, random: Random) -> int:
        probabilities = self.probabilities()
        (arm,) = random.choices(range(self.arms), probabilities)
        self.drawn_at[arm] = probabilities[arm]
        return arm

    def _learn(self, arm: int, reward: float) -> None:
        share = math.e * self.options.share / self.arms * sum(math.exp(value) for value in self.log_weights)
        self.log_weights[arm] += self.options.gamma * reward / self.drawn_at[arm] / self.arms
        if share > 0:
            self.log_weights = [math.log(math.exp(value) + share) for value in self.log_weights]
        # Only ratios matter; the largest weight is kept at 1, so that none can overflow.
        largest = max(self.log_weights)
        self.log_weights = [value - largest for value in self.log_weights]
