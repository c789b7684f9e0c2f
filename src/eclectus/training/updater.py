"""What a step's samples do to the weights: every update, its optimizer, and the running means of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar

from eclectus import parallel
from eclectus.algorithms.base import Algorithm
from eclectus.algorithms.coefficients import KlCoefficient
from eclectus.config import ReinforceConfig
from eclectus.exploration.entropy import EntropyCoefficient
from eclectus.policies.base import Policy
from eclectus.policies.precision import loss_scaler
from eclectus.seeds import derive, rng
from eclectus.training import checkpoint as ckpt
from eclectus.training import own_algorithm
from eclectus.training.averaged import Averaged, Weights
from eclectus.training.backward import accumulate
from eclectus.training.optimizer import add_module, build_optimizer, scheduled, update
from eclectus.training.tasks import Task
from eclectus.training.update import Update


class Updater:
    """Trains a policy, and what its algorithm learns beside it, on the samples of each step.

    Args:
        policy: trained in place.
        reference: frozen copy of the starting policy, for KL.
        algorithm: built for the policy here.
        seed: of the algorithm's first weights and of the minibatches.
    """

    shared: ClassVar[bool] = True
    """Whether each of several processes makes a part of the gradient; False: every one makes the whole of it."""

    def __init__(
        self,
        policy: Policy,
        reference: Policy,
        algorithm: Algorithm,
        config: ReinforceConfig,
        tasks: Sequence[Task],
        seed: int,
    ) -> None:
        self.policy, self.reference, self.algorithm, self.config = policy, reference, algorithm, config
        self._seed = seed
        own_algorithm.build(algorithm, policy, derive(seed, "algorithm"))
        self.optimizer = build_optimizer(config.optimizer, policy.model, config.learning_rate)
        self.scaler = loss_scaler(policy.autocast, policy.device)
        # By the name of their optimizer's group in a checkpoint.
        self.weights = {"optimizer": Averaged(policy.model, "model", "mean", "best")}
        if (module := algorithm.module) is not None:
            rate = algorithm.learning_rate or config.learning_rate
            add_module(self.optimizer, module, rate / config.learning_rate)
            own = Averaged(module, "algorithm", "algorithm_mean", "algorithm_best")
            self.weights["algorithm_optimizer"] = own
        self.kl = {task.name: KlCoefficient(task.config.kl, config.kl.target, config.kl.gain) for task in tasks}
        self.entropy = EntropyCoefficient(config.entropy.weight, config.entropy.rate, bounds=(1e-6, 10.0))
        self.skipped = 0

    def __call__(self, work: Update, step: int, steps: int) -> dict[str, float]:
        """Make all updates of a step, counted from 1; returns the mean of each value over the updates that have it.

        Args:
            steps: how many there will be, for the learning rate.
        """
        config = self.config
        rate = scheduled(config.learning_rate, step, steps, config.warmup, 0.1 if config.decay else 1.0)
        found: dict[str, list[float]] = {}
        for number, rows in enumerate(self._minibatches(len(work.sources), step)):
            part = work if rows is None else work.only(rows)
            values = self.accumulate(replace(part, reused=number > 0), step, number)
            if self.shared:
                parallel.add_gradients(p for group in self.optimizer.param_groups for p in group["params"])
            norms = update(self.optimizer, rate, config.max_grad_norm, self.scaler)
            values |= zip(("grad_norm", "grad_norm_algorithm"), norms, strict=False)
            self.skipped += not all(map(math.isfinite, norms))
            for name, value in values.items():
                found.setdefault(name, []).append(value)
            self.updated(step)
        totals = {name: sum(values) / len(values) for name, values in found.items()}
        totals |= {"learning_rate": rate, "temperature": work.sampling.temperature, "skipped_updates": self.skipped}
        return totals | self._move_coefficients(totals if work.policy_learns else {})

    def accumulate(self, work: Update, step: int, number: int) -> dict[str, float]:
        """The backward pass of one update, the `number`-th of the step; returns its metrics."""
        budget = self.config.micro_batch_tokens
        # Its passes are made where a source has a KL term, not by all processes together.
        with self.reference.whole() if work.anchored else nullcontext():
            return accumulate(self.policy, self.reference, self.algorithm, work, budget, self.scaler)

    def updated(self, step: int) -> None:
        """Move the running means of the weights; the first steps weigh more, or a mean would stay with the start."""
        decay = min(self.config.averaging, step / (step + 9))
        for weights in self.weights.values():
            weights.update(decay)

    @contextmanager
    def means_in_place(self) -> Iterator[None]:
        """Policy and algorithm have their mean weights inside."""
        with ExitStack() as stack:
            for weights in self.weights.values():
                stack.enter_context(weights.in_place())
            yield

    def keep(self) -> None:
        """The mean weights are the best so far."""
        for weights in self.weights.values():
            weights.keep()

    def restore_best(self) -> None:
        """Put the best weights into policy and algorithm."""
        for weights in self.weights.values():
            weights.restore_best()

    def state_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "algorithm": self.algorithm.state_dict(),
            "kl": {name: coefficient.weight for name, coefficient in self.kl.items()},
            "entropy": self.entropy.weight,
            "skipped": self.skipped,
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.algorithm.load_state_dict(state["algorithm"])
        for name, weight in state["kl"].items():
            self.kl[name].weight = weight
        self.entropy.weight, self.skipped = state["entropy"], state["skipped"]
        self.scaler.load_state_dict(state["scaler"])

    def tensors(self) -> dict[str, Weights]:
        """Groups of a checkpoint."""
        tensors = {"algorithm_state": self.algorithm.tensors()}
        for name, weights in self.weights.items():
            tensors |= {**weights.tensors(), name: ckpt.optimizer_tensors(weights.module, self.optimizer)}
        return tensors

    def load_tensors(self, tensors: Mapping[str, Weights]) -> None:
        """Take over what `tensors` returned; other groups of the checkpoint are passed over."""
        self.algorithm.load_tensors(tensors["algorithm_state"])
        for name, weights in self.weights.items():
            weights.load(tensors)
            ckpt.load_optimizer_tensors(weights.module, self.optimizer, tensors[name])

    def _minibatches(self, sources: int, step: int) -> Iterator[list[int] | None]:
        """For each update the sources that it is made of; None: all, in their order."""
        count = self.config.minibatches
        for number in range(self.config.updates):
            if count == 1:
                yield None
                continue
            order = list(range(sources))
            rng(self._seed, "minibatches", step, number).shuffle(order)
            yield from (order[first::count] for first in range(count))

    def _move_coefficients(self, measured: Mapping[str, float]) -> dict[str, float]:
        """Move the weights of KL and entropy towards their targets; returns those that took part in this step.

        Args:
            measured: nothing where the policy does not learn, and so cannot follow.
        """
        values = {}
        for name, coefficient in self.kl.items():
            if self.config.kl.target is not None:
                values[f"kl_weight/{name}"] = coefficient.weight
            coefficient.update(measured.get(f"kl/{name}", math.nan))
        if self.entropy.weight:
            values["entropy_weight"] = self.entropy.weight
            self.entropy.update(measured.get("policy_entropy", math.nan), self.config.entropy.target)
        return values
