"""Windows of another language are found inside a text; pure and short texts are left alone."""

import pytest

from eclectus.rewards.base import RewardContext
from eclectus.rewards.mixing import Mixing, _windows
from eclectus.segment import Segment

LANGUAGES = ["en", "es", "fr", "de", "zh"]
SPANISH = "el gato negro duerme en la casa que hay cerca del río"
ENGLISH = "which is near the river and the old bridge of stone"


def judge(text, language="es", **options):
    reward = Mixing(Mixing.Options(**options), RewardContext(languages=LANGUAGES))
    (value,) = reward([Segment("", "xx", language)], [text])
    return value


def test_windows_cover_the_text_and_begin_every_half_window():
    assert _windows("a b c d", 4) == []
    assert _windows("a b c d e", 4) == ["a b c d", "b c d e"]
    assert _windows("a b c d e f g", 4) == ["a b c d", "c d e f", "d e f g"]
    assert _windows("我喜欢 猫a", 2) == ["我喜", "喜欢", "欢 猫", "猫a"]
    assert _windows("a %(name)s b https://x.y/z c", 2) == ["a   b", "b   c"]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        (SPANISH, 1.0, 1.0),
        (f"{SPANISH} {ENGLISH}", 0.3, 0.7),
        (f"{ENGLISH} {SPANISH}", 0.3, 0.7),
        (ENGLISH, 0.0, 0.0),
        (f"{SPANISH} {SPANISH} {ENGLISH}", 0.55, 0.85),
    ],
)
def test_the_share_of_the_text_in_another_language(text, low, high):
    assert low <= judge(text) <= high


def test_scripts_without_spaces_are_cut_into_characters():
    assert judge("黑猫在河边的房子里睡觉。它喜欢喝牛奶。", "zh") == 1.0
    assert judge(f"黑猫在河边的房子里睡觉。{ENGLISH}", "zh") < 0.8


@pytest.mark.parametrize("text", ["", "hola", "el gato negro duerme", "1 2 3 4 5 6 7 8", "%s %s %s %s %s %s"])
def test_abstains_on_short_text_and_without_words(text):
    assert judge(text) is None


def test_abstains_in_languages_that_the_identifier_does_not_know():
    assert judge(SPANISH, "mi") is None


def test_longer_windows_see_less(shared_data):
    read = lambda name: (shared_data / "multi30k" / name).read_text(encoding="utf-8").split("\n")[:200]  # noqa: E731
    german, english = read("test_2016_flickr.de"), read("test_2016_flickr.en")
    half = [
        " ".join(a.split()[: len(a.split()) // 2] + b.split()[len(b.split()) // 2 :])
        for a, b in zip(german, english, strict=True)
    ]
    caught = {}
    for window in (4, 8):
        reward = Mixing(Mixing.Options(window=window), RewardContext(languages=LANGUAGES))
        segments = [Segment("", "en", "de")] * len(half)
        assert sum(value is not None and value < 1 for value in reward(segments, german)) <= 2
        caught[window] = sum(value is not None and value < 1 for value in reward(segments, half))
    assert caught[4] > 0.9 * len(half) > 0.75 * len(half) > caught[8]


def test_the_signature_names_the_window_and_the_identifier():
    assert Mixing(context=RewardContext(languages=["en", "es"])).signature == (
        "mixing|window:4|py3langid:en,es|odds:2.5|min:10"
    )
