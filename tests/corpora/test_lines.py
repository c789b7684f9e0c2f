"""Line-aligned files: what is read, and one sentence for each thing that can be wrong."""

from pathlib import Path

import pytest

from eclectus.config import DataConfig
from eclectus.corpora.dataset import prepare
from eclectus.corpora.lines import Lines
from eclectus.errors import ConfigError, DataError
from eclectus.registry import parse_options

EN = "a dog\na cat\n\na cow\n"
DE = "ein Hund\n \n\neine Kuh\n"


def corpus(folder: Path, texts: dict[str, str], languages=("en", "de", "fr"), **options) -> Lines:
    for tag, text in texts.items():
        (folder / f"a.{tag}").write_text(text, encoding="utf-8")
    given = {"files": {tag: f"a.{tag}" for tag in texts}, **options}
    found = Lines(parse_options("data.corpora.0", Lines.Options, given), languages, 1)
    found.root = folder
    return found


def test_a_line_of_each_file_is_one_entry_and_blanks_are_missing(tmp_path):
    read = corpus(tmp_path, {"en": EN, "de": DE}, split="dev")
    entries = list(read.entries())
    assert [dict(e.texts) for e in entries] == [
        {"en": "a dog", "de": "ein Hund"},
        {"en": "a cat"},
        {"en": "a cow", "de": "eine Kuh"},
    ]
    assert [e.id for e in entries] == ["a.en+a.de:1", "a.en+a.de:2", "a.en+a.de:4"]
    assert {e.split for e in entries} == {"dev"}
    assert read.dropped == {"no text": 1}


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(1, None, "a b c d"), (1, 4, "a b c d"), (2, 3, "b c"), (4, None, "d"), (4, 4, "d"), (1, 1, "a")],
)
def test_a_range_of_lines(tmp_path, first, last, expected):
    read = corpus(tmp_path, {"en": "a\nb\nc\nd\n"}, first=first, last=last)
    assert [e.texts["en"] for e in read.entries()] == expected.split()
    assert read.signature.endswith(f"|from:{first}|to:{last or 4}")


def test_the_signature_names_every_file(tmp_path):
    signature = corpus(tmp_path, {"en": EN, "de": DE}).signature
    first, second = signature.split(" + ")
    assert first.startswith(f"lines|path:{tmp_path / 'a.en'}|lines:4|sha256:")
    assert second.startswith(f"lines|path:{tmp_path / 'a.de'}|lines:4|sha256:")


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ({"en": EN, "de": "ein Hund\n"}, {}, r"'a.en' has 4, 'a.de' has 1 lines; line n of each"),
        ({"en": EN}, {"last": 5}, r"'a.en' has 4 lines, and first: 1 to last: 5 lies beyond"),
        ({"en": EN}, {"first": 9}, r"'a.en' has 4 lines, and first: 9"),
        ({"en": EN, "it": EN}, {}, r"'a.it' has 'it', which is not in data.languages"),
        ({"en": "\n"}, {}, r"a.en' is empty"),
    ],
)
def test_errors(tmp_path, texts, options, message):
    with pytest.raises(DataError, match=message):
        list(corpus(tmp_path, texts, **options).entries())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": {}}, "files"),
        ({"files": {"en": "a"}, "first": 0}, "first"),
        ({"files": {"en": "a"}, "first": 3, "last": 2}, "last: 2 stands before first: 3"),
        ({"files": {"en": "a"}, "frist": 2}, "did you mean 'first'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigError, match=message):
        parse_options("data.corpora.0", Lines.Options, options)


@pytest.mark.parametrize(
    "component",
    [
        {"type": "lines", "files": {"en": "a.en", "de": "a.de"}},
        {"type": "tsv", "path": "a.tsv", "columns": ["en", "de"]},
        {"type": "jsonl", "path": "a.jsonl"},
    ],
)
def test_the_root_of_a_run_is_where_its_files_stand(tmp_path, component):
    pairs = [(f"the dog sees {n} cats", f"der Hund sieht {n} Katzen") for n in range(20)]
    (tmp_path / "a.en").write_text("".join(f"{en}\n" for en, _ in pairs), encoding="utf-8")
    (tmp_path / "a.de").write_text("".join(f"{de}\n" for _, de in pairs), encoding="utf-8")
    (tmp_path / "a.tsv").write_text("".join(f"{en}\t{de}\n" for en, de in pairs), encoding="utf-8")
    rows = "".join(f'{{"en": "{en}", "de": "{de}"}}\n' for en, de in pairs)
    (tmp_path / "a.jsonl").write_text(rows, encoding="utf-8")
    dataset = prepare(DataConfig(languages=["en", "de"], corpora=[component], root=tmp_path), 1)
    found = {(s.source, s.reference) for split in ("train", "dev", "test") for s in dataset.pairs(split, "en", "de")}
    assert found == set(pairs)


def test_a_missing_root_is_one_sentence(tmp_path):
    config = DataConfig(languages=["en", "de"], corpora=[{"type": "cldr"}], root=tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"data.root: no folder '.*nowhere' .*--set data.root=FOLDER"):
        prepare(config, 1)
