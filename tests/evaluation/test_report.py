from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import fake_run
import pytest
from markupsafe import Markup

from eclectus.errors import RunError
from eclectus.evaluation import curves, examples, logs, plots, report, translations
from eclectus.evaluation.curves import Labels
from eclectus.evaluation.results import Group, Results, System, build
from eclectus.segment import Segment

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks nesting while it collects what the tests ask for."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_report_of_a_whole_run(run: Path, results: Results) -> None:
    page = Page(run / "report.html")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) and {"results", "curves", "translations", "directions", "method"} <= set(ids)
    for text in (
        results.title,
        "Better than base",
        "chrF++",
        "distillation from the pivot",
        results.signatures["BLEU"],
        "sacrebleu",
        "constant_reward",  # the configuration
        "The largest losses",
    ):
        assert text in page.text, text
    sentence = re.sub(r"\s", "", results.headline[0])
    assert sentence in re.sub(r"\s", "", page.text)
    assert page.count("svg") >= 3 + 10 + 3
    assert page.count("ins") > 5 and page.count("del") > 5


def test_report_fetches_and_runs_nothing(run: Path) -> None:
    page = Page(run / "report.html")
    assert page.count("script") == 0 and page.count("img") == 0 and page.count("iframe") == 0
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), attributes
    assert not re.search(r"url\((?!#)|@import", (run / "report.html").read_text(encoding="utf-8"))


def test_same_run_same_bytes(run: Path) -> None:
    before = (run / "report.html").read_bytes()
    report.write(run)
    assert (run / "report.html").read_bytes() == before


def test_figures_take_colours_from_the_page(run: Path) -> None:
    figures = re.findall(r"<svg.*?</svg>", (run / "report.html").read_text(encoding="utf-8"), flags=re.S)
    for figure in figures:
        assert 'viewBox="' in figure and "<metadata" not in figure
        assert not re.search(r"#0[123]0", figure) and "var(--c" in figure
        assert not re.search(r'<svg[^>]* width="', figure)


@pytest.mark.parametrize(
    "kept",
    [
        ["config.yaml"],
        ["evaluation.json"],
        ["metrics.jsonl", "samples.jsonl", "config.yaml", "data.json"],
        ["evaluation.json", "translations.jsonl"],
    ],
)
def test_part_of_a_run(run: Path, tmp_path: Path, kept: list[str]) -> None:
    for name in kept:
        shutil.copy(run / name, tmp_path)
    page = Page(report.write(tmp_path))
    assert ("no test evaluation yet" in page.text) is ("evaluation.json" not in kept)
    assert ("Learning curves" in page.text) is ("metrics.jsonl" in kept)
    assert ("Sampled translations" in page.text) is ("samples.jsonl" in kept)
    assert ("sentence chrF++" in page.text) is ("translations.jsonl" in kept)


def test_supervised_run_without_reinforcement(tmp_path: Path, run: Path) -> None:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "metrics.jsonl").write_text(
        "\n".join(line for line in lines if '"supervised"' in line), encoding="utf-8"
    )
    page = Page(report.write(tmp_path))
    assert "Training loss" in page.text and "Reward in training" not in page.text


def test_one_system_evaluated_alone(tmp_path: Path) -> None:
    segments = {"en-es": [Segment(f"word {i}", "en", "es", f"palabra {i}", f"s{i}") for i in range(5)]}
    outputs = {"model": {"en-es": ["palabra 1"] * 5}}
    systems = [System(name="model", label="my model", role="system")]
    build("alone", 1, [], segments, outputs, systems=systems, resamples=100).save(tmp_path)
    translations.write(tmp_path, segments, outputs)
    page = Page(report.write(tmp_path))
    assert "my model" in page.text and "palabra 3" in page.text and "Nothing to compare with" in page.text


@pytest.mark.parametrize("make", [True, False])
def test_a_folder_that_is_no_run(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "there"
    if make:
        folder.mkdir()
    with pytest.raises(RunError, match="holds no evaluation" if make else "is no folder"):
        report.write(folder)
    assert not (folder / "report.html").exists()


def test_text_is_escaped_everywhere(tmp_path: Path) -> None:
    evil = '<script>alert("&$x^2$")</script>'
    segments = {"en-es": [Segment(evil, "en", "es", evil + "r", evil, {"corpus": evil})]}
    systems = [System(name=n, label=evil + n, role=r) for n, r in (("b", "base"), ("s", "system"), ("c", "control"))]
    outputs = {"b": {"en-es": [evil]}, "s": {"en-es": [evil + " x"]}, "c": {"en-es": [evil]}}
    groups = [Group(name="g", label=evil, directions=["en-es"])]
    build(evil, 1, [], segments, outputs, systems=systems, groups=groups, resamples=100).save(tmp_path)
    translations.write(tmp_path, segments, outputs)
    (tmp_path / "config.yaml").write_text(f"title: '{evil}'", encoding="utf-8")
    step = {"kind": "step", "step": 1, "reward/g": 0.5, f"parts/g/{evil}": 1.0, "kl": None, "entropy": "x"}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(step), encoding="utf-8")
    sample = {"step": 1, "task": evil, "direction": evil, "source": evil, "samples": [{"text": evil, "reward": 1}]}
    (tmp_path / "samples.jsonl").write_text(json.dumps(sample), encoding="utf-8")
    (tmp_path / "data.json").write_text(json.dumps({evil: {evil: {evil: 3}}}), encoding="utf-8")
    page = Page(report.write(tmp_path))
    assert page.count("script") == 0
    assert page.text.count(evil) >= 10
    titles = [attributes["aria-label"] for name, attributes in page.tags if name == "svg"]
    assert f"{evil}: difference from {evil}b" in titles


