"""What an algorithm is: rewards to advantages, and a loss over sampled sequences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from pydantic import Field

from eclectus import registry
from eclectus.algorithms.advantages import at_each_position, returns_to_go
from eclectus.algorithms.losses import LossInputs
from eclectus.config import ReinforceConfig
from eclectus.errors import ConfigError
from eclectus.policies.base import Policy
from eclectus.policies.source import Source


@dataclass(frozen=True)
class AdvantageInputs:
    """What a whole step hands to `Algorithm.advantages`: B sources, G samples each.

    Args:
        rewards: [B, G] as scaled by the task; NaN where not judged.
        directions: of each source, as in "en-es".
        greedy_rewards: [B], of the policy's greedy translation, NaN where not judged; only for an algorithm that
            `needs_greedy`.
        mask: bool [B, G, T], the tokens that were sampled, end-of-sequence included.
        logprobs: [B, G, T], with which they were sampled.
        tokens: int64 [B, G, T].
        token_rewards: [B, G, T], the part of the reward that each token earned; their sum over a sample is its reward.
            None: the whole reward stands at the last token.
        states: [B, G, T, d] that the tokens are predicted from, without gradient, 0 where masked; only for an algorithm
            that `needs_states`.
        reference_logprobs: [B, G, T] of the tokens under the starting policy; only for an algorithm that
            `needs_reference_logprobs`.
        step: counted from 1.
        tasks: name of the task of each source, whose reward it has.
        scales: [B], what the rewards of each source were divided by in this step, see `Scaled`: it changes as a run
            goes on, so what is remembered from step to step is kept in rewards times this. None: by 1.
        sources: of each row.
        finished: bool [B, G], false where the length limit cut the translation.
        references: token ids of each reference; only for an algorithm that `judges_references`.
        reference_rewards: [B], theirs, NaN where not judged.
        reference_token_rewards: [B, T], as `token_rewards`.
    """

    rewards: torch.Tensor
    directions: Sequence[str]
    greedy_rewards: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    logprobs: torch.Tensor | None = None
    tokens: torch.Tensor | None = None
    token_rewards: torch.Tensor | None = None
    states: torch.Tensor | None = None
    reference_logprobs: torch.Tensor | None = None
    step: int = 1
    tasks: Sequence[str] = ()
    scales: torch.Tensor | None = None
    sources: Sequence[Source] = ()
    finished: torch.Tensor | None = None
    references: Sequence[Sequence[int]] = ()
    reference_rewards: torch.Tensor | None = None
    reference_token_rewards: torch.Tensor | None = None

    @property
    def labels(self) -> list[str]:
        """Task and direction of each source, as in "task/en-es": rewards of others have another scale and mean."""
        if not self.tasks:
            return list(self.directions)
        return [f"{task}/{direction}" for task, direction in zip(self.tasks, self.directions, strict=True)]

    @property
    def returns(self) -> torch.Tensor:
        """What is left to earn at each token, [B, G, T]; T is 1 where the reward stands at the last token alone."""
        if self.token_rewards is None:
            return self.rewards[..., None]
        return returns_to_go(self.token_rewards, self._token_mask)

    def compared(self, compare: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Advantages by a function of [B, G]: of the rewards, or at each position of the returns where tokens earn."""
        if self.token_rewards is None:
            return compare(self.rewards)
        return self.masked(at_each_position(compare, self.returns))

    def masked(self, advantages: torch.Tensor) -> torch.Tensor:
        """From advantages in the shape of `returns` those for `loss`: [B, G], or [B, G, T] and 0 after the end."""
        return advantages[..., 0] if self.token_rewards is None else advantages * self._token_mask

    @property
    def _token_mask(self) -> torch.Tensor:
        if self.mask is None or self.token_rewards is None:
            raise ValueError("rewards of tokens need the mask that says where each sample ends")
        return self.mask.to(self.token_rewards.device)


@dataclass(frozen=True)
class Signals:
    """What a step has to say to the policy and to the algorithm's own module.

    Args:
        advantages: [B, G], or [B, G, T] one for each token; 0 where not judged or nothing is to be learnt.
        targets: [B, G, T], what the module is to predict at each token; NaN where nothing. A source with a target is
            not skipped, whatever its advantages.
        values: [B, G, T], what the module predicts before the first update.
        metrics: values of the whole step, for the log.
    """

    advantages: torch.Tensor
    targets: torch.Tensor | None = None
    values: torch.Tensor | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


class SequenceOptions(registry.Options):
    """Options of algorithms whose action is the whole translation."""

    clip: float = Field(
        0.2, gt=0, lt=1, description="where samples are used again: no gain from a sequence's ratio beyond 1 ± clip"
    )
    max_ratio: float = Field(10.0, gt=1, description="where samples are used again: larger ratios carry no gradient")


