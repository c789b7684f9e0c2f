"""Every algorithm must learn, give the same twice, and go on as if it had not been interrupted.

The toy tasks begin where about half of the words are right (0.4 to 0.65); an algorithm passes a task when the last ten
steps give the mean reward that is stated here.
"""

import math
from dataclasses import replace

import pytest

from eclectus.errors import ConfigError, RunError
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.training import checkpoint as ckpt
from eclectus.training.guard import Guard
from eclectus.training.optimizer import scheduled
from tests.toy import cold, corpus, final, learn, mean, records, reinforcer, repeats, same, steps_of, stop_after

# Half the rate where each batch of samples is used twice: otherwise the policy commits to what it found first.
TWICE = {"updates": 2, "learning_rate": 1.5e-3, "samples": 8}
# The critic must follow a policy that changes within a hundred steps.
CRITIC = {"critic_learning_rate": 1e-2}
EVERY = [
    ("rloo", {}, {"samples": 8}),
    ("rloo", {}, TWICE),
    ("grpo", {}, {"samples": 8}),
    ("grpo", {"scale": "group", "length": "sequence"}, TWICE),
    ("grpo", {"scale": "batch", "ratio": "sequence", "length": "sequence"}, TWICE),
    ("reinforce", {}, {"samples": 1, "segments": 96}),
    ("reinforce", {"baseline": "moving"}, {"samples": 1, "segments": 96}),
    ("self_critical", {}, {"samples": 2, "segments": 32}),
    ("mrt", {}, {"samples": 8}),
    ("mrt", {"alpha": 1.0}, {"samples": 8}),
    ("mixer", {"every": 15, "release": 1}, {}),
    ("a2c", CRITIC, {"samples": 4, "segments": 32}),
    ("ppo", CRITIC, TWICE | {"minibatches": 2}),
]


# Enough for the slowest, self-critical training, at a rate at which none falls back for some steps.
STEPS = {"copy": 320, "reverse": 120, "words": 200}
STEADY = {"learning_rate": 1e-3}


def label(value):
    return value if isinstance(value, str) else ",".join(f"{k}:{v}" for k, v in value.items()) or "-"