def test_half_written_and_repeated_lines(tmp_path: Path) -> None:
    lines = [{"kind": "step", "step": s, "reward": r} for s, r in ((1, 0.1), (2, 0.2), (2, 0.9), (3, 0.3))]
    text = "\n".join(json.dumps(line) for line in lines) + '\n[1]\n{"kind": "step", "st'
    (tmp_path / "metrics.jsonl").write_text(text, encoding="utf-8")
    assert [(r["step"], r["reward"]) for r in logs.metrics(tmp_path)] == [(1, 0.1), (2, 0.9), (3, 0.3)]
    assert "up to step 3" in Page(report.write(tmp_path)).text


def test_values_that_are_no_numbers_are_left_out() -> None:
    records = [{"kind": "step", "step": i, "kl": value} for i, value in enumerate([0.1, None, float("nan"), "x", 0.2])]
    assert curves.main_curves(records, Labels()) == curves.main_curves([records[0], records[4]], Labels())
    assert curves.main_curves([{"kind": "step", "step": 1, "kl": None}], Labels()) == []


def test_smoothing_keeps_length_and_mean() -> None:
    assert curves.smooth([0, 3, 0, 3, 0], 3) == [1.5, 1, 2, 1, 1.5]
    assert curves.smooth([1, 2], 1) == [1, 2]


def dev(stage: str, step: int, **values: float) -> dict:
    return {"kind": "dev", "stage": stage, "step": step, "seconds": step * 2.0, **values}


def test_groups_keep_their_colour() -> None:
    labels = Labels({"zero": "Zero", "low": "Low"})
    both, one = (
        [dev("reinforce", s, **values) for s in (1, 2)] for values in ({"chrf/low": 1, "chrf/zero": 2}, {"chrf/low": 1})
    )
    assert curves.main_curves(both, labels)[0].legend == [("Low", 2, False), ("Zero", 1, False)]
    assert curves.main_curves(one, labels)[0].legend == [("Low", 2, False)]


def test_kl_is_drawn_by_task_because_not_all_are_measured_in_each_step() -> None:
    records = [
        {"kind": "step", "step": s, "kl": 0.1, "kl/held": 0.1} | ({"kl/free": 0.4, "kl": 0.3} if s % 2 else {})
        for s in range(1, 5)
    ]
    [plot] = [plot for plot in curves.main_curves(records, Labels()) if plot.title.startswith("KL")]
    assert [label for label, *_ in plot.legend] == ["held", "free"]


def test_equal_rewards_and_what_is_skipped_are_two_things() -> None:
    records = [{"kind": "step", "step": s, "equal_rewards": 0.9, "zero_signal": 0.1} for s in (1, 2)]
    title = "Sources whose samples all got one reward"
    assert [plot.title for plot in curves.main_curves(records, Labels())] == [title]
    assert [plot.title for plot in curves.more_curves(records, Labels())] == ["Sources whose advantages are all 0"]
    assert curves.main_curves([{"kind": "step", "step": 1, "zero_signal": 0.1}], Labels()) == []


def test_controls_stand_beside_the_run_and_not_in_it() -> None:
    records = [dev(stage, s, **{"chrf/low": s}) for s in (1, 2) for stage in ("reinforce", "constant_reward", "other")]
    records += [{"kind": "step", "stage": "constant_reward", "step": 1, "kl": 0.1}]
    labels = Labels({"low": "Low"}, {"constant_reward": "constant reward"})
    (plot,) = curves.main_curves(records, labels)
    assert plot.legend == [("Low", 1, False)]
    (beside,) = curves.control_curves(records, labels)
    assert beside.legend == [("this run", 1, False), ("constant reward", 2, True), ("other", 3, True)]
    assert "stroke-dasharray" in beside.svg and "seconds of training" in beside.svg
    assert curves.control_curves(records[:1], labels) == []


def test_samples_of_controls_are_left_out(tmp_path: Path) -> None:
    rows = [
        {
            "stage": stage,
            "step": 1,
            "task": "t",
            "direction": "en-es",
            "source": "a",
            "samples": [{"text": stage + "!"}],
        }
        for stage in ("reinforce", "constant_reward")
    ]
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "config.yaml").write_text("title: t", encoding="utf-8")
    page = Page(report.write(tmp_path))
    assert "reinforce!" in page.text and "constant_reward!" not in page.text


