import io
import json

import pytest
from rich.console import Console

from eclectus.training.tracking import Tracker


def test_texts_with_brackets_are_shown_as_they_are(tmp_path):
    out = io.StringIO()
    tracker = Tracker(tmp_path, Console(file=out, width=100))
    samples = [{"text": "Pulsa [/b] aquí", "reward": 0.5}, {"text": "[red]x[/]", "reward": 0.25}]
    tracker.samples("reinforce", 1, [{"direction": "en-es", "source": "Press [/b] [bold]here", "samples": samples}])
    tracker.say("task [/x]: done")
    tracker.warn("task [/y]: gamed")
    shown = out.getvalue()
    for text in ("Press [/b] [bold]here", "Pulsa [/b] aquí", "[red]x[/]", "task [/x]: done", "task [/y]: gamed"):
        assert text in shown


def test_a_line_that_a_kill_has_cut_does_not_keep_a_run_from_going_on(tmp_path):
    tracker = Tracker(tmp_path)
    for step in (1, 2, 3):
        tracker.log("step", "reinforce", step, {"reward": 0.5})
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + '{"kind": "step", "sta', encoding="utf-8")
    tracker.forget_after("reinforce", 2)
    tracker.log("step", "reinforce", 3, {"reward": 0.75})
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(row["step"], row["reward"]) for row in rows] == [(1, 0.5), (2, 0.5), (3, 0.75)]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (4e-7, 4e-7),
        (1.23456789e-7, 1.2345679e-7),
        (100 / 3, 33.333333),
        (12345.678912, 12345.679),
        (7, 7),
        (True, True),
    ],
)
def test_small_values_keep_their_digits(tmp_path, value, written):
    Tracker(tmp_path).log("step", "reinforce", 1, {"value": value})
    (row,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    assert row["value"] == written and type(row["value"]) is type(value)
