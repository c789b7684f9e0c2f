"""Value-based training: it learns, resumes with memory and target network, and leaves a model that translates."""

import json

import pytest
import torch

from eclectus import inference
from eclectus.errors import ConfigError, ModelError
from eclectus.policies.load import load_policy
from eclectus.training import run
from tests.tiny_run import settings
from tests.toy import corpus, final, learn, mean, reinforcer, repeats, steps_of

QUICK = {"learning_rate": 1e-2, "batch": 64, "beta": 32.0}
BOOTSTRAPPED = {**QUICK, "learning_rate": 3e-3, "n_step": 3, "tau": 0.2}
"""Shorter than the translations, so that the first token learns from values and the three algorithms differ."""
TAUGHT = {**QUICK, "demonstrations": 0.25, "conservative": 0.1}
SETTINGS = {"steps": 100, "updates": 4}
PATIENT = {"learning_rate": 3e-3}, {"steps": 120}
"""For the task that is hardest to learn from values."""


def label(value):
    if isinstance(value, str | float):
        return str(value)
    return ",".join(f"{k}:{v}" for k, v in value.items())


@pytest.mark.parametrize(
    "task", [pytest.param("copy", marks=pytest.mark.slow), "reverse", pytest.param("words", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("name", "options", "wanted", "kind"),
    [
        ("q_learning", BOOTSTRAPPED, 0.5, "seq2seq"),
        ("sarsa", BOOTSTRAPPED, 0.5, "seq2seq"),
        ("expected_sarsa", BOOTSTRAPPED, 0.5, "seq2seq"),
        ("q_learning", QUICK, 0.55, "seq2seq"),
        ("q_learning", TAUGHT, 0.6, "seq2seq"),
        ("q_learning", BOOTSTRAPPED, 0.5, "causal"),
        ("sarsa", BOOTSTRAPPED, 0.5, "causal"),
        ("expected_sarsa", BOOTSTRAPPED, 0.5, "causal"),
    ],
    ids=label,
)
def test_values_of_a_frozen_model_learn_what_is_rewarded(tmp_path, task, name, options, wanted, kind):
    """From a third to a half of the words right in samples to what is stated, around a model that does not change."""
    slower, longer = PATIENT if task == "copy" else ({}, {})
    options, settings = options | slower, SETTINGS | longer
    trainer = reinforcer(tmp_path, task, name, options=options, kind=kind, **settings)
    start = {k: v.clone() for k, v in trainer.policy.model.state_dict().items() if not k.startswith("guide.")}
    trainer.train()
    rows = steps_of(tmp_path)
    ignored = learn(tmp_path / "ignored", task, name, options=options | {"beta": 0.0}, kind=kind, steps=5)
    first, last = mean(ignored), mean(rows[-10:])
    assert last > max(wanted, first + 0.1), f"{first:.2f} -> {last:.2f}"
    assert [row["kl"] for row in rows if "kl" in row][-1] > 0.1
    after = trainer.policy.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in start.items())


@pytest.mark.slow
def test_without_values_in_the_policy_nothing_is_gained(tmp_path):
    rows = learn(tmp_path, "reverse", "q_learning", options={**QUICK, "beta": 0.0}, **SETTINGS)
    assert mean(rows[-10:]) == pytest.approx(mean(rows[:10]), abs=0.05)


@pytest.mark.slow
def test_the_conservative_term_makes_references_alone_a_lesson(tmp_path):
    """Nothing but references in the memory: without the term every value is that of a reference."""
    found = {}
    for weight in (0.0, 0.3):
        options = {**QUICK, "demonstrations": 1.0, "conservative": weight}
        rows = learn(tmp_path / str(weight), "reverse", "q_learning", options=options, **SETTINGS)
        found[weight] = mean(rows[-10:])
    assert found[0.3] > found[0.0] + 0.15, found


EVERYTHING = {
    "steps": 6,
    "segments": 6,
    "samples": 3,
    "updates": 2,
    "temperature": {"start": 1.0, "end": 0.8, "steps": 6},
    "explore": {"epsilon": 0.1, "top_k": 4},
}
OPTIONS = {"batch": 8, "replay": 40, "hidden": 16, "rank": 4, "learning_rate": 1e-2, "n_step": 2}
OPTIONS |= {"demonstrations": 0.25, "conservative": 0.1, "beta": {"start": 0, "end": 8, "steps": 6}}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("q_learning", "seq2seq"), ("sarsa", "seq2seq"), ("expected_sarsa", "seq2seq"), ("expected_sarsa", "causal")],
)
def test_same_seed_same_weights_and_resumed_equals_uninterrupted(tmp_path, name, kind):
    whole, _ = repeats(tmp_path, "copy", name, options=OPTIONS, kind=kind, **EVERYTHING)
    names = final(whole)
    assert any("target|" in n for n in names) and any("rollouts|tokens" in n for n in names)
    assert whole.algorithm.rollouts._oldest  # the memory has gone round


