"""Every algorithm must learn: a random model is rewarded until it gives the references of four sentences."""

import json

import pytest

from eclectus.config import ReinforceConfig, RewardConfig, TaskConfig
from eclectus.rewards.base import RewardContext
from eclectus.rewards.combine import CompositeReward
from eclectus.training.reinforce import Reinforcer
from eclectus.training.tasks import Task
from eclectus.training.tracking import Tracker
from eclectus.training.validation import DevSet
from tests.algorithms.enumerated import algorithm
from tests.tiny import segments, tiny_policy


def learn(tmp_path, name, reward="chrf", steps=120, **options):
    policy = tiny_policy()
    rows = segments("en", "es")
    settings = {"terms": [{"type": reward}], "normalise": "none", "unfinished": None}
    task = TaskConfig(name="t", directions=["en-es"], references=True, kl=0.0, reward=RewardConfig(**settings))
    tasks = [Task(task, {"en-es": rows}, CompositeReward(task.reward, RewardContext(["en", "es"])), None)]
    config = ReinforceConfig(
        tasks=[task],
        steps=steps,
        segments=4,
        samples=16,
        max_length=12,
        learning_rate=1e-2,
        evaluate_every=steps,
        checkpoint_every=1000,
        samples_every=1000,
        averaging=0.0,
    )
    reinforcer = Reinforcer(
        policy,
        policy.copy(),
        algorithm(name, **options),
        config,
        tasks,
        DevSet({"en-es": rows}, ["en", "es"]),
        languages=["en", "es"],
        seed=1,
        folder=tmp_path / "checkpoints",
        tracker=Tracker(tmp_path),
    )
    reinforcer.train()
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
    return [row for line in lines if line and (row := json.loads(line))["kind"] == "step"]


def mean(rows):
    return sum(row["reward"] for row in rows) / len(rows)


@pytest.mark.parametrize(
    ("name", "options"), [("rloo", {}), ("grpo", {}), ("grpo", {"scale": "group", "length": "token"})]
)
def test_an_algorithm_learns_what_is_rewarded(tmp_path, name, options):
    rows = learn(tmp_path, name, **options)
    assert mean(rows[:5]) < 0.2
    assert mean(rows[-5:]) > 0.25


def test_nothing_is_learned_from_a_constant_reward(tmp_path):
    rows = learn(tmp_path, "rloo", reward="constant", steps=5)
    assert all(row["zero_signal"] == 1.0 and row["grad_norm"] == 0.0 for row in rows)
