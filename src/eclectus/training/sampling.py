"""The samples of each step, by the policy's own sampler or by another engine, whose samples are weighted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from eclectus import parallel
from eclectus.algorithms.base import Algorithm
from eclectus.algorithms.importance import effective_share, truncated_weights
from eclectus.algorithms.value_based import ValueBased
from eclectus.config import ReinforceConfig, RunConfig, TruncateConfig
from eclectus.engines.base import engine_of
from eclectus.errors import ConfigError
from eclectus.policies.base import Policy
from eclectus.rollouts.base import Among, Rollouts, Sampling, joined
from eclectus.schedule import value_at
from eclectus.seeds import derive
from eclectus.segment import Segment
from eclectus.training import passes

_PLACE = "reinforce.engine"


def sampling_of(config: ReinforceConfig, step: int | None) -> Sampling:
    """How a run draws its samples in a step; None: when all steps are made."""
    return Sampling(
        value_at(config.temperature, step),
        config.max_length,
        config.explore.epsilon,
        config.explore.top_k,
        config.truncate.top_k,
        config.truncate.top_p,
        config.min_length,
    )


@dataclass(frozen=True)
class Sampled:
    """Samples of a step.

    Args:
        rollouts: with the log-probabilities of the policy, or of the engine that drew them where the sampler does not
            score them.
        weights: importance weights, see `importance.truncated_weights`; None: the policy drew them itself.
        metrics: how far the engine is from the policy: `engine_mismatch`, the mean of |log pi - log mu| over tokens in
            nats; `engine_ess`, the effective share of the samples; `engine_truncated`, the share of weights that the
            cap has cut.
    """

    rollouts: Rollouts
    weights: torch.Tensor | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


class Sampler:
    """Draws from a policy as `reinforce.engine` says.

    Args:
        scores: what an engine has drawn is scored by the policy and weighted; False: the update does both.
    """

    def __init__(self, policy: Policy, config: ReinforceConfig, *, scores: bool = True) -> None:
        self.policy, self.config, self.scores = policy, config, scores
        self.engine = engine_of(config.engine, policy, _PLACE)

    def __call__(
        self,
        segments: Sequence[Segment],
        sampling: Sampling,
        generator: torch.Generator,
        prefixes: Sequence[Sequence[int]] | None = None,
        among: Among | None = None,
    ) -> Sampled:
        """Draw the samples of each segment; `prefixes` and `among` as in `Policy.sample`, for its own sampler only."""
        samples, count = self.config.samples, len(segments)
        if self.engine is None:
            whole = among or Among(range(count), count)

            def own(rows: Sequence[int]) -> Rollouts:
                begun = None if prefixes is None else [prefixes[row] for row in rows]
                chosen = [segments[row] for row in rows]
                places = Among([whole.places[row] for row in rows], whole.count)
                return self.policy.sample(chosen, samples, sampling, generator, begun, places)

            return Sampled(self._together(own, count))
        engine = self.engine
        if parallel.size() > 1:  # or all would draw the same for different sources
            generator = torch.Generator().manual_seed(derive(generator.initial_seed(), "process", parallel.rank()))
        drawn = self._together(
            lambda rows: engine.sample([segments[row] for row in rows], samples, sampling, generator), count
        )
        return self._corrected(segments, drawn, sampling.temperature) if self.scores else Sampled(drawn)

    def greedy(self, segments: Sequence[Segment]) -> Rollouts:
        """The greedy translation of each segment."""
        sampling, drawer = Sampling(0.0, self.config.max_length), self.engine or self.policy
        return self._together(
            lambda rows: drawer.sample([segments[row] for row in rows], 1, sampling, None), len(segments)
        )

    def _together(self, draw: Callable[[Sequence[int]], Rollouts], count: int) -> Rollouts:
        """What all processes draw, each for its share of the `count` sources, which `draw` takes as their places."""
        own = parallel.share(range(count))
        with self.policy.whole():
            drawn = draw(own) if own else None
        if parallel.size() == 1 and drawn is not None:
            return drawn
        parts = parallel.gather(None if drawn is None else drawn.to("cpu"))
        there = [part for part in parts if part is not None]
        places = [range(number, count, len(parts)) for number in range(len(there))]
        return joined(there, places, self.policy.pad_id).to(self.policy.device)

    def _corrected(self, segments: Sequence[Segment], drawn: Rollouts, temperature: float) -> Sampled:
        """Samples of an engine with the policy's log-probabilities, and what makes up for the difference."""
        sources, budget = self.policy.tokenize_sources(segments), self.config.micro_batch_tokens
        own = passes.logprobs(self.policy, sources, drawn, temperature, budget)
        correction = self.config.correction
        weights = truncated_weights(own, drawn.logprobs, drawn.mask, correction.cap, correction.level)
        known = weights.flatten() if correction.level == "sequence" else weights[drawn.mask]
        apart = (own - drawn.logprobs).abs().sum() / drawn.mask.sum()
        metrics = {
            "engine_mismatch": float(apart),
            "engine_ess": effective_share(known),
            "engine_truncated": float((known >= correction.cap).float().mean()),
        }
        return Sampled(replace(drawn, logprobs=own), weights, metrics)


