"""A whole step of reinforcement learning: sampling, reward, advantages, loss, backward pass, optimizer.

Ours is the training loop that runs use, with its bookkeeping. The shipped model against a plain loop of transformers'
`generate`, the source encoded again for each sample, and `log_softmax`; a Llama against TRL's GRPOTrainer. Both sides
are rewarded by our chrF++. Samples have no end, so that tokens can be counted; and once more as they come, where the
plain loop goes on until the longest sample has ended; and as the quickstart draws them, of its text at its temperature,
where many samples begin alike. TRL (`pip install trl`) and we take turns inside its training.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import models
import torch
from timing import compare, heading, near, report, same, timed
from transformers import TrainerCallback

from eclectus.algorithms.advantages import leave_one_out
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.rollouts.base import Sampling
from eclectus.rollouts.padding import pad_rows
from eclectus.segment import Segment
from eclectus.training.optimizer import build_optimizer, update

SAMPLES, TOKENS, RUNS = 8, 32, 5


class PlainLoop:
    """RLOO as one writes it with transformers alone, on a copy of the policy's model."""

    def __init__(
        self, policy: PretrainedPolicy, reward: CompositeReward, rows: Sequence[Segment], sampling: Sampling
    ) -> None:
        self.policy, self.reward, self.rows, self.sampling = policy, reward, rows, sampling
        self.model = copy.deepcopy(policy.model)
        self.model.set_attn_implementation("sdpa")
        self.optimizer = build_optimizer("adamw", self.model, models.STILL)
        self.never = [i for i, value in enumerate(policy._bias.tolist()) if value == float("-inf")]
        sources = policy.tokenize_sources(rows)
        ids, mask = pad_rows([source.ids for source in sources], policy.pad_id, policy.device)
        self.ids, self.mask, self.start = ids.squeeze(1), mask.squeeze(1).long(), sources[0].start[0]

    def step(self) -> int:
        """Returns the number of sampled tokens."""
        with torch.inference_mode():
            made = self.model.generate(
                input_ids=self.ids, attention_mask=self.mask, do_sample=True, num_beams=1, top_k=0,
                temperature=self.sampling.temperature, num_return_sequences=SAMPLES,
                max_new_tokens=self.sampling.max_length, suppress_tokens=self.never,
                decoder_start_token_id=self.start,
            )[:, 1:]  # fmt: skip
        made = made.clone()
        ended = (made == self.policy.end_id).long().cumsum(dim=1)
        mask = (ended - (made == self.policy.end_id).long()) == 0
        texts = self.policy.detokenize([row[keep].tolist() for row, keep in zip(made, mask, strict=True)])
        groups = [texts[i : i + SAMPLES] for i in range(0, len(texts), SAMPLES)]
        rewards = torch.tensor(self.reward.score_groups(self.rows, groups).total)
        self.loss(made, mask, leave_one_out(rewards).flatten()).backward()
        update(self.optimizer, models.STILL, 1.0)
        return int(mask.sum())

    def loss(self, tokens: torch.Tensor, mask: torch.Tensor, advantages: torch.Tensor) -> torch.Tensor:
        start = torch.full_like(tokens[:, :1], self.start)
        logits = self.model(
            input_ids=self.ids.repeat_interleave(SAMPLES, dim=0),
            attention_mask=self.mask.repeat_interleave(SAMPLES, dim=0),
            decoder_input_ids=torch.cat([start, tokens[:, :-1]], dim=1),
            use_cache=False,
        ).logits
        logits[:, :, self.never] = float("-inf")
        logprobs = (
            torch.log_softmax(logits / self.sampling.temperature, dim=-1).gather(2, tokens[:, :, None]).squeeze(2)
        )
        return -(advantages * logprobs.masked_fill(~mask, 0.0).sum(dim=1)).mean()


def against_plain_loop(rows: Sequence[Segment], what: str, sampling: Sampling, *, fixed: bool = False) -> None:
    """Steps beside the plain loop's.

    Args:
        rows: sources of one direction.
        what: names the row of the table.
        fixed: samples never end.
    """
    policy = models.shipped()
    if fixed:
        models.never_end(policy)
    trainer = models.reinforcer(
        policy, rows, samples=SAMPLES, tokens=sampling.max_length, temperature=sampling.temperature
    )
    plain = PlainLoop(policy, trainer.tasks[0].reward, rows, sampling)
    _same_gradient(policy, plain, rows, sampling)
    drawn: list[int] = []
    sample = policy.sample

    def counted(*args: Any, **kwargs: Any) -> Any:
        rollouts = sample(*args, **kwargs)
        drawn.append(int(rollouts.mask.sum()))
        return rollouts

    policy.sample = counted  # type: ignore[method-assign]
    name = f"RL step, shipped base, {what}"
    made = [peer for _, peer in compare(name, lambda: models.one_step(trainer), plain.step, RUNS, goal=5.0)]
    if fixed:
        same("the number of sampled tokens", drawn, made)
    near("the number of sampled tokens", sum(drawn), sum(made), 0.1)


