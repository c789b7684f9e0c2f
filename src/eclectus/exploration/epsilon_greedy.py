"""The best action, and now and then another."""

from __future__ import annotations

import numpy as np
from pydantic import Field, field_validator

from eclectus import registry
from eclectus.exploration.annealing import Annealing
from eclectus.exploration.base import Array, Counts, Exploration, greedy_shares


class EpsilonGreedy(Exploration):
    r"""The best action with probability $1 - \epsilon$, else one of the `top_k` best (of all where there is no top_k).

    $$\pi(a) = (1 - \epsilon) \frac{[a \in \arg\max Q]}{|\arg\max Q|}
      + \epsilon \frac{[a \in \text{top}_k]}{|\text{top}_k|}$$

    Actions that equal the k-th best belong to the top k too, so that all are explored while all are still the same.

    Example:
        >>> import numpy as np
        >>> strategy = EpsilonGreedy(EpsilonGreedy.Options(epsilon=0.3, top_k=2))
        >>> strategy.probabilities(np.array([0.1, 0.9, 0.5]), np.zeros(3, dtype=int), 0.0).round(2).tolist()
        [0.0, 0.85, 0.15]
    """

    reference = "Watkins 1989; Sutton and Barto 2018, section 2.2"

    class Options(registry.Options):
        """Defaults: mostly exploration at first, 5 % from 80 % of the training on."""

        epsilon: Annealing = Annealing(start=0.5, end=0.05, until=0.8)
        top_k: int | None = Field(None, ge=1, description="explore among the k best actions only; null: among all")

        @field_validator("epsilon")
        @classmethod
        def _is_a_probability(cls, epsilon: Annealing) -> Annealing:
            if max(epsilon.start, epsilon.end) > 1:
                raise ValueError("epsilon is a probability, give at most 1")
            return epsilon

    options: Options

    def probabilities(self, values: Array, visits: Counts, progress: float) -> Array:
        epsilon = self.options.epsilon.at(progress)
        explored = np.ones(len(values))
        k = self.options.top_k
        if k is not None and k < len(values):
            explored[values < np.sort(values)[-k]] = 0
        return (1 - epsilon) * greedy_shares(values) + epsilon * explored / explored.sum()
