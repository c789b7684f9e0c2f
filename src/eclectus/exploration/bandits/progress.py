"""Learning progress: how much better an arm has become, as a bandit's reward in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class LearningProgress:
    r"""Scores of the arms in, rewards out: the gain of an arm over its own running mean, scaled by quantiles.

    $$g = v - m_i, \qquad m_i \leftarrow m_i + \rho (v - m_i), \qquad
      r = \min\Big(1, \max\Big(0, \frac{g - q_\text{low}}{q_\text{high} - q_\text{low}}\Big)\Big)$$

    q are quantiles of the last `window` gains of all arms, so that a reward says how this gain compares with what was
    gained of late, whatever the unit. An arm that is learnt or that cannot be learnt gains nothing and is left alone.
    Where the quantiles are equal, as where most arms stand still, a gain above them is worth 1, below them 0, else 0.5.

    Source: Graves et al. 2017, https://arxiv.org/abs/1704.03003, section 3 and its rescaling by the 20 % and 80 %
    quantiles, there to [-1, 1] over a reservoir of all gains.

    Args:
        arms: how many.
        rate: rho, the step of the running mean.
        window: gains that the quantiles are taken from.
        low: lower quantile.
        high: upper quantile.

    Example:
        >>> progress = LearningProgress(arms=2)
        >>> for step in range(20):
        ...     flat, rising = progress.update(0, 0.5), progress.update(1, step / 20)
        >>> flat < rising
        True
    """

    def __init__(
        self,
        arms: int,
        *,
        rate: float = 0.2,
        window: int = 200,
        low: float = 0.2,
        high: float = 0.8,
    ) -> None:
        if not (0 < rate <= 1 and window >= 2 and 0 <= low < high <= 1):
            raise ValueError("LearningProgress needs 0 < rate <= 1, window >= 2 and 0 <= low < high <= 1")
        self._means: list[float | None] = [None] * arms
        self._gains: list[float] = []
        self._rate, self._window, self._quantiles = rate, window, (low, high)

    def update(self, arm: int, value: float) -> float:
        """Return the reward of an arm whose score (higher is better) is now `value`."""
        mean = self._means[arm]
        if mean is None:  # the first score has nothing to be better than
            self._means[arm] = value
            return 0.5
        gain = value - mean
        self._means[arm] = mean + self._rate * gain
        self._gains = [*self._gains, gain][-self._window :]
        low, high = _quantiles(self._gains, self._quantiles)
        if high == low:
            return 0.5 + 0.5 * ((gain > high) - (gain < low))
        return min(1.0, max(0.0, (gain - low) / (high - low)))

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as JSON can hold it."""
        return {"means": list(self._means), "gains": list(self._gains)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            ValueError: it is of another number of arms.
        """
        if len(state["means"]) != len(self._means):
            raise ValueError(f"the saved progress is of {len(state['means'])} arms, this one of {len(self._means)}")
        self._means, self._gains = list(state["means"]), list(state["gains"])


def _quantiles(values: list[float], shares: tuple[float, float]) -> tuple[float, float]:
    """The values with which sorting passes each share, without interpolation."""
    ordered = sorted(values)
    low, high = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in shares)
    return low, high
