"""Every arm equally often: the absence that bandits are compared with."""

from __future__ import annotations

from random import Random

from eclectus.exploration.bandits.base import Bandit


class Uniform(Bandit):
    """Draws every arm with the same probability and learns nothing."""

    def _draw(self, random: Random) -> int:
        return random.randrange(self.arms)

    def _learn(self, arm: int, reward: float) -> None:
        pass
