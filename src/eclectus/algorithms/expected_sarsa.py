"""Expected SARSA over tokens."""

from __future__ import annotations

import torch

from eclectus.algorithms.value_based import States, ValueBased


class ExpectedSarsa(ValueBased):
    """A state is worth the mean over what may be said next, V(s) = sum_a pi(a | s) Q'(s, a), Q' the target network.

    SARSA without the chance in a'. The policy is the one at hand, temperature and exploration included, whoever the
    remembered translation is from, so that with `n_step: 1` an old one misleads nobody.
    """

    reference = "van Seijen et al. 2009, A theoretical and empirical analysis of Expected Sarsa"

    def state_values(self, states: States) -> torch.Tensor:
        return states.expected()