def check_engines(config: RunConfig, policy: Policy, algorithm: Algorithm | None) -> None:
    """Refuse at the door an engine that cannot draw what a run asks for, and limits that an algorithm does not know.

    Raises:
        ConfigError: there is none of this type, it cannot run the model, a wrong option, or samples that an engine
            cannot draw.
        RunError: it is not installed.
    """
    engine_of(config.evaluation.engine, policy, "evaluation.engine")
    if isinstance(algorithm, ValueBased) and config.evaluation.engine.type != "native":
        raise ConfigError(
            f"config: 'evaluation.engine': the model of the algorithm '{algorithm.name}' follows values, which"
            f" '{config.evaluation.engine.type}' does not know; set it to {{type: native}}"
        )
    if config.reinforce is None:
        return
    engine = engine_of(config.reinforce.engine, policy, _PLACE)
    if algorithm is not None:
        _check_limits(config.reinforce, algorithm, native=engine is None)
    if engine is None:
        return
    kind = config.reinforce.engine.type
    if config.reinforce.overlap > 1:
        raise ConfigError(
            f"config: 'reinforce.overlap': the engine '{kind}' draws all samples of a step at once; set overlap: 1, or"
            " take the engine 'native'"
        )
    if config.reinforce.explore.epsilon:
        raise ConfigError(
            f"config: '{_PLACE}': '{kind}' samples from the policy alone; set reinforce.explore.epsilon: 0, or take"
            " the engine 'native'"
        )
    if isinstance(algorithm, ValueBased) or (algorithm is not None and algorithm.needs_references):
        raise ConfigError(
            f"config: '{_PLACE}': '{kind}' cannot draw the samples of the algorithm '{algorithm.name}', which"
            " follow values or begin with a part of the reference; take the engine 'native'"
        )


def _check_limits(config: ReinforceConfig, algorithm: Algorithm, *, native: bool) -> None:
    """Raise `ConfigError` where tokens are cut off behind an engine's or an algorithm's back."""
    names = ["truncate"] if config.truncate != TruncateConfig() else []
    names += ["min_length"] if config.min_length > 1 else []
    for name in names:
        drop = f"drop reinforce.{name}"
        if not native:
            raise ConfigError(
                f"config: 'reinforce.{name}': only the engine 'native' knows it; {drop}, or take that one"
            )
        if isinstance(algorithm, ValueBased):
            raise ConfigError(f"config: 'reinforce.{name}': '{algorithm.name}' values every token; {drop}")
        if name == "truncate" and algorithm.needs_references:
            raise ConfigError(
                f"config: 'reinforce.{name}': '{algorithm.name}' begins with the reference, whose tokens could be cut"
                f" off; {drop}"
            )
