"""Controls beside a reinforcement learning that its stop rule ended: judged as it was, for as many steps."""

import json
from types import SimpleNamespace

import pytest

from eclectus.evaluation.results import STOPPED_EARLY, Results
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.training import controls, run
from eclectus.training.guard import Guard
from eclectus.training.supervised import TIME_USED_UP, Trained
from tests.tiny_run import NUMBERS, lines, settings

CONTROLS = ["constant_reward", "supervised", "distillation", "best_of_n"]


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """The folder of a run that was stopped after 3 of its 6 steps, and how best of n sampled."""
    folder, drawn, sample = tmp_path_factory.mktemp("beside"), [], Seq2SeqPolicy.sample
    path = folder / "numbers.tsv"
    digits = [(i // 36, i // 6 % 6, i % 6) for i in range(200)]
    rows = ["\t".join(" ".join(words[d] for d in row) for words in NUMBERS.values()) for row in digits]
    path.write_text("\n".join(["\t".join(NUMBERS), *rows]) + "\n", encoding="utf-8")

    def watched(self, segments, n, sampling, *rest):
        if n == controls._BEST_OF:
            drawn.append(sampling)
        return sample(self, segments, n, sampling, *rest)

    with pytest.MonkeyPatch.context() as patch:
        looks = iter([None, "gamed"])
        patch.setattr(Guard, "check", lambda *_: next(looks))
        patch.setattr(Seq2SeqPolicy, "sample", watched)
        run.start(settings(path, controls=CONTROLS, reinforce__max_length=3, reinforce__warmup=0), folder / "run")
    return folder / "run", drawn


def test_all_that_train_choose_their_weights_by_the_score_of_reinforcement_learning(beside):
    rows = [row for row in lines(beside[0]) if row["kind"] == "dev" and row["stage"] != "supervised"]
    assert {row["stage"] for row in rows} == {"reinforce", "constant_reward", "supervised_continued", "distillation"}
    for row in rows:
        assert row["score"] == pytest.approx((100 * row["reward/new"] + row["chrf/old"]) / 2, abs=1e-4)
    assert len({row["score"] for row in rows if row["step"] == 0}) == 1


def test_the_run_s_own_supervised_part_is_chosen_by_references(beside):
    rows = [row for row in lines(beside[0]) if row["kind"] == "dev" and row["stage"] == "supervised"]
    assert rows and all(row["score"] == row["chrf/supervised"] for row in rows)


def test_constant_reward_makes_the_steps_that_reinforcement_learning_made_at_its_rates(beside):
    rates = {}
    for row in lines(beside[0]):
        if row["kind"] == "step":
            rates.setdefault(row["stage"], []).append(row["learning_rate"])
    assert len(rates["reinforce"]) == 3
    assert rates["constant_reward"] == rates["reinforce"]
    told = json.loads((beside[0] / "stages" / "constant_reward.json").read_text(encoding="utf-8"))
    assert told["steps"] == 3 and told["complete"]


@pytest.mark.parametrize(
    ("seconds", "reason", "last"),
    [(50.0, "all steps done", 40), (99.0, "stopped early: gamed", 40), (50.0, TIME_USED_UP, None)],
)
def test_the_clock_that_ended_reinforcement_learning_ends_its_control(seconds, reason, last):
    """And nothing else does, however long back-translations before it took."""
    assert controls.last_step(Trained(40, 0, 0.0, seconds, complete=True, reason=reason)) == last


@pytest.mark.parametrize(("steps", "looks"), [(3, 1), (49, 1), (50, 1), (51, 2), (99, 2), (100, 2), (149, 3)])
def test_controls_are_judged_as_often_as_reinforcement_learning_was_at_its_last_step_too(steps, looks):
    config = SimpleNamespace(config=SimpleNamespace(reinforce=SimpleNamespace(evaluate_every=50)))
    trained = Trained(steps, 0, 0.0, 9.0, complete=True, reason="all steps done")
    assert controls._Control(config, None, (), None, trained).evaluations == looks


def test_the_time_of_a_control_contains_making_its_pairs(monkeypatch):
    config = SimpleNamespace(config=SimpleNamespace(reinforce=SimpleNamespace(evaluate_every=50)))
    base, bench = SimpleNamespace(copy=lambda **_: None), SimpleNamespace(add=lambda *_: None)
    asked = []

    def continued(self, policy, stage, pairs, seconds, evaluations):
        asked.append(seconds)
        return Trained(7, 7, 1.0, seconds + 0.5, complete=True, reason=TIME_USED_UP)

    monkeypatch.setattr(controls._Control, "_continue", continued)
    control = controls._Control(config, base, (), bench, Trained(100, 0, 0.0, 10.0, complete=True, reason=""))
    made = control._train("distillation", "distillation", "", {}, making=2.0)
    assert (made.seconds, made.steps, asked) == (10.5, 7, [8.0])
    assert control._train("supervised_continued", "supervised, continued", "", {}).seconds == 10.5


def test_a_system_whose_reward_was_gamed_says_so_first(beside):
    described = {system.name: system.description for system in Results.load(beside[0]).systems}
    assert described["rl"].startswith(f"{STOPPED_EARLY}: gamed; ")


def test_the_pivot_is_read_by_the_same_search_as_its_rivals(corpus, tmp_path, monkeypatch):
    """Greedily in the run's own table, and with beams in the one with beams."""
    searched, search = [], Seq2SeqPolicy.beam_search

    def watched(self, segments, beams, *rest):
        searched.append((segments[0].direction, beams))
        return search(self, segments, beams, *rest)

    monkeypatch.setattr(Seq2SeqPolicy, "beam_search", watched)
    config = settings(corpus, controls=[], reinforce__steps=1, evaluation__also_beams=2)
    run.start(config, tmp_path / "run")
    assert [direction for direction, _ in searched].count("es-en") == 1 and ("en-fr", 2) in searched
    told = [Results.load(tmp_path / "run" / part).scores["es-fr"] for part in ("", "beam")]
    assert all("pivot" in scores for scores in told)


def test_best_of_n_may_be_as_long_as_what_it_stands_beside(beside):
    _, drawn = beside
    assert drawn and {sampling.max_length for sampling in drawn} == {8}
