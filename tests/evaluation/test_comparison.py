"""Interquartile means and their intervals, against values worked out by hand."""

import json

import numpy as np
import pytest

from eclectus.evaluation import plots
from eclectus.evaluation.comparison import write
from eclectus.evaluation.metrics import DirectionScores
from eclectus.evaluation.results import STOPPED_EARLY, Group, Results, System
from eclectus.evaluation.runs import Estimate, estimate, interquartile_mean, spread
from eclectus.evaluation.sheets import markdown


def test_a_quarter_is_cut_at_either_end():
    assert interquartile_mean(np.array([[100.0, 1, 2, 3], [4, 5, 6, -50]])) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert interquartile_mean(np.array([[1.0, 2, 9]])) == pytest.approx(4)  # too few: nothing is cut


def test_one_run_has_no_interval():
    assert estimate(np.array([[10.0, 20, 30]])) == Estimate(20)
    assert spread(Estimate(20)) == "20.0"


def test_whole_runs_are_drawn():
    # Directions far apart: drawing values across directions would give an interval as wide as their distance.
    scores = np.array([[0.0, 100], [1, 101], [2, 102]])
    found = estimate(scores)
    assert found.value == pytest.approx((1 + 2 + 100 + 101) / 4)
    assert 50 <= found.low < 51 < found.high <= 52
    assert estimate(scores) == found
    same = estimate(np.array([[5.0, 7], [5, 7]]))
    assert (same.low, same.high) == (6, 6)
    # What a seed does to all directions of its model is not averaged away over them.
    effect = np.array([[0.0], [1], [3]])
    one, eight = estimate(effect), estimate(np.tile(effect, 8))
    assert eight.high - eight.low == pytest.approx(one.high - one.low, rel=0.2)


def test_the_distance_from_a_start_is_drawn_with_the_start_of_the_same_run():
    starts = np.array([[20.0], [25], [30]])
    assert estimate(starts + 2, starts) == Estimate(2, 2, 2)  # every run gains the same
    same_end = estimate(np.full((3, 1), 30.0), starts)
    assert (same_end.value, same_end.low, same_end.high) == (5, 0, 10)  # gains of 10, 5 and 0


def test_the_interval_is_written_with_its_value():
    assert spread(Estimate(1.04, -0.5, 2), sign=True) == "+1.0 [−0.5, 2.0]"


def test_variants_that_start_apart_are_measured_from_their_own_start(tmp_path):
    base, rl = System(name="base", label="start", role="base"), System(name="rl", label="RL", role="system")
    group = Group(name="pairs", label="pairs", directions=["en-es"])
    rates = {"exact": 0.0, "judged": 1.0, "length_ratio": 0.9, "repetition": 0.0, "copy": 0.0, "empty": 0.0}
    for variant, start, end in (("long", 30.0, 31.0), ("short", 20.0, 26.0)):
        scores = {
            name: DirectionScores(n=9, bleu=chrf / 2, chrf=chrf, off_target=None, **rates)
            for name, chrf in (("base", start), ("rl", end))
        }
        found = Results(
            title="t", seed=1, resamples=100, languages=["en", "es"], systems=[base, rl], groups=[group],
            scores={"en-es": scores}, by_corpus={}, comparisons=[], noise={}, signatures={}, versions={},
        )  # fmt: skip
        folder = tmp_path / variant / "seed-1"
        folder.mkdir(parents=True)
        found.save(folder)
        (folder / "config.yaml").write_text("reinforce: {segments: 1, samples: 2}\n")
    rows = write(tmp_path, ["long", "short"], [1])[0].rows
    assert [list(row) for row in rows] == [
        ["start of long", "1", "15.0", "–", "30.0", "–"],
        ["start of short", "1", "10.0", "–", "20.0", "–"],
        ["long", "1", "15.5", "+0.5", "31.0", "+1.0"],
        ["short", "1", "13.0", "+3.0", "26.0", "+6.0"],
    ]
    assert (tmp_path / "comparison.html").read_text().count('<tr class="base">') == 4  # in each of two tables


