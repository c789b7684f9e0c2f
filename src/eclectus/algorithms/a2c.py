"""Advantage actor-critic."""

from __future__ import annotations

import torch

from eclectus.algorithms.critic import ActorCritic, CriticOptions
from eclectus.algorithms.losses import LossInputs
from eclectus.config import ReinforceConfig
from eclectus.errors import ConfigError


class A2c(ActorCritic):
    """A2C: each token is compared with what a critic expected in its state.

    Loss: -1/N sum_i sum_t A_it * log pi(y_it | x_i, y_i,<t) + sum of squared errors of the critic / (2 * tokens), A the
    generalised advantage. With gae_lambda 1 its expected gradient is that of the expected reward whatever the critic
    says, because the critic does not see the token that it is a baseline for.
    """

    reference = "Mnih et al. 2016, Asynchronous Methods for Deep Reinforcement Learning (arXiv:1602.01783)"

    class Options(CriticOptions):
        """gae_lambda 1 and no normalisation, as in Stable-Baselines3: unbiased."""

    def check(self, config: ReinforceConfig) -> None:
        """See `Algorithm.check`; also refuses samples that are used again.

        Raises:
            ConfigError: several updates on the same samples.
        """
        super().check(config)
        if config.updates > 1 or config.minibatches > 1:
            raise ConfigError(
                "config: 'reinforce.algorithm': 'a2c' has no ratio, so its samples serve for one update; set"
                " reinforce.updates and reinforce.minibatches to 1, or take the algorithm 'ppo'"
            )

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        policy = -(inputs.token_advantages * inputs.logprobs * inputs.mask).sum() / inputs.size.sequences
        value, metrics = self.value_loss(inputs)
        return policy + value, metrics