@pytest.mark.parametrize(
    "task", [pytest.param("copy", marks=pytest.mark.slow), "reverse", pytest.param("words", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("name", "options", "changes"), EVERY, ids=label)
def test_an_algorithm_learns_what_is_rewarded(tmp_path, name, options, changes, task):
    rows = learn(tmp_path, task, name, options=options, steps=STEPS[task], **STEADY | changes)
    first, last = mean(rows[:3]), mean(rows[-10:])
    if name == "mixer":
        assert rows[0]["forced"] > 0.7 and rows[-1]["forced"] == 0  # it begins with the reference given
    else:
        assert first < 0.72
    assert last > 0.75, f"{first:.2f} -> {last:.2f}"


def test_it_learns_from_samples_of_what_is_left_and_never_ends_too_soon(tmp_path):
    limits = {"truncate": {"top_k": 20, "top_p": 0.95}, "min_length": 3}
    rows = learn(tmp_path, "reverse", "rloo", steps=STEPS["reverse"], samples=8, **limits, **STEADY)
    assert mean(rows[:3]) < 0.72 and mean(rows[-10:]) > 0.75
    assert max(row["logprob_mismatch"] for row in rows) < 1e-4
    assert all(row["empty"] == 0 for row in rows)


FIRST_OF_EACH = {case[0]: case for case in reversed(EVERY)}
DECODER_ONLY = FIRST_OF_EACH | {"mixer": ("mixer", {"every": 10, "release": 1}, {"samples": 8})}


@pytest.mark.parametrize(
    "task", [pytest.param("copy", marks=pytest.mark.slow), "reverse", pytest.param("words", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("name", "options", "changes"), DECODER_ONLY.values(), ids=label)
def test_a_decoder_only_policy_learns_what_is_rewarded(tmp_path, name, options, changes, task):
    """From a third to a half of the words right to three quarters in 80 steps, whatever the algorithm."""
    rows = learn(tmp_path, task, name, options=options, steps=80, kind="causal", **changes)
    first, last = mean(rows[:3]), mean(rows[-10:])
    if name == "mixer":
        assert rows[0]["forced"] > 0.6 and rows[-1]["forced"] == 0  # at first three of the four tokens are given
    else:
        assert first < 0.6
    assert last > 0.75, f"{first:.2f} -> {last:.2f}"


@pytest.mark.slow
@pytest.mark.parametrize("task", ["copy", "reverse", "words"])
def test_without_a_baseline_learning_is_slow_and_with_one_it_is_not(tmp_path, task):
    settings = {"samples": 1, "segments": 64, "steps": 100}
    bare = learn(tmp_path / "bare", task, "reinforce", options={"baseline": "none"}, **settings)
    with_one = learn(tmp_path / "with", task, "reinforce", **settings)
    assert mean(with_one[-10:]) > mean(bare[-10:]) + 0.1


def test_nothing_is_learned_from_a_constant_reward(tmp_path):
    reward = {"terms": [{"type": "constant"}], "normalise": "none", "unfinished": None}
    rows = learn(tmp_path, "copy", "rloo", steps=3, task_options={"reward": reward})
    assert all(row["zero_signal"] == 1.0 and row["grad_norm"] == 0.0 for row in rows)


EVERYTHING = {
    "steps": 6,
    "segments": 6,
    "samples": 3,
    "updates": 2,
    "temperature": {"start": 1.0, "end": 0.8, "steps": 6},
    "explore": {"epsilon": 0.1, "top_k": 4},
    "kl": {"estimator": "exact", "target": 0.01},
    "entropy": {"weight": 0.01, "target": 1.0},
    "task_options": {"kl": 0.1, "mle": 0.1},
}


ACTOR_CRITIC = {
    "a2c": ({"trunk": 0.5, "critic_steps": 2}, {"updates": 1}),
    "ppo": (
        {"kl_in_reward": 0.1},
        {"minibatches": 2, "kl": {"estimator": "exact"}, "task_options": {"kl": 0.0, "mle": 0.1}},
    ),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "seq2seq") for name in ("rloo", "grpo", "reinforce", "self_critical", "mrt", "mixer", "a2c", "ppo")),
        *((name, "causal") for name in ("grpo", "mixer", "ppo")),
    ],
)
def test_same_seed_same_weights_and_resumed_equals_uninterrupted(tmp_path, name, kind):
    options, changes = ACTOR_CRITIC.get(name, ({}, {}))
    settings = EVERYTHING | changes | {"options": options, "kind": kind}
    whole, resumed = repeats(tmp_path, "copy", name, **settings)
    assert resumed.updater.kl["toy"].weight == whole.updater.kl["toy"].weight
    assert whole.updater.kl["toy"].weight == 0 if name == "ppo" else whole.updater.kl["toy"].weight != 0.1
    if name in ACTOR_CRITIC:
        assert any(key.startswith("algorithm_optimizer/") for key in final(whole))
    assert resumed.updater.entropy.weight == whole.updater.entropy.weight != 0.01


def test_everything_that_steers_exploration_is_logged(tmp_path):
    rows = learn(tmp_path, "copy", "rloo", **EVERYTHING)
    assert [row["temperature"] for row in rows] == pytest.approx([1 - 0.2 * step / 6 for step in range(1, 7)], abs=1e-6)
    for name in ("explored", "policy_entropy", "entropy_weight", "kl/toy", "kl_weight/toy", "skipped_updates", "empty"):
        assert all(name in row for row in rows), name
    # an epsilon of 0.1 is what was explored, but for chance
    assert mean(rows, "explored") == pytest.approx(0.1, abs=0.03)


# --- a run of given time


def timed(folder, monkeypatch, **changes):
    """A run whose every step takes ten seconds by its clock, and which has 35."""
    trainer = reinforcer(folder, "copy", segments=4, evaluate_every=100, **{"steps": 50, "seconds": 35} | changes)
    monkeypatch.setattr("eclectus.parallel.now", lambda: 10.0 * trainer.step)
    return trainer


def test_a_run_of_given_time_ends_by_the_clock_and_its_rate_falls_to_there(tmp_path, monkeypatch):
    trainer = timed(tmp_path, monkeypatch, decay=True)
    trained = trainer.train()
    assert (trained.steps, trained.seconds, trained.reason, trained.complete) == (4, 40.0, "time used up", True)
    rows = steps_of(tmp_path)
    # By the pace so far it expects 50 steps (it has made none), then the 4 that it will make.
    expected = [scheduled(3e-3, step, steps, 0, 0.1) for step, steps in enumerate([50, 4, 4, 4], 1)]
    assert [row["learning_rate"] for row in rows] == pytest.approx(expected, abs=1e-6)
    kinds = [(row["kind"], row["step"]) for row in records(tmp_path) if row["kind"] != "step"]
    assert kinds == [("dev", 0), ("parts", 4), ("dev", 4)]  # what comes at the end comes at this end too
    assert ckpt.latest(trainer.folder).state["step"] == 4


def test_the_steps_end_a_run_that_has_time_left(tmp_path, monkeypatch):
    trained = timed(tmp_path, monkeypatch, steps=3).train()
    assert (trained.steps, trained.reason) == (3, "all steps done")


def test_a_resumed_run_has_the_time_that_was_left(tmp_path, monkeypatch):
    whole = timed(tmp_path / "whole", monkeypatch)
    whole.train()
    cut = timed(tmp_path / "cut", monkeypatch)
    stop_after(cut, 10)  # seconds: what the bar counts
    assert not cut.train().complete
    resumed = timed(tmp_path / "cut", monkeypatch)
    assert resumed.train(resume=True).steps == 4
    assert same(final(whole), final(resumed))


# --- strategies beside their absence, on the task where there is something to lose


@pytest.mark.slow
def test_entropy_is_held_up_towards_its_target_and_falls_without(tmp_path):
    settings = {"steps": 100, "task": "reverse"}
    free = learn(tmp_path / "free", entropy={"weight": 1e-9}, **settings)
    held = learn(tmp_path / "held", entropy={"weight": 0.05, "target": 0.5, "rate": 0.1}, **settings)
    low, up = mean(free[-10:], "policy_entropy"), mean(held[-10:], "policy_entropy")
    assert low < 0.3 and 1.5 * low < up < 0.6


@pytest.mark.slow
def test_kl_is_held_at_its_target_and_runs_away_without(tmp_path):
    settings = {"steps": 100, "task": "reverse", "task_options": {"kl": 0.01}}
    free = learn(tmp_path / "free", **settings)
    held = learn(tmp_path / "held", kl={"target": 0.05, "gain": 0.5}, **settings)
    free, held = ([row for row in rows if "kl" in row] for rows in (free, held))  # not where nothing was to be learnt
    assert mean(free[-10:], "kl") > 0.15
    assert mean(held[-10:], "kl") == pytest.approx(0.05, abs=0.03)


# --- what must not break a run


def test_a_policy_that_has_diverged_ends_the_run_with_one_sentence(tmp_path):
    trainer = reinforcer(tmp_path, "copy", "rloo", steps=9, segments=4, learning_rate=1e30)
    with pytest.raises(RunError, match="diverged"):
        trainer.train()


def test_all_abstaining_is_a_step_without_update_and_is_counted(tmp_path):
    reward = {"terms": [{"type": "tests.toy:abstain"}], "normalise": "none", "unfinished": None}
    for name in ("rloo", "grpo", "reinforce", "self_critical", "mrt", "a2c", "ppo"):
        rows = learn(tmp_path / name, "copy", name, steps=2, segments=4, task_options={"reward": reward})
        assert all(row["unjudged"] == 1.0 and row["grad_norm"] == 0.0 for row in rows), name
        assert all(row["loss"] == 0.0 for row in rows), name


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_reward_that_is_no_finite_number_stops_the_run_with_its_name(tmp_path, value):
    reward = {"terms": [{"type": f"tests.toy:{value}"}], "normalise": "none"}
    trainer = reinforcer(tmp_path, "copy", "rloo", steps=1, task_options={"reward": reward})
    with pytest.raises(
        RunError, match=f"gave {value} to the hypothesis .* must be a finite number, or None to abstain"
    ):
        trainer.train()


def test_samples_cut_by_the_limit_are_counted_and_get_their_reward(tmp_path):
    rows = learn(tmp_path, "copy", "rloo", steps=2, segments=4, max_length=2)
    assert all(row["unfinished"] > 0.9 and row["length"] <= 2 for row in rows)
    assert all(row["reward"] <= 0.1 for row in rows)


def test_empty_samples_are_counted(tmp_path):
    trainer = reinforcer(tmp_path, "copy", "rloo", steps=2, segments=4)
    end = trainer.policy.end_id
    trainer.policy.model.final_logits_bias[0, end] = 100.0  # says nothing but the end
    trainer.train()
    rows = steps_of(tmp_path)
    assert all(row["empty"] == 1.0 and row["length"] == 1.0 and row["zero_signal"] == 1.0 for row in rows)


def test_a_gradient_that_is_not_finite_is_not_applied_and_is_counted(tmp_path, monkeypatch):
    trainer = reinforcer(tmp_path, "copy", "rloo", steps=1, segments=4)
    before, said = ckpt.weights(trainer.policy.model), []
    advantages = trainer.algorithm.advantages
    monkeypatch.setattr(trainer.algorithm, "advantages", lambda inputs: advantages(inputs) * math.inf)
    monkeypatch.setattr(trainer.tracker, "warn", said.append)
    trainer._evaluate = lambda *_: None
    trainer.step = 1
    trainer._advance()
    assert same(before, ckpt.weights(trainer.policy.model))
    (row,) = steps_of(tmp_path)
    assert row["skipped_updates"] == 1
    assert "gradient is not finite" in said[0] and "learning_rate" in said[0]


@pytest.mark.parametrize("name", ["rloo", "grpo", "mrt", "mixer"])
def test_a_group_of_one_is_refused_where_samples_are_compared(tmp_path, name):
    with pytest.raises(ConfigError, match=f"'{name}' compares the samples .* at least 2, not 1; set samples higher"):
        reinforcer(tmp_path, "copy", name, samples=1)


def test_mixer_without_references_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'mixer' learns from references, which the task 'toy' withholds"):
        reinforcer(tmp_path, "copy", "mixer", task_options={"references": False})


@pytest.fixture
def longer(monkeypatch):
    """The corpus of a task with every second reference a word longer, for which there are no positions."""
    rows = [
        replace(row, reference=f"{row.reference} {row.reference.split()[0]}") if number % 2 else row
        for number, row in enumerate(corpus("copy"))
    ]
    room = len(cold("copy", "seq2seq").encode_targets([rows[0].reference])[0])
    monkeypatch.setattr(Seq2SeqPolicy, "target_room", property(lambda _: room))
    return rows


def test_a_demonstration_without_its_end_is_not_shown(tmp_path, longer):
    trainer = reinforcer(tmp_path, "copy", "rloo", steps=1, segments=4, task_options={"mle": 1.0})
    prompts = [(0, segment) for segment in longer[:4]]
    sources = trainer.policy.tokenize_sources([segment for _, segment in prompts])
    targets = trainer.policy.tokenize_targets([segment.reference for _, segment in prompts])
    assert [shown.target for shown in trainer._demonstrations(prompts, sources)] == targets[::2]
    cut = [replace(sources[0], cut=True), *sources[1:]]
    assert [shown.target for shown in trainer._demonstrations(prompts, cut)] == targets[2::2]


@pytest.mark.parametrize("name", ["mixer", "q_learning"])
def test_a_reference_without_its_end_is_not_learnt_from(tmp_path, monkeypatch, longer, name):
    options = {"likelihood_steps": 9} if name == "mixer" else {"demonstrations": 0.5}
    trainer = reinforcer(tmp_path, "copy", name, steps=1, segments=16, options=options, prompts={"en-es": longer})
    targets = trainer.policy.tokenize_targets([row.reference for row in longer])
    whole = {row.source: target for row, target in zip(longer[::2], targets[::2], strict=True)}
    begun, draw = {}, trainer.policy.sample

    def listening(segments, samples, sampling, generator, prefixes=None, among=None):
        begun.update(zip([segment.source for segment in segments], prefixes or [], strict=False))
        return draw(segments, samples, sampling, generator, prefixes, among)

    monkeypatch.setattr(trainer.policy, "sample", listening)
    trainer.train()
    if name == "mixer":
        assert begun == {source: whole.get(source, []) for source in begun}
        assert 0 < sum(tokens == [] for tokens in begun.values()) < 16
    else:
        shown = [list(episode.tokens) for episode in trainer.algorithm.demonstrations._episodes]
        assert 0 < len(shown) < 16 and all(tokens in whole.values() for tokens in shown)
        assert trainer.algorithm.refused == 16 - len(shown)


def test_what_has_ended_early_stays_ended(tmp_path, monkeypatch):
    """Killed after its last checkpoint, before the stage is recorded; or stopped by the user at the very step."""

    def made(part, **changes):
        return reinforcer(tmp_path / part, steps=8, segments=4, evaluate_every=2, **changes)

    timed = made("timed", seconds=1e-3).train()
    assert (timed.steps, timed.reason, timed.complete) == (1, "time used up", True)
    assert made("timed", seconds=1e-3).train(resume=True) == timed

    def gamed(self, chrf, reward):
        return "gamed" if len(asked) == 2 else asked.append(chrf)

    for part, stopped in (("gamed", False), ("stopped", True)):
        asked = []
        with monkeypatch.context() as patched:
            patched.setattr(Guard, "check", gamed)
            run = made(part)
            if stopped:
                stop_after(run, 4)
            first = run.train()
        assert (first.steps, first.complete) == (4, not stopped)
        again = made(part).train(resume=True)
        assert (again.steps, again.reason, again.complete) == (4, "stopped early: gamed", True)
