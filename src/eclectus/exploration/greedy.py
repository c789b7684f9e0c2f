"""No exploration: the strategy that the others are compared with."""

from __future__ import annotations

from eclectus.exploration.base import Array, Counts, Exploration, greedy_shares


class Greedy(Exploration):
    """Always the best action, equals at random: exploitation alone.

    It stays with the first action that earned anything, unless the first values of the table are optimistic.
    """

    reference = "Sutton and Barto 2018, section 2.2"

    def probabilities(self, values: Array, visits: Counts, progress: float) -> Array:
        return greedy_shares(values)
