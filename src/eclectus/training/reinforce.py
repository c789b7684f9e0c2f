"""Online reinforcement learning: sample, reward, update, and look at held-out text every so often."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from eclectus import parallel
from eclectus.algorithms.advantages import judged
from eclectus.algorithms.base import AdvantageInputs, Algorithm, Signals
from eclectus.algorithms.importance import weighted
from eclectus.config import ReinforceConfig
from eclectus.evaluation.results import STOPPED_EARLY
from eclectus.policies.base import Policy
from eclectus.policies.source import Source
from eclectus.seeds import derive
from eclectus.training import checkpoint as ckpt
from eclectus.training import own_algorithm, passes
from eclectus.training.back_translator import BackTranslator
from eclectus.training.collecting import Collected, Collector, whole_references
from eclectus.training.guard import EngineGuard, Guard
from eclectus.training.observe import peak_memory, progress, sampled_examples, sampled_metrics
from eclectus.training.optimizer import expected_steps
from eclectus.training.parts import Part, PartCounts, PartWatch, count_parts
from eclectus.training.prompts import Prompts, PromptStream, PromptWindows
from eclectus.training.renewed import RenewedPolicies
from eclectus.training.rewarding import demonstrations
from eclectus.training.sampling import Sampler
from eclectus.training.supervised import TIME_USED_UP, Trained
from eclectus.training.tasks import Task
from eclectus.training.tracking import Tracker
from eclectus.training.update import Demonstration, Update, step_size
from eclectus.training.validation import DevSet, judge
from eclectus.training.value_updater import updater_of

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
        renewed: copies of the policy that the tasks' rewards translate with; None: they ask for none, and what the run
            itself asks of copies is asked of its own.
        last: end after this step, with the learning rates of the config's number of steps; None: as the config says.
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
        last: int | None = None,
    ) -> None:
        self.policy, self.reference, self.algorithm = policy, reference, algorithm
        self.config, self.tasks, self.dev = config, list(tasks), dev
        self.languages, self.seed, self.folder = list(languages), seed, folder
        self.tracker, self.stage, self.dev_max_length = tracker, stage, dev_max_length
        self.last = config.steps if last is None else last
        self.updater = updater_of(algorithm)(policy, reference, algorithm, config, self.tasks, seed)
        stream = PromptStream(
            self.tasks, config.segments, config.direction_temperature, seed, config.direction_sampling
        )
        shown = PromptStream(self.tasks, None, config.direction_temperature, derive(seed, "shown"))
        self.prompts = PromptWindows(stream, shown, self.tasks, config.steps)
        self.guard, self.engine_guard = Guard(config.stop_fall), EngineGuard()
        self.watch = PartWatch(self.tasks)
        self.renewed = renewed or RenewedPolicies(lambda: reference, dev_max_length)
        self.renewed.model = policy
        # The pass of a single update says what the policy thinks of an engine's samples; before that nobody asks.
        once = config.updates == config.minibatches == 1 and not algorithm.needs_reference_logprobs
        sampler = Sampler(policy, config, scores=not once)
        self.corrects = once and sampler.engine is not None
        back_translator = BackTranslator(self.tasks, self.renewed)
        self.collect = Collector(
            policy, algorithm, config, self.tasks, sampler, back_translator, seed=seed, stage=stage
        )
        self.step, self.seconds, self.tokens = 0, 0.0, 0
        self.best, self.best_step = float("-inf"), 0
        self.ended: str | None = None
        """Why it ended before its last step, once it has."""

    def train(self, resume: bool = False) -> Trained:
        """Train to the end, to the stop rule or to the user's interrupt; leaves the policy at its best checkpoint."""
        if resume:
            self._load()
        complete, limit = True, self.config.seconds
        # The bar counts steps, or seconds where the clock may set the end.
        with self.tracker.progress(self.stage, self.last if limit is None else round(limit), self._progress):
            if self.step == 0:
                self._evaluate()
            while self.ended is None and self.step < self.last:
                started = parallel.now()
                self.step += 1
                with self.algorithm.acting(self.step):
                    counts = self._advance()
                self.renewed.renew(self.step, self.updater.weights["optimizer"].whole_mean)
                done = self.step == self.last
                if limit is not None and not done and self.seconds + parallel.now() - started >= limit:
                    self.ended = TIME_USED_UP
                last = done or self.ended is not None
                self._watch(counts, last)
                if self.step % self.config.evaluate_every == 0 or last:
                    gamed = self._evaluate(started)
                    if gamed is not None:
                        self.ended = f"{STOPPED_EARLY}: {gamed}"
                        self.tracker.warn(self.ended)
                self.seconds += parallel.now() - started
                stopped = any(parallel.gather(self.tracker.stop_requested))
                if self.step % self.config.checkpoint_every == 0 or last or self.ended is not None or stopped:
                    self._save()
                if stopped:
                    complete = False
                    break
        if self.step and self.updater.skipped == self.step * self.config.updates * self.config.minibatches:
            self.tracker.warn(
                f"{self.stage}: none of the {self.updater.skipped} updates was made, for no gradient was finite, so the"
                " policy is still the one it began with; lower reinforce.learning_rate, or look for what is not finite"
                " in the algorithm's loss"
            )
        if complete:
            self.updater.restore_best()
        reason = (self.ended or "all steps done") if complete else "stopped by the user"
        return Trained(self.step, self.best_step, self.best, self.seconds, complete, reason)

    @property
    def _progress(self) -> int:
        return self.step if self.config.seconds is None else int(self.seconds)

    def _advance(self) -> dict[Part, PartCounts]:
        """One step; returns what the parts of the rewards said."""
        started = time.monotonic()
        made = self.collect(self.step, self.prompts.next(self.step))
        collected = time.monotonic()
        learnt = self._learn(made)
        ended = time.monotonic()
        counts = count_parts(self.tasks, made.owners, made.rollouts.texts, made.rewards.parts)
        values = {
            **sampled_metrics(
                self.tasks, self.languages, made.owners, made.segments, made.rollouts, made.rewards, counts
            ),
            **self.prompts.learn(made.owners, made.rewards.values.tolist()),
            **learnt,
            **made.drawn.metrics,
            "samples_per_second": made.rollouts.finished.numel() / (ended - started),
            "tokens_per_second": int(made.rollouts.mask.sum()) / (ended - started),
            "seconds_sampling": made.seconds,
            "seconds_reward": collected - started - made.seconds,
            "seconds_update": ended - collected,
            "seconds": self.seconds + ended - started,
        }
        memory = peak_memory(self.policy.device)
        if memory is not None:
            values["memory"] = memory
        if self.algorithm.needs_greedy and made.others is not None:
            values["greedy_unjudged"] = float((~judged(made.others.scaled)).float().mean())
        self.tracker.log("step", self.stage, self.step, values)
        far = self.engine_guard.check(values.get("engine_mismatch", 0.0))
        if far is not None:
            self.tracker.warn(f"step {self.step}: {far}")
        self.tracker.advance(self._progress, progress(values, self.best))
        if self.step % self.config.samples_every == 0 or self.step == 1:
            rows = sampled_examples(self.tasks, made.owners, made.segments, made.rollouts, made.rewards)
            self.tracker.samples(self.stage, self.step, rows)
        return counts

    def _learn(self, made: Collected) -> dict[str, float]:
        """Update the policy by what the samples are worth and by what the tasks demonstrate; returns its metrics."""
        sources, device = self.policy.tokenize_sources(made.segments), self.policy.device
        signals = self._signals(made, sources)
        advantages, learns = signals.advantages.to(device), self.algorithm.policy_learns(self.step)
        if made.drawn.weights is not None:
            advantages = weighted(advantages, made.drawn.weights)
        learnt = self._demonstrations([*zip(made.owners, made.segments, strict=True), *made.further], sources)
        work = Update(
            sources=sources,
            rollouts=made.rollouts,
            rewards=made.rewards.scaled.to(device),
            advantages=advantages,
            kl_weights=[self.updater.kl[self.tasks[i].name].weight for i in made.owners],
            demonstrations=learnt,
            size=step_size(made.rewards.scaled, made.rollouts),
            sampling=made.sampling,
            kl=self.config.kl,
            measure_kl=self.step % _KL_EVERY == 1,
            entropy_weight=self.updater.entropy.weight,
            owners=[self.tasks[i].name for i in made.owners],
            targets=signals.targets,
            values=signals.values,
            policy_learns=learns,
            correction=self.config.correction if self.corrects else None,
        )
        skipped = self.updater.skipped
        # A run of given time does not know its number of steps: its learning rate follows the clock.
        steps = expected_steps(self.step, self.config.steps, self.seconds, self.config.seconds)
        sums = self.updater(work, self.step, steps)
        # In float16 a loss that was scaled too far is how its scale is found.
        if self.updater.skipped > skipped == 0 and not self.updater.scaler.is_enabled():
            self.tracker.warn(
                f"step {self.step}: the gradient is not finite, so this update was not made (counted as"
                " skipped_updates); if it happens often, lower reinforce.learning_rate"
            )
        self.tokens += int(made.rollouts.mask.sum()) + sum(map(len, sources))
        self.tokens += sum(len(one.source) + len(one.target) for one in learnt if one.row is None)
        zero = (advantages.flatten(1).abs().amax(dim=1) == 0).float().mean()
        return {**sums, **signals.metrics, "zero_signal": float(zero)}

    def _demonstrations(self, prompts: Prompts, sources: Sequence[Source]) -> list[Demonstration]:
        """The translations that tasks show for their prompts, of which the first are the step's own `sources`.

        None that there are no positions for.
        """
        owners, segments = [owner for owner, _ in prompts], [segment for _, segment in prompts]
        texts = demonstrations(self.tasks, owners, segments, self.step)
        rows = [row for row, text in enumerate(texts) if text is not None]
        targets = self.policy.encode_targets([texts[row] or "" for row in rows])
        own = len(sources)
        every = [*sources, *self.policy.tokenize_sources(segments[own:])]
        return [
            Demonstration(
                every[row],
                [*target, self.policy.end_id],
                self.tasks[owners[row]].config.mle,
                row if row < own else None,
            )
            for row, target in zip(rows, targets, strict=True)
            if self.policy.holds(every[row], target)
        ]

    def _watch(self, counts: Mapping[Part, PartCounts], last: bool) -> None:
        """Look for parts of the rewards that no longer tell hypotheses apart."""
        record = self.watch.add(self.step, counts, last)
        if record is not None:
            self.tracker.log("parts", self.stage, self.step, record)
            for sentence in self.watch.warnings(record):
                self.tracker.warn(f"steps {record['first']} to {self.step}, {sentence}")

    def _signals(self, made: Collected, sources: Sequence[Source]) -> Signals:
        """What the step has to say, after the passes over its samples that the algorithm asks for."""
        algorithm, budget = self.algorithm, self.config.micro_batch_tokens
        rollouts, rewards, others, shown = made.rollouts, made.rewards, made.others, made.shown
        states = passes.hidden_states(self.policy, sources, rollouts, budget) if algorithm.needs_states else None
        reference = None
        if algorithm.needs_reference_logprobs:
            reference = passes.logprobs(self.reference, sources, rollouts, made.sampling.temperature, budget)
        beside: dict[str, Any] = {}
        if others is not None and shown is None:
            beside["greedy_rewards"] = others.scaled[:, 0]
        elif others is not None and shown is not None:
            references = whole_references(self.policy, made.segments, sources)
            whole = torch.tensor([reference is not None for reference in references])
            beside["references"] = [reference or [] for reference in references]
            beside["reference_rewards"] = others.scaled[:, 0].where(whole, float("nan"))
            beside["reference_token_rewards"] = None if others.tokens is None else others.tokens[:, 0]
        return own_algorithm.signals(
            algorithm,
            AdvantageInputs(
                rewards.scaled,
                [s.direction for s in made.segments],
                mask=rollouts.actions,
                logprobs=rollouts.logprobs,
                tokens=rollouts.tokens,
                token_rewards=rewards.tokens,
                states=states,
                reference_logprobs=reference,
                step=self.step,
                tasks=[self.tasks[i].name for i in made.owners],
                scales=rewards.scales,
                sources=sources,
                finished=rollouts.finished,
                **beside,
            ),
        )

    def _evaluate(self, started: float | None = None) -> str | None:
        """Score the dev set with the mean weights, keep them if they are the best, and ask the stop rule.

        Args:
            started: when the step at hand did, whose time is not in `seconds` yet; None before the first.
        """
        with self.updater.means_in_place():
            outputs = self.dev.translate(self.policy, self.dev_max_length)
        said = parallel.leaders(judge(self.dev, self.tasks, outputs))
        selected = said.score > self.best
        if selected:
            self.best, self.best_step = said.score, self.step
            self.updater.keep()
        self.tracker.log(
            "dev",
            self.stage,
            self.step,
            {
                "score": said.score,
                **said.values,
                "selected": selected,
                "seconds": self.seconds + (0.0 if started is None else parallel.now() - started),
                "tokens": self.tokens,
            },
        )
        # A control is not paid by what judges it, so it cannot game it.
        return None if any(task.judge for task in self.tasks) else self.guard.check(said.chrf, said.reward)

    def _save(self) -> None:
        # Rewards may keep translations they have made; after a checkpoint every run starts with none, so that a resumed
        # one asks for the same batches as one that was never interrupted.
        for task in self.tasks:
            task.reset()
        self.prompts.rewind()
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "tokens": self.tokens,
            "best": self.best,
            "best_step": self.best_step,
            "ended": self.ended,
            "prompts": self.prompts.state_dict(),
            "guard": self.guard.state_dict(),
            "scalings": {task.name: task.scaling.state_dict() for task in self.tasks},
            "parts": self.watch.state_dict(),
            "updater": self.updater.state_dict(),
        }
        tensors = self.updater.tensors() | self.renewed.tensors()
        ckpt.save(self.folder, self.step, ckpt.Checkpoint(tensors, state))

    def _load(self) -> None:
        found = ckpt.latest(self.folder)
        if found is None:
            self.tracker.forget_after(self.stage, -1)
            return
        state = found.state
        self.updater.load_tensors(found.tensors)
        self.updater.load_state_dict(state["updater"])
        self.step, self.seconds, self.tokens = state["step"], state["seconds"], state["tokens"]
        self.best, self.best_step, self.ended = state["best"], state["best_step"], state.get("ended")
        self.prompts.load_state_dict(state["prompts"])
        self.guard.load_state_dict(state["guard"])
        self.watch.load_state_dict(state["parts"])
        for task in self.tasks:
            task.scaling.load_state_dict(state["scalings"][task.name])
        self.renewed.load(found.tensors)
        self.tracker.forget_after(self.stage, self.step)