@pytest.mark.parametrize(
    ("before", "after", "left", "right"),
    [
        ("a cat sat", "a cat sat", "a cat sat", "a cat sat"),
        ("a cat sat", "a dog sat", "a <del>cat</del> sat", "a <ins>dog</ins> sat"),
        ("a big cat", "one small cat", "<del>a big</del> cat", "<ins>one small</ins> cat"),
        ("", "new", "", "<ins>new</ins>"),
        ("<b> & c", "<b> & d", "&lt;b&gt; &amp; <del>c</del>", "&lt;b&gt; &amp; <ins>d</ins>"),
    ],
)
def test_changed_words_are_marked(before: str, after: str, left: str, right: str) -> None:
    assert examples.mark(before, after) == (Markup(left), Markup(right))


def test_characters_are_marked_where_there_are_no_spaces() -> None:
    assert examples.mark("我喜欢猫", "我喜欢狗", characters=True) == ("我喜欢<del>猫</del>", "我喜欢<ins>狗</ins>")


def test_long_texts_are_compared_word_by_word() -> None:
    left, right = examples.mark("old " + "a b " * 150 + "old", "new " + "a b " * 150 + "new")
    assert left.endswith("b <del>old</del>") and right.endswith("b <ins>new</ins>") and right.count("<ins>") == 2


def test_marks_give_the_texts_back(run: Path) -> None:
    for translation in translations.read(run)[::20]:
        before, after = translation.systems["base"], translation.systems["rl"]
        left, right = examples.mark(before, after)
        assert (left.striptags(), right.striptags()) == (" ".join(before.split()), " ".join(after.split()))


def test_examples_are_drawn_by_seed_and_the_worst_are_shown(run: Path) -> None:
    texts, group = translations.read(run), fake_run.GROUPS[0]
    first, again, other = (examples.choose(texts, group, "base", "rl", seed) for seed in (7, 7, 8))
    assert first is not None and again is not None and other is not None
    drawn = [example.translation.id for example in first.drawn]
    assert drawn == [e.translation.id for e in again.drawn] != [e.translation.id for e in other.drawn]
    assert len(set(drawn)) == examples.SHOWN
    assert {e.translation.direction for e in first.drawn} == set(fake_run.ZERO)
    assert first.n == 180 and first.better + first.worse <= first.changed <= first.n
    gains = [e.chrf_after - (e.chrf_before or 0) for e in first.worst]
    assert gains == sorted(gains) and max(gains) < 0
    assert [e.translation.id for e in other.worst] == [e.translation.id for e in first.worst]


def test_no_examples_of_what_was_not_translated() -> None:
    assert examples.choose([], fake_run.GROUPS[0], "base", "rl", 1) is None


def test_nested_counts_become_tables() -> None:
    described = {
        "languages": ["en", "gl"],
        "leaks": 0,
        "counts": {"gl": {"cldr": {"train": 5000, "test": 9}, "mine": {"train": 1}}, "en": {"cldr": {"train": 2}}},
        "dropped": {"too long": 3},
        "max_pairs": {},
    }
    overview, counts, dropped = report.grids(described)
    assert overview.rows == [["languages", "en, gl"], ["leaks", "0"]]
    assert counts.columns == ["", "train", "test"]
    assert counts.rows == [["gl · cldr", "5,000", "9"], ["gl · mine", "1", ""], ["en · cldr", "2", ""]]
    assert (dropped.title, dropped.rows) == ("dropped", [["too long", "3"]])


def test_a_single_point_is_a_dot() -> None:
    def dots(*ys: float) -> int:
        return plots.lines("k", "t", [plots.Line("", range(len(ys)), ys)]).svg.count("fill: var(--c1)")

    assert (dots(0.5), dots(0.5, 0.6)) == (1, 0)


def test_curves_that_lie_on_each_other_are_all_seen() -> None:
    near, apart = [1.0, 2.0, 2.999], [1.0, 2.0, 2.5]
    drawn = [plots.Line(str(i), [1, 2, 3], ys, colour=i) for i, ys in enumerate([[1.0, 2.0, 3.0], near, apart, near])]
    plot = plots.lines("k", "t", drawn)
    assert [dashed for _, _, dashed in plot.legend] == [False, True, False, True]
    dashes = re.findall(r"stroke-dasharray: ([\d.]+),([\d.]+)", plot.svg)
    lengths = [float(dash) / (float(dash) + float(gap)) for dash, gap in dashes]
    assert lengths == pytest.approx([1 / 2, 1 / 4])  # the shorter on top


def test_off_target_by_direction_has_a_table_of_its_own(run: Path) -> None:
    page = report.write(run).read_text(encoding="utf-8")
    assert 'aria-label="Off-target by direction"' in page
    scores = page[page.index('aria-label="Scores by direction"') : page.index('aria-label="Off-target by direction"')]
    assert "off-target" not in scores.partition("</table>")[0]
