"""Three tasks that a tiny model learns in seconds: copy words, reverse them, write digits as words."""

from __future__ import annotations

import functools
import json
import math
import tempfile
from pathlib import Path

import torch

from eclectus.config import NewModelConfig, PromptConfig, ReinforceConfig, TaskConfig
from eclectus.policies.base import Policy
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.load import new_policy
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.seeds import rng
from eclectus.segment import Segment
from eclectus.training import checkpoint as ckpt
from eclectus.training.reinforce import Reinforcer
from eclectus.training.tasks import Task
from eclectus.training.tracking import Tracker
from eclectus.training.validation import DevSet
from tests.algorithms.enumerated import algorithm
from tests.policies.tiny_models import llama

WORDS = {"1": "uno", "2": "dos", "3": "tres", "4": "cinco"}
TASKS = {
    "copy": lambda digits: (_words(digits), _words(digits)),
    "reverse": lambda digits: (_words(digits), _words(digits)[::-1]),
    "words": lambda digits: (digits, _words(digits)),
}
SHAPE = NewModelConfig(vocabulary=100, d_model=32, heads=2, encoder_layers=1, decoder_layers=1, ffn=64, dropout=0.0)
DECODER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
PROMPT = PromptConfig(template="{source} =", stop=[])
WARM_LOSS = {
    "seq2seq": {"copy": 2.66, "reverse": 1.68, "words": 2.95},
    "causal": {"copy": 2.05, "reverse": 2.06, "words": 1.9},
}
"""Nats a sequence at which about half of the words are right."""


def _words(digits: list[str]) -> list[str]:
    return [WORDS[digit] for digit in digits]


def positions(prompts, completions, reference, **_):
    """Share of the reference's words that stand where they should; a word too many counts as one wrong."""
    found = []
    for completion, wanted in zip(completions, reference, strict=True):
        said, right = completion.split(), wanted.split()
        hits = sum(a == b for a, b in zip(said, right, strict=False))
        found.append(hits / max(len(said), len(right)))
    return found


def abstain(prompts, completions, **_):
    """Judges nothing."""
    return [None for _ in completions]


def nan(prompts, completions, **_):
    """Broken."""
    return [math.nan for _ in completions]


def inf(prompts, completions, **_):
    """Broken as well."""
    return [math.inf for _ in completions]


def corpus(task: str) -> list[Segment]:
    """48 of the sequences of three digits, in seeded order."""
    digits = [[a, b, c] for a in WORDS for b in WORDS for c in WORDS]
    rng(1, "toy").shuffle(digits)
    rows = [TASKS[task](source) for source in digits[:48]]
    return [Segment(" ".join(a), "en", "es", " ".join(b), id=str(i)) for i, (a, b) in enumerate(rows)]


@functools.cache
def _warm(task: str, kind: str) -> dict[str, torch.Tensor]:
    """Weights after a few supervised steps: sometimes right, mostly wrong."""
    policy = cold(task, kind)
    rows = corpus(task)
    sources = policy.tokenize_sources(rows)
    targets = policy.tokenize_targets([row.reference or "" for row in rows])
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=3e-3)
    loss = torch.tensor(math.inf)
    while loss > WARM_LOSS[kind][task]:
        loss, _ = policy.smoothed_loss(sources, targets, 0.0)
        loss = loss / len(rows)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return ckpt.weights(policy.model)


def cold(task: str, kind: str = "seq2seq") -> Policy:
    """A random model for the task: an encoder-decoder, or with `causal` a decoder alone, asked by a prompt."""
    texts = [text for row in corpus(task) for text in (row.source, row.reference or "")]
    if kind == "seq2seq":
        return new_policy(SHAPE, texts, ["en", "es"], 1)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = llama(Path(folder), texts, **DECODER)
    return CausalPolicy(model, tokenizer, PROMPT)


def warm(task: str, kind: str = "seq2seq") -> Policy:
    """A model that has seen a little of the task."""
    policy = cold(task, kind)
    ckpt.load_weights(policy.model, _warm(task, kind))
    return policy


def reinforcer(
    folder: Path,
    task: str = "copy",
    name: str = "rloo",
    *,
    options=None,
    seed=1,
    task_options=None,
    prompts=None,
    kind="seq2seq",
    **changes,
) -> Reinforcer:
    """A run on a toy task from its warm start; `prompts` by direction stand in for the task's own en-es."""
    policy, prompts = warm(task, kind), prompts or {"en-es": corpus(task)}
    reward = {"terms": [{"type": "tests.toy:positions"}], "normalise": "none", "unfinished": 0.0}
    folder.mkdir(parents=True, exist_ok=True)
    config = TaskConfig(
        **{
            "name": "toy",
            "directions": list(prompts),
            "references": True,
            "kl": 0.0,
            "reward": reward,
            **(task_options or {}),
        }
    )
    steps = changes.pop("steps", 60)
    values = {
        "tasks": [config],
        "steps": steps,
        "segments": 16,
        "samples": 4,
        "max_length": 6,
        "learning_rate": 3e-3,
        "warmup": 0,
        "decay": False,
        "evaluate_every": steps,
        "checkpoint_every": 1000,
        "samples_every": 1000,
        "averaging": 0.0,
    }
    settings = ReinforceConfig(**{**values, **changes})
    chosen = algorithm(name, **(options or {}))
    chosen.check(settings)
    composite = CompositeReward(config.reward, RewardContext(["en", "es"]))
    return Reinforcer(
        policy,
        policy.copy(),
        chosen,
        settings,
        [Task(config, prompts, composite, None)],
        DevSet(prompts, ["en", "es"]),
        languages=["en", "es"],
        seed=seed,
        folder=folder / "checkpoints",
        tracker=Tracker(folder),
    )


def stop_after(trainer: Reinforcer, step: int) -> None:
    """Have the user ask for a stop once this step is done."""
    advance = trainer.tracker.advance

    def interrupt(at: int, note: str) -> None:
        advance(at, note)
        trainer.tracker.stop_requested = at >= step

    trainer.tracker.advance = interrupt


def final(trainer: Reinforcer) -> dict[str, torch.Tensor]:
    """Every tensor of the last checkpoint; the policy itself goes back to its best one."""
    groups = ckpt.latest(trainer.folder).tensors
    return {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    """Whether names and values are equal, to the last bit."""
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def repeats(folder: Path, task: str, name: str, **settings) -> tuple[Reinforcer, Reinforcer]:
    """Check that a run depends on its seed alone, stopped after three steps or not; returns it whole and resumed."""

    def made(part: str, **changes) -> Reinforcer:
        return reinforcer(folder / part, task, name, **settings | changes)

    whole, stopped, again, other = made("whole"), made("cut"), made("again"), made("other", seed=2)
    for run in (whole, again, other):
        run.train()
    stop_after(stopped, 3)
    assert not stopped.train().complete
    resumed = made("cut")
    resumed.train(resume=True)
    assert same(final(whole), final(resumed))
    assert same(final(whole), final(again))
    assert not same(final(whole), final(other))
    return whole, resumed


def records(folder: Path) -> list[dict]:
    """All that a run has logged."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def steps_of(folder: Path) -> list[dict]:
    """Metrics of the steps of a run."""
    return [row for row in records(folder) if row["kind"] == "step"]


def learn(folder: Path, *args, **options) -> list[dict]:
    """Train and return the metrics of the steps."""
    reinforcer(folder, *args, **options).train()
    return steps_of(folder)


def mean(rows: list[dict], name: str = "reward") -> float:
    """Mean of a metric."""
    return sum(row[name] for row in rows) / len(rows)
