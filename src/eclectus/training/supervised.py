"""Supervised training: maximum likelihood with label smoothing, the best checkpoint on dev kept.

It makes the starting policy of a run, and it is the control that reinforcement learning has to beat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from eclectus import parallel
from eclectus.config import BackTranslationConfig, SupervisedConfig
from eclectus.policies.base import Policy
from eclectus.policies.dropout import cheaper_dropout
from eclectus.policies.precision import loss_scaler
from eclectus.seeds import derive
from eclectus.segment import Segment
from eclectus.training import checkpoint as ckpt
from eclectus.training.batches import Pair, PairBatches
from eclectus.training.kept import Kept, Weights
from eclectus.training.optimizer import build_optimizer, expected_steps, scheduled, update
from eclectus.training.tracking import Tracker
from eclectus.training.validation import DevSet

Judge = Callable[[Mapping[str, Sequence[str]]], tuple[float, Mapping[str, float]]]
"""From translations of the dev set, by direction, to the score that chooses the checkpoint and what is logged too."""


def by_references(dev: DevSet) -> Judge:
    """Judge by dev chrF++, the mean over directions."""

    def judge(outputs: Mapping[str, Sequence[str]]) -> tuple[float, Mapping[str, float]]:
        scores = dev.score(outputs)
        return scores.chrf, scores.named("supervised")

    return judge


TIME_USED_UP = "time used up"
"""The reason why a training of given time ended."""


@dataclass
class Trained:
    """How a training ended.

    Args:
        steps: updates made; best_step: the update whose weights were kept.
        score: dev score of the kept weights.
        seconds: time spent training, dev evaluations included.
        complete: false where the user stopped it; a checkpoint is there.
        reason: why it ended, in words.
    """

    steps: int
    best_step: int
    score: float
    seconds: float
    complete: bool
    reason: str

    @property
    def outcome(self) -> str:
        """Why it ended and which weights it left."""
        kept = f"the weights of step {self.best_step} were kept"
        if self.best_step == 0:
            kept = "no step did better on dev than the start, which was kept"
        return f"{self.reason}; {kept}"


class _Best:
    """The best weights so far on dev."""

    def __init__(self, policy: Policy, dev: DevSet, judge: Judge, max_length: int) -> None:
        self._policy, self._dev, self._judge, self._max_length = policy, dev, judge, max_length
        self._kept = Kept.trained(policy.model)
        self.score, self.step, self.weights = float("-inf"), 0, self._kept.copy()

    def judge(self, step: int) -> dict[str, float | bool]:
        """Score the weights as they are, keep them if they are the best, and return what is logged."""
        # A reward may say something else in every process.
        score, values = parallel.leaders(self._judge(self._dev.translate(self._policy, self._max_length)))
        selected = score > self.score
        if selected:
            self.score, self.step, self.weights = score, step, self._kept.copy()
        return {"score": score, **values, "selected": selected}

    def load(self, score: float, step: int, weights: Weights) -> None:
        """Take over the best of a checkpoint."""
        self.score, self.step, self.weights = score, step, self._kept.part(weights)

    def restore(self) -> None:
        """Put the best weights into the policy."""
        self._kept.put(self.weights)


def _process() -> tuple[int, ...]:
    """What tells the processes' noise apart; nothing where there is only one."""
    return (parallel.rank(),) if parallel.size() > 1 else ()