class Algorithm(ABC):
    """An algorithm; `algorithms/<type>.py` holds exactly one.

    The trainer samples, rewards, calls `signals` once for the whole step and `loss` for each micro-batch, and adds the
    KL, entropy and likelihood terms itself. An algorithm without a module of its own gives `advantages` only.

    A module (a value or Q head) is made in `build`. The trainer optimises its trainable parameters beside the policy's,
    clipped by themselves, keeps the running mean of them as it does for the policy, puts them into the checkpoints,
    goes back to those of the best one at the end, and writes them beside the model.
    """

    class Options(registry.Options):
        """No options."""

    reference: ClassVar[str] = ""
    """The paper that the algorithm is from."""

    min_samples: ClassVar[int] = 1
    """Samples of each source without which there is nothing to compare."""

    needs_greedy: ClassVar[bool] = False
    """Whether the trainer also translates each source greedily and rewards that."""

    judges_references: bool = False
    """Whether the trainer also rewards the reference of each source."""

    needs_references: ClassVar[bool] = False
    """Whether every task must let its references be seen."""

    needs_states: ClassVar[bool] = False
    """Whether `signals` and `loss` are given the hidden states that tokens are predicted from."""

    needs_reference_logprobs: bool = False
    """Whether `signals` is given the log-probabilities of the starting policy."""

    module: torch.nn.Module | None = None
    """What the algorithm learns beside the policy; there from `build` on."""

    learning_rate: float | None = None
    """Peak learning rate of the module, on the schedule of the policy's; None: the policy's."""

    takes_token_rewards: ClassVar[bool] = False
    """Whether it learns from rewards of tokens where a task's reward has dense terms."""

    def __init__(self, options: registry.Options | None = None) -> None:
        self.options: registry.Options = options if options is not None else type(self).Options()

    def build(self, policy: Policy, seed: int) -> None:  # noqa: B027 - most algorithms own nothing
        """Make the module for this policy, on its device; called once, before training or loading.

        Args:
            seed: of its first weights.
        """

    @property
    def name(self) -> str:
        """The type, as in the config."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def kind(self) -> str:
        """As `registry.find` takes it: the name, or `package.module:Class` outside the package."""
        own = type(self)
        inside = own.__module__.startswith("eclectus.algorithms.")
        return self.name if inside else f"{own.__module__}:{own.__qualname__}"

    def check(self, config: ReinforceConfig) -> None:
        """Refuse at the door what the algorithm cannot work with.

        Raises:
            ConfigError: too few samples of each source, or a task without references where they are needed, or with
                rewards that it cannot use.
        """
        if config.samples < self.min_samples:
            raise ConfigError(
                f"config: 'reinforce.samples': '{self.name}' compares the samples of one source with each other and"
                f" needs at least {self.min_samples}, not {config.samples}; set samples higher, or take the algorithm"
                " 'reinforce' or 'self_critical'"
            )
        for task in config.tasks:
            if config.samples == 1 and not self.needs_greedy and task.reward.normalise == "source":
                raise ConfigError(
                    f"config: 'reinforce.samples': the task '{task.name}' has normalise: source, which compares the"
                    " samples of one source and leaves nothing of a single one; set samples higher, or normalise: none"
                )
            if not self.takes_token_rewards and any(term.dense for term in task.reward.terms):
                raise ConfigError(
                    f"config: 'reinforce.algorithm': '{self.name}' weighs whole translations and cannot use the dense"
                    f" terms of the task '{task.name}'; leave dense out there, or take 'rloo', 'grpo', 'reinforce',"
                    " 'a2c', 'ppo' or one that learns values"
                )
            if self.needs_references and not task.references:
                raise ConfigError(
                    f"config: 'reinforce.algorithm': '{self.name}' learns from references, which the task"
                    f" '{task.name}' withholds; set references: true there, or take another algorithm"
                )

    def check_policy(self, policy: Policy) -> None:  # noqa: B027 - most algorithms train any
        """Refuse at the door, before any training, a policy that `build` cannot take.

        Raises:
            EclectusError: one sentence that says why.
        """

    def acting(self, step: int) -> AbstractContextManager[None]:
        """Around a step, counted from 1: whatever makes the policy act otherwise in training than after it."""
        return nullcontext()

    def policy_learns(self, step: int) -> bool:
        """Whether the policy is trained in this step, counted from 1; where not, only the module is."""
        return True

    def signals(self, inputs: AdvantageInputs) -> Signals:
        """What the whole step has to say; an algorithm with a module gives its targets too."""
        return Signals(self.advantages(inputs))

    @abstractmethod
    def advantages(self, inputs: AdvantageInputs) -> torch.Tensor:
        """Advantages [B, G], or [B, G, T] one for each token; 0 where not judged or nothing is to be learnt."""

    @abstractmethod
    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss (a scalar with gradient) of a micro-batch and sums for the metrics."""

    def forced(self, step: int, lengths: Sequence[int]) -> list[int]:
        """Tokens of each reference that samples must begin with; asked only where references are needed.

        Args:
            step: counted from 1.
            lengths: tokens of each reference, end-of-sequence included.
        """
        return [0 for _ in lengths]

    def state_dict(self) -> dict[str, Any]:
        """Plain values for JSON: what the algorithm has learnt on the way, such as a moving baseline."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - most algorithms remember nothing
        """Take over what `state_dict` returned."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """Tensors for checkpoints that are no trainable weights: a target network, a replay buffer."""
        return {}

    def load_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:  # noqa: B027 - as `load_state_dict`
        """Take over what `tensors` returned."""
