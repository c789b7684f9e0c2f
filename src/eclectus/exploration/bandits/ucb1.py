"""The arm with the highest upper confidence bound."""

from __future__ import annotations

import math
from random import Random

from pydantic import Field

from eclectus import registry
from eclectus.exploration.bandits.base import Bandit


class Ucb1(Bandit):
    r"""$\arg\max_i \bar r_i + \sqrt{c \ln n / n_i}$, every arm once at first, equals at random.

    With `discount` below 1 an update counts that much less at each later one (D-UCB, Garivier and Moulines 2011,
    https://arxiv.org/abs/0805.3415), for rewards that change, as learning progress does.

    Example:
        >>> bandit = Ucb1(arms=2, seed=1)
        >>> for _ in range(200):
        ...     arm = bandit.draw()
        ...     bandit.update(arm, [0.2, 0.9][arm])
        >>> bandit.draws[1] > 150
        True
    """

    reference = "Auer, Cesa-Bianchi and Fischer 2002, https://doi.org/10.1023/A:1013689704352, figure 1"
    _state = ("counts", "sums")

    class Options(registry.Options):
        """Defaults: UCB1 as published."""

        c: float = Field(2.0, ge=0, description="width of the confidence bound")
        discount: float = Field(1.0, gt=0, le=1)

    options: Options

    def __init__(self, arms: int, seed: int, options: registry.Options | None = None) -> None:
        super().__init__(arms, seed, options)
        self.counts = [0.0] * arms
        self.sums = [0.0] * arms

    def _draw(self, random: Random) -> int:
        # Arms that were drawn and not yet answered for count as tried, else a batch would be one arm.
        untried = [arm for arm in range(self.arms) if self.draws[arm] == 0]
        if untried:
            return random.choice(untried)
        bounds = self.bounds()
        best = max(bounds)
        return random.choice([arm for arm, bound in enumerate(bounds) if bound == best])

    def _learn(self, arm: int, reward: float) -> None:
        discount = self.options.discount
        self.counts = [count * discount for count in self.counts]
        self.sums = [total * discount for total in self.sums]
        self.counts[arm] += 1
        self.sums[arm] += reward

    def bounds(self) -> list[float]:
        """The upper bound of each arm; infinite before its first reward."""
        log = math.log(max(sum(self.counts), 1.0))
        return [
            total / count + math.sqrt(self.options.c * log / count) if count > 0 else math.inf
            for total, count in zip(self.sums, self.counts, strict=True)
        ]
