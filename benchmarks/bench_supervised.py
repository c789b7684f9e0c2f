"""Supervised training against transformers' Seq2SeqTrainer (`pip install accelerate`): seconds for a target token.

The shipped model's shape, the same 6,000 pairs, label smoothing and dropout, and as many target tokens in an update.
The trainer takes batches as they come, and once more sorted by length as it can be asked to.
Updates of both alternate inside its training; what it does between updates is not counted.
"""

from __future__ import annotations

import copy
import random
import time
from importlib.util import find_spec
from typing import Any

import models
import torch
from timing import heading, near, report, same, timed
from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback

from eclectus.policies.dropout import cheaper_dropout
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.segment import Segment
from eclectus.training.batches import PairBatches
from eclectus.training.optimizer import build_optimizer, update

PAIRS, BATCH_TOKENS, SMOOTHING, RUNS = 6000, 4096, 0.1, 10


def pairs() -> list[Segment]:
    """Words in lengths as sentences have them: log-normal, a median of 12, cut at 50."""
    random.seed(1)
    words = ["".join(random.choices("bcdlmnprst", k=1) + random.choices("aeiou", k=1)) for _ in range(3000)]

    def sentence() -> str:
        return " ".join(
            "".join(random.choices(words, k=2)) for _ in range(min(50, int(random.lognormvariate(2.5, 0.6))))
        )

    return [Segment(sentence() or "a", "en", "es", sentence() or "a") for _ in range(PAIRS)]


class Ours:
    """Updates as `training/supervised.py` makes them."""

    def __init__(self, policy: PretrainedPolicy, rows: list[Segment]) -> None:
        self.policy, self.optimizer = policy, build_optimizer("adamw", policy.model, models.STILL)
        self.batches = PairBatches(policy, {"en-es": rows}, BATCH_TOKENS, 1.0, 1)

    def step(self) -> int:
        batch = self.batches.next()
        count = sum(len(pair.target) for pair in batch)
        self.policy.model.train()
        with cheaper_dropout(self.policy.device):
            loss, _ = self.policy.smoothed_loss([p.source for p in batch], [p.target for p in batch], SMOOTHING)
            (loss / count).backward()
        update(self.optimizer, models.STILL, 1.0)
        return count


class _Turns(TrainerCallback):
    """Seconds for a target token of the trainer's updates, and of ours after each."""

    def __init__(self, ours: Ours, counts: list[int]) -> None:
        self.ours, self.counts, self.pairs, self._begun = ours, counts, [], 0.0
        self.tokens: list[tuple[int, int]] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._begun = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        theirs = time.perf_counter() - self._begun
        seconds, count = timed(self.ours.step)
        # Batches are made in order, each before its update.
        peer = self.counts[len(self.pairs)]
        self.tokens.append((count, peer))
        self.pairs.append((seconds / count, theirs / peer))


def against_trainer(rows: list[Segment], *, grouped: bool) -> None:
    policy = models.shipped()
    model = copy.deepcopy(policy.model)
    model.set_attn_implementation("sdpa")
    sources = policy.tokenize_sources(rows)
    targets = policy.tokenize_targets([row.reference or "" for row in rows])
    data = [{"input_ids": list(s.ids), "labels": t} for s, t in zip(sources, targets, strict=True)]
    plain = DataCollatorForSeq2Seq(policy.tokenizer, model=model)
    _same_loss(policy, model, plain(data[:16]), sources[:16], targets[:16])
    counts: list[int] = []

    def collate(batch: list[dict[str, Any]]) -> Any:
        made = plain(batch)
        counts.append(int((made["labels"] != -100).sum()))
        return made

    # As many target tokens in an update as ours have, padding left out on both sides.
    mean = sum(map(len, targets)) / len(targets)
    settings = Seq2SeqTrainingArguments(
        output_dir=str(models.scratch()), use_cpu=True, max_steps=RUNS + 1,
        per_device_train_batch_size=round(0.95 * BATCH_TOKENS / mean), label_smoothing_factor=SMOOTHING,
        learning_rate=models.STILL, logging_strategy="no", save_strategy="no", report_to=[], disable_tqdm=True,
        remove_unused_columns=False, train_sampling_strategy="group_by_length" if grouped else "random",
    )  # fmt: skip
    turns = _Turns(Ours(policy, rows), counts)
    Seq2SeqTrainer(model=model, args=settings, train_dataset=data, data_collator=collate, callbacks=[turns]).train()
    ours, peer = (sum(column) for column in zip(*turns.tokens, strict=True))
    near("the number of target tokens", ours, peer, 0.3)
    order = "by length" if grouped else "as they come"
    report(f"supervised, a target token, peer's batches {order}", turns.pairs[1:], goal=1.5)


def _same_loss(policy: PretrainedPolicy, model: Any, batch: Any, sources: Any, targets: Any) -> None:
    same("the number of weights", models.parameters(policy), sum(p.numel() for p in model.parameters()))
    with torch.no_grad():
        _, ours = policy.smoothed_loss(sources, targets, SMOOTHING)
        theirs = model.eval()(**batch).loss * sum(map(len, targets))
    near("the loss of a batch", float(ours), float(theirs), 1e-4)


def main() -> None:
    if find_spec("accelerate") is None:
        print("supervised training against Seq2SeqTrainer: left out, accelerate is not installed")
        return
    heading("Seq2SeqTrainer")
    rows = pairs()
    against_trainer(rows, grouped=False)
    against_trainer(rows, grouped=True)


if __name__ == "__main__":
    main()