def test_what_steers_it_is_logged(tmp_path):
    rows = learn(tmp_path, "copy", "q_learning", options=OPTIONS, **EVERYTHING)
    assert [row["beta"] for row in rows] == pytest.approx([8 * step / 6 for step in range(1, 7)])
    assert [row["replay"] for row in rows] == [18, 36, 40, 40, 40, 40]
    assert [row["demonstrations"] for row in rows] == [6, 12, 18, 24, 30, 36]
    names = ("q_loss", "conservative_loss", "q", "value_at_start", "return", "replay_refused", "explored", "grad_norm")
    assert all(name in row for row in rows for name in names)
    assert rows[0]["kl"] == rows[0]["kl/toy"] > 0  # before the first update it is 0, after it no longer
    assert all(row["zero_signal"] == 0 for row in rows)


def test_abstentions_are_counted_and_teach_nothing(tmp_path):
    reward = {"terms": [{"type": "tests.toy:abstain"}], "normalise": "none", "unfinished": None}
    for name in ("q_learning", "sarsa", "expected_sarsa"):
        changes = {"task_options": {"reward": reward}, "steps": 2, "segments": 4, "samples": 2}
        rows = learn(tmp_path / name, "copy", name, options={"demonstrations": 0.5}, **changes)
        assert [row["replay_refused"] for row in rows] == [12, 24]  # 8 samples and 4 references a step
        assert all(row["replay"] == row["demonstrations"] == row["grad_norm"] == 0 for row in rows)
        assert all(row["zero_signal"] == row["unjudged"] == 1 for row in rows)


def test_samples_cut_by_the_limit_are_remembered_with_their_reward(tmp_path):
    trainer = reinforcer(tmp_path, "copy", "q_learning", options=OPTIONS, steps=2, segments=4, max_length=2)
    trainer.train()
    kept = trainer.algorithm.rollouts._episodes
    assert sum(not e.ended for e in kept) > len(kept) / 2
    assert all(len(e.tokens) <= 2 and len(e.rewards) == len(e.tokens) for e in kept)


def short(prompts, completions, **_):
    """What a model that knows nothing can be taught in a few steps."""
    return [1 / (1 + len(completion)) for completion in completions]


