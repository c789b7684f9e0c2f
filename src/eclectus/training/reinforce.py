"""Online reinforcement learning: sample, reward, update, and look at held-out text every so often."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from eclectus.algorithms.advantages import judged
from eclectus.algorithms.base import AdvantageInputs, Algorithm, Signals
from eclectus.algorithms.coefficients import KlCoefficient
from eclectus.config import ReinforceConfig
from eclectus.exploration.entropy import EntropyCoefficient
from eclectus.policies.base import Policy
from eclectus.policies.precision import loss_scaler
from eclectus.policies.source import Source
from eclectus.rollouts.base import Rollouts, Sampling
from eclectus.schedule import value_at
from eclectus.seeds import derive, rng
from eclectus.segment import Segment
from eclectus.training import checkpoint as ckpt
from eclectus.training import passes
from eclectus.training.averaged import Averaged
from eclectus.training.guard import Guard
from eclectus.training.observe import StepRewards, peak_memory, sampled_examples, sampled_metrics
from eclectus.training.optimizer import add_module, build, scheduled, update
from eclectus.training.parts import Part, PartCounts, PartWatch, count_parts
from eclectus.training.prompts import PromptStream, PromptWindows
from eclectus.training.renewed import RenewedPolicies
from eclectus.training.rewarding import as_rollouts, reward_step
from eclectus.training.supervised import Trained
from eclectus.training.tasks import Task
from eclectus.training.tracking import Tracker
from eclectus.training.update import Update, accumulate, step_size
from eclectus.training.validation import DevSet

_KL_EVERY = 10
"""Steps between two measurements of KL on tasks that have no KL term; it costs a pass of the starting policy."""


class Reinforcer:
    """One reinforcement-learning run of a policy.

    Args:
        policy: trained in place; its weights at construction are the starting policy.
        reference: frozen copy of the starting policy, for KL.
        tasks: see `tasks.build_tasks`.
        dev: dev segments with references of every direction of the tasks.
        languages: the run's languages, for off-target counts.
        folder: where checkpoints go.
        renewed: copies of the policy that the tasks' rewards translate with; None: they ask for none.
    """

    def __init__(
        self,
        policy: Policy,
        reference: Policy,
        algorithm: Algorithm,
        config: ReinforceConfig,
        tasks: Sequence[Task],
        dev: DevSet,
        *,
        languages: Sequence[str],
        seed: int,
        folder: Path,
        tracker: Tracker,
        stage: str = "reinforce",
        dev_max_length: int = 96,
        renewed: RenewedPolicies | None = None,
    ) -> None:
        self.policy, self.reference, self.algorithm = policy, reference, algorithm
        self.config, self.tasks, self.dev = config, list(tasks), dev
        self.languages, self.seed, self.folder = list(languages), seed, folder
        self.tracker, self.stage, self.dev_max_length = tracker, stage, dev_max_length
        algorithm.build(policy, derive(seed, "algorithm"))
        self.optimizer = build(config.optimizer, policy.model, config.learning_rate)
        self.scaler = loss_scaler(policy.autocast, policy.device)
        # By the name of their optimizer's group in a checkpoint.
        self.weights = {"optimizer": Averaged(policy.model, "model", "mean", "best")}
        if (module := algorithm.module) is not None:
            rate = algorithm.learning_rate or config.learning_rate
            add_module(self.optimizer, module, rate / config.learning_rate)
            own = Averaged(module, "algorithm", "algorithm_mean", "algorithm_best")
            self.weights["algorithm_optimizer"] = own
        stream = PromptStream(
            self.tasks, config.segments, config.direction_temperature, seed, config.direction_sampling
        )
        self.prompts = PromptWindows(stream, self.tasks, config.steps)
        self.guard = Guard(config.stop_fall)
        self.watch = PartWatch(self.tasks)
        self.renewed = renewed
        if renewed is not None:
            renewed.model = policy
        self.kl = {task.name: KlCoefficient(task.config.kl, config.kl.target, config.kl.gain) for task in self.tasks}
        self.entropy = EntropyCoefficient(config.entropy.weight, config.entropy.rate, bounds=(1e-6, 10.0))
        self.skipped = 0
        self.step, self.seconds = 0, 0.0
        self.best, self.best_step = float("-inf"), 0

    def train(self, resume: bool = False) -> Trained:
        """Train to the end, to the stop rule or to the user's interrupt; leaves the policy at its best checkpoint."""
        if resume:
            self._load()
        reason, complete = "all steps done", True
        with self.tracker.progress(self.stage, self.config.steps, self.step):
            if self.step == 0:
                self._evaluate()
            while self.step < self.config.steps:
                started = time.monotonic()
                self.step += 1
                self._advance()
                if self.renewed is not None:
                    self.renewed.renew(self.step, self.weights["optimizer"].mean)
                gamed = None
                if self.step % self.config.evaluate_every == 0 or self.step == self.config.steps:
                    gamed = self._evaluate()
                self.seconds += time.monotonic() - started
                last = self.step == self.config.steps or gamed is not None
                if self.step % self.config.checkpoint_every == 0 or last or self.tracker.stop_requested:
                    self._save()
                if self.tracker.stop_requested:
                    reason, complete = "stopped by the user", False
                    break
                if gamed:
                    reason = gamed
                    self.tracker.say(f"[yellow]stopped early: {gamed}")
                    break
        if complete:
            for weights in self.weights.values():
                weights.restore_best()
        return Trained(self.step, self.best_step, self.best, self.seconds, complete, reason)

    def _advance(self) -> None:
        """One step."""
        started = time.monotonic()
        batch = self.prompts.next(self.step)
        prepared = time.monotonic()
        owners = [task for task, _ in batch]
        segments = [segment for _, segment in batch]
        sampling = self._sampling()
        rollouts = self._sample(segments, sampling)
        greedy = self._greedy(segments) if self.algorithm.needs_greedy else None
        sampled = time.monotonic()
        judged_too = greedy
        if self.algorithm.judges_references:
            judged_too = as_rollouts([segment.reference or "" for segment in segments])
        rewards, others = reward_step(self.policy, self.tasks, owners, segments, rollouts, judged_too, self.step)
        rewarded = time.monotonic()
        sources, device = self.policy.tokenize_sources(segments), self.policy.device
        signals = self._signals(segments, sources, rollouts, rewards, others, sampling)
        advantages, learns = signals.advantages.to(device), self.algorithm.policy_learns(self.step)
        work = Update(
            sources=sources,
            rollouts=rollouts,
            rewards=rewards.scaled.to(device),
            advantages=advantages,
            kl_weights=[self.kl[self.tasks[i].name].weight for i in owners],
            mle_weights=[self.tasks[i].config.mle for i in owners],
            references=[s.reference if self.tasks[i].config.mle > 0 else None for i, s in batch],
            size=step_size(rewards.scaled, rollouts),
            sampling=sampling,
            kl=self.config.kl,
            measure_kl=self.step % _KL_EVERY == 1,
            entropy_weight=self.entropy.weight,
            owners=[self.tasks[i].name for i in owners],
            targets=signals.targets,
            values=signals.values,
            policy_learns=learns,
        )
        sums = self._update(work)
        ended = time.monotonic()
        counts = count_parts(self.tasks, owners, rollouts.texts, rewards.parts)
        values = sampled_metrics(self.tasks, self.languages, owners, segments, rollouts, rewards, counts)
        tokens = int(rollouts.mask.sum())
        values |= self.prompts.learn(owners, rewards.values.tolist())
        values |= {
            **sums,
            **signals.metrics,
            "zero_signal": float((advantages.flatten(1).abs().amax(dim=1) == 0).float().mean()),
            "samples_per_second": rollouts.finished.numel() / (ended - started),
            "tokens_per_second": tokens / (ended - started),
            "seconds_sampling": sampled - prepared,
            "seconds_reward": rewarded - sampled + prepared - started,
            "seconds_update": ended - rewarded,
            "seconds": self.seconds + ended - started,
        }
        memory = peak_memory(self.policy.device)
        if memory is not None:
            values["memory"] = memory
        if greedy is not None and others is not None:
            values["greedy_unjudged"] = float((~judged(others)).float().mean())
        self.tracker.log("step", self.stage, self.step, values)
        self._watch(counts)
        self.tracker.advance(
            self.step,
            f"reward {values['reward']:.3f}  dev {max(self.best, 0):.1f}  off-target {values['off_target']:.1%}"
            f"  {values['samples_per_second']:.0f} samples/s",
        )
        if self.step % self.config.samples_every == 0 or self.step == 1:
            rows = sampled_examples(self.tasks, owners, segments, rollouts, rewards)
            self.tracker.samples(self.stage, self.step, rows)

    def _watch(self, counts: Mapping[Part, PartCounts]) -> None:
        """Look for parts of the rewards that no longer tell hypotheses apart."""
        record = self.watch.add(self.step, counts, last=self.step == self.config.steps)
        if record is not None:
            self.tracker.log("parts", self.stage, self.step, record)
            for sentence in self.watch.warnings(record):
                self.tracker.say(f"[yellow]steps {record['first']} to {self.step}, {sentence}")

    def _signals(
        self,
        segments: Sequence[Segment],
        sources: Sequence[Source],
        rollouts: Rollouts,
        rewards: StepRewards,
        others: torch.Tensor | None,
        sampling: Sampling,
    ) -> Signals:
        """What the step has to say, after the passes over its samples that the algorithm asks for."""
        algorithm, budget = self.algorithm, self.config.micro_batch_tokens
        states = passes.hidden_states(self.policy, sources, rollouts, budget) if algorithm.needs_states else None
        reference = None
        if algorithm.needs_reference_logprobs:
            reference = passes.logprobs(self.reference, sources, rollouts, sampling.temperature, budget)
        shown = [s.reference or "" for s in segments] if algorithm.judges_references else []
        return algorithm.signals(
            AdvantageInputs(
                rewards.scaled,
                [s.direction for s in segments],
                others if algorithm.needs_greedy else None,
                mask=rollouts.actions,
                logprobs=rollouts.logprobs,
                tokens=rollouts.tokens,
                token_rewards=rewards.tokens,
                states=states,
                reference_logprobs=reference,
                step=self.step,
                sources=sources,
                finished=rollouts.finished,
                references=self.policy.tokenize_targets(shown) if shown else (),
                reference_rewards=others if algorithm.judges_references else None,
            )
        )

    def _sampling(self) -> Sampling:
        explore = self.config.explore
        temperature = value_at(self.config.temperature, self.step)
        return Sampling(temperature, self.config.max_length, explore.epsilon, explore.top_k)

    def _sample(self, segments: Sequence[Segment], sampling: Sampling) -> Rollouts:
        generator = torch.Generator().manual_seed(derive(self.seed, self.stage, "sample", self.step))
        prefixes = None
        if self.algorithm.needs_references:
            references = self.policy.tokenize_targets([segment.reference or "" for segment in segments])
            forced = self.algorithm.forced(self.step, [len(tokens) for tokens in references])
            prefixes = [tokens[:count] for tokens, count in zip(references, forced, strict=True)]
        return self.policy.sample(segments, self.config.samples, sampling, generator, prefixes)

    def _greedy(self, segments: Sequence[Segment]) -> Rollouts:
        return self.policy.sample(segments, 1, Sampling(0.0, self.config.max_length), None)

    def _update(self, work: Update) -> dict[str, float]:
        """All updates on one batch of samples; returns the mean of each value over the updates that have it."""
        floor = 0.1 if self.config.decay else 1.0
        rate = scheduled(self.config.learning_rate, self.step, self.config.steps, self.config.warmup, floor)
        found: dict[str, list[float]] = {}
        for number, rows in enumerate(self._parts(len(work.sources))):
            part = work if rows is None else work.only(rows)
            values = self._accumulate(replace(part, reused=number > 0), number)
            norms = update(self.optimizer, rate, self.config.max_grad_norm, self.scaler)
            values |= zip(("grad_norm", "grad_norm_algorithm"), norms, strict=False)
            self._count_skipped(norms)
            for name, value in values.items():
                found.setdefault(name, []).append(value)
            self._average()
        totals = {name: sum(values) / len(values) for name, values in found.items()}
        totals["learning_rate"] = rate
        totals["temperature"] = work.sampling.temperature
        totals["skipped_updates"] = float(self.skipped)
        for task in self.tasks:
            if self.config.kl.target is not None:
                totals[f"kl_weight/{task.name}"] = self.kl[task.name].weight
            self.kl[task.name].update(totals.get(f"kl/{task.name}", math.nan))
        if self.entropy.weight:
            totals["entropy_weight"] = self.entropy.weight
            self.entropy.update(totals.get("policy_entropy", math.nan), self.config.entropy.target)
        return totals

    def _parts(self, sources: int) -> Iterator[list[int] | None]:
        """For each update the sources that it is made of; None: all, in their order."""
        count = self.config.minibatches
        for number in range(self.config.updates):
            if count == 1:
                yield None
                continue
            order = list(range(sources))
            rng(self.seed, self.stage, "minibatches", self.step, number).shuffle(order)
            yield from (order[first::count] for first in range(count))

    def _accumulate(self, work: Update, number: int) -> dict[str, float]:
        """The backward pass of update `number` of a step; returns its metrics."""
        budget = self.config.micro_batch_tokens
        return accumulate(self.policy, self.reference, self.algorithm, work, budget, self.scaler)

    def _count_skipped(self, norms: Sequence[float]) -> None:
        if all(map(math.isfinite, norms)):
            return
        self.skipped += 1
        # In float16 a loss that was scaled too far is how its scale is found.
        if self.skipped == 1 and not self.scaler.is_enabled():
            self.tracker.say(
                f"[yellow]step {self.step}: the gradient is not finite, so this update was not made (counted as"
                " skipped_updates); if it happens often, lower reinforce.learning_rate"
            )

    def _average(self) -> None:
        """Move the running means of the weights; the first steps weigh more, or a mean would stay with the start."""
        decay = min(self.config.averaging, self.step / (self.step + 9))
        for weights in self.weights.values():
            weights.update(decay)

    def _evaluate(self) -> str | None:
        """Score the dev set with the mean weights, keep them if they are the best, and ask the stop rule."""
        with ExitStack() as stack:
            for weights in self.weights.values():
                stack.enter_context(weights.in_place())
            outputs = self.dev.translate(self.policy, self.dev_max_length)
        values: dict[str, float] = {}
        chrf, reward, weighted = {}, {}, []
        for task in self.tasks:
            scores = self.dev.score(outputs, task.directions)
            reward[task.name], chrf[task.name] = self._dev_reward(task, outputs), scores.chrf
            values |= scores.named(task.name) | {f"reward/{task.name}": reward[task.name]}
            value = scores.chrf if task.config.select_by == "reference" else 100 * reward[task.name]
            weighted.append((value, len(task.directions)))
        score = sum(value * n for value, n in weighted) / sum(n for _, n in weighted)
        selected = score > self.best
        if selected:
            self.best, self.best_step = score, self.step
            for weights in self.weights.values():
                weights.keep()
        self.tracker.log(
            "dev",
            self.stage,
            self.step,
            {"score": score, **values, "selected": selected, "seconds": self.seconds},
        )
        return self.guard.check(chrf, reward)

    def _dev_reward(self, task: Task, outputs: dict[str, list[str]]) -> float:
        segments, groups = [], []
        for direction in task.directions:
            for segment, text in zip(self.dev.segments[direction], outputs[direction], strict=True):
                seen = segment.reference if task.config.references else None
                segments.append(Segment(segment.source, segment.source_lang, segment.target_lang, seen, segment.id))
                groups.append([text])
        totals = [row[0] for row in task.reward.score_groups(segments, groups).total if row[0] is not None]
        return sum(totals) / len(totals) if totals else 0.0

    def _save(self) -> None:
        # Rewards may keep translations they have made; after a checkpoint every run starts with none, so that a resumed
        # one asks for the same batches as one that was never interrupted.
        for task in self.tasks:
            task.reward.reset()
        self.prompts.rewind()
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "best_step": self.best_step,
            "prompts": self.prompts.state_dict(),
            "guard": self.guard.state_dict(),
            "scalings": {task.name: task.scaling.state_dict() for task in self.tasks},
            "parts": self.watch.state_dict(),
            "algorithm": self.algorithm.state_dict(),
            "kl": {name: coefficient.weight for name, coefficient in self.kl.items()},
            "entropy": self.entropy.weight,
            "skipped": self.skipped,
            "scaler": self.scaler.state_dict(),
        }
        tensors = {"algorithm_state": self.algorithm.tensors()}
        for name, weights in self.weights.items():
            tensors |= {**weights.tensors(), name: ckpt.optimizer_tensors(weights.module, self.optimizer)}
        if self.renewed is not None:
            tensors |= self.renewed.tensors()
        ckpt.save(self.folder, self.step, ckpt.Checkpoint(tensors, state))

    def _load(self) -> None:
        found = ckpt.latest(self.folder)
        if found is None:
            self.tracker.forget_after(self.stage, -1)
            return
        state = found.state
        for name, weights in self.weights.items():
            weights.load(found.tensors)
            ckpt.load_optimizer_tensors(weights.module, self.optimizer, found.tensors[name])
        self.step, self.seconds = state["step"], state["seconds"]
        self.best, self.best_step = state["best"], state["best_step"]
        self.prompts.load_state_dict(state["prompts"])
        self.guard.load_state_dict(state["guard"])
        self.watch.load_state_dict(state["parts"])
        self.algorithm.load_state_dict(state["algorithm"])
        self.algorithm.load_tensors(found.tensors["algorithm_state"])
        for name, weight in state["kl"].items():
            self.kl[name].weight = weight
        self.entropy.weight, self.skipped = state["entropy"], state["skipped"]
        self.scaler.load_state_dict(state["scaler"])
        for task in self.tasks:
            task.scaling.load_state_dict(state["scalings"][task.name])
        if self.renewed is not None:
            self.renewed.load(found.tensors)
        self.tracker.forget_after(self.stage, self.step)
