from __future__ import annotations

import json
from pathlib import Path

import fake_run
import pytest
from rich.console import Console

from eclectus.errors import RunError
from eclectus.evaluation import formats, metrics, report, tables, translations
from eclectus.evaluation.headline import headline, verdict, warnings
from eclectus.evaluation.metrics import DirectionScores, Scorer
from eclectus.evaluation.results import Group, Results, System, build
from eclectus.segment import Segment

WORDS = ["red", "blue", "green", "old", "new", "big"]
TWO = [System(name="base", label="base", role="base"), System(name="rl", label="reinforced", role="system")]


def tiny(base: list[str], rl: list[str], references: list[str] | None = None) -> Results:
    references = references or [f"the {word} cat sat on the mat today" for word in WORDS]
    segments = {"es-en": [Segment("x", "es", "en", r, f"s{i}") for i, r in enumerate(references)]}
    outputs = {"base": {"es-en": base}, "rl": {"es-en": rl}}
    return build("tiny", 1, [], segments, outputs, systems=TWO, resamples=100)


GOOD = [f"the {word} cat sat on the mat today" for word in WORDS]
BAD = [f"a {word} dog lay under the tree" for word in WORDS]


def test_scores_are_the_scorers(known_words: None, results: Results) -> None:
    segments = fake_run.segments(30)
    texts = fake_run.outputs(segments)
    assert results.scores["es-fr"]["distillation"] == Scorer(segments["es-fr"], fake_run.LANGUAGES).score(
        texts["distillation"]["es-fr"]
    )


def test_groups_are_means_of_directions(results: Results) -> None:
    group = results.groups[0]
    found = results.group_scores(group, "rl")
    assert found is not None
    parts = [results.scores[direction]["rl"] for direction in fake_run.ZERO]
    assert found.bleu == pytest.approx(sum(part.bleu for part in parts) / 6)
    assert found.n == 180
    assert found.entropy == pytest.approx(0.6)


def test_no_mean_over_part_of_a_group(results: Results) -> None:
    assert results.group_scores(results.groups[1], "pivot") is None
    assert results.comparison("supervised", "rl", "pivot", "bleu") is None
    assert results.comparison("zero-shot", "rl", "pivot", "bleu") is not None


def test_a_direction_that_one_system_lacks_drops_the_group_mean_only(known_words: None) -> None:
    segments = {d: rows for d, rows in fake_run.segments(10).items() if d in fake_run.LOW}
    outputs = {name: dict(parts) for name, parts in fake_run.outputs(fake_run.segments(10)).items()}
    del outputs["rl"]["ca-en"]
    found = build("t", 1, fake_run.LANGUAGES, segments, outputs, systems=fake_run.SYSTEMS, groups=fake_run.GROUPS)
    assert [group.name for group in found.groups] == ["low-resource"]
    assert found.comparison("low-resource", "rl", "base", "bleu") is None
    assert found.comparison("en-ca", "rl", "base", "bleu", "direction") is not None
    assert found.group_scores(found.groups[0], "rl") is None
    assert found.group_scores(found.groups[0], "base") is not None
    assert verdict(found, found.groups[0]) == "none"


def test_every_system_meets_the_base_and_the_main_one_meets_all(results: Results) -> None:
    pairs = {(c.system, c.against) for c in results.comparisons if c.scope == "zero-shot"}
    names = [system.name for system in results.systems if system.name != "base"]
    assert pairs == {(name, "base") for name in names} | {("rl", name) for name in names if name != "rl"}
    assert {c.metric for c in results.comparisons} == {"bleu", "chrf"}
    assert {c.scope for c in results.comparisons if c.kind == "direction"} == set(results.scores)


def test_by_corpus_covers_all_segments(results: Results) -> None:
    for direction, corpora in results.by_corpus.items():
        assert sum(by_system["rl"].n for by_system in corpora.values()) == results.scores[direction]["rl"].n
    assert set(results.by_corpus["es-fr"]) == {"cldr", "gettext"}


def test_directions_in_no_group_make_their_own(results: Results) -> None:
    found = tiny(BAD, GOOD)
    assert [(group.label, group.directions) for group in found.groups] == [("All directions", ["es-en"])]


def test_round_trip_through_json(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path)
    assert Results.load(tmp_path) == results
    assert not list(tmp_path.glob("*.tmp"))
    assert "NaN" not in (tmp_path / "evaluation.json").read_text(encoding="utf-8")


