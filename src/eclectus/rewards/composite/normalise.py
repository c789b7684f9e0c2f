"""Rewards on one scale: divided by a running deviation, or standardised among the samples of a source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from eclectus.errors import RunError
from eclectus.rewards.base import Score


class Normaliser:
    r"""Divides rewards by the running standard deviation of their direction.

    Mean and sum of squared deviations are merged batch by batch,

    $$n = n_a + n_b, \quad \mu = \mu_a + \delta \frac{n_b}{n}, \quad M = M_a + M_b + \delta^2 \frac{n_a n_b}{n}$$

    and when n exceeds `window`, n and M are scaled down to it: exact over the first `window` values, an exponential
    average with that memory afterwards, which follows the policy as it changes. Values are not shifted: 0 stays 0, and
    baselines are left to the algorithm.

    Source: Chan, Golub and LeVeque 1979, http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf; dividing
    by a running deviation: van Hasselt et al. 2016 (Pop-Art), https://arxiv.org/abs/1602.07714.

    Args:
        window: values remembered.
        minimum: values that a direction needs for its own deviation; before, the one pooled over all directions is
            used, and 1.0 while that has too few as well.
        floor: the smallest divisor, so that a direction whose rewards hardly differ is not blown up.
    """

    def __init__(self, window: int = 4096, minimum: int = 64, floor: float = 0.05) -> None:
        self._window, self._minimum, self._floor = window, minimum, floor
        self._pooled = [0.0, 0.0, 0.0]
        self._directions: dict[str, list[float]] = {}

    def update(self, direction: str, values: Sequence[Score]) -> None:
        """Take in the rewards of one step; None is left out."""
        known = [value for value in values if value is not None]
        if known:
            self._merge(self._pooled, known)
            self._merge(self._directions.setdefault(direction, [0.0, 0.0, 0.0]), known)

    def deviation(self, direction: str) -> float:
        """Return the divisor of a direction."""
        for count, _, squares in (self._directions.get(direction, (0.0, 0.0, 0.0)), self._pooled):
            if count >= self._minimum:
                return max(self._floor, math.sqrt(squares / count))
        return 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON, which restore this normaliser to the last bit."""
        return {"pooled": list(self._pooled), "directions": {k: list(v) for k, v in self._directions.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises:
            RunError: the state is of another kind.
        """
        try:
            pooled, *rows = [
                [float(number) for number in row] for row in (state["pooled"], *state["directions"].values())
            ]
            if any(len(row) != 3 for row in (pooled, *rows)):
                raise ValueError("three numbers make a row")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"the checkpoint's reward normaliser cannot be read ({error!r}); start a new run") from error
        self._pooled = pooled
        self._directions = dict(zip(state["directions"], rows, strict=True))

    def _merge(self, moments: list[float], values: Sequence[float]) -> None:
        count_b = len(values)
        mean_b = math.fsum(values) / count_b
        squares_b = math.fsum((value - mean_b) ** 2 for value in values)
        count_a, mean_a, squares_a = moments
        count, delta = count_a + count_b, mean_b - mean_a
        moments[1] = mean_a + delta * count_b / count
        moments[2] = squares_a + squares_b + delta**2 * count_a * count_b / count
        shrink = min(1.0, self._window / count)
        moments[0], moments[2] = count * shrink, moments[2] * shrink


def standardise(values: Sequence[Score], epsilon: float = 1e-4) -> list[Score]:
    r"""Shift and scale the rewards of one source's samples to mean 0 and deviation 1; None stays None.

    $$z_i = \frac{r_i - \mu}{\sigma + \epsilon}, \qquad \sigma^2 = \frac{1}{n - 1} \sum_i (r_i - \mu)^2$$

    over the n judged samples. Where they are all equal, or there is only one, all are exactly 0: equality is asked of
    the rewards, because the deviation of equal floats is not always 0. Epsilon keeps a spread of rounding errors small.
    It makes a spread of 0.002 weigh almost as much as one of 0.2, so it is no default.

    Source: Shao et al. 2024 (DeepSeekMath), section 4.1.2, https://arxiv.org/abs/2402.03300.

    Example:
        >>> standardise([0.25, 0.5, None, 0.75], epsilon=0.0)
        [-1.0, 0.0, None, 1.0]
        >>> standardise([0.1, 0.1, 0.1])
        [0.0, 0.0, 0.0]
    """
    known = [value for value in values if value is not None]
    divisor = spread(values, epsilon)
    if divisor == math.inf:
        return [None if value is None else 0.0 for value in values]
    mean = math.fsum(known) / len(known)
    return [None if value is None else (value - mean) / divisor for value in values]


def spread(values: Sequence[Score], epsilon: float = 1e-4) -> float:
    """Return what `standardise` divides by; infinite where the judged values are all equal, or there is only one."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or min(known) == max(known):
        return math.inf
    mean = math.fsum(known) / len(known)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1)) + epsilon
