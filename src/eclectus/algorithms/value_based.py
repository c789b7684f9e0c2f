"""What value-based algorithms share: values of the next token learnt from remembered translations, and acted on."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Literal

import torch
from pydantic import Field, field_validator

from eclectus import registry
from eclectus.algorithms import td
from eclectus.algorithms.advantages import judged
from eclectus.algorithms.base import AdvantageInputs, Algorithm, Signals
from eclectus.algorithms.losses import LossInputs
from eclectus.algorithms.replay import Episode, Replay
from eclectus.config import ReinforceConfig
from eclectus.errors import ConfigError
from eclectus.policies.base import Policy
from eclectus.policies.guide import Guide, GuideShape
from eclectus.policies.head import in_pieces
from eclectus.policies.predicted import Predicted
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.policies.source import Source
from eclectus.rollouts.base import Sampling
from eclectus.rollouts.choice import exploration
from eclectus.rollouts.padding import pad_rows, within_budget
from eclectus.schedule import Schedule, Scheduled, value_at, within
from eclectus.seeds import derive, rng


class ValueOptions(registry.Options):
    """Options that all value-based algorithms have."""

    learning_rate: float = Field(3e-3, gt=0, description="of the values, in place of reinforce.learning_rate")
    beta: Scheduled = Field(
        1.0, description="how much a value of 1 adds to a token's log-probability; a schedule anneals exploration"
    )
    gamma: float = Field(1.0, gt=0, le=1, description="what a reward one token later is worth")
    n_step: int = Field(8, ge=1, description="rewards before a value stands for the rest")
    tau: float = Field(
        0.05, gt=0, le=1, description="share of the new weights in the target network; 1: no target network"
    )
    replay: int = Field(4096, ge=1, description="translations remembered, the newest")
    batch: int = Field(128, ge=1, description="translations in one update, drawn from those remembered")
    demonstrations: float = Field(0.0, ge=0, le=1, description="share of references among them")
    conservative: float = Field(0.0, ge=0, description="weight of the term that lowers the values of unseen tokens")
    cut: Literal["ends", "continues"] = Field(
        "ends", description="whether a translation that the length limit cut is over, or worth what its last state is"
    )
    hidden: int = Field(256, ge=1, description="units of the value network")
    rank: int = Field(64, ge=1, description="factors of a token's value")

    @field_validator("beta")
    @classmethod
    def _not_negative(cls, beta: float | Schedule) -> float | Schedule:
        if not within(beta, 0, 1e6):
            raise ValueError("beta must not be negative, which would prefer what is worth least")
        return beta


@dataclass(frozen=True)
class States:
    """n states whose values are asked for.

    Args:
        hidden: [n, d].
        tokens: int64 [n], what was said next; None where nothing was.
        online, target: the network that learns, and the one that follows it slowly.
        predicted: the distribution of the policy, guide included, at any states.
        sampling: how the policy acts.
    """

    hidden: torch.Tensor
    tokens: torch.Tensor | None
    online: Guide
    target: Guide
    predicted: Predicted
    sampling: Sampling

    @property
    def allowed(self) -> torch.Tensor:
        """Bool [V]: tokens that can be said."""
        return self.predicted.bias.isfinite()

    def expected(self) -> torch.Tensor:
        """Mean value under the policy that acts, exploration included, [n]."""

        def mean(hidden: torch.Tensor) -> torch.Tensor:
            logs = self.predicted.log_distribution([hidden], self.sampling.temperature)
            probabilities = logs.exp()
            if self.sampling.epsilon:
                probabilities = (1 - self.sampling.epsilon) * probabilities + exploration(logs, self.sampling)
            return td.expected_values(self.target.values(hidden), probabilities)

        return in_pieces(mean, len(self.allowed), self.hidden)


class ValueBased(Algorithm):
    """Learns Q(s, a), s a source with a prefix of its translation and a the next token, from remembered translations.

    The policy is pi_0(a | s) * exp(beta * (Q(s, a) - V(s))), normalised; pi_0 is the model at the start, which is
    frozen. Loss, over the T tokens of a batch of remembered translations:

        1/T sum_t [ (Q(s_t, a_t) - y_t)^2 / 2 + conservative * (log sum_a exp Q(s_t, a) - Q(s_t, a_t)) ]

    with y_t of `td.n_step_targets`; what the value of a state is, is each algorithm's own.
    """

    class Options(ValueOptions):
        """As shared."""

    options: ValueOptions
    takes_token_rewards = True

    def __init__(self, options: ValueOptions | None = None) -> None:
        super().__init__(options)
        self.rollouts, self.demonstrations = Replay(self.options.replay), Replay(self.options.replay)
        self.refused = 0
        self.judges_references = self.options.demonstrations > 0

    @abstractmethod
    def state_values(self, states: States) -> torch.Tensor:
        """V(s) of each state, [n]; called without gradient."""

    def check(self, config: ReinforceConfig) -> None:
        super().check(config)
        if config.minibatches > 1:
            raise ConfigError(
                f"config: 'reinforce.algorithm': '{self.name}' draws each update's batch from its replay buffer; set"
                " reinforce.minibatches: 1, and reinforce.updates to how often it is drawn"
            )
        if config.entropy.weight or config.kl.target is not None:
            raise ConfigError(
                f"config: 'reinforce.algorithm': '{self.name}' has no policy gradient that reinforce.entropy or"
                " reinforce.kl.target could steer; take them out, and set beta, which is the inverse of a KL weight"
            )
        for task in config.tasks:
            if task.mle:
                raise ConfigError(
                    f"config: 'reinforce.algorithm': '{self.name}' learns from references by demonstrations, not by"
                    f" 'mle' of the task '{task.name}'; set mle: 0 there"
                )
            if self.options.demonstrations and not task.references:
                raise ConfigError(
                    f"config: 'reinforce.algorithm.demonstrations': the task '{task.name}' withholds its references;"
                    " set references: true there, or demonstrations: 0"
                )

    def check_policy(self, policy: Policy) -> None:
        if not isinstance(policy, PretrainedPolicy):
            raise ConfigError(f"reinforce.algorithm: '{self.name}' works on models of transformers only")
        policy.check_follow()

    def build(self, policy: Policy, seed: int) -> None:
        assert isinstance(policy, PretrainedPolicy)
        o = self.options
        # The global generator is put back: what is drawn here must not shift what others draw.
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.online = Guide(GuideShape(policy.width, o.hidden, o.rank, policy.vocabulary), value_at(o.beta, None))
        policy.follow(self.online)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self._seed = derive(seed, "replay")

    @contextmanager
    def acting(self, step: int) -> Iterator[None]:
        """The policy follows values as the schedule of beta says for this step; outside as it does at the end."""
        self.online.beta = value_at(self.options.beta, step)
        try:
            yield
        finally:
            self.online.beta = value_at(self.options.beta, None)

    def signals(self, inputs: AdvantageInputs) -> Signals:
        """Take the translations of a step into the memory, and the references where they are shown."""
        assert inputs.tokens is not None and inputs.mask is not None and inputs.finished is not None
        samples = inputs.tokens.shape[1]
        rows = zip(
            [source for source in inputs.sources for _ in range(samples)],
            inputs.tokens.flatten(0, 1).tolist(),
            inputs.mask.sum(dim=-1).flatten().tolist(),
            inputs.rewards.flatten().tolist(),
            inputs.finished.flatten().tolist(),
            _rows(inputs.token_rewards),
            strict=False,
        )
        for source, tokens, length, reward, ended, dense in rows:
            self._remember(self.rollouts, source, tokens[:length], reward, ended, dense)
        if inputs.reference_rewards is not None:
            # Shaped as the samples are, or one table of values would have two problems to learn.
            earned = _rows(inputs.reference_token_rewards)
            shown = zip(inputs.sources, inputs.references, inputs.reference_rewards.tolist(), earned, strict=False)
            for source, reference, reward, dense in shown:
                self._remember(self.demonstrations, source, reference, reward, True, dense)
        return Signals(self.advantages(inputs))

    def _remember(
        self,
        memory: Replay,
        source: Source,
        tokens: Sequence[int],
        reward: float,
        ended: bool,
        dense: Sequence[float] | None,
    ) -> None:
        """Take a translation into a memory; one without a reward is counted and left out."""
        if not math.isfinite(reward):
            self.refused += 1
            return
        length, over = len(tokens), ended or self.options.cut == "ends"
        if dense is None:
            # Whatever a translation that goes on has been given, its last state says what it is worth.
            rewards = (*[0.0] * (length - 1), reward if over else 0.0)
        else:
            # The last token's reward is the verdict on a finished text; one that goes on is remembered up to there.
            length = length if over else length - 1
            rewards = tuple(dense[:length])
        if length:
            memory.add(Episode(source, tuple(tokens[:length]), rewards, ended))

    def accumulate(
        self, policy: Policy, sampling: Sampling, micro_batch_tokens: int, *purpose: str | int
    ) -> dict[str, float]:
        """Add the gradient of one update on remembered translations; returns metrics of it.

        Args:
            sampling: how the policy acts at this step.
            micro_batch_tokens: padded tokens in one backward pass.
            purpose: with the seed, what is drawn from the memory depends on this alone.
        """
        assert isinstance(policy, PretrainedPolicy)
        batch = self._batch(*purpose)
        size = float(sum(len(episode.tokens) for episode in batch))
        sums: dict[str, float] = {}
        for part in within_budget(batch, lambda e: len(e.tokens), micro_batch_tokens):
            loss, metrics = self._loss(policy, sampling, part, size)
            loss.backward()
            for name, value in {"loss": loss, **metrics}.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
        count = max(1, len(batch))
        return {
            **{name: value / count if name in _BY_TRANSLATION else value for name, value in sums.items()},
            "return": sum(sum(episode.rewards) for episode in batch) / count,
            "replay": float(len(self.rollouts)),
            "demonstrations": float(len(self.demonstrations)),
            "replay_refused": float(self.refused),
            "beta": self.online.beta,
        }

    @torch.no_grad()
    def moved(self) -> None:
        """Let the target network follow: target <- (1 - tau) * target + tau * online; called after each update."""
        for old, new in zip(self.target.parameters(), self.online.parameters(), strict=True):
            old.lerp_(new, self.options.tau)

    def advantages(self, inputs: AdvantageInputs) -> torch.Tensor:
        """1 for what is learnt from: all that was judged."""
        return judged(inputs.rewards).float()

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        """No gradient for the model, which is frozen; see `accumulate`."""
        return inputs.logprobs.new_zeros(()), {}

    def tensors(self) -> dict[str, torch.Tensor]:
        parts = {
            "target": self.target.state_dict(),
            "rollouts": self.rollouts.tensors(),
            "demonstrations": self.demonstrations.tensors(),
        }
        return {f"{part}|{name}": value for part, group in parts.items() for name, value in group.items()}

    def load_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        parts: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            part, _, name = key.partition("|")
            parts.setdefault(part, {})[name] = value
        self.target.load_state_dict(parts["target"])
        self.rollouts.load(parts["rollouts"])
        self.demonstrations.load(parts["demonstrations"])

    def state_dict(self) -> dict[str, int]:
        return {"refused": self.refused}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.refused = state["refused"]

    def _batch(self, *purpose: str | int) -> list[Episode]:
        draw = rng(self._seed, *purpose)
        shown = round(self.options.batch * self.options.demonstrations)
        return self.demonstrations.sample(shown, draw) + self.rollouts.sample(self.options.batch - shown, draw)

    def _loss(
        self, policy: PretrainedPolicy, sampling: Sampling, episodes: Sequence[Episode], size: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        tokens, mask = (x.squeeze(1) for x in pad_rows([e.tokens for e in episodes], policy.pad_id, policy.device))
        with torch.no_grad():
            # One place more, for the state behind the last token.
            wider = torch.nn.functional.pad(tokens, (0, 1), value=policy.pad_id)
            states = policy.states([e.source for e in episodes], wider)
            targets, values = self._targets(policy, sampling, episodes, states, tokens, mask)
            predicted = policy.predicted(states[:, :-1][mask])
        found = self.online.values_of(predicted.hidden, tokens[mask])
        squared = (found - targets[mask]).square().sum() / (2 * size)
        metrics = {"q_loss": squared, "q": found.sum() / size, "value_at_start": values[:, 0].sum()}
        loss = squared
        if self.options.conservative:
            allowed = predicted.bias.isfinite()
            most = in_pieces(
                lambda hidden: td.excess(self.online.values(hidden), allowed), len(allowed), predicted.hidden
            )
            metrics["conservative_loss"] = (most - found).sum() / size
            loss = loss + self.options.conservative * metrics["conservative_loss"]
        return loss, metrics

    def _targets(
        self,
        policy: PretrainedPolicy,
        sampling: Sampling,
        episodes: Sequence[Episode],
        states: torch.Tensor,
        tokens: torch.Tensor,
        mask: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets and values of states, [N, T], of tokens [N, T] predicted from states [N, T + 1, d]."""

        def ask(hidden: torch.Tensor, said: torch.Tensor | None) -> torch.Tensor:
            predicted = policy.predicted(hidden)
            return self.state_values(States(predicted.hidden, said, self.online, self.target, predicted, sampling))

        values = torch.zeros(mask.shape, device=mask.device)
        values[mask] = ask(states[:, :-1][mask], tokens[mask])
        after = values.new_zeros(len(episodes))
        open_rows = torch.tensor([not e.ended for e in episodes], device=mask.device)
        if self.options.cut == "continues" and open_rows.any():
            ends = states[torch.arange(len(episodes), device=mask.device), mask.sum(dim=1)]
            after[open_rows] = ask(ends[open_rows], None)
        rewards = torch.zeros_like(values)
        rewards[mask] = torch.tensor([r for e in episodes for r in e.rewards], device=mask.device)
        return td.n_step_targets(rewards, values, mask, after, self.options.n_step, self.options.gamma), values


def _rows(rewards: torch.Tensor | None) -> Iterable[Sequence[float] | None]:
    """Rewards of the tokens of each translation, from [B, G, T] or [B, T]; None, for ever, where none are."""
    return repeat(None) if rewards is None else rewards.reshape(-1, rewards.shape[-1]).tolist()


_BY_TRANSLATION = {"value_at_start"}
