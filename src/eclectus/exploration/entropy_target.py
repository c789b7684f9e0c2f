"""Sampling at the temperature that gives a wanted entropy."""

from __future__ import annotations

import math

from pydantic import Field

from eclectus import registry
from eclectus.exploration.annealing import Annealing
from eclectus.exploration.base import Array, Counts, Exploration, entropy, softmax
from eclectus.exploration.entropy import EntropyCoefficient


class EntropyTarget(Exploration):
    r"""$\pi(a) \propto \exp(Q(a) / \tau)$ with $\tau$ adapted so that the entropy of $\pi$ follows a target.

    This $\pi$ is the one that maximises $\sum_a \pi(a) Q(a) + \tau H(\pi)$: the temperature is the coefficient of an
    entropy bonus. The target is a share of the highest entropy, $\log A$ with A allowed actions, so that it means the
    same in states with few and with many. Unlike a temperature it does not depend on the scale of the values.
    """

    reference = "Haarnoja et al. 2018, Soft Actor-Critic Algorithms and Applications (arXiv:1812.05905), section 5"

    class Options(registry.Options):
        """Defaults: from half of the highest entropy to a twentieth."""

        target: Annealing = Annealing(start=0.5, end=0.05)
        initial: float = Field(0.1, gt=0, description="first temperature")
        rate: float = Field(0.05, gt=0, description="step size on the logarithm of the temperature")

    options: Options

    def __init__(self, options: registry.Options | None = None) -> None:
        super().__init__(options)
        self.coefficient = EntropyCoefficient(self.options.initial, self.options.rate, bounds=(1e-4, 1e2))

    def probabilities(self, values: Array, visits: Counts, progress: float) -> Array:
        found = softmax(values, self.coefficient.weight)
        # Equal values have full entropy at any temperature: they say nothing about it.
        if values.max() > values.min():
            self.coefficient.update(entropy(found), self.options.target.at(progress) * math.log(len(values)))
        return found
