"""Learning curves and what it took to reach a quality, against values worked out by hand."""

import json
import math
from dataclasses import replace

import pytest

from eclectus.evaluation import efficiency
from eclectus.evaluation.efficiency import Curve, first_reached, reach, training_curve
from eclectus.evaluation.metrics import DirectionScores
from eclectus.evaluation.results import FILE, Group, Results, System

NAMES = {"loaded": "as loaded", "base": "start", "rl": "RL"}


@pytest.mark.parametrize(
    ("ys", "bar", "linear", "log"),
    [
        ([10, 30, 50], 20, 550, math.sqrt(100 * 1000)),  # half of the way from 100 to 1,000
        ([10, 30, 50], 30, 1000, 1000),
        ([10, 30, 50], 45, 7750, 1000 * 10**0.75),
        ([40, 30, 50], 35, 100, 100),  # the first time, though it falls later
        ([10, 50, 30], 30, 550, math.sqrt(100 * 1000)),
        ([10, 30, 50], 50.1, math.inf, math.inf),
    ],
)
def test_where_a_curve_first_comes_up_to_a_bar(ys, bar, linear, log):
    curve = Curve([100, 1000, 10000], ys)
    assert first_reached(curve, bar) == pytest.approx(linear)
    assert first_reached(curve, bar, log=True) == pytest.approx(log)


def test_several_runs_give_their_median_with_the_least_and_the_most():
    curves = [Curve([0, 10], [0, top]) for top in (20.0, 40.0, 10.0)]
    found = reach(curves, 10, 20)
    assert (found.at, found.low, found.high, found.share, found.at_most) == (5, 2.5, 10, 0.25, False)
    found = reach(curves, 15, 20)  # one never does, so the most has no end
    assert (found.at, found.low, found.high) == (7.5, 3.75, None)
    found = reach(curves, 30, 20)  # most never do, so there is no median
    assert (found.at, found.low, found.high, found.share) == (None, 7.5, None, None)
    assert reach(curves, 0, 20).at_most
    assert reach(curves, 10, 0).share is None  # the other one was there before it began


def test_the_stages_of_a_training_spend_one_after_the_other():
    def dev(stage, step, seconds, tokens, **scores):
        return {"kind": "dev", "stage": stage, "step": step, "seconds": seconds, "tokens": tokens, **scores}

    records = [
        dev("supervised", 0, 0.0, 0, **{"chrf/supervised": 10.0, "bleu/supervised": 2.0}),
        {"kind": "supervised", "stage": "supervised", "step": 20, "seconds": 3.0},
        dev("supervised", 20, 4.0, 700, **{"chrf/supervised": 20.0}),
        dev("supervised_back_translation", 0, 0.0, 0, **{"chrf/supervised_back_translation": 20.0}),
        dev("supervised_back_translation", 9, 1.5, 50, **{"chrf/supervised_back_translation": 20.5}),
        dev("reinforce", 0, 0.0, 0, **{"chrf/captions": 21.0, "off_target/captions": 0.5}),
        dev("supervised_continued", 20, 9.0, 900, **{"chrf/captions": 99.0}),
        dev("reinforce", 5, 2.5, 300, **{"chrf/captions": 25.0}),
    ]
    chrf = [10.0, 20.0, 20.0, 20.5, 21.0, 25.0]
    assert training_curve(records, "seconds") == Curve([0.0, 4.0, 4.0, 5.5, 5.5, 8.0], chrf)
    assert training_curve(records, "tokens") == Curve([0, 700, 700, 750, 750, 1050], chrf)


def test_what_sets_the_bar_comes_up_to_it(tmp_path):
    """Also where its directions are far apart, and the mean is not the interquartile mean."""
    for pairs, better in ((500, 0.0), (8000, 10.0)):
        run = write_run(tmp_path, "scratch", pairs, 1, {"base": 1.0, "rl": 1.0}, [(0, 1), (1, 2)], [(0, 2), (1, 3)])
        results = Results.load(run)
        for n, chrf in enumerate((40.0, 42.0, 44.0, 5.0)):
            scores = results.scores["en-fr"]["rl"]
            results.scores[f"en-x{n}"] = dict.fromkeys(("base", "rl"), replace(scores, chrf=chrf + better))
        del results.scores["en-fr"], results.scores["en-de"]
        results.groups[0].directions[:] = list(results.scores)
        results.save(run)
    efficiency.write(tmp_path, ["scratch"], [500, 8000], [1], "scratch")
    assert rows(tmp_path, 2)[0]["supervised + RL"] == "8,000 (100 %)"


