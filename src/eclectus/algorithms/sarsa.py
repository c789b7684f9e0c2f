"""SARSA over tokens."""

from __future__ import annotations

import torch
from pydantic import Field

from eclectus.algorithms.value_based import States, ValueBased, ValueOptions


class Sarsa(ValueBased):
    """On-policy: a state is worth what the token said next was, V(s') = Q'(s', a'), Q' the target network.

    It learns the values of the policy that the remembered translations are from, exploration included, so `replay` is
    short. Behind a translation that was cut nothing was said next; there the mean under the policy stands for it.
    """

    reference = "Rummery and Niranjan 1994, On-line Q-learning Using Connectionist Systems"

    class Options(ValueOptions):
        """A short memory, because translations of earlier policies tell the values of those."""

        replay: int = Field(512, ge=1, description="translations remembered, the newest")

    options: Options

    def state_values(self, states: States) -> torch.Tensor:
        if states.tokens is None:
            return states.expected()
        return states.target.values_of(states.hidden, states.tokens)
