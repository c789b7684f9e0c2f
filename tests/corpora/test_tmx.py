"""Translation memories: what is read of a TMX file, and one sentence for each thing that can be wrong."""

from pathlib import Path

import pytest

from eclectus.config import DataConfig
from eclectus.corpora.dataset import prepare
from eclectus.corpora.tmx import Tmx
from eclectus.errors import ConfigError, DataError
from eclectus.registry import parse_options

HEAD = '<header creationtool="t" segtype="sentence" o-tmf="t" adminlang="en" srclang="en-US" datatype="xml"/>'


def unit(*variants: tuple[str, str], attribute: str = "xml:lang") -> str:
    inside = "".join(
        f'<tuv {attribute}="{tag}"><prop type="x">p</prop><seg>{text}</seg></tuv>' for tag, text in variants
    )
    return f'<tu tuid="7"><note>a note</note>{inside}</tu>'


def memory(*units: str) -> str:
    doctype = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">'
    return f'<?xml version="1.0"?>{doctype}<tmx version="1.4">{HEAD}<body>{"".join(units)}</body></tmx>'


def corpus(folder: Path, data: str | bytes, run=("en", "de"), **options) -> Tmx:
    (folder / "a.tmx").write_bytes(data.encode() if isinstance(data, str) else data)
    found = Tmx(parse_options("data.corpora.0", Tmx.Options, {"path": "a.tmx", **options}), list(run), 1)
    found.root = folder
    return found


def read(folder: Path, data: str | bytes, run=("en", "de"), **options) -> list[dict[str, str]]:
    return [dict(entry.texts) for entry in corpus(folder, data, run, **options).entries()]


SAVE = unit(("EN-US", "Save the file"), ("de-DE", "Datei speichern"), ("fr-FR", "Enregistrer"))


def test_a_unit_is_an_entry_in_the_languages_of_the_run(tmp_path):
    found = corpus(tmp_path, memory(SAVE, unit(("en-us", "Stop")), unit(("fr", "Arrêt"), ("de", " "))), split="dev")
    entries = list(found.entries())
    assert [dict(entry.texts) for entry in entries] == [
        {"en": "Save the file", "de": "Datei speichern"},
        {"en": "Stop"},
    ]
    assert [entry.id for entry in entries] == ["a.tmx:1", "a.tmx:2"]
    assert {(entry.split, entry.corpus) for entry in entries} == {("dev", "a.tmx")}
    assert found.dropped == {"another language or variety": 2, "no text": 1}
    assert found.signature.startswith(f"tmx|path:{tmp_path / 'a.tmx'}|units:3|sha256:")


def test_several_variants_are_several_translations(tmp_path):
    data = memory(unit(("en", "Save"), ("de", "Speichern"), ("de", "Sichern"), ("de", "Speichern"), ("de", "")))
    entries = list(corpus(tmp_path, data).entries())
    assert [dict(e.texts) for e in entries] == [{"en": "Save", "de": "Speichern"}, {"en": "Save", "de": "Sichern"}]
    assert [e.id for e in entries] == ["a.tmx:1", "a.tmx:1/2"]


@pytest.mark.parametrize(
    ("segment", "dropped", "kept"),
    [
        ("plain &amp; &lt;b&gt;", "plain & <b>", "plain & <b>"),
        ('un<bpt i="1">&lt;b&gt;</bpt>do<ept i="1">&lt;/b&gt;</ept>ne', "undone", "un<b>do</b>ne"),
        ('one<ph x="1">&lt;br/&gt;</ph>two', "one two", "one<br/>two"),
        ("<it pos='begin'>[u]</it>half", "half", "[u]half"),
        ("<ut>\\f1 </ut>old", " old", "\\f1 old"),
        ("a <hi>marked <ph/>word</hi> here", "a marked  word here", "a marked word here"),
        ("Open the file<ph>%s</ph>.", "Open the file.", "Open the file%s."),
        ("Save <ph>%s</ph> <ph>%s</ph>, now<ut>x</ut>…", "Save, now…", "Save %s %s, nowx…"),
        ("Save (<hi>all<ph/></hi>)<ph/>!", "Save (all)!", "Save (all)!"),
        ("打开<ph>%s</ph>，请", "打开，请", "打开%s，请"),
        ("Attention <ph/>! Prix<ph/> : 3", "Attention ! Prix  : 3", "Attention ! Prix : 3"),  # spaces of its own
        ("for <ph>x</ph>.NET", "for  .NET", "for x.NET"),
        ("x<ph>&lt;img alt='<sub>a picture</sub>'&gt;</ph>y", "x y", "x<img alt='a picture'>y"),
    ],
)
def test_codes_inside_a_segment(tmp_path, segment, dropped, kept):
    assert read(tmp_path, memory(unit(("en", segment)))) == [{"en": dropped}]
    assert read(tmp_path, memory(unit(("en", segment))), codes="keep") == [{"en": kept}]