def write_run(folder, variant, pairs, seed, scores, supervised, reinforce):
    """A finished run: test chrF++ by system, the same in both directions, and dev chrF++ by seconds for each stage."""
    run = folder / f"{variant}-{pairs}" / f"seed-{seed}"
    run.mkdir(parents=True)
    rates = {"exact": 0.0, "off_target": 0.0, "judged": 1.0, "length_ratio": 1.0}
    rates |= {"repetition": 0.0, "copy": 0.0, "empty": 0.0}
    by_system = {s: DirectionScores(n=9, bleu=chrf / 2, chrf=chrf, **rates) for s, chrf in scores.items()}
    Results(
        title="transfer",
        seed=seed,
        resamples=100,
        languages=["en", "fr", "de"],
        systems=[System(name=s, label=NAMES[s], role="system") for s in scores],
        groups=[Group(name="captions", label="captions", directions=["en-fr", "en-de"])],
        scores={"en-fr": by_system, "en-de": by_system},
        by_corpus={},
        comparisons=[],
        noise={},
        signatures={"chrF++": "nrefs:1"},
        versions={"eclectus": "0"},
    ).save(run)
    lines = [
        {"kind": "dev", "stage": stage, "step": i, "seconds": x, "tokens": 100 * x, "chrf/any": y}
        for stage, points in (("supervised", supervised), ("reinforce", reinforce))
        for i, (x, y) in enumerate(points)
    ]
    lines.append({"kind": "step", "stage": "reinforce", "step": 1, "memory": 512.0})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (run / "config.yaml").write_text("reinforce: {segments: 2, samples: 3}", encoding="utf-8")
    assert (run / FILE).exists()
    return run


@pytest.fixture
def comparison(tmp_path):
    for n, rl in ((500, 20.0), (2000, 35.0), (8000, 45.0)):
        write_run(tmp_path, "scratch", n, 1, {"base": rl - 5, "rl": rl}, [(10, 20), (20, 30)], [(0, 30), (10, 40)])
    for n, rl in ((500, 30.0), (2000, 50.0)):
        for seed, more in ((1, 0.0), (2, 20.0)):
            scores = {"loaded": 5.0, "base": rl - 10, "rl": rl + more}
            write_run(tmp_path, "full", n, seed, scores, [(0, 10), (10, 35)], [(0, 35), (10, 45)])
    return tmp_path


def rows(folder, number):
    return json.loads((folder / "efficiency.json").read_text(encoding="utf-8"))[number]["rows"]


def test_the_tables_say_what_share_of_data_and_training_was_enough(comparison):
    efficiency.write(comparison, ["full", "scratch"], [500, 2000, 8000], [1, 2], "scratch")
    quality, needed, training = (rows(comparison, number) for number in (1, 2, 3))
    assert [(row["variant"], row["pairs"], row["runs"]) for row in quality] == [
        ("full", "500", "2"),
        ("full", "2,000", "2"),
        ("scratch", "500", "1"),
        ("scratch", "2,000", "1"),
        ("scratch", "8,000", "1"),
    ]
    assert quality[0]["as loaded"].startswith("5.0") and quality[-1]["as loaded"] == "–"
    assert quality[0]["supervised + RL"].startswith("40.0 [30.0, 50.0]")
    assert (quality[0]["time"], quality[0]["tokens"], quality[0]["peak memory"]) == ("20 s", "0.00 M", "512 MiB")
    # The bar is 45. Seed 1: 500 * 4 ** 0.75 = 1,414 pairs. Seed 2 has 50 with 500 already.
    assert needed[0]["supervised + RL"] == "957 (12 %) [500 to 1,414]"
    assert (needed[0]["supervised"], needed[0]["as loaded"]) == ("not reached", "not reached")
    assert (needed[1]["supervised"], needed[1]["supervised + RL"]) == ("not reached", "8,000 (100 %)")
    # The best dev score of scratch, 40, came after 20 + 10 seconds; full passes it at 10 + 5.
    assert training[0] == {"variant": "full", "pairs": "500", "time": "15 s (50 %) [15 s to 15 s]"} | {
        "tokens": "0.00 M (50 %) [0.00 M to 0.00 M]"
    }
    assert training[-1]["time"] == "30 s (100 %)"
    page = (comparison / efficiency.PAGE).read_text(encoding="utf-8")
    assert page.count("<svg") == 3 and "5 runs not finished yet" in page and "957 (12 %)" in page
    assert "| full | 500 | 15 s (50 %)" in (comparison / "efficiency.md").read_text(encoding="utf-8")


def test_without_the_run_that_sets_the_bar_there_are_scores_alone(comparison):
    efficiency.write(comparison, ["full"], [500, 2000], [1], None)
    assert len(json.loads((comparison / "efficiency.json").read_text(encoding="utf-8"))) == 2
    (comparison / "scratch-8000" / "seed-1" / FILE).unlink()
    efficiency.write(comparison, ["full", "scratch"], [500, 2000, 8000], [1], "scratch")
    assert len(json.loads((comparison / "efficiency.json").read_text(encoding="utf-8"))) == 2


def test_nothing_is_written_before_the_first_run_is_finished(tmp_path):
    efficiency.write(tmp_path, ["full"], [500], [1], None)
    assert not any(tmp_path.iterdir())
