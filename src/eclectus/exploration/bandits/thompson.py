"""Each arm as often as it is believed to be the best."""

from __future__ import annotations

from random import Random

from pydantic import Field

from eclectus import registry
from eclectus.exploration.bandits.base import Bandit


class Thompson(Bandit):
    r"""Draws $\theta_i \sim \mathrm{Beta}(\alpha_i, \beta_i)$ for each arm and takes the highest.

    A reward r in [0, 1] adds r to $\alpha_i$ and 1 - r to $\beta_i$: its expectation over the coin that Agrawal and
    Goyal 2012 (https://arxiv.org/abs/1111.1797, algorithm 2) toss for it. With `discount` below 1 all arms fall back
    towards the prior at each update (Raj and Kalyani 2017, https://arxiv.org/abs/1707.09727), for rewards that change.

    Example:
        >>> bandit = Thompson(arms=2, seed=1)
        >>> for _ in range(200):
        ...     arm = bandit.draw()
        ...     bandit.update(arm, [0.2, 0.9][arm])
        >>> bandit.draws[1] > 150
        True
    """

    reference = "Thompson 1933, https://doi.org/10.1093/biomet/25.3-4.285; Chapelle and Li 2011"
    _state = ("wins", "losses")

    class Options(registry.Options):
        """Defaults: a uniform prior, nothing forgotten."""

        prior: float = Field(1.0, gt=0, description="alpha and beta of every arm before its first reward")
        discount: float = Field(1.0, gt=0, le=1)

    options: Options

    def __init__(self, arms: int, seed: int, options: registry.Options | None = None) -> None:
        super().__init__(arms, seed, options)
        self.wins = [0.0] * arms
        self.losses = [0.0] * arms

    def _draw(self, random: Random) -> int:
        prior = self.options.prior
        beliefs = [
            random.betavariate(prior + won, prior + lost) for won, lost in zip(self.wins, self.losses, strict=True)
        ]
        return max(range(self.arms), key=beliefs.__getitem__)

    def _learn(self, arm: int, reward: float) -> None:
        discount = self.options.discount
        self.wins = [won * discount for won in self.wins]
        self.losses = [lost * discount for lost in self.losses]
        self.wins[arm] += reward
        self.losses[arm] += 1 - reward