def test_a_run_leaves_a_model_that_follows_its_values(corpus, tmp_path, capsys):
    reward = {"terms": [{"type": "tests.training.test_values:short"}], "normalise": "none"}
    task = {"name": "old", "directions": ["en-es"], "references": True, "reward": reward, "select_by": "reward"}
    changes = {
        "reinforce__algorithm": {"type": "q_learning", **OPTIONS, "beta": 500.0},
        "reinforce__tasks": [task],
        "reinforce__updates": 4,
        "evaluation__directions": ["en-es"],
    }
    folder = tmp_path / "run"
    run.start(settings(corpus, **changes), folder)
    policy, _ = load_policy(str(folder / "model"))
    assert policy.guide.beta == 500.0
    texts = ["one two three", "nine nine one"]
    inference.translate(str(folder), texts, None, None, "en", "es", beams=1, max_length=64)
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert lines == policy.translate([run.Segment(text, "en", "es") for text in texts], 128)
    # The test set was translated by the same policy, and not by the model without its values.
    rows = [json.loads(line) for line in (folder / "translations.jsonl").read_text(encoding="utf-8").splitlines()]
    asked = [run.Segment(row["source"], "en", "es") for row in rows]
    assert [row["systems"]["rl"] for row in rows] == policy.translate(asked, 8)
    assert any(row["systems"]["rl"] != row["systems"]["base"] for row in rows)
    with pytest.raises(ModelError, match=r"follows values \(guide.json\), which supervised"):
        run.start(settings(corpus, policy={"path": str(folder / "model")}), tmp_path / "second")
    assert not (tmp_path / "second" / "config.yaml").exists()


def test_a_policy_gradient_may_go_on_with_the_values(tmp_path):
    """Loaded, the values are the trainable part, and RLOO's gradient reaches them."""
    from eclectus.training.backward import accumulate
    from tests.algorithms.enumerated import algorithm
    from tests.tiny import random_guide, tiny_policy
    from tests.training.tiny_update import gradient, make_work

    policy = tiny_policy()
    policy.follow(random_guide(policy))
    accumulate(policy, policy.copy(), algorithm("rloo"), make_work(policy), 1000)
    assert gradient(policy).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({}, {"entropy": {"weight": 0.1}}, "'q_learning' has no policy gradient"),
        ({}, {"kl": {"target": 0.1}, "task_options": {"kl": 0.1}}, "'q_learning' has no policy gradient"),
        ({}, {"minibatches": 2}, "draws each update's batch from its replay buffer; set reinforce.minibatches: 1"),
        ({}, {"task_options": {"mle": 0.1}}, "by demonstrations, not by 'mle' of the task 'toy'; set mle: 0"),
        (
            {"demonstrations": 0.5},
            {"task_options": {"references": False}},
            "the task 'toy' withholds its references; set references: true there, or demonstrations: 0",
        ),
        ({"beta": -1.0}, {}, "beta must not be negative"),
        ({"beta": {"start": 1, "end": -1, "steps": 5}}, {}, "beta must not be negative"),
        ({"gamma": 1.5}, {}, "less than or equal to 1"),
    ],
)
def test_mistakes_are_found_at_the_door(tmp_path, options, changes, message):
    with pytest.raises(ConfigError, match=message):
        reinforcer(tmp_path, "copy", "q_learning", options=options, **changes)


def test_adapters_beside_values_are_refused_before_any_training(corpus, tmp_path):
    start = {"policy__path": "base", "policy__new": None, "policy__lora": {"rank": 2}}
    task = {"name": "old", "directions": ["en-es"], "reward": {"terms": [{"type": "chrf"}]}, "references": True}
    changes = {**start, "reinforce__algorithm": {"type": "q_learning"}, "reinforce__tasks": [task]}
    with pytest.raises(ModelError, match=r"values are learnt beside a frozen model.* drop policy\.lora"):
        run.start(settings(corpus, **changes), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_the_memory_holds_what_was_said_of_what(tmp_path):
    """Sources, tokens and rewards of one translation stand together: judged again, each gets the reward it has."""
    from tests.toy import positions

    trainer = reinforcer(tmp_path, "words", "q_learning", options=OPTIONS, steps=2, segments=6, samples=3)
    trainer.train()
    wanted = {source: row.reference for source, row in _sources(trainer.policy)}
    for memory in (trainer.algorithm.rollouts, trainer.algorithm.demonstrations):
        assert len(memory)
        for episode in memory._episodes:
            text = trainer.policy.detokenize([episode.tokens])[0]
            (reward,) = positions([], [text], [wanted[episode.source]])
            assert sum(episode.rewards) == pytest.approx(reward if episode.ended else 0.0)


def _sources(policy):
    rows = corpus("words")
    return zip(policy.tokenize_sources(rows), rows, strict=True)