@pytest.mark.parametrize(
    ("run", "file", "expected"),
    [
        (["en", "pt"], ["en-GB", "pt-BR"], {"en": "en-GB", "pt": "pt-BR"}),  # the only variety there is
        (["en", "pt"], ["en-GB", "en-US", "pt-BR", "pt-PT"], {"en": "en-US", "pt": "pt-PT"}),  # the run's own alone
        (["en", "pt-BR"], ["en", "PT_BR", "pt-PT"], {"en": "en", "pt-BR": "PT_BR"}),
        (["en", "zh-Hans"], ["en", "zh-TW", "zh-CN"], {"en": "en", "zh-Hans": "zh-CN"}),
        (["en", "zh-Hant"], ["en", "zh-TW", "zh-CN"], {"en": "en", "zh-Hant": "zh-TW"}),
        (["en", "nb"], ["en", "no", "x-none", "*all*"], {"en": "en", "nb": "no"}),
        (["en", "pt-BR"], ["en-GB", "pt"], {"en": "en-GB", "pt-BR": "pt"}),  # which says nothing of its region
        (["en", "pt-BR"], ["en", "pt", "pt-PT"], {"en": "en", "pt-BR": "pt"}),
        (["en", "pt-BR"], ["en", "pt-PT", "pt-AO"], {"en": "en"}),
        (["en", "sr-Latn"], ["en", "sr-Cyrl-RS"], {"en": "en"}),
    ],
)
def test_tags_of_a_file_are_found_by_variety(tmp_path, run, file, expected):
    assert read(tmp_path, memory(unit(*((tag, tag) for tag in file))), run) == [expected]


def test_varieties_beside_the_runs_own_are_told(tmp_path):
    data = memory(unit(("en", "Save"), ("es-ES", "Guardar")) + unit(("en", "Car"), ("es-MX", "Carro")))
    found = corpus(tmp_path, data, ["en", "es"])
    assert [dict(entry.texts) for entry in found.entries()] == [{"en": "Save", "es": "Guardar"}, {"en": "Car"}]
    assert list(found.warnings()) == [
        "a.tmx: text in es-MX is not read as es, of which the file has es-ES; set tags: {es: [es-ES, es-MX]} to read"
        " all of it"
    ]
    named = corpus(tmp_path, data, ["en", "es"], tags={"es": ["es-ES", "es-MX"]})
    assert [entry.texts.get("es") for entry in named.entries()] == ["Guardar", "Carro"]
    assert not list(named.warnings())


def test_another_variety_than_the_runs_is_told_and_may_be_named(tmp_path):
    data = memory(unit(("en", "Save"), ("pt-PT", "Guardar")))
    found = corpus(tmp_path, data, ["en", "pt-BR"])
    assert [dict(entry.texts) for entry in found.entries()] == [{"en": "Save"}]
    assert list(found.warnings()) == [
        "a.tmx: no text is read as pt-BR, of which the file has another variety; set tags: {pt-BR: [pt-PT]} if it is"
        " meant"
    ]
    named = corpus(tmp_path, data, ["en", "pt-BR"], tags={"pt-BR": ["pt-PT"]})
    assert [dict(entry.texts) for entry in named.entries()] == [{"en": "Save", "pt-BR": "Guardar"}]
    assert not list(named.warnings())
    with pytest.raises(DataError, match=r"no text in pt-BR, de; it has 'en', 'pt-PT'; set data\.languages, or tags"):
        read(tmp_path, data, ["pt-BR", "de"])


def test_tags_may_be_named(tmp_path):
    data = memory(unit(("en", "e"), ("es-MX", "m"), ("es-AR", "a"), ("es-ES", "s")))
    assert read(tmp_path, data, ["en", "es"], tags={"es": ["es-AR"]}) == [{"en": "e", "es": "a"}]
    several = read(tmp_path, data, ["en", "es"], tags={"es": ["es-MX", "es-AR"]})
    assert several == [{"en": "e", "es": "m"}, {"en": "e", "es": "a"}]


def test_older_files_and_other_encodings(tmp_path):
    old = memory(unit(("EN", "café"), ("DE", "Kaffee"), attribute="lang")).replace('"1.4"', '"1.1"')
    expected = [{"en": "café", "de": "Kaffee"}]
    assert read(tmp_path, old) == expected
    assert read(tmp_path, old.replace('version="1.0"', 'version="1.0" encoding="UTF-16"').encode("utf-16")) == expected
    latin = old.replace('version="1.0"', 'version="1.0" encoding="ISO-8859-1"').encode("latin-1")
    assert read(tmp_path, latin) == expected
    assert read(tmp_path, old.replace("<tmx ", '<tmx xmlns="http://www.lisa.org/tmx14" ')) == expected


