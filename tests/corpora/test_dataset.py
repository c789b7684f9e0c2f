"""Splits by source sentence, leaks, caps, and what a run sees of its text."""

import json
import subprocess
import sys
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest

from eclectus.config import Component, DataConfig
from eclectus.corpora.clean import normalise_key
from eclectus.corpora.dataset import SPLITS, Dataset, prepare
from eclectus.errors import ConfigError, DataError

TAGS = ["en", "es", "gl", "cy"]
NUMBERS = "zero one two three four five six seven eight nine".split()  # noqa: SIM905


def config(*corpora: dict[str, object], languages: list[str] | None = None, **more: object) -> DataConfig:
    values: dict[str, object] = {"dev": 10, "test": 20, **more}
    return DataConfig(languages=languages or ["en", "es"], corpora=[Component(**c) for c in corpora], **values)


def sentence(i: int, word: str) -> str:
    return " ".join([word, *(NUMBERS[int(digit)] for digit in f"{i:03d}")])


def write(path: Path, rows: list[tuple[str, ...]]) -> str:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def tsv(path: Path, rows: list[tuple[str, ...]], columns: list[str] | None = None, **more: object) -> dict[str, object]:
    return {"type": "tsv", "path": write(path, rows), "columns": columns or ["en", "es"], **more}


def rows(n: int, start: int = 0) -> list[tuple[str, ...]]:
    return [(sentence(i, "take"), sentence(i, "toma")) for i in range(start, start + n)]


@pytest.fixture(scope="module")
def real() -> Dataset:
    return prepare(config({"type": "cldr", "phrases": 900}, {"type": "gettext"}, languages=TAGS, dev=40, test=60), 1)


def test_no_text_stands_in_two_splits_in_any_language(real: Dataset) -> None:
    keys = {s: {normalise_key(text) for tag in TAGS for text in real.monolingual(s, tag)} for s in SPLITS}
    assert all(keys.values())
    assert not keys["train"] & keys["dev"]
    assert not keys["train"] & keys["test"]
    assert not keys["dev"] & keys["test"]


def test_every_direction_has_its_share_from_every_corpus(real: Dataset) -> None:
    for source, target in permutations(TAGS, 2):
        for split, n in (("dev", 40), ("test", 60)):
            segments = real.pairs(split, source, target)  # type: ignore[arg-type]
            assert len(segments) == n
            corpora = Counter(s.attributes["corpus"] for s in segments)
            assert min(corpora["cldr"], corpora["gettext"]) >= n // 5
            # The beginning of the list, which training looks at, has both too.
            assert len({s.attributes["corpus"] for s in segments[:8]}) == 2
            assert len({s.source for s in segments}) == n
    real.check(list(permutations(TAGS, 2)))


def test_training_keeps_the_bulk(real: Dataset) -> None:
    for corpora in real.counts.values():
        for splits in corpora.values():
            assert splits["train"] > 0.65 * sum(splits.values())
    assert real.describe()["dropped"]["split"]["shares text with dev or test"] < 60


def test_short_texts_are_not_held_out_while_there_are_sentences(real: Dataset) -> None:
    assert all(len(segment.source.split()) >= 2 for segment in real.pairs("test", "en", "es"))


def test_splits_are_the_same_in_another_process_and_differ_by_seed(tmp_path: Path) -> None:
    corpus = tsv(tmp_path / "a.tsv", rows(200))
    code = (
        "import sys; from eclectus.config import DataConfig; from eclectus.corpora.dataset import prepare\n"
        f"d = prepare(DataConfig(languages=['en', 'es'], corpora=[{corpus!r}], dev=10, test=20), int(sys.argv[1]))\n"
        "print(*[s.id for s in d.pairs('test', 'en', 'es')])"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code, seed], capture_output=True, text=True, check=True).stdout.split()
        for seed in ("1", "2")
    ]
    here = [s.id for s in prepare(config(corpus), 1).pairs("test", "en", "es")]
    assert here == runs[0]
    assert len(here) == 20
    assert set(here) != set(runs[1])


