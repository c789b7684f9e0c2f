"""Deep Q-learning over tokens."""

from __future__ import annotations

import torch
from pydantic import Field

from eclectus.algorithms import td
from eclectus.algorithms.value_based import States, ValueBased, ValueOptions
from eclectus.policies.head import in_pieces


class QLearning(ValueBased):
    """Off-policy: a state is worth what its best token is, V(s) = max_a Q'(s, a), Q' the target network.

    With `double`, the network that learns chooses the token and the target network says what it is worth.
    """

    reference = "Mnih et al. 2015, Human-level control through deep RL (doi:10.1038/nature14236)"

    class Options(ValueOptions):
        """`double` beside a target network is Double DQN (van Hasselt et al. 2016, arXiv:1509.06461)."""

        double: bool = Field(True, description="one network chooses the best token, the other judges it")

    options: Options

    def state_values(self, states: States) -> torch.Tensor:
        allowed = states.allowed

        def values(hidden: torch.Tensor) -> torch.Tensor:
            judging = states.target.values(hidden)
            if not self.options.double:
                return td.best_values(judging, allowed)
            return td.double_values(states.online.values(hidden), judging, allowed)

        return in_pieces(values, len(allowed), states.hidden)