@pytest.mark.parametrize("encoding", ["Shift_JIS", "GBK", "Big5", "EUC-KR", "gb18030", "utf-8", "windows-1251"])
def test_encodings_that_the_parser_does_not_know_are_read(tmp_path, encoding):
    text = {"Shift_JIS": "保存する", "EUC-KR": "저장", "windows-1251": "Сохранить"}.get(encoding, "保存")
    data = memory(unit(("en", "Save"), ("de", text))).replace('version="1.0"', f'version="1.0" encoding="{encoding}"')
    assert read(tmp_path, data.encode(encoding)) == [{"en": "Save", "de": text}]
    marked = b"\xef\xbb\xbf" + data.encode()  # a mark of UTF-8 goes before what is declared
    assert read(tmp_path, marked) == [{"en": "Save", "de": text}]
    single = data.replace(f'"{encoding}"', f"'{encoding}' standalone='yes'")
    assert read(tmp_path, single.encode(encoding)) == [{"en": "Save", "de": text}]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("x-nonsense", "written in 'x-nonsense', which is not known here; export it as UTF-8"),
        ("hex", "written in 'hex', which is not known here"),
        ("Shift_JIS", r"written in Shift_JIS, which its bytes are not \(.*\); export it as UTF-8"),
    ],
)
def test_a_wrong_encoding_is_one_sentence(tmp_path, encoding, message):
    data = memory(unit(("en", "Save"), ("de", "\ufffdöä"))).replace('"1.0"', f'"1.0" encoding="{encoding}"', 1)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, data.encode())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ("", {}, "'a.tmx' is not XML from line 1, column 1 on .no element found.; export it again"),
        (memory(SAVE)[:-20], {}, "'a.tmx' is not XML from line 1, column"),
        ("en\tde\n", {}, "'a.tmx' is not XML from line 1, column 1 on .syntax error"),
        ("<xliff/>", {}, "'a.tmx' is no TMX, its outermost element is 'xliff'"),
        (memory(), {}, "no text in en, de; it has no unit with text"),
        (memory(unit(("fr", "x"), ("es-MX", "y"))), {}, "no text in en, de; it has 'fr', 'es-MX'; set data.languages"),
        (memory(SAVE), {"tags": {"en": ["en-GB"]}}, "has no 'en-GB' for en; it has 'EN-US', 'de-DE', 'fr-FR'"),
        (memory(SAVE), {"tags": {"fr": ["fr-FR"]}}, "has 'fr', which is not in data.languages"),
        (memory(unit(("de-AT", "x"), ("de-CH", "y"))), {}, r"varieties of de .de-AT, de-CH.; .*tags: {de: \[de-AT\]}"),
    ],
)
def test_what_can_be_wrong(tmp_path, data, options, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, data, **options)


def test_a_missing_file_and_a_wrong_option(tmp_path):
    with pytest.raises(DataError, match=r"tmx: no file 'nowhere.tmx' .*looked in"):
        list(Tmx(Tmx.Options(path=Path("nowhere.tmx")), ["en"], 1).entries())
    with pytest.raises(ConfigError, match="codes"):
        read(tmp_path, memory(SAVE), codes="some")


def test_a_run_takes_a_memory(tmp_path):
    units = (unit(("en", f"Save file number {n}"), ("de", f"Datei Nummer {n} speichern")) for n in range(40))
    (tmp_path / "a.tmx").write_text(memory(*units), encoding="utf-8")
    config = DataConfig(languages=["en", "de"], corpora=[{"type": "tmx", "path": str(tmp_path / "a.tmx")}])
    dataset = prepare(config, 1)
    found = [pair.source for split in ("train", "dev", "test") for pair in dataset.pairs(split, "en", "de")]
    assert len(found) == 40


@pytest.mark.parametrize(
    ("code", "lost"),
    [
        ("%(model)s", 1),
        ("%1$s", 1),
        ("{{ name }}", 1),
        ("${name}", 1),
        ("&lt;b&gt;", 0),
        ("&lt;a href='?q=%20'&gt;", 0),
        ("{\\b ", 0),
        ("", 0),
    ],
)
def test_placeholders_that_are_dropped_with_codes_are_told(tmp_path, code, lost):
    text = f"Delete <hi>the <ph>{code}</ph></hi> now<ph>{code}</ph>"
    data = memory(unit(("en", text), ("de", f"<ph>{code}</ph> jetzt löschen"), ("fr", text)))
    found = corpus(tmp_path, data)
    list(found.entries())
    assert found.dropped["placeholders inside codes"] == 3 * lost
    told = (
        "a.tmx: codes that look like placeholders (%s, {name}) were dropped, 3 in 2 texts; set codes: keep where a"
        " translation must keep them"
    )
    assert list(found.warnings()) == [told] * lost
    kept = corpus(tmp_path, data, codes="keep")
    list(kept.entries())
    assert not list(kept.warnings()) and "placeholders inside codes" not in kept.dropped


def test_a_run_is_told_of_lost_placeholders(tmp_path):
    (tmp_path / "a.tmx").write_text(memory(unit(("en", "Hi <ph>%s</ph>"), ("de", "Hallo <ph>%s</ph>"))))
    config = DataConfig(languages=["en", "de"], root=tmp_path, corpora=[{"type": "tmx", "path": "a.tmx"}])
    dataset = prepare(config, seed=1)
    assert [sentence.partition(",")[0] for sentence in dataset.warnings] == [
        "a.tmx: codes that look like placeholders (%s"
    ]
    assert dataset.describe()["dropped"]["a.tmx"] == {"placeholders inside codes": 2}