def test_a_sentence_keeps_its_split_when_text_is_added(tmp_path: Path) -> None:
    before = prepare(config(tsv(tmp_path / "a.tsv", rows(300))), 1)
    after = prepare(config(tsv(tmp_path / "b.tsv", rows(330))), 1)
    old, new = ({s.source for s in d.pairs("test", "en", "es")} for d in (before, after))
    assert len(old & new) >= 14


def test_recurring_sources_stay_together(tmp_path: Path) -> None:
    other = [(source.upper() + "!", target + " ya") for source, target in rows(120)]
    data = prepare(config(tsv(tmp_path / "a.tsv", rows(120)), tsv(tmp_path / "b.tsv", other)), 1)
    train = {normalise_key(s.source) for s in data.pairs("train", "en", "es")}
    held = {normalise_key(s.source) for split in ("dev", "test") for s in data.pairs(split, "en", "es")}  # type: ignore[arg-type]
    assert held and not train & held


def test_a_small_corpus_is_mostly_for_training(tmp_path: Path) -> None:
    data = prepare(config(tsv(tmp_path / "a.tsv", rows(40)), test=200, dev=100), 1)
    sizes = [len(data.pairs(split, "en", "es")) for split in SPLITS]
    assert sizes == [30, 4, 6]


def test_text_shared_with_a_test_file_leaves_training(tmp_path: Path) -> None:
    test = [(sentence(500, "take"), "algo muy distinto"), ("quite another text", "TOMA ZERO ZERO SEVEN!")]
    data = prepare(config(tsv(tmp_path / "a.tsv", rows(60)), tsv(tmp_path / "t.tsv", test, split="test")), 1)
    assert [s.source for s in data.pairs("test", "en", "es")] == [source for source, _ in test]
    assert sentence(7, "take") not in data.monolingual("train", "en")
    assert data.describe()["dropped"]["split"] == {"shares text with dev or test": 1}


def test_the_users_training_text_is_never_held_out(tmp_path: Path) -> None:
    train = tsv(tmp_path / "train.tsv", [(source, "otra versión") for source, _ in rows(60)], split="train")
    data = prepare(config(train, tsv(tmp_path / "a.tsv", rows(120))), 1)
    held = {s.source for split in ("dev", "test") for s in data.pairs(split, "en", "es")}  # type: ignore[arg-type]
    assert held
    assert not held & {source for source, _ in rows(60)}


def test_a_direction_with_a_test_file_is_tested_on_that_file_alone(tmp_path: Path) -> None:
    test = tsv(tmp_path / "t.tsv", rows(9), split="test")
    three = [(*row, sentence(i, "colle")) for i, row in enumerate(rows(100), start=0)]
    auto = tsv(tmp_path / "a.tsv", three, columns=["en", "es", "gl"])
    data = prepare(config(test, auto, languages=["en", "es", "gl"]), 1)
    assert [s.id for s in data.pairs("test", "en", "es")] == [f"t.tsv:{i}" for i in range(1, 10)]
    drawn = data.pairs("test", "en", "gl")
    assert len(drawn) == 13  # 15 % of the 91 that the test file left
    # What the test file holds is neither trained on, nor drawn for another direction.
    for split in SPLITS:
        assert not {s.source for s in data.pairs(split, "en", "gl")} & {source for source, _ in rows(9)}


@pytest.mark.parametrize("other", ["train", "dev"])
def test_a_leak_in_the_users_own_splits_is_refused(tmp_path: Path, other: str) -> None:
    parts = (
        tsv(tmp_path / "a.tsv", [*rows(5), ("Some words here", "toma  zero zero nine.")], split=other),
        tsv(tmp_path / "t.tsv", rows(5, start=6), split="test"),
        tsv(tmp_path / "b.tsv", rows(50, start=100)),
    )
    message = f"1 test entries of 't.tsv' also stand in {other}.*toma zero zero nine.*leaks: remove"
    with pytest.raises(DataError, match=message):
        prepare(config(*parts), 1)
    leaky = prepare(config(*parts, leaks="keep"), 1)
    assert len(leaky.pairs("test", "en", "es")) == 5
    assert len(leaky.pairs(other, "en", "es")) >= 6  # type: ignore[arg-type]


