"""What a strategy is: the values of the actions in, the probabilities of taking them out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from eclectus import registry

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
_TINY = 1e-300  # in place of 0, whose logarithm is not a number and whose share in an entropy is 0


class Exploration(ABC):
    """How often to take which action; a subclass in `exploration/<type>.py` gives `probabilities`.

    Probabilities and not a choice, because expected SARSA and the log of what was explored need them.
    """

    class Options(registry.Options):
        """No options."""

    reference: str = ""
    """The paper that the strategy is from."""

    def __init__(self, options: registry.Options | None = None) -> None:
        self.options: registry.Options = options if options is not None else type(self).Options()

    @property
    def name(self) -> str:
        """The type, as in a config."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def probabilities(self, values: Array, visits: Counts, progress: float) -> Array:
        """Return the probability of each allowed action.

        Args:
            values: [A], the values of the allowed actions of one state.
            visits: [A], how often each was taken there.
            progress: share of the training that has passed, in [0, 1].
        """


def greedy_shares(values: Array) -> Array:
    """Return probabilities [A] that are equal over the best actions and 0 elsewhere."""
    best = values == values.max()
    return best / np.count_nonzero(best)


def softmax(values: Array, temperature: float) -> Array:
    """Return probabilities [A] in proportion to exp(values / temperature); `greedy_shares` at temperature 0."""
    if temperature == 0:
        return greedy_shares(values)
    weights = np.exp((values - values.max()) / temperature)
    return weights / weights.sum()


def entropy(probabilities: Array) -> float:
    """Return the entropy of a distribution [A], in nats."""
    return float(-(probabilities @ np.log(np.maximum(probabilities, _TINY))) + 0.0)
