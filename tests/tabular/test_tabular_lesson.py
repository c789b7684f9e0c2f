"""`eclectus tabular`: what it compares, what it writes, and its mistakes as one sentence."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("gymnasium")

from eclectus.errors import ConfigError
from eclectus.tabular import figures
from eclectus.tabular import lesson as lessons
from tests.commands import eclectus, refused

SMALL = ("--episodes", 50, "--seeds", 2)
ONE = ("--algorithm", "q_learning", "--exploration", "greedy", "--sentences", "uniform")


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text(
        "kind\ten\tes\nphrase\tblack\tnegro negra\nphrase\tcat\tgato\nsentence\tblack cat\tgato negro\n",
        encoding="utf-8",
    )
    return path


def test_the_command_writes_curves_tables_and_a_figure(tmp_path, table):
    folder = tmp_path / "out"
    outcome = eclectus("tabular", *SMALL, "--phrase-table", table, "--output", folder, "--quiet")
    assert outcome.code == 0, outcome.err
    for said in ("Q-learning", "expected SARSA", "entropy target", "exp3", "minus greedy", "gato negro"):
        assert said in outcome.out
    assert (folder / "tabular.png").read_bytes().startswith(b"\x89PNG")
    assert "Q-table along" in (folder / "tabular.svg").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 12 * 2 * lessons.POINTS  # 3 algorithms, 7 strategies, 4 bandits; the first counts once
    assert {row["seed"] for row in rows} == {1, 2}
    assert {"exact", "bleu", "total", "explored", "entropy", "pairs", "episode"} <= rows[0].keys()


def test_a_folder_is_never_written_over(tmp_path, table):
    for _ in range(2):
        outcome = eclectus("tabular", *SMALL, *ONE, "--phrase-table", table, "--output", tmp_path / "out", "--quiet")
        assert outcome.code == 0
    assert (tmp_path / "out-2" / "metrics.jsonl").exists()


def test_one_seed_one_result(tmp_path, table):
    config = lessons.configure(
        algorithms=["sarsa"], explorations=["boltzmann"], choices=["exp3"], seeds=1, episodes=50, phrase_table=table
    )
    written = []
    for name in ("a", "b"):
        lessons.run(config, tmp_path / name)
        written.append((tmp_path / name / "metrics.jsonl").read_bytes())
    assert written[0] == written[1]


def test_strategies_against_their_absence(tmp_path):
    """On the packaged table the bonus finds all thirteen translations, greedy and random behaviour do not."""
    config = lessons.configure(
        algorithms=["q_learning"],
        explorations=["count_bonus", "greedy", "uniform"],
        choices=["uniform"],
        seeds=2,
        episodes=1600,
    )
    lesson = lessons.run(config, tmp_path)
    exact = {label: lesson.final(setting, "exact") for label, setting in lesson.family("explorations").items()}
    assert exact["count bonus"].tolist() == [1, 1]
    assert exact["greedy"].mean() < 1
    assert exact["uniform"].mean() < 0.7
    assert lesson.translations == [reference for _, reference in lesson.environment.table.sentences]
    (bonus, greedy, _) = lesson.family("explorations").values()
    assert [lesson.curves[greedy][0][i].explored for i in (0, -1)] == [0, 0]
    assert lesson.curves[bonus][0][0].explored > 0.05


def test_discount_and_step_size_reach_the_table_and_one_seed_has_no_interval(tmp_path):
    config = lessons.configure(
        algorithms=["q_learning"], explorations=["epsilon_greedy"], choices=["uniform"],
        seeds=1, episodes=100, alpha=0.8, decay=0.7, gamma=0.5,
    )  # fmt: skip
    lesson = lessons.run(config, tmp_path)
    assert (lesson.learner.alpha, lesson.learner.decay, lesson.learner.gamma) == (0.8, 0.7, 0.5)
    console = Console(file=io.StringIO(), width=120)
    figures.show(lesson, console)
    told = console.file.getvalue()
    assert "one seed" in told and "interval" not in told and "[" not in told


def test_interval_by_hand():
    assert lessons.interval(np.array([2.0, 2.0, 2.0])) == (2, 2)
    low, high = lessons.interval(np.array([0.0, 1.0] * 50))
    assert (low, high) == pytest.approx((0.4, 0.6), abs=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--algorithm", "qlearning"), "did you mean 'q_learning'"),
        (("--exploration", "epsilon"), "unknown type 'epsilon'"),
        (("--exploration", "{type: boltzmann, temperatur: 1}"), "did you mean 'temperature'"),
        (("--exploration", "{epsilon_greedy"), "not of the form"),
        (("--exploration", "{type: epsilon_greedy, epsilon: 1.5}"), "epsilon is a probability, give at most 1"),
        (("--gamma", 1.1), "less than or equal to 1"),
        (("--exploration", "{type: boltzmann, temperature: {start: 1, end: 0, shape: exponential}}"), "small positive"),
        (("--sentences", "ucb2"), "did you mean 'ucb1'"),
        (("--episodes", 3), "tabular.episodes"),
        (("--seeds", 0), "tabular.seeds"),
        (("--seed", -1), "tabular.seed"),
        (("--alpha", 0), "tabular.alpha"),
        (("--reward", "chrf"), "tabular.reward"),
        (("--phrase-table", "none.tsv"), "cannot read 'none.tsv'"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused("tabular", *options)
    assert not list(tmp_path.iterdir())


def test_too_large_a_table_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [f"w{i}" for i in range(3000)]
    lines = ["kind\ten\tes", *(f"phrase\t{word}\t{word}x" for word in words)]
    lines += [f"sentence\t{word}\t{word}x" for word in words]
    table = tmp_path / "large.tsv"
    table.write_text("\n".join(lines), encoding="utf-8")
    assert "too many for a table" in refused("tabular", "--phrase-table", table)
    assert list(tmp_path.iterdir()) == [table]


def test_without_gymnasium_the_hint_says_what_to_install(monkeypatch):
    import importlib
    import sys

    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "eclectus.environments.word_translation")
    with pytest.raises(ConfigError, match=r"pip install 'eclectus\[tabular\]'"):
        importlib.import_module("eclectus.environments.word_translation")
