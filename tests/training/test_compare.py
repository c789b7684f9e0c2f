"""`eclectus compare`: every run in its own process, finished ones are kept, another comparison is refused."""

import io
import json
import os
import subprocess
import sys
import time

import pytest
import yaml
from rich.console import Console

from eclectus import config as cfg
from eclectus.errors import ConfigError, RunError
from eclectus.evaluation.sheets import Sheet
from eclectus.training import compare as comparing
from eclectus.training import run as single
from eclectus.training.compare import Variant, algorithm, compare
from tests.commands import eclectus

TEXT = """
title: numbers
threads: 1
device: cpu
data: {{languages: [en, es], corpora: [{{type: tsv, path: {corpus}, header: true}}], dev: 8, test: 8}}
policy: {{new: {{vocabulary: 120, d_model: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, ffn: 32}}}}
supervised: {{directions: [en-es], steps: 4, batch_tokens: 200, warmup: 2, evaluate_every: 4}}
reinforce:
  steps: 2
  segments: 4
  samples: 3
  max_length: 8
  evaluate_every: 1
  tasks: [{{name: pairs, directions: [en-es], references: true, reward: {{terms: [{{type: chrf}}]}}}}]
evaluation: {{directions: [en-es], dev_segments: 4, max_length: 8, resamples: 100}}
"""


