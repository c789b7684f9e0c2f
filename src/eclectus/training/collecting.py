"""The first half of a step: its prompts are translated back, sampled, and judged; nothing is learnt yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from eclectus import parallel
from eclectus.algorithms.base import Algorithm
from eclectus.config import ReinforceConfig
from eclectus.policies.base import Policy
from eclectus.policies.source import Source
from eclectus.rollouts.base import Among, Rollouts, Sampling, joined
from eclectus.seeds import derive
from eclectus.segment import Segment
from eclectus.training.back_translator import BackTranslator
from eclectus.training.observe import StepRewards
from eclectus.training.prompts import Prompts
from eclectus.training.rewarding import Judge, as_rollouts, in_parts
from eclectus.training.sampling import Sampled, Sampler, sampling_of
from eclectus.training.tasks import Task


@dataclass(frozen=True)
class Collected:
    """What a step has drawn and what it is worth, before anything is learnt from it.

    Args:
        owners: for each prompt, the number of its task.
        further: prompts that are only demonstrated.
        others: rewards of the greedy translations or of the references, where the algorithm asks for them.
        shown: the references as rollouts, where it judges them.
        seconds: spent on sampling, without what the rewards took meanwhile.
    """

    owners: list[int]
    segments: list[Segment]
    further: Prompts
    sampling: Sampling
    drawn: Sampled
    rewards: StepRewards
    others: StepRewards | None
    shown: Rollouts | None
    seconds: float

    @property
    def rollouts(self) -> Rollouts:
        return self.drawn.rollouts


class Collector:
    """Draws what a step learns from.

    Args:
        policy: is sampled, as it is when the step begins.
        algorithm: says whether it needs greedy translations or references beside the samples.
        sampler: draws with the policy or its engine.
        back_translator: writes the sources of prompts whose targets alone are known.
        seed: of the run.
        stage: of it, so that no two draw the same samples.
    """

    def __init__(
        self,
        policy: Policy,
        algorithm: Algorithm,
        config: ReinforceConfig,
        tasks: Sequence[Task],
        sampler: Sampler,
        back_translator: BackTranslator,
        *,
        seed: int,
        stage: str,
    ) -> None:
        self._policy, self._algorithm, self._config, self._tasks = policy, algorithm, config, tasks
        self.sampler, self.back_translator = sampler, back_translator
        self._seed, self._stage = seed, stage

    def __call__(self, step: int, prompts: tuple[Prompts, Prompts]) -> Collected:
        """Draw the samples of a step and have them judged.

        Args:
            step: counted from 1.
            prompts: those to sample for, and those that are only demonstrated.
        """
        began = time.monotonic()
        batch, further = (self.back_translator(part, step) for part in prompts)
        owners, segments = [task for task, _ in batch], [segment for _, segment in batch]
        sampling = sampling_of(self._config, step)
        # Rewards that translate ask all processes, which would then talk of two things at once.
        parts = in_parts(self._tasks, owners, segments, self._config.overlap if parallel.size() == 1 else 1)
        with Judge(self._tasks, owners, segments, step, aside=len(parts) > 1) as judge:
            drawn = self._sample(step, segments, sampling, parts, judge)
            also = self.sampler.greedy(segments) if self._algorithm.needs_greedy else None
            shown = None
            if self._algorithm.judges_references:
                also = shown = as_rollouts(self._policy, [segment.reference or "" for segment in segments])
            if also is not None:
                judge.take(range(len(segments)), also)
            seconds = time.monotonic() - began - judge.seconds
            rewards, others = judge.rewards(self._policy, drawn.rollouts, shown)
        return Collected(owners, segments, further, sampling, drawn, rewards, others, shown, seconds)

    def _sample(
        self, step: int, segments: Sequence[Segment], sampling: Sampling, parts: Sequence[Sequence[int]], judge: Judge
    ) -> Sampled:
        """Draw the samples of each part, the same as of all at once, and have them judged."""
        prefixes = None
        if self._algorithm.needs_references:
            sources = self._policy.tokenize_sources(segments)
            references = [reference or [] for reference in whole_references(self._policy, segments, sources)]
            forced = self._algorithm.forced(step, [len(tokens) for tokens in references])
            prefixes = [tokens[:count] for tokens, count in zip(references, forced, strict=True)]
        drawn = []
        for rows in parts:
            generator = torch.Generator().manual_seed(derive(self._seed, self._stage, "sample", step))
            begun = None if prefixes is None else [prefixes[row] for row in rows]
            chosen = [segments[row] for row in rows]
            drawn.append(self.sampler(chosen, sampling, generator, begun, Among(rows, len(segments))))
            judge.take(rows, drawn[-1].rollouts)
        if len(drawn) == 1:
            return drawn[0]
        return Sampled(joined([part.rollouts for part in drawn], parts, self._policy.pad_id))


def whole_references(policy: Policy, segments: Sequence[Segment], sources: Sequence[Source]) -> list[list[int] | None]:
    """Token ids of each reference, end-of-sequence included; None where there are no positions for all of it."""
    targets = policy.encode_targets([segment.reference or "" for segment in segments])
    return [
        [*target, policy.end_id] if policy.holds(source, target) else None
        for source, target in zip(sources, targets, strict=True)
    ]
