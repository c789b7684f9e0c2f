"""Phrases in many languages at once."""

import datetime
import random
import re

import pytest

from eclectus.corpora import phrases, voices
from eclectus.corpora.cldr import WEIGHTS, Cldr
from eclectus.errors import DataError

TAGS = ["en", "es", "pt", "it", "cy", "gn", "zh-Hans"]


@pytest.fixture(scope="module")
def spoken() -> dict[str, voices.Voice]:
    return voices.voices(TAGS)


def make(languages: list[str], seed: int = 1, **options: object) -> list[dict[str, str]]:
    return [dict(e.texts) for e in Cldr(Cldr.Options(**options), languages, seed).entries()]


def test_the_same_seed_gives_the_same_distinct_phrases() -> None:
    first, again, other = make(TAGS, phrases=200), make(TAGS, phrases=200), make(TAGS, seed=2, phrases=200)
    assert first == again != other
    assert len({tuple(texts.values()) for texts in first}) == len(first) == 200


def test_well_covered_languages_have_nearly_every_phrase_and_mostly_words() -> None:
    made = make(["en", "es", "fr", "de", "ca"], phrases=600)
    for tag in ("es", "fr", "de", "ca"):
        assert sum(tag in texts for texts in made) > 0.93 * len(made)
    letters = sum(c.isalpha() for texts in made for c in texts["en"])
    digits = sum(c.isdigit() for texts in made for c in texts["en"])
    assert letters > 5 * digits


def test_no_phrase_holds_a_code_of_cldr() -> None:
    code = re.compile(r"duration-|length-|-per-|\{\d\}|\b[A-Z]{3}\b(?<!UDA)(?<!USD)|M\d\d\b|None|a\(c\)")
    for texts in make(["en", "it", "gl", "cy"], phrases=1500, kinds=["dates", "units", "durations", "relative"]):
        for text in texts.values():
            assert not code.search(text), texts


@pytest.mark.parametrize("kind", WEIGHTS)
def test_every_kind_speaks_several_languages(kind: str) -> None:
    made = make(["en", "es", "ca"], phrases=25, kinds=[kind])
    assert len(made) == 25
    assert all(len(texts) >= 2 for texts in made)


def test_a_kind_that_runs_dry_ends() -> None:
    assert 300 < len(make(["en", "es"], phrases=600, kinds=["zones"])) < 600


@pytest.mark.parametrize(
    ("tag", "number", "unit", "expected"),
    [
        ("en", 1, "length-kilometer", "1 kilometer"),
        ("es", 1200.5, "speed-kilometer-per-hour", "1.200,5 kilómetros por hora"),
        ("it", 3, "duration-day", "3 giorni"),  # CLDR has it among the short patterns only
        ("cy", 2, "length-meter", None),  # the form for two is root's symbol
        ("gn", 3, "length-kilometer", None),
        ("zh-Hans", 3, "duration-day", "3天"),
    ],
)
def test_units(spoken: dict[str, voices.Voice], tag: str, number: float, unit: str, expected: str | None) -> None:
    assert spoken[tag].unit(number, unit) == expected


@pytest.mark.parametrize(
    ("tag", "items", "style", "expected"),
    [
        ("en", ["A", "B", "C"], "standard", "A, B, and C"),
        ("es", ["Francia", "Italia"], "standard", "Francia e Italia"),
        ("es", ["agua", "hielo"], "standard", "agua y hielo"),
        ("es", ["Chad", "Omán"], "or", "Chad u Omán"),
        ("es", ["Chad", "Perú"], "or", "Chad o Perú"),
        ("cy", ["Ffrainc", "Eidal"], "standard", "Ffrainc ac Eidal"),
        ("cy", ["Eidal", "Ffrainc"], "standard", "Eidal a Ffrainc"),
        ("es", ["Francia", None], "standard", None),
        ("gn", ["A", "B"], "standard", None),
    ],
)
def test_lists(
    spoken: dict[str, voices.Voice], tag: str, items: list[str | None], style: str, expected: str | None
) -> None:
    assert spoken[tag].join(items, style) == expected


def test_names_are_the_languages_own(spoken: dict[str, voices.Voice]) -> None:
    assert spoken["cy"].territories["ZW"] == "Zimbabwe"
    assert spoken["es"].languages["zu"] == "zulú"
    assert not any(code == text for voice in spoken.values() for code, text in voice.territories.items())
    assert not any("(" in text for text in spoken["en"].currencies.values())


def test_portuguese_is_one_variety(spoken: dict[str, voices.Voice]) -> None:
    assert spoken["pt"].unit(5, "length-kilometer") == "5 quilómetros"


def test_relative_time_names_its_span(spoken: dict[str, voices.Voice]) -> None:
    rng = random.Random(3)
    pools = voices.Pools(list(spoken.values()))
    said = [phrases.KINDS["relative"](rng, pools)(spoken["en"]) for _ in range(200)]
    shape = re.compile(r"(in )?\d+ (year|month|week|day|hour|minute|second)s?( ago)?")
    assert all(text and shape.fullmatch(text) and (text.startswith("in ") != text.endswith(" ago")) for text in said)


def test_dates_are_real_days(spoken: dict[str, voices.Voice]) -> None:
    full = [t["en"] for t in make(["en", "es"], phrases=150, kinds=["dates"]) if re.match(r"\w+day, \w+ \d", t["en"])]
    full = [text for text in full if text.count(",") == 2]
    assert len(full) > 10
    assert all(datetime.datetime.strptime(text, "%A, %B %d, %Y") for text in full)


def test_a_language_that_babel_lacks_is_left_out() -> None:
    assert all("tlh" not in texts for texts in make(["en", "es", "tlh"], phrases=20))
    with pytest.raises(DataError, match="Babel has none of the languages tlh"):
        make(["tlh"], phrases=5)
