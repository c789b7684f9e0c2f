"""Controls beside a reinforcement learning that its stop rule ended: judged as it was, for as many steps."""

import json

import pytest

from eclectus.config import ReinforceConfig
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.training import controls, run
from eclectus.training.guard import Guard
from eclectus.training.supervised import Trained
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
    ("limit", "steps", "seconds", "last"),
    [
        (None, 100, 50.0, 100),
        (None, 40, 20.0, 40),
        (60.0, 40, 20.0, 40),  # by the stop rule
        (60.0, 40, 60.5, None),  # by the clock, which ends the control too
    ],
)
def test_the_clock_that_ended_reinforcement_learning_ends_its_control(limit, steps, seconds, last):
    config = ReinforceConfig(
        tasks=[{"name": "x", "directions": ["en-es"], "reward": {"terms": [{"type": "constant"}]}}],
        steps=100,
        seconds=limit,
    )
    assert controls.last_step(config, Trained(steps, 0, 0.0, seconds, complete=True, reason="")) == last


def test_best_of_n_may_be_as_long_as_what_it_stands_beside(beside):
    _, drawn = beside
    assert drawn and {sampling.max_length for sampling in drawn} == {8}