def test_leaks_in_the_users_own_splits_are_removed_on_request(tmp_path: Path) -> None:
    both, other = ("Stands in dev and test", "baa zero"), ("Stands in dev and training", "coo zero")
    parts = (
        tsv(tmp_path / "a.tsv", [*rows(5), both, other, ("Only here", "toma  zero zero nine.")], split="train"),
        tsv(tmp_path / "d.tsv", [*rows(5, start=10), both, other], split="dev"),
        tsv(tmp_path / "t.tsv", [*rows(4, start=20), ("Another source", "Toma zero zero nine."), both], split="test"),
    )
    data = prepare(config(*parts, leaks="remove"), 1)
    texts = {split: {s.source for s in data.pairs(split, "en", "es")} for split in SPLITS}
    assert texts["test"] == {source for source, _ in rows(4, start=20)} | {"Another source", both[0]}
    assert texts["dev"] == {source for source, _ in rows(5, start=10)} | {other[0]}
    assert texts["train"] == {source for source, _ in rows(5)}
    assert data.describe()["dropped"]["split"] == {"shares text with test": 3, "shares text with dev": 1}


def test_text_that_leaves_dev_need_not_leave_training(tmp_path: Path) -> None:
    parts = (
        tsv(tmp_path / "a.tsv", [*rows(5), ("The same source", "baa zero")], split="train"),
        tsv(tmp_path / "d.tsv", [*rows(5, start=10), ("The same source", "coo zero")], split="dev"),
        tsv(tmp_path / "t.tsv", [*rows(4, start=20), ("Another source", "coo zero")], split="test"),
    )
    data = prepare(config(*parts, leaks="remove"), 1)
    assert "The same source" in {s.source for s in data.pairs("train", "en", "es")}


def test_caps_choose_the_same_entries_in_both_directions_and_leave_monolingual_text_free() -> None:
    corpus = {"type": "cldr", "phrases": 500}
    free = prepare(config(corpus, languages=TAGS), 1)
    data = prepare(config(corpus, languages=TAGS, max_pairs={"gl": 50, "cy": 30}), 1)
    ids = {(a, b): [s.id for s in data.pairs("train", a, b)] for a, b in permutations(TAGS, 2)}
    assert len(ids["en", "gl"]) == 50
    assert len(ids["en", "cy"]) == 30
    assert 20 <= len(ids["gl", "cy"]) <= 30
    assert set(ids["en", "gl"]) == set(ids["gl", "en"])
    assert set(ids["es", "gl"]) <= set(ids["en", "gl"])
    assert ids["en", "es"] == [s.id for s in free.pairs("train", "en", "es")]
    assert data.monolingual("train", "gl") == free.monolingual("train", "gl")
    assert data.pairs("test", "en", "gl") == free.pairs("test", "en", "gl")


def test_pairs_that_are_no_translations_are_left_out(tmp_path: Path) -> None:
    odd = [
        ("Madrid", "Madrid"),
        ("this was never translated here", "this was never translated here"),
        ("no", "a very long sentence that cannot possibly be meant"),
        *rows(30),
    ]
    data = prepare(config(tsv(tmp_path / "a.tsv", odd, split="train"), tsv(tmp_path / "b.tsv", rows(40, 100))), 1)
    sources = [s.source for s in data.pairs("train", "en", "es")]
    assert "Madrid" in sources
    assert "this was never translated here" not in sources
    assert "no" not in sources


def test_segments_carry_reference_id_and_corpus(tmp_path: Path) -> None:
    data = prepare(config(tsv(tmp_path / "a.tsv", rows(40))), 1)
    segment = data.pairs("train", "es", "en")[0]
    line = int(segment.id.removeprefix("a.tsv:"))
    assert (segment.source, segment.reference) == (sentence(line - 1, "toma"), sentence(line - 1, "take"))
    assert (segment.direction, segment.attributes) == ("es-en", {"corpus": "a.tsv"})


