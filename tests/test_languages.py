"""Language tags, names and directions."""

import subprocess
import sys

import pytest

from eclectus import languages
from eclectus.errors import ConfigError


@pytest.mark.parametrize(
    ("tag", "standard"),
    [
        ("es", "es"),
        ("spa", "es"),
        ("pt_BR", "pt-BR"),
        ("zh-hans", "zh-Hans"),
        ("spa_Latn", "es"),
        ("iw", "he"),
        ("qu", "qu"),
    ],
)
def test_a_known_tag_gets_its_standard_spelling(tag: str, standard: str) -> None:
    assert languages.normalise(tag) == standard


@pytest.mark.parametrize(
    ("tag", "hint"),
    [
        ("xx", "write a BCP-47 tag"),
        ("qaa", "write a BCP-47 tag"),
        ("spanish", "'es'"),
        ("Galiccian", "'gl'"),
        ("", "write"),
    ],
)
def test_an_unknown_tag_is_refused_with_a_hint(tag: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown language '{tag}'.*{hint}"):
        languages.normalise(tag)


def test_a_run_uses_one_spelling_and_names_each_language_once() -> None:
    assert languages.check(["en", "pt-BR"]) == ["en", "pt-BR"]
    with pytest.raises(ConfigError, match=r"write 'pt-BR'.* instead of 'pt_br'"):
        languages.check(["en", "pt_br"])
    with pytest.raises(ConfigError, match="'en' stands twice"):
        languages.check(["en", "es", "en"])


@pytest.mark.parametrize(
    ("tag", "name"), [("es", "Spanish"), ("pt-BR", "Portuguese (Brazil)"), ("zh-Hans", "Chinese (Simplified)")]
)
def test_display_names(tag: str, name: str) -> None:
    assert languages.name(tag) == name


def test_varieties_are_told_apart_and_portuguese_is_european() -> None:
    assert languages.locale("pt") == languages.locale("pt-PT") != languages.locale("pt-BR")
    assert languages.locale("zh") == languages.locale("zh-CN") != languages.locale("zh-Hant")
    assert languages.locale("es") != languages.locale("es-MX")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["en-es"], [("en", "es")]),
        (["en-*"], [("en", "es"), ("en", "pt-BR")]),
        (["*-pt-BR"], [("en", "pt-BR"), ("es", "pt-BR")]),
        (["pt-BR-es", "pt-BR-*"], [("pt-BR", "es"), ("pt-BR", "en")]),
        (
            ["es-en", "*-*"],
            [("es", "en"), ("en", "es"), ("en", "pt-BR"), ("es", "pt-BR"), ("pt-BR", "en"), ("pt-BR", "es")],
        ),
    ],
)
def test_patterns_expand_in_order_without_duplicates(patterns: list[str], expected: list[tuple[str, str]]) -> None:
    assert languages.expand_directions(patterns, ["en", "es", "pt-BR"]) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("en-fr", "names 'fr'"),
        ("pt-BR-fr", "names 'fr'"),
        ("ess-*", "names 'ess'.*did you mean 'es'"),
        ("en-en", "matches nothing"),
        ("english", "cannot read 'english'"),
        ("xx-yy", "cannot read 'xx-yy'"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        languages.expand_directions([pattern], ["en", "es", "pt-BR"])


def test_importing_the_room_loads_no_torch() -> None:
    code = "import sys, eclectus.languages, eclectus.corpora.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
