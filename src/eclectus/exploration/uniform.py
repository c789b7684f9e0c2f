"""No exploitation: every action equally often, the other absence that strategies are compared with."""

from __future__ import annotations

import numpy as np

from eclectus.exploration.base import Array, Counts, Exploration


class Uniform(Exploration):
    """Every allowed action with the same probability, whatever has been learnt.

    Q-learning still learns the best policy from it; it only spends most of its steps where that policy never goes.
    """

    reference = "Sutton and Barto 2018, section 6.5: off-policy control"

    def probabilities(self, values: Array, visits: Counts, progress: float) -> Array:
        return np.full(len(values), 1 / len(values))