@pytest.fixture
def text(tmp_path):
    words = {
        "en": ["one", "two", "three", "four", "five", "six"],
        "es": ["uno", "dos", "tres", "cuatro", "cinco", "seis"],
    }
    lines = ["\t".join(words)] + [
        "\t".join(" ".join(w[d] for d in (i // 36, i // 6 % 6, i % 6)) for w in words.values()) for i in range(150)
    ]
    (tmp_path / "corpus.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return TEXT.format(corpus=tmp_path / "corpus.tsv")


def test_compares_variants_over_seeds_and_goes_on_where_it_ended(text, tmp_path):
    folder, quiet = tmp_path / "runs", Console(quiet=True)
    chosen = [algorithm("rloo"), Variant.parse("warm: reinforce.temperature=1.3; controls=[supervised]")]
    page = compare(text, chosen, [1], folder, quiet).page
    assert yaml.safe_load((folder / "warm" / "seed-1.yaml").read_text())["reinforce"]["temperature"] == 1.3
    first = json.loads((folder / "comparison.json").read_text())
    beside = "supervised, continued (against warm)"
    assert [row["variant"] for row in first["pairs"]] == ["start", "rloo", "warm", beside]
    assert first["pairs"][1]["scores"]["bleu"]["low"] is None
    done = {path: path.stat().st_mtime_ns for path in folder.glob("*/seed-1/evaluation.json")}
    compare(text, chosen, [1, 2], folder, quiet, jobs=2)
    assert len(done) == 2
    assert "report:" in (folder / "warm" / "seed-2.log").read_text()
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    rows = json.loads((folder / "comparison.json").read_text())["pairs"]
    assert [row["runs"] for row in rows] == [2, 2, 2, 2]
    for row in rows[1:3]:
        chrf = row["scores"]["chrf"]
        assert chrf["low"] <= chrf["value"] <= chrf["high"]
        assert row["memory"] > 50 and row["samples_per_second"] > 0
        assert (row["paired"] or {"runs": 2})["runs"] == 2 and (row["paired"] is None) == (row["variant"] == "rloo")
    assert "| against rloo | BLEU | p |" in page.with_suffix(".md").read_text(encoding="utf-8")
    written = page.read_text(encoding="utf-8")
    assert "numbers: comparison" in written and "Against rloo</th>" in written
    assert "held-out dev chrF++" in written and "warm" in written and "2 seeds (1, 2)" in written
    said = Console(record=True, file=io.StringIO())
    page.unlink()
    compare(text, chosen, [1, 2], folder, said)
    assert said.export_text() == "all 4 runs are finished; writing the page anew\n"
    assert page.read_text(encoding="utf-8") == written
    with pytest.raises(RunError, match=r"rloo/seed-1\.yaml' is of another comparison"):
        compare(text.replace("steps: 2\n", "steps: 3\n"), chosen, [1], folder, quiet)
    with pytest.raises(RunError, match=r"seed-1' is a run; choose another --output"):
        compare(text, chosen, [1], folder / "rloo" / "seed-1", quiet)


def test_a_run_that_has_not_begun_may_be_corrected(text, tmp_path):
    folder, path = tmp_path / "runs", tmp_path / "runs" / "rloo" / "seed-1.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("of a command with a mistake", encoding="utf-8")
    compare(text, [algorithm("rloo")], [1], folder, Console(quiet=True))
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["seed"] == 1


@pytest.mark.skipif(os.name != "posix", reason="Windows ends a process without asking")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_scheduler_that_ends_it_ends_its_runs_which_save(text, jobs, tmp_path):
    long = text.replace("supervised: {directions: [en-es], steps: 4,", "supervised: {directions: [en-es], steps: 4000,")
    (tmp_path / "c.yaml").write_text(long.replace("evaluate_every: 4}", "evaluate_every: 4000}"), encoding="utf-8")
    words = ["compare", "c.yaml", "--seeds", "1,2,3", "--jobs", str(jobs), "--output", "runs"]
    with subprocess.Popen(
        [sys.executable, "-m", "eclectus", *words, "--algorithms", "rloo"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        until = time.monotonic() + 120
        while len(list(tmp_path.glob("runs/rloo/*/metrics.jsonl"))) < jobs and time.monotonic() < until:
            time.sleep(0.1)
        started.terminate()
        _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    assert "compare: stopped; the same command goes on where 'runs' ends" in told
    assert len(list(tmp_path.glob("runs/rloo/*/config.yaml"))) == jobs
    saved = [json.loads(path.read_text())["step"] for path in tmp_path.glob("runs/rloo/*/checkpoints/*/*/state.json")]
    assert len(saved) == jobs and all(0 < step < 4000 for step in saved)


@pytest.mark.parametrize(
    ("variants", "seeds", "message"),
    [
        ([], [1], r"at least one variant \(--algorithms, --variant or --like\)"),
        (
            [algorithm("rloo"), Variant("bad", ("reinforce.tasks.0.reward.terms.0={type: blue}",))],
            [1],
            r"variant 'bad': .*'reinforce.tasks.0.reward.terms.0.type': .*did you mean 'bleu'",
        ),
        (
            [Variant("bad", ("reinforce.tasks.0.reward.gates=[{type: length, low: x}]",))],
            [1],
            r"variant 'bad': .*'reinforce.tasks.0.reward.gates.0.low'",
        ),
        ([algorithm("rloo")], [1, 1], "each once; got 1, 1"),
        (
            [Variant("BLEU", ()), Variant("x", ()), Variant("bleu", ())],
            [1],
            "'BLEU' and 'bleu' are one folder .*rename",
        ),
        ([Variant("a.B", ("seed=1",)), algorithm("a:B")], [1], "'a.B' and 'a:B' are one folder .*rename"),
        ([Variant("a", ("reinforce.stepz=3",))], [1], "stepz"),
        ([Variant("a", ("reinforce=null",))], [1], "no 'reinforce' part"),
        ([Variant("a", ("seed=7",))], [1], "variant 'a' sets 'seed', as --seeds does"),
        ([algorithm("rloo"), algorithm("rlooo")], [1], "variant 'rlooo': .*did you mean 'rloo'"),
        ([algorithm("rloo"), Variant("one", ("reinforce.samples=1",))], [1], "variant 'one': .*at least 2"),
        (
            [algorithm("rloo"), Variant("few", ("evaluation.directions=[es-en]",))],
            [1],
            "variants 'rloo' and 'few' are tested on other directions",
        ),
    ],
)
def test_mistakes_are_found_before_anything_runs(text, tmp_path, variants, seeds, message):
    with pytest.raises(ConfigError, match=message):
        compare(text, variants, seeds, tmp_path / "runs", Console(quiet=True))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("change", ["data.max_pairs={es: 7}", "data.max_pairs.es=7"])
def test_a_variant_has_no_sizes_where_the_comparison_has_them(text, tmp_path, change):
    with pytest.raises(ConfigError, match=r"variant 'a' sets 'data.max_pairs', as compare.pairs does"):
        compare(text, [Variant("a", (change,))], [1], tmp_path / "runs", Console(quiet=True), pairs=[5])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("a b: x=1", r"variant 'a b' names a folder; use letters, digits and \. \+ - _"),
        ("..: x=1", r"variant .\.\.. names a folder"),
        ("a/b: x=1", "variant 'a/b' names a folder"),
        ("../up: x=1", "variant '../up' names a folder"),
        ("a: x", "'a: x' is not of the form"),
        ("reinforce.temperature=2", "'reinforce.temperature=2' is not of the form NAME: KEY=VALUE"),
        ("", "'' is not of the form"),
    ],
)
def test_a_variant_has_a_name_and_settings(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Variant.parse(wrong)


def test_a_name_alone_is_a_variant_of_the_configuration(text, tmp_path, monkeypatch):
    monkeypatch.setattr(comparing, "_run", lambda run, *_: single.start(cfg.load(run.with_suffix(".yaml")), str(run)))
    planned = text + "compare: {variants: {bleu: ['reinforce.tasks.0.reward.terms=[{type: bleu}]'], plain: []}}\n"
    folder = tmp_path / "runs"
    with pytest.raises(ConfigError, match=r"no variant 'blue'; did you mean 'bleu'.*or 'blue:' for none"):
        compare(planned, [Variant.parse("blue")], [1], folder, Console(quiet=True))
    assert not folder.exists()
    compare(planned, [Variant.parse(each) for each in ("bleu", "plain", "blue:")], [1], folder, Console(quiet=True))
    rewards = {path.parent.name: cfg.load(path).reinforce.tasks[0].reward for path in folder.glob("*/seed-1.yaml")}
    assert {name: reward.terms[0].type for name, reward in rewards.items()} == {
        "bleu": "bleu",
        "plain": "chrf",
        "blue": "chrf",
    }


OWN = """
from eclectus.algorithms.rloo import Rloo

class Mine(Rloo):
    pass
"""


def test_an_algorithm_of_the_users_own_has_a_folder_that_every_system_takes(text, tmp_path, monkeypatch):
    (tmp_path / "own_algorithms.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(comparing, "_run", lambda run, *_: single.start(cfg.load(run.with_suffix(".yaml")), run))
    folder, chosen = tmp_path / "runs", [algorithm("rloo"), algorithm("own_algorithms:Mine")]
    compare(text, chosen, [1], folder, Console(quiet=True))
    assert sorted(run.parent.name for run in folder.glob("*/seed-1")) == ["own_algorithms.Mine", "rloo"]
    rows = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["pairs"]
    assert [row["variant"] for row in rows] == ["start", "rloo", "own_algorithms:Mine"]
    assert rows[-1]["paired"]["runs"] == 1
    results = json.loads((folder / "own_algorithms.Mine" / "seed-1" / "evaluation.json").read_text(encoding="utf-8"))
    assert results["systems"][-1]["label"] == "RL (Mine)"


GROWING = """
compare:
  pairs: [20, 60]
  against: scratch
  seeds: [3]
  variants:
    shipped: [policy.new=null, policy.path=base]
    left-out: null
    scratch: []
"""


def test_a_file_that_says_what_it_compares_is_one_command(text, tmp_path, monkeypatch):
    # Processes of their own are seen above; here they would only cost time.
    monkeypatch.setattr(comparing, "_run", lambda run, *_: single.start(cfg.load(run.with_suffix(".yaml")), run))
    path, folder = tmp_path / "growing.yaml", tmp_path / "runs"
    path.write_text(text + GROWING, encoding="utf-8")
    outcome = eclectus("compare", path, "--output", folder)
    assert outcome.code == 0, outcome
    assert sorted(run.parent.name for run in folder.glob("*/seed-3")) == [
        "scratch-20",
        "scratch-60",
        "shipped-20",
        "shipped-60",
    ]
    for run in folder.glob("*/seed-3"):
        config = cfg.load(run / "config.yaml")
        assert config.data.max_pairs == {"es": int(run.parent.name.rpartition("-")[2])}
        assert (config.policy.new is None, config.seed, config.compare) == ("shipped" in run.parent.name, 3, None)
        systems = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["systems"]
        assert [s["name"] for s in systems] == [*(["loaded"] if config.policy.new is None else []), "base", "rl"]
    tables = {table["title"].split(" for ")[0]: table for table in json.loads((folder / "efficiency.json").read_text())}
    assert [(r["variant"], r["pairs"]) for r in tables["Test chrF++"]["rows"]] == [
        ("shipped", "20"),
        ("shipped", "60"),
        ("scratch", "20"),
        ("scratch", "60"),
    ]
    # The shipped model knows these numbers already; random weights after four steps know nothing.
    assert tables["Pairs needed"]["rows"][0]["as loaded"].startswith("≤ 20 (")
    assert "0 s (0.0 %)" in outcome.out or "0 s (0 %)" in outcome.out
    assert f"comparison: {folder / 'efficiency.html'}" in outcome.out


def test_variants_and_seeds_of_another_configuration(text, tmp_path, monkeypatch):
    asked, quiet = [], []

    def taken(text, variants, seeds, folder, console, *_, **options):
        quiet.append(console.quiet)
        asked.append(([v.name for v in variants], variants[0].overrides, seeds, options["pairs"], options["against"]))
        return comparing.Comparison(tmp_path / "page.html", [Sheet("Few", ["variant", "BLEU"], [["a", "1.0"]])])

    monkeypatch.setattr(comparing, "compare", taken)
    own, other = tmp_path / "growing.yaml", tmp_path / "other.yaml"
    own.write_text(text + GROWING, encoding="utf-8")
    variants = {"warm": ["reinforce.temperature=1.2"], "out": None, "twice": ["reinforce.updates=2"]}
    other.write_text(
        text + yaml.safe_dump({"compare": {"seeds": [7], "variants": variants}}, sort_keys=False), encoding="utf-8"
    )
    names, first = ["warm", "twice"], ("reinforce.temperature=1.2",)
    for more, further in (([], []), (["--algorithms", "grpo", "--variant", "x: seed=1"], ["grpo", "x"])):
        outcome = eclectus("compare", own, "--like", other, *more)
        assert outcome.code == 0, outcome
        # What the first one would compare by itself, sizes of its data, is left out.
        assert asked.pop() == (names + further, first, [7], [], None)
        assert "Few" in outcome.out and "── " in outcome.out and "page.html" in outcome.out
    assert "Few" in eclectus("compare", own, "--like", other, "-q").out
    assert quiet == [False, False, True]


def test_a_configuration_without_variants_is_nothing_to_be_like(text, tmp_path):
    (tmp_path / "plain.yaml").write_text(text, encoding="utf-8")
    outcome = eclectus("compare", tmp_path / "plain.yaml", "--like", "my-corpus", "--output", tmp_path / "runs")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1) and not (tmp_path / "runs").exists()
    assert "'my-corpus' has no variants under 'compare'" in outcome.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("  against: scratch", "  against: scrach"), "'scrach' is not among the variants"),
        (("  against: scratch", "  against: left-out"), "'left-out' is not among the variants"),
        (("pairs: [20, 60]", "pairs: [60, 20]"), "each once, the smallest first"),
        (("pairs: [20, 60]", "pairs: []"), "so give pairs, or drop it"),
        (("left-out", "left/out"), "'left/out' names a folder"),
        (("seeds: [3]", "seeds: []"), "compare.seeds"),
        (("seeds: [3]", "seeds: [-1]"), "'compare.seeds': seeds are numbers of at least 0, each once"),
        (("seeds: [3]", "seeds: [3, 4, 3]"), "'compare.seeds': seeds are numbers of at least 0, each once"),
        (("directions: [en-es], steps", "directions: [es-en], steps"), "judged on dev in the same directions"),
        (("[en-es], steps", "[en-es], dev_directions: [es-en], steps"), "judged on dev in the same directions"),
        (("scratch: []", "scratch: [supervised.steps=many]"), "variant 'scratch-20': config: 'supervised.steps'"),
        (("scratch: []", "scratch: [reinforce.tasks.1.mle=5]"), "variant 'scratch-20': --set: 'reinforce.tasks.1.mle'"),
    ],
)
def test_a_comparison_that_cannot_be_drawn_is_refused(text, tmp_path, change, message):
    path = tmp_path / "growing.yaml"
    path.write_text((text + GROWING).replace(*change), encoding="utf-8")
    outcome = eclectus("compare", path, "--output", tmp_path / "runs")
    assert outcome.code == 2 and not (tmp_path / "runs").exists()
    assert outcome.err.count("\n") == 1
    assert message in outcome.err
