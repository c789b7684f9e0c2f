"""From log-probabilities to [0, 1]: how usual a text is among real texts of its length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SMALLEST_VARIANCE = 1e-4


@dataclass(frozen=True)
class Calibration:
    r"""Expected mean log-probability of a real text of n tokens, and its variance.

    $$r = \sigma\Big(\frac{\ell / n - \mu(n)}{s(n)}\Big), \qquad
      \mu(n) = a + \frac{b}{n}, \quad s(n)^2 = c + \frac{d}{n}$$

    Args:
        mean: a and b.
        variance: c and d; neither is negative.
    """

    mean: tuple[float, float]
    variance: tuple[float, float]

    @classmethod
    def fit(cls, totals: ArrayLike, lengths: ArrayLike) -> Calibration:
        """Fit to real texts that the model has not seen, by least squares in 1 / n.

        Args:
            totals: log-probability of each text, [B].
            lengths: its number of tokens, [B].
        """
        n = np.asarray(lengths, dtype=np.float64)
        means = np.asarray(totals, dtype=np.float64) / n
        mean = _line(1 / n, means)
        squares = (means - mean[0] - mean[1] / n) ** 2
        variance = _line(1 / n, squares)
        if min(variance) < 0:  # a variance that would turn negative somewhere: hold it constant
            variance = (float(squares.mean()), 0.0)
        return cls(mean, variance)

    def values(self, totals: ArrayLike, lengths: ArrayLike) -> NDArray[np.float64]:
        """Return the logistic of each text's standard score, [B] in (0, 1)."""
        n = np.asarray(lengths, dtype=np.float64)
        deviation = np.sqrt(np.maximum(_SMALLEST_VARIANCE, self.variance[0] + self.variance[1] / n))
        z = (np.asarray(totals, dtype=np.float64) / n - self.mean[0] - self.mean[1] / n) / deviation
        return 1 / (1 + np.exp(-np.clip(z, -50, 50)))


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return intercept and slope of the least-squares line through the points."""
    dx = x - x.mean()
    spread = float(dx @ dx)
    slope = float(dx @ (y - y.mean())) / spread if spread > 1e-12 else 0.0
    return float(y.mean()) - slope * float(x.mean()), slope
