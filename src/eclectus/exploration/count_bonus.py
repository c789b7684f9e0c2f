"""What was seldom tried is worth a look: a bonus that shrinks with each visit."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from eclectus import registry
from eclectus.exploration.base import Array, Counts, Exploration, greedy_shares


class CountBonus(Exploration):
    r"""The action with the best value and bonus together: $\arg\max_a Q(a) + \beta / \sqrt{1 + N(a)}$.

    N counts how often the action was taken in this state. The bonus enters the choice and not the reward, so the values
    that are learnt stay those of the task; in return it leads only to the next step and never plans towards places that
    are new, as a bonus in the reward does.

    Example:
        >>> import numpy as np
        >>> strategy = CountBonus(CountBonus.Options(beta=1.0))
        >>> strategy.probabilities(np.array([0.6, 0.3]), np.array([3, 0]), 0.0).tolist()
        [0.0, 1.0]
    """

    reference = "Strehl and Littman 2008, https://doi.org/10.1016/j.jcss.2007.08.009 (MBIE-EB, there in the reward)"

    class Options(registry.Options):
        """The default suits returns in [0, 1]."""

        beta: float = Field(0.3, ge=0, description="bonus of an action that was never taken")

    options: Options

    def probabilities(self, values: Array, visits: Counts, progress: float) -> Array:
        return greedy_shares(values + self.options.beta / np.sqrt(1 + visits))
