"""Supervised training: what chooses its weights, and that one which is stopped goes on to the same ones."""

import itertools

import pytest

from eclectus import parallel
from eclectus.config import BackTranslationConfig, SupervisedConfig
from eclectus.errors import DataError
from eclectus.training.supervised import train_supervised
from eclectus.training.tracking import Tracker
from eclectus.training.validation import DevScores
from tests.tiny import segments, tiny_policy
from tests.tiny_run import lines


class Dev:
    """A dev set whose chrF++ follows a script, one value for each look."""

    def __init__(self, *scores):
        self.scores, self.segments = iter(scores), {"en-es": []}

    def translate(self, policy, max_length):
        self.chrf = next(self.scores)
        return {"en-es": [str(self.chrf)]}

    def score(self, outputs, directions=None):
        return DevScores(0.0, self.chrf, 0.0, 1.0, 0.0, 0.0, 0.0)


class Stopping(Tracker):
    """The user stops the training while it looks at dev after a step, this one or the next."""

    def __init__(self, folder, at):
        super().__init__(folder)
        self.at = at

    def log(self, kind, stage, step, values):
        super().log(kind, stage, step, values)
        self.stop_requested |= kind == "dev" and step >= self.at


def trained(folder, dev, tracker=None, config=None, **options):
    config = config or SupervisedConfig(steps=5, evaluate_every=1, patience=1, warmup=0, batch_tokens=60)
    pairs = {"en-es": segments("en", "es")}
    tracker = tracker or Tracker(folder)
    return train_supervised(
        tiny_policy(), config, pairs, dev, seed=1, folder=folder / "checkpoints", tracker=tracker, **options
    )


def test_patience_that_has_run_out_is_known_to_a_resume(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "stopped").mkdir()
    whole = trained(tmp_path / "whole", Dev(10.0, 5.0, 20.0))
    assert (whole.steps, whole.best_step, whole.complete) == (2, 1, True)
    half = trained(tmp_path / "stopped", Dev(10.0, 5.0), Stopping(tmp_path / "stopped", 2))
    assert (half.steps, half.complete) == (2, False)
    again = trained(tmp_path / "stopped", Dev(20.0, 20.0, 20.0), resume=True)
    assert (again.steps, again.best_step, again.reason) == (2, 1, whole.reason) and again.complete


@pytest.mark.parametrize("judge_start", [False, True])
def test_what_was_logged_before_the_first_checkpoint_is_forgotten(tmp_path, judge_start):
    tracker = Tracker(tmp_path)
    tracker.log("step", "supervised", 1, {"loss": 9.0})
    trained(tmp_path, Dev(10.0, 5.0, 20.0), tracker, resume=True, judge_start=judge_start)
    rows = lines(tmp_path)
    assert 9.0 not in [row.get("loss") for row in rows]
    assert len({(row["kind"], row["step"]) for row in rows}) == len(rows)


def test_time_that_is_used_up_is_known_to_a_resume(tmp_path, monkeypatch):
    """A step takes three ticks of the clock, a look at dev and the end of the step two."""
    ticks = itertools.count()
    monkeypatch.setattr(parallel, "now", lambda: float(next(ticks)))
    (tmp_path / "whole").mkdir()
    (tmp_path / "stopped").mkdir()
    options = {"seconds": 4.0, "evaluations": 1}
    whole = trained(tmp_path / "whole", Dev(10.0, 20.0), **options)
    assert whole.reason == "time used up" and 1 < whole.steps < 5
    half = trained(tmp_path / "stopped", Dev(10.0, 20.0), Stopping(tmp_path / "stopped", whole.steps), **options)
    assert (half.steps, half.complete) == (whole.steps, False)
    again = trained(tmp_path / "stopped", Dev(30.0), resume=True, **options)
    assert (again.steps, again.best_step, again.reason) == (whole.steps, whole.best_step, "time used up")
    assert again.seconds == half.seconds


def test_the_bar_of_a_training_of_given_time_goes_on_at_the_seconds(tmp_path, monkeypatch):
    bars, progress = [], Tracker.progress
    monkeypatch.setattr(Tracker, "progress", lambda self, *shown: (bars.append(shown), progress(self, *shown))[1])
    ticks = itertools.count()
    monkeypatch.setattr(parallel, "now", lambda: 7.0 * next(ticks))
    options = {"seconds": 1000.0, "evaluations": 40}
    half = trained(tmp_path, Dev(10.0, 20.0), Stopping(tmp_path, 2), **options)
    assert not half.complete and half.seconds > half.steps + 20
    trained(tmp_path, Dev(30.0, 40.0, 50.0), resume=True, **options)
    assert bars == [("supervised", 1000, 0), ("supervised", 1000, int(half.seconds))]


def test_text_that_is_missing_is_named_by_the_part_that_asks_for_it(tmp_path):
    denoising = {"languages": ["es"]}
    for part, config in {
        "supervised": SupervisedConfig(denoising=denoising),
        "back_translation": BackTranslationConfig(denoising=denoising, synthetic=["en-es"]),
    }.items():
        with pytest.raises(DataError, match=rf"^{part}\.denoising: no training text in 'es'"):
            trained(tmp_path, Dev(), config=config)


def test_the_weights_are_chosen_by_whoever_judges(tmp_path):
    """Without a judge by chrF++ against references."""
    judged = []

    def judge(outputs):
        judged.append(outputs["en-es"][0])
        return {"10.0": 3.0, "30.0": 2.0}[judged[-1]], {"reward/x": 0.25}

    assert trained(tmp_path, Dev(10.0, 30.0), judge=judge).best_step == 1
    assert judged == ["10.0", "30.0"]
    rows = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    assert '"score": 3.0, "reward/x": 0.25, "selected": true' in rows
    assert trained(tmp_path, Dev(10.0, 30.0, 20.0)).best_step == 2


def test_every_process_chooses_by_what_the_first_one_says(tmp_path, monkeypatch):
    """A server or a GPU may say something else in each, and they would keep the weights of different steps."""
    heard = {10.0: 30.0, 40.0: 20.0}
    monkeypatch.setattr(
        parallel, "leaders", lambda said: (heard[said[0]], said[1]) if isinstance(said, tuple) else said
    )
    kept = trained(tmp_path, Dev(10.0, 40.0))
    assert (kept.best_step, kept.score) == (1, 30.0)
