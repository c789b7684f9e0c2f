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
    model, scaler = policy.model, loss_scaler(policy.autocast, policy.device)
    optimizer = build_optimizer(config.optimizer, model, config.learning_rate)
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
    step, spent, stale, learned = 0, 0.0, 0, 0
    ended: str | None = None  # why, where it ended before its last step
    best = _Best(policy, dev, judge or by_references(dev), max_length)
    found = ckpt.latest(folder) if resume else None
    if found is not None:
        state = found.state
        ckpt.load_weights(model, found.tensors["model"])
        ckpt.load_optimizer_tensors(model, optimizer, found.tensors["optimizer"])
        scaler.load_state_dict(state["scaler"])
        best.load(state["best"], state["best_step"], found.tensors["best"])
        batches.load_state_dict(state["batches"])
        step = state["step"]
        spent, stale, learned = state["seconds"], state["stale"], state["tokens"]
        ended = state.get("ended")
        tracker.forget_after(stage, step)

    def save() -> None:
        tensors = {
            "model": ckpt.weights(model),
            "best": parallel.united(best.weights),
            "optimizer": ckpt.optimizer_tensors(model, optimizer),
        }
        state = {
            "step": step,
            "best": best.score,
            "best_step": best.step,
            "stale": stale,
            "seconds": spent,
            "tokens": learned,
            "ended": ended,
            "batches": batches.state_dict(),
            "scaler": scaler.state_dict(),
        }
        ckpt.save(folder, step, ckpt.Checkpoint(tensors, state))

    if judge_start and found is None:
        tracker.forget_after(stage, -1)
        tracker.log("dev", stage, 0, {**best.judge(0), "seconds": 0.0, "tokens": 0})
    looks = _Looks(config.evaluate_every, seconds, evaluations, spent)
    tokens, loss_sum, window = 0, 0.0, parallel.now()
    # The bar counts steps, or seconds where the clock sets the end.
    length, done = (config.steps, step) if seconds is None else (round(seconds), int(spent))
    with tracker.progress(stage, length, done):
        while ended is None and step < config.steps:
            started = parallel.now()
            step += 1
            batch = batches.next()
            count = sum(len(pair.target) for pair in batch)
            # Dropout's noise belongs to the step, so that a resumed run draws the same.
            torch.manual_seed(derive(seed, stage, "dropout", step, *_process()))
            model.train()
            loss_sum += _learn(policy, batch, count, config, scaler)
            parallel.add_gradients(model.parameters())
            # A training of given time does not know its number of steps: its learning rate follows the clock.
            total = expected_steps(step, config.steps, spent, seconds)
            rate = scheduled(config.learning_rate, step, total, _warmup(config, total, seconds), floor=0.05)
            (norm,) = update(optimizer, rate, config.max_grad_norm, scaler)
            model.eval()
            tokens += count
            learned += count + sum(len(pair.source) for pair in batch)
            elapsed = spent + parallel.now() - started
            last = step == config.steps or (seconds is not None and elapsed >= seconds)
            if step % 20 == 0 or last:
                speed, loss_sum = tokens / (parallel.now() - window), sum(parallel.gather(loss_sum))
                tracker.log(
                    "supervised",
                    stage,
                    step,
                    {
                        "loss": loss_sum / tokens,
                        "grad_norm": norm,
                        "learning_rate": rate,
                        "tokens_per_second": speed,
                        "seconds": spent,
                    },
                )
                tracker.advance(
                    step if seconds is None else int(spent),
                    f"loss {loss_sum / tokens:.3f}  dev {max(best.score, 0):.1f}  {speed:.0f} tok/s",
                )
                tokens, loss_sum, window = 0, 0.0, parallel.now()
            evaluated = looks.due(step, elapsed) or last
            if evaluated:
                values = best.judge(step)
                stale = 0 if values["selected"] else stale + 1
                spending = {"seconds": spent + parallel.now() - started, "tokens": learned}
                tracker.log("dev", stage, step, {**values, **spending})
                window = parallel.now()
            spent += parallel.now() - started
            if last and step < config.steps:
                ended = "time used up"
            elif not last and stale >= config.patience:
                ended = f"no better dev score in {stale} evaluations"
            stopped = any(parallel.gather(tracker.stop_requested))
            if evaluated or stopped:
                save()
            if stopped:
                return Trained(step, best.step, best.score, spent, complete=False, reason="stopped by the user")
    best.restore()
    return Trained(step, best.step, best.score, spent, complete=True, reason=ended or "all steps done")
