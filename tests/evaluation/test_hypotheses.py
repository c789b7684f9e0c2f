"""Files of translations: what is read, and every mistake in them as one sentence with its place."""

import json
import re

import pytest

from eclectus.errors import EclectusError
from eclectus.evaluation.hypotheses import HypothesisFile


def read(tmp_path, text, name="a.tsv", source="en", target="de", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return HypothesisFile("score", path, source, target, **options)


def test_a_header_names_the_columns_in_any_order(tmp_path):
    found = read(tmp_path, "\ufeffhypothesis\tsource\tnote\treference\r\nEins\tOne\tx\tEins!\r\n\r\n\tTwo\t\t\r\n")
    assert [row.line for row in found.rows] == [2, 4]
    first, second = found.rows
    assert (first.source, first.references, first.cells["hypothesis"]) == ("One", ("Eins!",), "Eins")
    assert (second.source, second.references, second.cells["hypothesis"]) == ("Two", (), "")
    assert found.has_references


def test_columns_replace_the_header(tmp_path):
    found = read(tmp_path, "One\tx\tEins\n", columns=["source", "-", "hypothesis"])
    assert found.rows[0].cells == {"source": "One", "hypothesis": "Eins"}


def test_languages_may_name_the_columns(tmp_path):
    found = read(tmp_path, "de\tfr\ten\nEins\tUn\tOne\n")
    assert (found.rows[0].source, found.rows[0].references) == ("One", ("Eins",))


def test_languages_may_be_columns(tmp_path):
    found = read(tmp_path, "source\tsource_lang\ttarget_lang\nOne\ten\tde\nUno\tes\tpt-BR\n", source=None, target=None)
    assert [(row.source_lang, row.target_lang) for row in found.rows] == [("en", "de"), ("es", "pt-BR")]


def test_several_references(tmp_path):
    found = read(tmp_path, "source\treference\treference2\treferences_n\nOne\tEins\tEiner\t3\nTwo\t\tZwei\t1\n")
    assert [row.references for row in found.rows] == [("Eins", "Einer"), ("Zwei",)]
    segment = found.rows[0].segment("a.tsv")
    assert (segment.references, segment.id, segment.direction) == (("Eins", "Einer"), "a.tsv:2", "en-de")
    assert found.rows[0].segment("a.tsv", withhold=True).references == ()


@pytest.mark.parametrize("key", ["reference", "references", "de"])
def test_a_list_of_references(tmp_path, key):
    rows = [{"source": "One", key: ["Eins", "", "Einer"]}, {"source": "Two", key: "Zwei"}, {"source": "No", key: []}]
    found = read(tmp_path, "\n".join(map(json.dumps, rows)), "a.jsonl")
    assert [row.references for row in found.rows] == [("Eins", "Einer"), ("Zwei",), ()]


def test_jsonl(tmp_path):
    text = '{"source": "One", "hypothesis": "Eins", "score": 81.5}\n\n{"source": "Two", "hypothesis": null}\n'
    found = read(tmp_path, text, "a.jsonl")
    assert found.texts("hypothesis", nothing="") == ["Eins", ""]
    with pytest.raises(EclectusError, match=r"line 3 has no 'hypothesis'; write \"\" where a system gave nothing"):
        found.texts("hypothesis")
    assert found.numbers("score") == [81.5, None]
    assert [row.line for row in found.rows] == [1, 3]


def test_half_a_character_stands_in_no_name_and_no_text(tmp_path):
    row = {"source": "One", "hypothesis": "Eins \ud83d", "system": "\ud83dx", "score\udfff": 1, "smile": "\U0001f600"}
    found = read(tmp_path, json.dumps(row), "a.jsonl")
    assert found.columns == ["source", "hypothesis", "system", "score\ufffd", "smile"]
    assert list(found.rows[0].cells.values()) == ["One", "Eins \ufffd", "\ufffdx", 1, "\U0001f600"]


def test_null_is_no_reference(tmp_path):
    rows = [{"source": "One", "reference": "Eins", "reference2": None}, {"source": "Two", "reference": None}]
    found = read(tmp_path, "\n".join(map(json.dumps, rows)), "a.jsonl")
    assert [row.references for row in found.rows] == [("Eins",), ()]


BROKEN = [
    ("", "a.tsv", {}, "is empty"),
    ("source\thypothesis\n", "a.tsv", {}, "a header and no text"),
    (
        "src\thyp\nOne\tEins\n",
        "a.tsv",
        {},
        "no column 'source', it has src, hyp; rename one, or name all of them with --columns$",
    ),
    ("sauce\thyp\nOne\tEins\n", "a.tsv", {}, "no column 'source', it has sauce, hyp;"),
    ("source\thyp\nOne\tEins\nTwo\n", "a.tsv", {}, r"line 3 has 1 columns instead of 2 \(source, hyp\)"),
    ("source\tx\tx\nOne\tEins\ta\n", "a.tsv", {}, "column 'x' twice"),
    ("source\nOne\n", "a.tsv", {"source": None}, "say the language with --from, or in a column 'source_lang'"),
    ("source\nOne\n", "a.tsv", {"target": None}, "with --to"),
    ("source\nOne\n", "a.tsv", {"target": "spa"}, "write 'es'"),
    ("source\ttarget_lang\nOne\tspanish\n", "a.tsv", {"target": None}, "line 2, column 'target_lang': .*'spanish'"),
    ("source\ttarget_lang\nOne\t\n", "a.tsv", {"target": None}, "line 2, column 'target_lang'"),
    ("source\nniño\n".encode("latin-1"), "a.tsv", {}, "not UTF-8 .*line 2"),
    ("One\n", "a.jsonl", {}, "line 1 is not JSON"),
    ("[1]\n", "a.jsonl", {}, 'line 1 is not an object; write one a line, such as {"source": "…", "hypothesis": "…"}$'),
    (f'{{"score": {"9" * 5000}}}\n', "a.jsonl", {}, "'.*a.jsonl' line 1 cannot be read .*; repair it$"),
    (f'{{"source": "One"}}\n{{"source": {"[" * 200_000}\n', "a.jsonl", {}, "line 2 cannot be read .*; repair it$"),
    ('{"source": ["One"]}\n', "a.jsonl", {}, "line 1: 'source' holds list instead of text"),
    ('{"src": "One"}\n', "a.jsonl", {}, "no column 'source', it has src; rename one$"),
    ('{"source": "One"}\n{"source": null}\n', "a.jsonl", {}, "'.*a.jsonl' line 2 has no 'source'"),
    ('{"source": "One"}\n{"hypothesis": "Eins"}\n', "a.jsonl", {}, "line 2 has no 'source'"),
    ('{"source": 1}\n', "a.jsonl", {}, "line 1 holds the number 1 in 'source'; write it in quotes"),
    ('{"source": "One", "reference": ["Eins", 5]}\n', "a.jsonl", {}, "line 1 holds the number 5 in 'reference 2'"),
    ('{"source": "One", "reference2": 5.5}\n', "a.jsonl", {}, "line 1 holds the number 5.5 in 'reference2'"),
    ('{"source": "One", "de": ["Eins", null]}\n', "a.jsonl", {}, "line 1: 'de' holds a null among its texts"),
    ('{"source": "One", "reference": true}\n', "a.jsonl", {}, "line 1: 'reference' holds bool instead of text"),
    ('{"source": "One"}\n', "a.jsonl", {"columns": ["source"]}, "--columns is for TSV"),
]


@pytest.mark.parametrize(("text", "name", "options", "message"), BROKEN)
def test_broken(tmp_path, text, name, options, message):
    with pytest.raises(EclectusError) as caught:
        read(tmp_path, text, name, **options)
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path):
    with pytest.raises(EclectusError, match="no file"):
        HypothesisFile("score", tmp_path / "none.tsv", "en", "de")


@pytest.mark.parametrize("cell", ["good", "nan", "inf", "1,5"])
def test_what_is_no_number(tmp_path, cell):
    found = read(tmp_path, f"source\tscore\nOne\t3\nTwo\t{cell}\n")
    with pytest.raises(EclectusError, match=f"line 3: 'score' holds '{cell}' instead of a number"):
        found.numbers("score")
    with pytest.raises(EclectusError, match="no column 'scores', it has source, score;"):
        found.numbers("scores")


def test_the_systems_of_a_runs_translations_are_columns(tmp_path):
    line = {"source": "a cat", "source_lang": "en", "target_lang": "es", "reference": "un gato"}
    line |= {"systems": {"base": "gato", "rl": "un gato", "source": "not this"}}
    path = tmp_path / "translations.jsonl"
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    found = HypothesisFile("score", path)
    assert found.texts("rl") == ["un gato"] and found.texts("base") == ["gato"]
    assert found.rows[0].source == "a cat" and found.rows[0].references == ("un gato",)
