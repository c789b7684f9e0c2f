"""Better actions more often: sampling at a temperature that falls."""

from __future__ import annotations

from eclectus import registry
from eclectus.exploration.annealing import Annealing
from eclectus.exploration.base import Array, Counts, Exploration, softmax


class Boltzmann(Exploration):
    r"""Each action in proportion to the exponential of its value: $\pi(a) \propto \exp(Q(a) / \tau)$.

    The temperature is in the unit of the values: at $\tau$ an action that is worth $\tau$ less is taken e times less
    often. 0 is greedy.

    Example:
        >>> import numpy as np
        >>> strategy = Boltzmann(Boltzmann.Options(temperature=1.0))
        >>> strategy.probabilities(np.log([1.0, 3.0]), np.zeros(2, dtype=int), 0.0).round(2).tolist()
        [0.25, 0.75]
    """

    reference = (
        "Sutton 1990, Integrated Architectures for Learning, Planning, and Reacting (Dyna); Kaelbling et al. 1996"
    )

    class Options(registry.Options):
        """Defaults for returns in [0, 1]."""

        temperature: Annealing = Annealing(start=0.1, end=0.005, shape="exponential")

    options: Options

    def probabilities(self, values: Array, visits: Counts, progress: float) -> Array:
        return softmax(values, self.options.temperature.at(progress))