def test_damaged_results_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no evaluation\.json.*eclectus train --resume"):
        Results.load(tmp_path)
    (tmp_path / "evaluation.json").write_text('{"title": 1', encoding="utf-8")
    with pytest.raises(RunError, match=r"cannot read .*evaluation\.json.*eclectus train --resume"):
        Results.load(tmp_path)


def test_one_signature_for_all_that_share_it(known_words: None, results: Results) -> None:
    assert results.signatures["BLEU"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
    segments = {"en-zh": [Segment("a", "en", "zh", "猫")], "en-es": [Segment("a", "en", "es", "gato")]}
    found = build("t", 1, [], segments, {"rl": {"en-zh": ["猫"], "en-es": ["gato"]}}, systems=TWO[1:], resamples=100)
    assert "tok:zh" in found.signatures["BLEU (en-zh)"] and "tok:13a" in found.signatures["BLEU (en-es)"]
    assert found.signatures["Language identification"] == "none"
    assert "chrF++" in found.signatures
    assert found.versions["sacrebleu"] and found.versions["python"]


@pytest.mark.parametrize(
    ("base", "rl", "judged", "words"),
    [
        (BAD, GOOD, "better", "es-en"),
        (GOOD, BAD, "worse", "worse than base: BLEU 100.0 →"),
        (BAD, BAD, "same", "no significant change: BLEU"),
    ],
)
def test_verdict_and_words(base: list[str], rl: list[str], judged: str, words: str) -> None:
    found = tiny(base, rl)
    assert verdict(found, found.groups[0]) == judged
    assert words.replace("es-en", "All directions (1 direction): BLEU") in found.headline[0]


def test_one_metric_that_decides_alone_is_named() -> None:
    found = tiny(BAD, GOOD)
    undecided = [c.model_copy(update={"low": -3.0}) if c.metric == "bleu" else c for c in found.comparisons]
    found = found.model_copy(update={"comparisons": undecided})
    assert verdict(found, found.groups[0]) == "better"
    assert headline(found)[0].startswith("All directions (1 direction): better by chrF++ only: BLEU")


def test_a_rate_that_few_were_judged_for_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_identify", lambda texts, languages: [("es", 1.0)] + [(None, 0.0)] * (len(texts) - 1))
    segments = {"es-en": [Segment("x", "es", "en", r) for r in GOOD]}
    outputs = {"base": {"es-en": BAD}, "rl": {"es-en": GOOD}}
    found = build("t", 1, ["en", "es"], segments, outputs, systems=TWO, resamples=100)
    assert "off-target 17 % → 17 % (17 % could be judged)." in found.headline[0]


def test_metrics_that_disagree_are_called_so() -> None:
    found = tiny(BAD, GOOD)
    flipped = [c.model_copy(update={"low": -3.0, "high": -1.0}) if c.metric == "chrf" else c for c in found.comparisons]
    assert verdict(found.model_copy(update={"comparisons": flipped}), found.groups[0]) == "mixed"


def test_headline_tells_all_of_a_group(results: Results) -> None:
    sentence = results.headline[0]
    before, after = (results.group_scores(results.groups[0], name) for name in ("base", "rl"))
    assert before is not None and after is not None
    assert sentence.startswith(f"Zero-shot (6 directions): BLEU {before.bleu:.1f} → {after.bleu:.1f} (+")
    assert "95 % interval" in sentence and "p ≤ 0.01" in sentence and "off-target" in sentence
    pivot = results.group_scores(results.groups[0], "pivot")
    assert pivot is not None and pivot.bleu > after.bleu
    assert f"Pivot through English: {pivot.bleu:.1f} BLEU, {pivot.bleu - after.bleu:.1f} above." in sentence
    assert "ahead of constant reward (+" in sentence
    assert len(results.headline) == len(results.groups)


def test_controls_are_told_in_the_metric_that_decides_alone(results: Results) -> None:
    name = results.groups[0].name
    assert "Against the controls, in BLEU: " in results.headline[0]
    chrf = results.comparison(name, "rl", "constant_reward", "chrf")
    undecided = [
        c.model_copy(update={"low": -3.0}) if (c.scope, c.against, c.metric) == (name, "base", "bleu") else c
        for c in results.comparisons
    ]
    sentence = headline(results.model_copy(update={"comparisons": undecided}))[0]
    assert "better by chrF++ only" in sentence and "Against the controls, in chrF++: " in sentence
    assert chrf is not None and f"constant reward (+{chrf.difference:.1f})" in sentence


def test_no_green_light_where_a_control_wins_in_the_metric_that_decides(results: Results) -> None:
    name = results.groups[0].name

    def said(scores: dict[tuple[str, str], float]) -> tuple[str, str]:
        """The light and its words with these differences of the RL system, by the other system and metric."""
        found = [
            c.model_copy(update={"difference": d, "low": d - 0.5, "high": d + 0.5})
            if c.scope == name and (d := scores.get((c.against, c.metric))) is not None
            else c
            for c in results.comparisons
        ]
        changed = results.model_copy(update={"comparisons": found})
        section = report._sections(changed, [])[0]
        return section.light, section.verdict

    gains = {("base", "bleu"): 0.1, ("base", "chrf"): 1.0}
    light, words = said(gains)
    assert light == "good" and words.endswith("by chrF++")
    light, words = said(gains | {("constant_reward", "chrf"): -3.0})
    assert light == "warn" and "behind constant reward" in words


def test_a_control_that_is_ahead_in_one_of_two_metrics_is_told(results: Results) -> None:
    """Both decide the verdict: the sentence in the second is of the systems that it judges otherwise."""
    name = results.groups[0].name
    against = {("constant_reward", "bleu"): 0.0, ("constant_reward", "chrf"): -2.6}
    found = [
        c.model_copy(update={"difference": d, "low": d - 0.5, "high": d + 0.5})
        if c.scope == name and c.system == "rl" and (d := against.get((c.against, c.metric))) is not None
        else c
        for c in results.comparisons
    ]
    changed = results.model_copy(update={"comparisons": found})
    sentence = headline(changed)[0]
    assert "not clearly different from constant reward (0.0, −0.5 to +0.5)" in sentence
    assert sentence.count("But in chrF++: behind constant reward (−2.6).") == 1
    section = report._sections(changed, [])[0]
    assert section.light == "warn" and "behind constant reward" in section.verdict
    assert "But in" not in results.headline[0]


def test_lengths_that_cancel_out_in_the_mean_are_told_by_direction() -> None:
    segments = {
        d: [Segment(f"x {i}", *d.split("-"), f"one two three four {i}") for i in range(30)] for d in ("en-es", "en-fr")
    }
    right = [segment.reference or "" for segment in segments["en-es"]]
    outputs = {
        "base": {"en-es": right, "en-fr": right},
        "rl": {"en-es": [text[:9] for text in right], "en-fr": [f"{text} {text[:11]}" for text in right]},
    }
    found = build("t", 1, [], segments, outputs, systems=TWO, resamples=100)
    assert "Watch out: length ratio 1.00 → 0.44 in en-es" in found.headline[0]
    assert "in en-fr" in found.headline[0]


def test_a_control_that_wins_is_named(results: Results) -> None:
    assert "behind supervised continued (−" in results.headline[1]


@pytest.mark.parametrize(
    ("n", "said"), [(1, "1 test segment of a direction is"), (29, "29 test segments of a direction are"), (30, "")]
)
def test_few_test_segments_are_said_to_be_few(n: int, said: str) -> None:
    segments = {"es-en": [Segment(f"x {i}", "es", "en", f"one text more {i}") for i in range(n)]}
    outputs = {"base": {"es-en": ["one"] * n}, "rl": {"es-en": ["one text more"] * n}}
    found = build("t", 1, [], segments, outputs, systems=TWO, resamples=100)
    assert ("Do not build on it" in found.headline[0]) == bool(said) and said in found.headline[0]


def test_one_system_alone_has_plain_scores() -> None:
    segments = {"es-en": [Segment("x", "es", "en", r) for r in GOOD]}
    found = build("t", 1, [], segments, {"rl": {"es-en": GOOD}}, systems=TWO[1:], resamples=100)
    assert found.headline == ["All directions (1 direction): reinforced: BLEU 100.0, chrF++ 100.0."]


def test_warnings_name_what_the_metrics_hide() -> None:
    before = DirectionScores(9, 50, 50, 0, 0, 1, 1.0, 0.01, 0.0, 0.0)
    assert warnings(before, before) == []
    after = DirectionScores(9, 60, 60, 0, 0, 1, 1.4, 0.09, 0.0, 0.03)
    assert warnings(before, after) == [
        "length ratio 1.00 → 1.40",
        "repetition 1.0 % → 9.0 %",
        "empty output 0 % → 3.0 %",
    ]


def test_translations_round_trip(tmp_path: Path) -> None:
    segments = {"es-en": [Segment("hola\u2028", "es", "en", "hello\u2028", "s0", {"corpus": "mine"})]}
    translations.write(tmp_path, segments, {"base": {"es-en": ["hi"]}, "rl": {}})
    (found,) = translations.read(tmp_path)
    assert found == ("es-en", "s0", "mine", "hola\u2028", "es", "en", "hello\u2028", {"base": "hi"})
    line = json.loads((tmp_path / "translations.jsonl").read_text(encoding="utf-8"))
    assert line["source"] == "hola\u2028" and line["systems"] == {"base": "hi"}


def test_damaged_translations_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "translations.jsonl").write_text('{"direction": "es-en"}\n', encoding="utf-8")
    with pytest.raises(RunError, match=r"line 1 of .*translations\.jsonl"):
        translations.read(tmp_path)


