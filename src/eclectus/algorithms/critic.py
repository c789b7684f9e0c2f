"""What actor-critic algorithms share: a head that predicts the return from a state, its targets and its loss."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from eclectus import registry
from eclectus.algorithms.advantages import judged
from eclectus.algorithms.base import AdvantageInputs, Algorithm, Signals
from eclectus.algorithms.losses import LossInputs
from eclectus.algorithms.returns import at_last_token, explained_variance, generalised_advantages, normalised
from eclectus.config import ReinforceConfig
from eclectus.errors import ConfigError
from eclectus.policies.base import Policy


class CriticOptions(registry.Options):
    """Defaults: no discount, because a translation is finite and rewarded for the whole; a critic that reads the
    policy's states and leaves them alone, because a translation model's states were not made for values and a value
    loss bends them; ten times the usual rate of the policy, because the head starts from nothing."""

    gamma: float = Field(1.0, gt=0, le=1, description="discount for each token; below 1 early rewards count more")
    gae_lambda: float = Field(
        1.0, ge=0, le=1, description="1: the return as it came, unbiased; less: trust the critic, less noise"
    )
    normalise: bool = Field(
        False, description="advantages minus their mean, by their deviation, over the step's tokens"
    )
    kl_in_reward: float = Field(
        0.0, ge=0, description="each token's reward minus this times log(policy / start); needs kl: 0 in the tasks"
    )
    trunk: float = Field(
        0.0, ge=0, le=1, description="share of the value loss's gradient that reaches the policy; 0: none, own critic"
    )
    hidden: int = Field(64, ge=0, description="units of the critic's hidden layer; 0: a linear critic")
    critic_learning_rate: float = Field(1e-3, gt=0, description="on the policy's schedule")
    critic_steps: int = Field(
        0, ge=0, description="first steps in which only the critic learns; they count towards reinforce.warmup"
    )


class Critic(nn.Module):
    """V(s): a linear map or one hidden layer on normalised states; predicts 0 at first.

    States are normalised (without weights) because families of models differ in their scale.

    Args:
        width: size of the states; hidden: units, 0 for a linear map.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.hidden = nn.Sequential(nn.Linear(width, hidden), nn.Tanh()) if hidden else nn.Identity()
        self.value = nn.Linear(hidden or width, 1)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Values [...] of states [..., d]."""
        values: torch.Tensor = self.value(self.hidden(self.norm(states.float()))).squeeze(-1)
        return values


class ActorCritic(Algorithm):
    """A policy whose tokens are compared with what a critic expected in their states."""

    needs_states = True
    takes_token_rewards = True

    class Options(CriticOptions):
        """As `CriticOptions`."""

    options: CriticOptions

    def __init__(self, options: registry.Options | None = None) -> None:
        super().__init__(options)
        self.learning_rate = self.options.critic_learning_rate
        self.needs_reference_logprobs = self.options.kl_in_reward > 0

    def check(self, config: ReinforceConfig) -> None:
        """See `Algorithm.check`; also refuses to count KL twice.

        Raises:
            ConfigError: `kl_in_reward` beside a task's `kl`.
        """
        super().check(config)
        twice = [task.name for task in config.tasks if task.kl > 0]
        if self.options.kl_in_reward and twice:
            raise ConfigError(
                f"config: 'reinforce.algorithm.kl_in_reward': the task '{twice[0]}' has a KL term of its own, so KL"
                " would count twice; set kl: 0 there, or kl_in_reward: 0"
            )

    def build(self, policy: Policy, seed: int) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.module = Critic(policy.width, self.options.hidden).to(policy.device)

    def policy_learns(self, step: int) -> bool:
        return step > self.options.critic_steps

    def advantages(self, inputs: AdvantageInputs) -> torch.Tensor:
        return self.signals(inputs).advantages

    def signals(self, inputs: AdvantageInputs) -> Signals:
        """Advantages and returns of each token; samples that nobody judged have advantage 0 and no target."""
        if inputs.mask is None or inputs.states is None:
            raise ValueError(f"'{self.name}' needs the mask and the states of the samples")
        o, mask = self.options, inputs.mask
        with torch.no_grad():
            values = self._values(inputs.states) * mask
        known = judged(inputs.rewards).to(mask.device)[..., None] & mask
        rewards = torch.where(known, self._rewards(inputs, mask), 0.0)
        advantages = generalised_advantages(rewards, values, mask, o.gamma, o.gae_lambda)
        returns = advantages + values
        explained = explained_variance(returns[known], values[known])
        if o.normalise:
            advantages = normalised(advantages, known)
        return Signals(
            torch.where(known, advantages, 0.0),
            torch.where(known, returns, float("nan")),
            values,
            {} if explained is None else {"explained_variance": explained},
        )

    def value_loss(self, inputs: LossInputs, clip: float | None = None) -> tuple[torch.Tensor, dict[str, float]]:
        """sum_t max((V - R)^2, (V_clipped - R)^2) / 2 / tokens, V_clipped at most `clip` from the value before.

        The clip is that of PPO's first implementation (Schulman et al. 2017, in OpenAI Baselines); without it this is
        the squared error by two. Where the policy's trunk is shared, `trunk` of the gradient goes on to it.
        """
        assert inputs.states is not None and inputs.targets is not None and inputs.values is not None
        share = self.options.trunk
        # Same value, `share` of the gradient.
        states = inputs.states * share + inputs.states.detach() * (1 - share) if share else inputs.states.detach()
        values = self._values(states)
        known = inputs.mask & inputs.targets.isfinite()
        targets = torch.where(known, inputs.targets, 0.0)
        errors = (values - targets).square()
        metrics = {}
        if clip is not None:
            near = inputs.values + (values - inputs.values).clamp(-clip, clip)
            bounded = (near - targets).square()
            metrics["clipped_values"] = float(((bounded > errors) & known).sum() / inputs.size.tokens)
            errors = torch.maximum(errors, bounded)
        loss = (errors * known).sum() / 2 / inputs.size.tokens
        return loss, {"value_loss": float(loss.detach()), **metrics}

    def _values(self, states: torch.Tensor) -> torch.Tensor:
        assert self.module is not None
        values: torch.Tensor = self.module(states)
        return values

    def _rewards(self, inputs: AdvantageInputs, mask: torch.Tensor) -> torch.Tensor:
        """[B, G, T], what each token earned."""
        if inputs.token_rewards is not None:
            rewards = inputs.token_rewards.to(mask.device)
        else:
            rewards = at_last_token(inputs.rewards.to(mask.device), mask)
        if self.options.kl_in_reward:
            if inputs.logprobs is None or inputs.reference_logprobs is None:
                raise ValueError(f"'{self.name}' with kl_in_reward needs the log-probabilities of the starting policy")
            rewards = rewards - self.options.kl_in_reward * (inputs.logprobs - inputs.reference_logprobs)
        return rewards
