"""Files in translation: what is read of XLIFF 1.2 and 2.x, and one sentence for each thing that can be wrong."""

from pathlib import Path

import pytest

from eclectus.corpora.xliff import Xliff
from eclectus.errors import DataError
from eclectus.registry import parse_options

OLD = "urn:oasis:names:tc:xliff:document:1.2"
NEW = "urn:oasis:names:tc:xliff:document:2.0"


def old(*units: str, languages: str = 'source-language="en-US" target-language="de-DE"') -> str:
    """XLIFF 1.2 with one file."""
    body = f"<header/><body><group>{''.join(units)}</group></body>"
    return f'<xliff version="1.2" xmlns="{OLD}"><file original="a" datatype="x" {languages}>{body}</file></xliff>'


def unit(source: str, target: str | None = None, state: str = "", attributes: str = "") -> str:
    state = f' state="{state}"' if state else ""
    inside = "" if target is None else f"<target{state}>{target}</target>"
    return f'<trans-unit id="1" {attributes}><source>{source}</source>{inside}</trans-unit>'


def new(*segments: str) -> str:
    """XLIFF 2.0 with one file and one unit."""
    return (
        f'<xliff version="2.0" xmlns="{NEW}" srcLang="en" trgLang="de"><file id="f"><unit id="u">'
        f'<originalData><data id="d">&lt;b&gt;</data></originalData>{"".join(segments)}</unit></file></xliff>'
    )


def segment(source: str, target: str, state: str = "translated") -> str:
    return f'<segment state="{state}"><source>{source}</source><target>{target}</target></segment>'


def corpus(folder: Path, data: str | bytes, run=("en", "de"), **options) -> Xliff:
    (folder / "a.xlf").write_bytes(data.encode() if isinstance(data, str) else data)
    found = Xliff(parse_options("data.corpora.0", Xliff.Options, {"path": "a.xlf", **options}), list(run), 1)
    found.root = folder
    return found


def read(folder: Path, data: str | bytes, run=("en", "de"), **options) -> list[dict[str, str]]:
    return [dict(entry.texts) for entry in corpus(folder, data, run, **options).entries()]


def test_a_source_and_its_target_are_an_entry(tmp_path):
    found = corpus(tmp_path, old(unit("Save", "Speichern"), unit("Stop"), unit("Go", "")), split="test")
    entries = list(found.entries())
    assert [dict(entry.texts) for entry in entries] == [{"en": "Save", "de": "Speichern"}, {"en": "Stop"}, {"en": "Go"}]
    assert [(entry.id, entry.corpus, entry.split) for entry in entries][1] == ("a.xlf:2", "a.xlf", "test")
    assert found.signature.startswith(f"xliff|path:{tmp_path / 'a.xlf'}|units:3|sha256:")


def test_segments_of_the_second_version(tmp_path):
    pause = "<ignorable><source> </source></ignorable>"
    data = new(segment("One.", "Eins."), pause, segment("Two.", "Zwei."))
    assert read(tmp_path, data) == [{"en": "One.", "de": "Eins."}, {"en": "Two.", "de": "Zwei."}]


def test_each_file_has_its_languages(tmp_path):
    french = 'source-language="en-US" target-language="fr"'
    both = old(unit("a", "b")).replace("</xliff>", "") + old(unit("c", "d"), languages=french).partition(">")[2]
    assert read(tmp_path, both, ["en", "de", "fr"]) == [{"en": "a", "de": "b"}, {"en": "c", "fr": "d"}]
    own = "<trans-unit id='1'><source xml:lang='en'>a</source><target xml:lang='de'>b</target></trans-unit>"
    assert read(tmp_path, old(own, languages="")) == [{"en": "a", "de": "b"}]


@pytest.mark.parametrize("state", ["new", "needs-translation", "initial"])
def test_what_is_not_translated_yet_is_left_out(tmp_path, state):
    for data in (old(unit("Save", "Save", state)), new(segment("Save", "Save", state))):
        found = corpus(tmp_path, data)
        assert [dict(entry.texts) for entry in found.entries()] == [{"en": "Save"}]
        assert found.dropped == {"target of another state": 1}


def test_states_may_be_named(tmp_path):
    units = [unit("a", "b", "final"), unit("c", "d", "needs-review-translation"), unit("e", "f")]
    assert read(tmp_path, old(*units))[1] == {"en": "c", "de": "d"}
    assert read(tmp_path, old(*units), states=["final"]) == [{"en": "a", "de": "b"}, {"en": "c"}, {"en": "e"}]


def test_suggestions_and_what_is_not_to_be_translated_are_left_out(tmp_path):
    suggested = "<alt-trans><source>x</source><target>y</target></alt-trans>"
    with_suggestion = f"<trans-unit id='1'><source>a</source>{suggested}<target>b</target></trans-unit>"
    found = corpus(tmp_path, old(with_suggestion, unit("Linux", "Linux", attributes='translate="no"')))
    assert [dict(entry.texts) for entry in found.entries()] == [{"en": "a", "de": "b"}]
    assert found.dropped == {"not to be translated": 1}


