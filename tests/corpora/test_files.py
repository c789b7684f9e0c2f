"""The user's own files: TSV and JSONL, and one sentence for each thing that can be wrong."""

import json
from pathlib import Path

import pytest

from eclectus.corpora.base import Corpus, Entry
from eclectus.corpora.jsonl import Jsonl
from eclectus.corpora.tsv import Tsv
from eclectus.errors import ConfigError, DataError
from eclectus.registry import find, parse_options

LANGUAGES = ["en", "es", "gl"]


def read(kind: str, path: Path, data: str | bytes, **options: object) -> list[Entry]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    cls = find("corpora", kind, Corpus)
    return list(cls(parse_options("data.corpora.0", cls.Options, {"path": path, **options}), LANGUAGES, 1).entries())


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        ("Save\tGuardar\n", {"columns": ["en", "es"]}, [{"en": "Save", "es": "Guardar"}]),
        ("\ufeffes\ten\r\nGuardar\tSave\r\n", {"header": True}, [{"en": "Save", "es": "Guardar"}]),
        (
            "id\ta\tb\n1\tSave\tGuardar",
            {"header": True, "columns": ["-", "en", "es"]},
            [{"en": "Save", "es": "Guardar"}],
        ),
        ("Save\t\n\t\n\nStop\tParar\n", {"columns": ["en", "es"]}, [{"en": "Save"}, {"en": "Stop", "es": "Parar"}]),
        ('A "q\u2028uote\n', {"columns": ["gl"]}, [{"gl": 'A "q\u2028uote'}]),
    ],
)
def test_tsv(tmp_path: Path, data: str, options: dict[str, object], expected: list[dict[str, str]]) -> None:
    assert [dict(e.texts) for e in read("tsv", tmp_path / "a.tsv", data, **options)] == expected


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ("", {"columns": ["en"]}, "'.*a.tsv' is empty"),
        ("\n \n", {"columns": ["en"]}, "is empty"),
        ("a\tb\nc\n", {"columns": ["en", "es"]}, r"line 2 has 1 columns instead of 2 \(en, es\)"),
        ("Source\tTarget\na\tb\n", {"columns": ["en", "es"]}, "line 1 .* no text; set header: true for it, or take it"),
        ("a;b\n", {"columns": ["en", "es"]}, "separate them with one tab each, not with semicolons"),
        ("a\tb\n", {"columns": ["en", "fr"]}, "has 'fr', which is not in data.languages.*known: en, es, gl"),
        ("en\tid\na\t1\n", {"header": True}, "has 'id', which is not in data.languages"),
        ("a\tb\n", {"columns": ["en", "en"]}, "has 'en' twice"),
        ("en\tes\n", {"header": True}, "a header and no text"),
        ("en \tes\na\tb\n", {"columns": ["en", "es"]}, "line 1 of '.*a.tsv' names the columns .*set header: true"),
        ("id\tes\n1\tb\n", {"columns": ["-", "es"]}, "line 1 of '.*a.tsv' names the columns"),
        ("ok\nma\xf1ana\n".encode("latin-1"), {"columns": ["es"]}, r"not UTF-8 \(byte 5, line 2\).*LATIN1"),
        ("hola".encode("utf-16"), {"columns": ["es"]}, r"not UTF-8 \(byte 0, line 1\).*UTF-16"),
    ],
)
def test_tsv_errors(tmp_path: Path, data: str | bytes, options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read("tsv", tmp_path / "a.tsv", data, **options)


def test_tsv_without_columns_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the languages with columns"):
        read("tsv", tmp_path / "a.tsv", "a\n")


def test_a_missing_file_names_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file 'nowhere.tsv' .*looked in"):
        list(Tsv(Tsv.Options(path=Path("nowhere.tsv"), columns=["en"]), LANGUAGES, 1).entries())
    with pytest.raises(DataError, match="cannot read"):
        list(Tsv(Tsv.Options(path=tmp_path, columns=["en"]), LANGUAGES, 1).entries())


@pytest.mark.parametrize(
    ("lines", "options", "expected"),
    [
        ([{"en": "Save", "es": "Guardar", "id": 7}], {}, [{"en": "Save", "es": "Guardar"}]),
        ([{"src": "Save", "es": "x"}], {"fields": {"en": "src"}}, [{"en": "Save"}]),
        ([{"en": "Save", "es": None}, {"en": " "}], {}, [{"en": "Save"}]),
        (
            [{"en": "Save", "es": ["Guardar", " ", "Grabar", None], "gl": ["Gardar", "Gravar", "Salvar"]}],
            {},
            [
                {"en": "Save", "es": "Guardar", "gl": "Gardar"},
                {"en": "Save", "es": "Grabar", "gl": "Gravar"},
                {"en": "Save", "es": "Guardar", "gl": "Salvar"},
            ],
        ),
        ([{"en": ["Save", "Keep"], "es": []}], {}, [{"en": "Save"}, {"en": "Keep"}]),
    ],
)
def test_jsonl(tmp_path: Path, lines: list[object], options: dict[str, object], expected: list[dict[str, str]]) -> None:
    data = "\n\n".join(json.dumps(line) for line in lines)
    assert [dict(e.texts) for e in read("jsonl", tmp_path / "a.jsonl", data, **options)] == expected


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ("", {}, "is empty"),
        ('{"en": "a"}\n{"en": \n', {}, "line 2 is not JSON .*column"),
        ('["a"]\n', {}, "line 1 is not an object"),
        ('{"en": 3}\n', {}, "line 1: 'en' holds int instead of text"),
        ('{"en": ["a", ["b"]]}\n', {}, "line 1: 'en' holds list instead of text"),
        ('{"source": "a"}\n', {}, "no line of .* has text under any of the keys en, es, gl"),
        ('{"fr": "a"}\n', {"fields": {"fr": "fr"}}, "has 'fr', which is not in data.languages"),
        (b'{"en": "\xff"}', {}, r"not UTF-8 \(byte 8, line 1\)"),
    ],
)
def test_jsonl_errors(tmp_path: Path, data: str | bytes, options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read("jsonl", tmp_path / "a.jsonl", data, **options)


def test_entries_keep_the_split_and_name_file_and_line(tmp_path: Path) -> None:
    (entry,) = read("jsonl", tmp_path / "a.jsonl", '{"en": "Save"}\n', split="test")
    assert (entry.split, entry.corpus, entry.id) == ("test", "a.jsonl", "a.jsonl:1")


def test_texts_of_a_list_have_names_of_their_own(tmp_path: Path) -> None:
    entries = read("jsonl", tmp_path / "a.jsonl", '{"en": "Save", "es": ["Guardar", "Grabar"]}\n')
    assert [entry.id for entry in entries] == ["a.jsonl:1", "a.jsonl:1/2"]


def test_signatures_hold_lines_and_content(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("Save\nStop\n")
    first = Tsv(Tsv.Options(path=path, columns=["en"]), LANGUAGES, 1).signature
    path.write_text("Save\nHalt\n")
    assert first.startswith(f"tsv|path:{path}|lines:2|sha256:")
    assert first != Tsv(Tsv.Options(path=path, columns=["en"]), LANGUAGES, 1).signature
    assert Jsonl(Jsonl.Options(path=path), LANGUAGES, 1).signature.startswith("jsonl|")
