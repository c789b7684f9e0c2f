"""A critic in training: learnt first, kept with its policy, saved beside the model, and on a decoder-only model."""

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from eclectus.algorithms import store
from eclectus.algorithms.base import AdvantageInputs
from eclectus.config import KlConfig
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.load import load_policy
from eclectus.rollouts.base import Sampling
from eclectus.training import checkpoint as ckpt
from eclectus.training import passes, run
from eclectus.training.backward import accumulate
from eclectus.training.optimizer import add_module, build_optimizer, update
from eclectus.training.update import Update, step_size
from tests.algorithms.enumerated import algorithm
from tests.policies.tiny_models import build
from tests.tiny import segments
from tests.tiny_run import settings
from tests.toy import learn, mean, reinforcer, same, steps_of

FAST = {"critic_learning_rate": 1e-2}


def test_the_policy_waits_while_the_critic_learns(tmp_path):
    trainer = reinforcer(tmp_path, "reverse", "ppo", options=FAST | {"critic_steps": 3, "trunk": 1.0}, steps=4)
    policies, critics = [ckpt.weights(trainer.policy.model)], [ckpt.weights(trainer.algorithm.module)]
    advance = trainer.tracker.advance

    def remember(at, note):
        advance(at, note)
        policies.append(ckpt.weights(trainer.policy.model))
        critics.append(ckpt.weights(trainer.algorithm.module))

    trainer.tracker.advance = remember
    trainer.train()
    assert [same(policies[0], policy) for policy in policies] == [True, True, True, True, False]
    assert not any(same(one, two) for one, two in pairwise(critics))


def test_coefficients_rest_while_the_policy_waits(tmp_path):
    aims = {"kl": {"target": 0.05}, "entropy": {"weight": 0.01, "target": 3.0}, "task_options": {"kl": 0.1}}
    trainer = reinforcer(tmp_path, "copy", "ppo", options=FAST | {"critic_steps": 3}, steps=5, segments=4, **aims)
    trainer.train()
    rows = steps_of(tmp_path)
    assert [row["kl_weight/toy"] == 0.1 for row in rows] == [True, True, True, True, False]
    assert [row["entropy_weight"] == 0.01 for row in rows] == [True, True, True, True, False]


def luck(prompts, completions, **_):
    """Nothing that the translation does: 1 where the source begins with one of two words."""
    return [float(prompt.split()[0] in ("uno", "dos")) for prompt in prompts]


def test_a_critic_of_a_policy_that_waits_comes_to_explain_the_returns(tmp_path):
    reward = {"terms": [{"type": f"{__name__}:luck"}], "normalise": "none", "unfinished": None}
    options = FAST | {"critic_steps": 60}
    rows = learn(tmp_path, "reverse", "a2c", options=options, steps=60, task_options={"reward": reward})
    assert rows[0]["explained_variance"] == pytest.approx(0.0, abs=1e-6)  # it says 0 everywhere
    assert mean(rows[-10:], "explained_variance") > 0.05
    assert mean(rows[-10:], "value_loss") < 0.65 * rows[0]["value_loss"]


def test_the_best_checkpoint_has_the_critic_that_belongs_to_it(tmp_path, monkeypatch):
    trainer = reinforcer(tmp_path, "copy", "a2c", options=FAST, steps=4, evaluate_every=1, stop_fall=1e6)
    seen, chrf, score = {}, iter([10.0, 20.0, 40.0, 30.0, 5.0]), trainer.dev.score

    def scored(*arguments):
        seen[trainer.step] = (ckpt.weights(trainer.policy.model), ckpt.weights(trainer.algorithm.module))
        return replace(score(*arguments), chrf=next(chrf))

    monkeypatch.setattr(trainer.dev, "score", scored)
    trained = trainer.train()
    assert trained.best_step == 2
    assert same(ckpt.weights(trainer.policy.model), seen[2][0])
    assert same(ckpt.weights(trainer.algorithm.module), seen[2][1])
    assert not same(seen[2][1], seen[4][1])


def test_minibatches_are_shuffled_by_the_seed_and_hold_every_source_once(tmp_path):
    updater = reinforcer(tmp_path, "copy", "ppo", steps=1, updates=2, minibatches=3).updater
    parts = list(updater._minibatches(8, step=1))
    assert parts == list(updater._minibatches(8, step=1)) and len(parts) == 6
    for epoch in (parts[:3], parts[3:]):
        assert sorted(row for part in epoch for row in part) == list(range(8))
    assert parts[:3] != parts[3:]
    assert parts != list(updater._minibatches(8, step=2))


def test_a_run_leaves_the_critic_beside_the_model_also_when_resumed(corpus, tmp_path):
    changes = {"reinforce__algorithm": {"type": "ppo", "hidden": 8}, "reinforce__minibatches": 2}
    folder = tmp_path / "run"
    run.start(settings(corpus, **changes), folder)
    policy, _ = load_policy(str(folder / "model"))
    loaded = store.load(folder / "model", policy)
    assert loaded.options.hidden == 8 and loaded.module.hidden[0].weight.shape == (8, policy.width)
    best = ckpt.latest(folder / "checkpoints" / "reinforce").tensors["algorithm_best"]
    assert same(best, ckpt.weights(loaded.module))
    critic = load_file(folder / "model" / store.WEIGHTS)
    shutil.rmtree(folder / "model")
    run.resume(folder)  # the stage is finished and is taken over from its checkpoint
    assert same(critic, load_file(folder / "model" / store.WEIGHTS))


@pytest.mark.parametrize("name", ["a2c", "ppo"])
def test_a_decoder_only_policy_learns_too(tmp_path: Path, name):
    """To begin every translation with a token of even number."""
    policy, rows = CausalPolicy(*build("llama", tmp_path)), segments("en", "es")
    reference, chosen = policy.copy(), algorithm(name, **FAST)
    chosen.build(policy, seed=1)
    optimizer = build_optimizer("adamw", policy.model, 1e-2)
    add_module(optimizer, chosen.module, 1.0)
    sources, means = policy.tokenize_sources(rows), []
    for step in range(25):
        rollouts = policy.sample(rows, 16, Sampling(1.0, 3), torch.Generator().manual_seed(step))
        rewards = 1.0 - rollouts.tokens[:, :, 0] % 2
        means.append(float(rewards.mean()))
        states = passes.hidden_states(policy, sources, rollouts, 1000)
        signals = chosen.signals(AdvantageInputs(rewards, ["en-es"] * 4, mask=rollouts.actions, states=states))
        work = Update(
            sources=sources,
            rollouts=rollouts,
            rewards=rewards,
            advantages=signals.advantages,
            kl_weights=[0.0] * 4,
            demonstrations=[],
            size=step_size(rewards, rollouts),
            sampling=Sampling(1.0, 3),
            kl=KlConfig(),
            measure_kl=False,
            entropy_weight=0.0,
            owners=["task"] * 4,
            targets=signals.targets,
            values=signals.values,
        )
        accumulate(policy, reference, chosen, work, 1000)
        update(optimizer, 1e-2, 1.0)
    assert sum(means[:3]) / 3 < 0.7
    assert sum(means[-3:]) / 3 > 0.8, str(means)
