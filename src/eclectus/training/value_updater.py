"""Value-based training: each update learns from remembered translations."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from eclectus.algorithms.base import Algorithm
from eclectus.algorithms.value_based import ValueBased
from eclectus.config import ReinforceConfig
from eclectus.policies.base import Policy
from eclectus.training import passes
from eclectus.training.tasks import Task
from eclectus.training.update import Update
from eclectus.training.updater import Updater


class ValueUpdater(Updater):
    """Updates of a value-based algorithm: what a step sampled is in its memory, which each update draws from."""

    algorithm: ValueBased
    shared = False  # the network is small, and what it learns from is in every process's memory

    def __init__(
        self,
        policy: Policy,
        reference: Policy,
        algorithm: ValueBased,
        config: ReinforceConfig,
        tasks: Sequence[Task],
        seed: int,
    ) -> None:
        # What is learnt is no model that must not be disturbed but a small network that begins with nothing.
        config = config.model_copy(update={"learning_rate": algorithm.options.learning_rate})
        super().__init__(policy, reference, algorithm, config, tasks, seed)
        # Values are learnt in float32, whatever the model computes in.
        self.scaler = torch.amp.GradScaler(enabled=False)

    def accumulate(self, work: Update, step: int, number: int) -> dict[str, float]:
        values = self.algorithm.accumulate(self.policy, work.sampling, self.config.micro_batch_tokens, step, number)
        return values | self._distance(work) if work.measure_kl else values

    def updated(self, step: int) -> None:
        super().updated(step)
        self.algorithm.moved()

    @torch.no_grad()
    def _distance(self, work: Update) -> dict[str, float]:
        """KL of the policy from the start at the positions of this step's samples, exact, in nats per token."""
        total, count = {"kl": 0.0}, {"kl": 0}
        rollouts = work.rollouts
        rows = range(len(work.sources))
        for part in passes.micro_batches(rollouts, rows, self.config.micro_batch_tokens):
            width = int(rollouts.mask[part].sum(dim=-1).max())
            tokens, mask = rollouts.tokens[part, :, :width], rollouts.mask[part, :, :width]
            sources = [work.sources[row] for row in part]
            scores = self.policy.token_scores(sources, tokens, mask, work.sampling.temperature, anchor=self.reference)
            assert scores.divergence is not None
            for row, values, said in zip(part, scores.divergence, mask, strict=True):
                for name in ("kl", f"kl/{work.owners[row]}"):
                    total[name] = total.get(name, 0.0) + float(values.sum())
                    count[name] = count.get(name, 0) + int(said.sum())
        return {name: value / count[name] for name, value in total.items()}


def updater_of(algorithm: Algorithm) -> type[Updater]:
    """What updates a policy by this algorithm."""
    return ValueUpdater if isinstance(algorithm, ValueBased) else Updater