def test_what_is_not_to_be_translated_is_inherited(tmp_path):
    unless = unit("c", "d", attributes='translate="yes"')
    inside = f'<group><group translate="no"><group>{unit("b", "b")}</group>{unless}</group></group>'
    found = corpus(tmp_path, old(unit("a", "b"), inside, unit("e", "f")))
    assert [dict(entry.texts) for entry in found.entries()] == [
        {"en": "a", "de": "b"},
        {"en": "c", "de": "d"},
        {"en": "e", "de": "f"},
    ]
    assert found.dropped == {"not to be translated": 1}


@pytest.mark.parametrize("name", ["file", "group", "unit"])
def test_what_is_not_to_be_translated_is_inherited_in_the_second_version(tmp_path, name):
    def file(source: str, target: str) -> str:
        return f'<file id="f"><group id="g"><unit id="u">{segment(source, target)}</unit></group></file>'

    marked = file("One", "One").replace(f"<{name} ", f'<{name} translate="no" ')
    root = new().partition("<file")[0]
    found = corpus(tmp_path, f"{root}{marked}{file('Two', 'Zwei')}</xliff>")
    assert [dict(entry.texts) for entry in found.entries()] == [{"en": "Two", "de": "Zwei"}]
    assert found.dropped == {"not to be translated": 1}


@pytest.mark.parametrize(
    ("version", "text", "dropped", "kept"),
    [
        (old, 'a <g id="1">bold</g> <mrk mtype="seg">one</mrk>', "a bold one", "a bold one"),
        (old, 'Hello<x id="1" equiv-text="{{name}}"/>!', "Hello!", "Hello{{name}}!"),
        (old, 'Hi <g id="1">there</g><x id="2"/>.', "Hi there.", "Hi there."),
        (old, 'Hi <g id="1">there<x id="2"/></g>.', "Hi there.", "Hi there."),
        (new, 'You have <ph id="1" equiv="%d"/>, no <ph id="2" equiv="%d"/>', "You have, no  ", "You have %d, no %d"),
        (old, 'un<bpt id="1">&lt;b&gt;</bpt>do<ept id="1">&lt;/b&gt;</ept>', "undo", "un<b>do</b>"),
        (new, 'a <pc id="1" dataRefStart="d">bold</pc> word', "a bold word", "a bold word"),
        (new, 'You have <ph id="1" equiv="%d" disp="number"/>', "You have  ", "You have %d"),
        (new, 'a<sc id="1" disp="[b]"/>b<ec startRef="1"/><cp hex="001F"/>', "ab", "a[b]b"),
    ],
)
def test_codes_inside_a_segment(tmp_path, version, text, dropped, kept):
    data = version(unit(text, "x")) if version is old else version(segment(text, "x"))
    assert read(tmp_path, data)[0]["en"] == dropped
    assert read(tmp_path, data, codes="keep")[0]["en"] == kept


def test_a_tag_is_found_by_variety_or_named(tmp_path):
    portuguese = 'source-language="en-GB" target-language="pt-BR"'
    assert read(tmp_path, old(unit("a", "b"), languages=portuguese), ["en", "pt"]) == [{"en": "a", "pt": "b"}]
    nameless = old(unit("a", "b"), languages='source-language="en"')
    assert read(tmp_path, nameless, tags={"de": [""]}) == [{"en": "a", "de": "b"}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "xliff: 'a.xlf' is not XML from line 1, column 1 on .no element found.; export it again"),
        ("<tmx/>", "'a.xlf' is no XLIFF, its outermost element is 'tmx'; export the text as XLIFF"),
        (old(unit("a", "b"))[:-9], "'a.xlf' is not XML from line 1"),
        (old(), "no text in en, de; it has no unit with text"),
        (old(unit("a", "b"), languages='source-language="fr" target-language="it"'), "it has 'fr', 'it'"),
        (
            old(unit("a", "b"), languages='source-language="en"'),
            r"does not say which language its targets are in; name it with tags: {de: \[''\]}",
        ),
    ],
)
def test_what_can_be_wrong(tmp_path, data, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("version", "code", "lost"),
    [
        (old, '<x id="INTERPOLATION" equiv-text="{{name}}"/>', 1),
        (old, '<x id="START_BOLD" ctype="x-b" equiv-text="&lt;b&gt;"/>', 0),
        (old, '<ph id="1">%s</ph>', 1),
        (new, '<ph id="1" equiv="INTERPOLATION" disp="{{name}}"/>', 1),
        (new, '<ph id="1" dataRef="d"/>', 0),
    ],
)
def test_placeholders_that_are_dropped_with_codes_are_told(tmp_path, version, code, lost):
    inside = unit(f"Hi {code}", f"Hallo {code}") if version is old else segment(f"Hi {code}", f"Hallo {code}")
    found = corpus(tmp_path, version(inside))
    list(found.entries())
    assert found.dropped["placeholders inside codes"] == 2 * lost
    assert len(list(found.warnings())) == lost