@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
def test_further_translations_of_a_source_are_alternatives_and_stay_in_its_split(tmp_path: Path, kind: str) -> None:
    words = ("toma", "coge", "agarra")
    several = [(sentence(i, "take"), [sentence(i, word) for word in words[: 1 + i % 3]]) for i in range(90)]
    if kind == "tsv":  # the source is repeated, far from its first line
        flat = [(source, targets[n]) for n in range(3) for source, targets in several if n < len(targets)]
        corpus = tsv(tmp_path / "a.tsv", flat)
    else:
        lines = [json.dumps({"en": source, "es": targets}) for source, targets in several]
        (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
        corpus = {"type": "jsonl", "path": str(tmp_path / "a.jsonl")}
    data = prepare(config(corpus), 1)
    known, met = dict(several), {}
    for split in SPLITS:
        segments = data.pairs(split, "en", "es")
        for segment in segments:
            assert sorted(segment.references) == sorted(known[segment.source])
            assert met.setdefault(segment.source, split) == split
        counts = Counter(s.source for s in segments)
        assert all(n == (len(known[source]) if split == "train" else 1) for source, n in counts.items())
    assert set(met) == set(known)
    assert all(not segment.alternatives for segment in data.pairs("train", "es", "en"))


@pytest.mark.parametrize(("dev", "test", "sizes"), [(30, 50, (30, 50)), (200, 200, (40, 60))])
def test_repeated_sources_leave_dev_and_test_as_large(
    tmp_path: Path, dev: int, test: int, sizes: tuple[int, int]
) -> None:
    words = ("toma", "coge", "agarra", "quita", "saca")
    several = [(sentence(i, "take"), sentence(i, word), sentence(i, "colle")) for word in words for i in range(400)]
    corpus = tsv(tmp_path / "a.tsv", several, columns=["en", "es", "gl"])
    data = prepare(config(corpus, languages=["en", "es", "gl"], dev=dev, test=test), 1)
    for source, target in permutations(("en", "es", "gl"), 2):
        if source != "es":  # whose every text is a source of its own
            assert (len(data.pairs("dev", source, target)), len(data.pairs("test", source, target))) == sizes


def test_repeated_sources_move_nothing_where_their_pair_has_enough(tmp_path: Path) -> None:
    double = [(sentence(i, "take"), sentence(i, word)) for i in range(100) for word in ("toma", "coge")]
    two = [(sentence(i, "give"), sentence(i, "da"), "") for i in range(200)]
    three = [(sentence(i, "give"), sentence(i, "da"), sentence(i, "dálle")) for i in range(200, 300)]
    corpora = (tsv(tmp_path / "a.tsv", double), tsv(tmp_path / "b.tsv", two + three, columns=["en", "es", "gl"]))
    data = prepare(config(*corpora, languages=["en", "es", "gl"]), 1)
    assert len(data.pairs("test", "en", "es")) == 20
    # Ten entries are half of what the pair needs; Galician made the other corpus give more than its half.
    assert data.counts["en"]["a.tsv"]["test"] == 10
    assert data.counts["en"]["b.tsv"]["test"] > 15


def test_a_cap_holds_for_alternatives_too(tmp_path: Path) -> None:
    pairs = [(sentence(i, "take"), sentence(i, word)) for i in range(60) for word in ("toma", "coge")]
    data = prepare(config(tsv(tmp_path / "a.tsv", pairs), max_pairs={"es": 11}), 1)
    segments = data.pairs("train", "en", "es")
    assert len(segments) == 11
    assert {text for s in segments for text in s.references} == {s.reference for s in segments}


def test_monolingual_text_is_for_training_only(tmp_path: Path) -> None:
    alone = tsv(tmp_path / "m.tsv", [(sentence(i, "sólo"),) for i in range(30)], columns=["es"])
    data = prepare(config(tsv(tmp_path / "a.tsv", rows(40)), alone), 1)
    assert data.counts["es"]["m.tsv"] == {"train": 30, "dev": 0, "test": 0}
    assert sentence(3, "sólo") in data.monolingual("train", "es")
    assert len(data.pairs("train", "en", "es")) == 30


def test_a_direction_without_test_text_is_refused(tmp_path: Path) -> None:
    alone = tsv(tmp_path / "m.tsv", [("unha frase soa",)], columns=["gl"])
    data = prepare(config(tsv(tmp_path / "a.tsv", rows(40)), alone, languages=["en", "es", "gl"]), 1)
    data.check([("en", "es"), ("es", "en")])
    with pytest.raises(DataError, match=r"'en-gl' has no dev segments \(0 for training\).*English and Galician"):
        data.check([("en", "es"), ("en", "gl")])


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"languages": ["en", "xx"]}, ConfigError, "unknown language 'xx'"),
        ({"languages": ["en", "pt_BR"]}, ConfigError, "write 'pt-BR'"),
        ({"languages": ["en", "es"], "max_pairs": {"e": 3}}, ConfigError, "max_pairs: 'e' is not among"),
        ({"languages": ["en", "tlh"]}, DataError, "no corpus holds any Klingon text"),
    ],
)
def test_wrong_data_is_refused_at_the_door(values: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        prepare(config({"type": "cldr", "phrases": 20}, **values), 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("corpus", "message"),
    [({"type": "clrd"}, "did you mean 'cldr'"), ({"type": "cldr", "phrase": 3}, "did you mean 'phrases'")],
)
def test_a_mistyped_corpus_names_the_nearest(corpus: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare(config(corpus), 1)


def test_the_pairs_that_remain_under_a_cap_are_told() -> None:
    data = prepare(config({"type": "cldr", "phrases": 500}, languages=TAGS, max_pairs={"gl": 50, "cy": 30}), 1)
    told = data.describe()["training pairs"]
    assert (told["en-gl"], told["en-cy"]) == (50, 30)
    for name, count in told.items():
        assert count == len(data.pairs("train", *name.split("-"))), name


def test_what_cleaning_takes_out_of_a_file_is_told(tmp_path: Path) -> None:
    long = " ".join(["long"] * 50)
    given = [*rows(40, 100), *((f"{long} {i}", f"{long} {i} x") for i in range(3))]
    (told,) = prepare(config(tsv(tmp_path / "a.tsv", given)), 1).warnings
    assert told == (
        "a.tsv: not all of its 43 entries are used whole: 3 longer than data.max_chars: 200; raise data.max_chars to"
        " use the long ones"
    )
    assert not prepare(config(tsv(tmp_path / "b.tsv", given), max_chars=400), 1).warnings
    # One of a hundred and a few: not worth a line, and no more are duplicates in training text.
    few = [*rows(150, 100), ("?", "one two three"), *rows(20, 100)]
    assert not prepare(config(tsv(tmp_path / "c.tsv", few)), 1).warnings


def test_whatever_the_users_own_test_text_loses_is_told(tmp_path: Path) -> None:
    held = [*rows(600, 200), ("?", "!"), ("take one", "toma uno"), ("take one", "toma uno")]
    held += [("a text that stands as it is", "a text that stands as it is"), ("one", "uno " * 30)]
    found = prepare(
        config(
            tsv(tmp_path / "train.tsv", rows(100), split="train"),
            tsv(tmp_path / "test.tsv", held, split="test"),
            test=700,
        ),
        1,
    )
    assert found.warnings == [
        "test.tsv: not all of its 605 test entries are used whole: 1 without letters or digits, 1 given twice, 2"
        " untranslated, or more unlike in length than data.max_ratio allows"
    ]
    assert len(found.pairs("test", "en", "es")) == 601


def test_packaged_text_is_used_without_a_warning(real: Dataset) -> None:
    assert not real.warnings