def _same_gradient(policy: PretrainedPolicy, plain: PlainLoop, rows: Sequence[Segment], sampling: Sampling) -> None:
    rollouts = policy.sample(rows, SAMPLES, sampling, torch.Generator().manual_seed(1))
    advantages = torch.randn(len(rows), SAMPLES, generator=torch.Generator().manual_seed(2))
    logprobs = policy.token_logprobs(
        policy.tokenize_sources(rows), rollouts.tokens, rollouts.mask, sampling.temperature
    )
    (-(advantages * logprobs.sum(dim=2)).mean()).backward()
    plain.loss(rollouts.tokens.flatten(0, 1), rollouts.mask.flatten(0, 1), advantages.flatten()).backward()
    ours, theirs = (
        torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        for model in (policy.model, plain.model)
    )
    # Of all weights together: where rounding takes a rectified unit over its kink, a single one may jump.
    same("the gradient of one batch of samples", True, bool((ours - theirs).norm() <= 1e-3 * theirs.norm()))
    policy.model.zero_grad()
    plain.model.zero_grad()


def against_trl(count: int = 16, *, ours: str = "float32", theirs: str = "float32") -> None:
    """Steps of a Llama beside TRL's.

    Args:
        ours: float32 or bfloat16, in which we sample (from a copy, corrected for it) and compute the update's layers.
        theirs: likewise TRL's, by autocast.
    """
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    policy, rows = models.llama(), models.segments(count)
    model = copy.deepcopy(policy.model)
    model.set_attn_implementation("sdpa")
    same("the number of weights", models.parameters(policy), sum(p.numel() for p in model.parameters()))
    models.never_end(policy)
    engine = None
    if ours == "bfloat16":
        policy.autocast, engine = torch.bfloat16, {"type": "bfloat16"}
    trainer = models.reinforcer(policy, rows, algorithm="grpo", samples=SAMPLES, tokens=TOKENS, engine=engine)
    reward, by_source = trainer.tasks[0].reward, {row.source: row for row in rows}
    work: list[tuple[int, int]] = []

    def chrf(prompts: list[str], completions: list[str], completion_ids: list[list[int]], **_: Any) -> Any:
        work.append((len(completions), sum(map(len, completion_ids))))
        return [
            row[0] for row in reward.score_groups([by_source[p] for p in prompts], [[c] for c in completions]).total
        ]

    settings = GRPOConfig(
        output_dir=str(models.scratch()), use_cpu=True, bf16=theirs == "bfloat16",
        max_steps=RUNS + 1,
        per_device_train_batch_size=count * SAMPLES, num_generations=SAMPLES, max_completion_length=TOKENS,
        generation_kwargs={"min_new_tokens": TOKENS}, temperature=1.0, top_k=0, beta=0.0, loss_type="grpo",
        learning_rate=models.STILL, gradient_checkpointing=False, logging_strategy="no", save_strategy="no",
        report_to=[], disable_tqdm=True,
    )  # fmt: skip
    turns = _Turns(lambda: models.one_step(trainer))
    GRPOTrainer(
        model=model, reward_funcs=chrf, args=settings, processing_class=policy.tokenizer, callbacks=[turns],
        train_dataset=Dataset.from_list([{"prompt": row.source} for row in rows]),
    ).train()  # fmt: skip
    same("samples and tokens of a step", [(count * SAMPLES, count * SAMPLES * TOKENS)] * (RUNS + 1), work)
    bits = "" if ours == theirs == "float32" else f", {ours} against {theirs}"
    report(f"RL step, Llama 256 x 4, {count} x {SAMPLES} x {TOKENS} tokens{bits}", turns.pairs[1:], goal=4.0)


class _Turns(TrainerCallback):
    """Times the steps of a trainer, and after each one of ours."""

    def __init__(self, ours: Any) -> None:
        self.ours, self.pairs, self._begun = ours, [], 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._begun = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        theirs = time.perf_counter() - self._begun
        self.pairs.append((timed(self.ours)[0], theirs))


def main() -> None:
    heading("plain loop")
    made_up = models.segments(32)
    against_plain_loop(made_up, f"32 x {SAMPLES} x {TOKENS} tokens", Sampling(1.0, TOKENS), fixed=True)
    against_plain_loop(made_up, f"32 x {SAMPLES} x up to 48 tokens", Sampling(1.0, 48))
    for source, target in (("en", "es"), ("es", "fr")):
        rows = models.messages(source, target, 32)
        against_plain_loop(rows, f"{source}-{target} of the quickstart, 32 x {SAMPLES}", Sampling(0.7, 48))
    if find_spec("trl") is None:
        print("RL step against TRL: left out, trl is not installed")
        return
    heading("TRL")
    against_trl()
    against_trl(ours="bfloat16")
    against_trl(ours="bfloat16", theirs="bfloat16")


if __name__ == "__main__":
    main()