def test_tables_fit_100_columns(results: Results) -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    tables.show(results, console)
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "…" not in text
    found = results.comparison("zero-shot", "rl", "base", "bleu")
    assert found is not None
    assert f"{formats.signed(found.difference)} {formats.interval(found.low, found.high)}" in text
    assert all(system.label.split()[0] in text for system in results.systems)
    assert all(direction in text for direction in results.scores)


def test_tables_of_one_system() -> None:
    segments = {f"es-{t}": [Segment("x", "es", t, r) for r in GOOD] for t in ("en", "fr")}
    outputs = {"rl": dict.fromkeys(segments, GOOD)}
    groups = [Group(name="a[b]", label="[red]A", directions=list(segments))]
    found = build("t", 1, [], segments, outputs, systems=TWO[1:], groups=groups, resamples=100)
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    tables.show(found, console)
    text = console.export_text()
    assert "100.0" in text and "es-fr" in text and "[red]A" in text


def test_scores_of_one_direction() -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    scores = DirectionScores(1200, 34.56, 50, 0.25, None, 0, 1.02, 0, 0.004, 0)
    tables.show_scores("my [model], en-es", scores, {"bleu": "tok:13a"}, console)
    text = console.export_text()
    assert "my [model], en-es" in text and "34.6" in text and "1,200" in text and "0.4 %" in text
    assert "BLEU|tok:13a" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.signed(46.12), "+46.1"),
        (formats.signed(-0.44), "−0.4"),
        (formats.signed(-0.04), "0.0"),
        (formats.number(-0.04), "0.0"),
        (formats.number(-1.26), "−1.3"),
        (formats.number(None), "–"),
        (formats.percent(0.31), "31 %"),
        (formats.percent(0.0042), "0.4 %"),
        (formats.percent(0.0996), "10 %"),
        (formats.percent(0), "0 %"),
        (formats.percent(1), "100 %"),
        (formats.p_value(2 / 1001, 1000), "p ≤ 0.002"),
        (formats.p_value(2 / 801, 800), "p ≤ 0.003"),
        (formats.p_value(2 / 10001, 10000), "p ≤ 0.0002"),
        (formats.p_value(4 / 10001, 10000), "p = 0.0004"),
        (formats.p_value(0.034, 1000), "p = 0.034"),
        (formats.p_value(0.41, 1000), "p = 0.41"),
        (formats.count(1, "step"), "1 step"),
        (formats.count(1200, "segment"), "1,200 segments"),
        (formats.listing(["a", "b", "c"]), "a, b and c"),
        (formats.listing(["a"]), "a"),
        (formats.duration(48.4), "48 s"),
        (formats.duration(370), "6 min 10 s"),
        (formats.duration(7500), "2 h 5 min"),
    ],
)
def test_numbers_in_words(text: str, expected: str) -> None:
    assert text == expected


def test_the_model_that_a_run_began_with_is_no_control(results: Results) -> None:
    loaded = Results.model_validate_json(
        results.model_dump_json().replace('"constant_reward"', '"loaded"').replace("constant reward", "as loaded")
    )
    sentence = headline(loaded)[0]
    assert "Against what it began with, in BLEU: ahead of the model as loaded (+" in sentence
    assert "Against the controls, in BLEU: " in sentence and "as loaded" not in sentence.partition("the controls")[2]
    alone = [s for s in loaded.systems if s.role != "control" or s.name == "loaded"]
    assert "controls" not in headline(loaded.model_copy(update={"systems": alone}))[0]


def test_the_system_that_others_are_compared_with_has_one_name(results: Results) -> None:
    systems = [s.model_copy(update={"label": "start"}) if s.role == "base" else s for s in results.systems]
    group, renamed = results.groups[0], results.model_copy(update={"systems": systems})
    assert [str(c.header) for c in tables.group_table(renamed, group).columns].count("Δ start, 95 %") == 2
    assert "Δ base, 95 %" in [str(c.header) for c in tables.group_table(results, group).columns]