def test_the_weakest_direction_and_the_rates_stand_beside_the_means(tmp_path):
    rates = {"exact": 0.0, "judged": 1.0, "length_ratio": 0.9, "repetition": 0.02, "copy": 0.5, "empty": 0.0}

    def run(seed, spanish, french):
        def scores(chrf, agreement):
            return DirectionScores(n=9, bleu=1.0, chrf=chrf, off_target=None, agreement=agreement, **rates)

        group = Group(name="pairs", label="pairs", directions=["en-es", "en-fr"])
        base, rl = System(name="base", label="start", role="base"), System(name="rl", label="RL", role="system")
        found = Results(
            title="t", seed=seed, resamples=100, languages=["en", "es", "fr"], systems=[base, rl], groups=[group],
            scores={
                "en-es": {"base": scores(10.0, None), "rl": scores(spanish, 40.0)},
                "en-fr": {"base": scores(20.0, None), "rl": scores(french, 60.0)},
            },
            by_corpus={}, comparisons=[], noise={}, signatures={}, versions={},
        )  # fmt: skip
        folder = tmp_path / "mine" / f"seed-{seed}"
        folder.mkdir(parents=True)
        found.save(folder)
        (folder / "config.yaml").write_text("reinforce: {segments: 1, samples: 2}\n")
        if seed == 2:
            (folder / "report.html").write_text("a report")

    run(1, 30.0, 25.0)  # the weakest is another one in each run
    run(2, 13.0, 50.0)
    shown = write(tmp_path, ["mine"], [1, 2], {"mine": ["reinforce.temperature=1.2", "reinforce.samples=<2>"]})
    start, mine = json.loads((tmp_path / "comparison.json").read_text())["pairs"]
    assert (start["weakest"], mine["weakest"]) == (10.0, (25 + 13) / 2)
    assert start["rates"]["agreement"] is None and mine["rates"]["agreement"] == 50
    assert mine["rates"]["copy"] == 0.5 and mine["rates"]["off_target"] is None
    table = (tmp_path / "comparison.md").read_text()
    assert "| variant | weakest direction, chrF++ | exact | length | repetition | copy | empty | agreement |" in table
    assert "| mine | 19.0 | 0 % | 0.90 | 2.0 % | 50 % | 0 % | 50.0 |" in table
    page = (tmp_path / "comparison.html").read_text()
    assert "<td>19.0</td><td>0 %</td>" in page
    # What the variant is, and the reports that are there.
    link = "mine/seed-2/report.html"
    told = "- mine: `reinforce.temperature=1.2`; `reinforce.samples=<2>`; reports: [seed 2]"
    assert f"{told}({link})\n" in table
    assert "<code>reinforce.temperature=1.2</code>; <code>reinforce.samples=&lt;2&gt;</code>" in page
    assert f'<a href="{link}">seed 2</a>' in page and "seed 1</a>" not in page
    # The terminal shows the tables as they are in the file.
    names = ["Pairs (en-es, en-fr)", "Pairs: what the means do not see"]
    assert [sheet.title for sheet in shown][:2] == names
    assert list(shown[0].header) == ["variant", "runs", "BLEU", "Δ start", "chrF++", "Δ start"]
    assert list(shown[0].rows[0]) == ["start", "2", "1.0", "–", "15.0", "–"]
    assert markdown(shown) in table


def test_a_task_with_other_directions_has_no_curve_beside_the_others(tmp_path, monkeypatch):
    drawn, lines = [], plots.lines

    def watched(key, title, curves, **options):
        drawn.append([curve.label for curve in curves])
        return lines(key, title, curves, **options)

    monkeypatch.setattr(plots, "lines", watched)
    rates = {"exact": 0.0, "judged": 1.0, "length_ratio": 0.9, "repetition": 0.0, "copy": 0.0, "empty": 0.0}
    base, gamed = System(name="base", label="start", role="base"), f"{STOPPED_EARLY}: task 'pairs': gamed; kept"
    scores = DirectionScores(n=9, bleu=5.0, chrf=10.0, off_target=None, **rates)
    for variant, directions in (("one", ["en-es"]), ("both", ["en-es", "es-en"]), ("again", ["en-es"])):
        ended = gamed if variant == "again" else "all steps done"
        rl = System(name="rl", label="RL", role="system", description=ended, seconds=9.0)
        found = Results(
            title="t", seed=1, resamples=100, languages=["en", "es"], systems=[base, rl],
            groups=[Group(name="pairs", label="pairs", directions=directions)],
            scores={name: {"base": scores, "rl": scores} for name in ("en-es", "es-en")},
            by_corpus={}, comparisons=[], noise={}, signatures={}, versions={},
        )  # fmt: skip
        folder = tmp_path / variant / "seed-1"
        folder.mkdir(parents=True)
        found.save(folder)
        (folder / "config.yaml").write_text("reinforce: {segments: 1, samples: 2}\n")
        dev = {"kind": "dev", "stage": "reinforce", "seconds": 1.0, "chrf/pairs": 10.0}
        (folder / "metrics.jsonl").write_text("".join(json.dumps(dev | {"step": step}) + "\n" for step in (0, 1)))
    sheets = write(tmp_path, ["one", "both", "again"], [1])
    (cost,) = [sheet for sheet in sheets if sheet.title.endswith(": cost")]
    assert {row[0]: row[-1] for row in cost.rows}["again"] == "1" and [row[-1] for row in cost.rows].count("1") == 1
    assert (
        "Not drawn, because their dev text is of other directions: both." in (tmp_path / "comparison.html").read_text()
    )
    assert drawn == [["one", "again"]] * 2  # over seconds and over samples