def _learn(
    policy: Policy, batch: Sequence[Pair], count: int, config: SupervisedConfig, scaler: torch.amp.GradScaler
) -> float:
    """Backward pass of this process's share of a batch of `count` target tokens; returns its summed -log p."""
    own = parallel.share(batch)
    if not own and not policy.sharded:
        return 0.0
    weight = 1.0 if own else 0.0  # a sharded policy's passes are made by all processes
    own = own or batch[:1]
    with cheaper_dropout(policy.device):
        with torch.autocast(policy.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            loss, likelihood = policy.smoothed_loss(
                [pair.source for pair in own], [pair.target for pair in own], config.label_smoothing
            )
        scaler.scale(weight * loss / count).backward()
    return weight * float(likelihood)


def _warmup(config: SupervisedConfig, steps: int, seconds: float | None) -> int:
    return config.warmup if seconds is None else min(config.warmup, steps // 10)


class _Looks:
    """When dev is asked: every so many steps, or, in a training of given time, so often at equal distances of it."""

    def __init__(self, every: int, seconds: float | None, times: int, spent: float) -> None:
        self._every, self._distance = every, None if seconds is None else seconds / times
        self._passed = 0 if self._distance is None else int(spent / self._distance)

    def due(self, step: int, spent: float) -> bool:
        if self._distance is None:
            return step % self._every == 0
        before, self._passed = self._passed, int(spent / self._distance)
        return self._passed > before


class _Training:
    """A supervised training under way: its place, its clock, and what its checkpoints hold."""

    def __init__(
        self,
        policy: Policy,
        config: SupervisedConfig,
        batches: PairBatches,
        best: _Best,
        tracker: Tracker,
        *,
        seed: int,
        stage: str,
        folder: Path,
        seconds: float | None,
    ) -> None:
        self.policy, self.config, self.batches, self.best, self.tracker = policy, config, batches, best, tracker
        self.seed, self.stage, self.folder, self.seconds = seed, stage, folder, seconds
        self.optimizer = build_optimizer(config.optimizer, policy.model, config.learning_rate)
        self.scaler = loss_scaler(policy.autocast, policy.device)
        self.step, self.spent, self.stale, self.learned = 0, 0.0, 0, 0
        self.ended: str | None = None
        """Why, where it ended before its last step."""
        # Of the steps since the last line of the metrics.
        self._tokens, self._loss, self._window = 0, 0.0, 0.0

    def load(self, found: ckpt.Checkpoint) -> None:
        """Go on from a checkpoint, to the same result as an uninterrupted training."""
        state = found.state
        ckpt.load_weights(self.policy.model, found.tensors["model"])
        ckpt.load_optimizer_tensors(self.policy.model, self.optimizer, found.tensors["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.best.load(state["best"], state["best_step"], found.tensors["best"])
        self.batches.load_state_dict(state["batches"])
        self.step, self.spent, self.stale = state["step"], state["seconds"], state["stale"]
        self.learned, self.ended = state["tokens"], state.get("ended")
        self.tracker.forget_after(self.stage, self.step)

    def save(self) -> None:
        tensors = {
            "model": ckpt.weights(self.policy.model),
            "best": parallel.united(self.best.weights),
            "optimizer": ckpt.optimizer_tensors(self.policy.model, self.optimizer),
        }
        state = {
            "step": self.step,
            "best": self.best.score,
            "best_step": self.best.step,
            "stale": self.stale,
            "seconds": self.spent,
            "tokens": self.learned,
            "ended": self.ended,
            "batches": self.batches.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        ckpt.save(self.folder, self.step, ckpt.Checkpoint(tensors, state))

    def judge_start(self) -> None:
        """Score the weights that the training starts from, which are kept where nothing is better."""
        self.tracker.forget_after(self.stage, -1)
        self.tracker.log("dev", self.stage, 0, {**self.best.judge(0), "seconds": 0.0, "tokens": 0})

    def run(self, looks: _Looks) -> Trained:
        """Train to the end, or until the user stops it."""
        # The bar counts steps, or seconds where the clock sets the end.
        length = self.config.steps if self.seconds is None else round(self.seconds)
        self._window = parallel.now()
        with self.tracker.progress(self.stage, length, self._passed):
            while self.ended is None and self.step < self.config.steps:
                started = parallel.now()
                rate, norm = self._update()
                elapsed = self.spent + parallel.now() - started
                last = self.step == self.config.steps or (self.seconds is not None and elapsed >= self.seconds)
                if self.step % 20 == 0 or last:
                    self._log(rate, norm)
                evaluated = looks.due(self.step, elapsed) or last
                if evaluated:
                    values = self.best.judge(self.step)
                    self.stale = 0 if values["selected"] else self.stale + 1
                    spending = {"seconds": self.spent + parallel.now() - started, "tokens": self.learned}
                    self.tracker.log("dev", self.stage, self.step, {**values, **spending})
                    self._window = parallel.now()
                self.spent += parallel.now() - started
                if last and self.step < self.config.steps:
                    self.ended = TIME_USED_UP
                elif not last and self.stale >= self.config.patience:
                    self.ended = f"no better dev score in {self.stale} evaluations"
                stopped = any(parallel.gather(self.tracker.stop_requested))
                if evaluated or stopped:
                    self.save()
                if stopped:
                    return self._trained("stopped by the user", complete=False)
        self.best.restore()
        return self._trained(self.ended or "all steps done", complete=True)

    def _update(self) -> tuple[float, float]:
        """One step; returns its learning rate and the norm of its gradient."""
        self.step += 1
        config, model, batch = self.config, self.policy.model, self.batches.next()
        count = sum(len(pair.target) for pair in batch)
        # Dropout's noise belongs to the step, so that a resumed run draws the same.
        torch.manual_seed(derive(self.seed, self.stage, "dropout", self.step, *_process()))
        model.train()
        self._loss += _learn(self.policy, batch, count, config, self.scaler)
        parallel.add_gradients(model.parameters())
        # A training of given time does not know its number of steps: its learning rate follows the clock.
        total = expected_steps(self.step, config.steps, self.spent, self.seconds)
        warmup = _warmup(config, total, self.seconds)
        rate = scheduled(config.learning_rate, self.step, total, warmup, floor=0.05)
        (norm,) = update(self.optimizer, rate, config.max_grad_norm, self.scaler)
        model.eval()
        self._tokens += count
        self.learned += count + sum(len(pair.source) for pair in batch)
        return rate, norm

    def _log(self, rate: float, norm: float) -> None:
        """Write down and show how the steps since the last time went."""
        speed = self._tokens / (parallel.now() - self._window)
        loss = sum(parallel.gather(self._loss)) / self._tokens
        values = {
            "loss": loss,
            "grad_norm": norm,
            "learning_rate": rate,
            "tokens_per_second": speed,
            "seconds": self.spent,
        }
        self.tracker.log("supervised", self.stage, self.step, values)
        self.tracker.advance(self._passed, f"loss {loss:.3f}  dev {max(self.best.score, 0):.1f}  {speed:.0f} tok/s")
        self._tokens, self._loss, self._window = 0, 0.0, parallel.now()

    @property
    def _passed(self) -> int:
        return self.step if self.seconds is None else int(self.spent)

    def _trained(self, reason: str, *, complete: bool) -> Trained:
        return Trained(self.step, self.best.step, self.best.score, self.spent, complete, reason)


def train_supervised(
    policy: Policy,
    config: SupervisedConfig,
    pairs: Mapping[str, Sequence[Segment]],
    dev: DevSet,
    *,
    seed: int,
    folder: Path,
    tracker: Tracker,
    stage: str = "supervised",
    max_length: int = 96,
    texts: Mapping[str, Sequence[str]] | None = None,
    judge: Judge | None = None,
    seconds: float | None = None,
    evaluations: int = 1,
    judge_start: bool = False,
    resume: bool = False,
) -> Trained:
    """Train `policy` in place and leave it at its best dev checkpoint.

    Args:
        pairs: training segments with references by direction.
        dev: the text whose translations choose the checkpoint.
        folder: where checkpoints go.
        texts: monolingual training text by language, for `config.denoising`.
        judge: by what they do; None: by dev chrF++, see `by_references`.
        seconds: stop after this much training time instead of `config.steps` (for controls of equal time; such a
            training is not repeatable to the bit, because machines differ in speed). Its warm-up is at most a tenth of
            the steps that it can be expected to have.
        evaluations: with `seconds`, how often dev is asked, at equal distances of time, instead of every
            `config.evaluate_every` steps.
        judge_start: also score the weights that the training starts from, which are kept where nothing is better.
        resume: continue from the checkpoint in `folder`, to the same result as an uninterrupted run.
    """
    batches = PairBatches(
        policy,
        {d: list(s) for d, s in pairs.items()},
        config.batch_tokens,
        config.temperature,
        derive(seed, stage),
        config.denoising,
        texts,
        "back_translation" if isinstance(config, BackTranslationConfig) else "supervised",
    )
    if batches.too_long:
        tracker.warn(
            f"{stage}: {batches.too_long:,} pairs or texts are left out, being longer than the model reads or writes"
            f" ({policy.target_room:,} tokens); give one sentence a line to use them"
        )
    best = _Best(policy, dev, judge or by_references(dev), max_length)
    training = _Training(policy, config, batches, best, tracker, seed=seed, stage=stage, folder=folder, seconds=seconds)
    found = ckpt.latest(folder) if resume else None
    if found is not None:
        training.load(found)
    else:
        tracker.forget_after(stage, -1)
        if judge_start:
            training.judge_start()
    return training.run(_Looks(config.evaluate_every, seconds, evaluations, training.spent))
