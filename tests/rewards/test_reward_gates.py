"""exact, length, repetition, copy, nonempty, placeholders, constant: golden tables, abstention and cheats."""

import unicodedata

import pytest

from eclectus.errors import ConfigError, DataError
from eclectus.registry import parse_options
from eclectus.rewards.base import RewardContext
from eclectus.rewards.constant import Constant
from eclectus.rewards.copy import Copy
from eclectus.rewards.exact import Exact
from eclectus.rewards.length import Length
from eclectus.rewards.nonempty import Nonempty
from eclectus.rewards.numbers import Numbers
from eclectus.rewards.placeholders import Placeholders
from eclectus.rewards.repetition import Repetition, repeated_share
from eclectus.segment import Segment


def judge(reward, hypothesis, source="", reference=None, target_lang="es"):
    (value,) = reward([Segment(source, "en", target_lang, reference=reference)], [hypothesis])
    return value


@pytest.mark.parametrize(
    ("hypothesis", "reference", "casefold", "strip", "expected"),
    [
        ("3 de mayo", "3 de mayo", False, False, 1),
        ("3  de\u00a0mayo ", "3 de mayo", False, False, 1),
        ("cafe\u0301", "caf\u00e9", False, False, 1),
        ("3 de Mayo", "3 de mayo", False, False, 0),
        ("3 de Mayo", "3 de mayo", True, False, 1),
        ("STRASSE", "Straße", True, False, 1),
        ("3 de mayo.", "3 de mayo", False, False, 0),
        ("¡3 de mayo!", "3 de mayo", False, True, 1),
        ("3 demayo", "3 de mayo", True, True, 0),
        ("", "", False, False, 1),
        ("", "a", False, False, 0),
        ("a\ud800", "a\ud800", True, True, 1),
    ],
)
def test_exact(hypothesis, reference, casefold, strip, expected):
    reward = Exact(Exact.Options(casefold=casefold, strip_punctuation=strip))
    assert judge(reward, hypothesis, reference=reference) == expected


def test_exact_needs_a_reference():
    with pytest.raises(DataError, match="reward 'exact'"):
        judge(Exact(), "a", source="b")


@pytest.mark.parametrize(
    ("hypothesis", "expected"),
    [("Sí", 1), ("好", 1), ("😀", 1), (".", 1), ("", 0), (" \t\n", 0), ("\u200b\u200e", 0), ("\u3164", 0), ("\x00", 0)],
)
def test_nonempty(hypothesis, expected):
    assert judge(Nonempty(), hypothesis, source="Yes") == expected


def test_constant():
    assert judge(Constant(), "") == 1.0
    assert judge(Constant(Constant.Options(value=0.25)), "x") == 0.25


# Length: slack 5, band 1.3, limit 3, so with a reference of 15 characters (20 with slack) the band is 15.4 to 26.
@pytest.mark.parametrize(
    ("characters", "expected"),
    [(15, 1.0), (21, 1.0), (11, 1.0), (55, 0.0), (80, 0.0), (1, 0.0), (0, 0.0), (35, 0.48484), (5, 0.48484)],
)
def test_length_with_reference(characters, expected):
    assert judge(Length(), "x" * characters, source="y", reference="z" * 15) == pytest.approx(expected, abs=1e-4)


def test_length_does_not_count_spaces_and_judges_twice_as_long_like_half():
    reward = Length(Length.Options(slack=0))
    assert judge(reward, "a  b " * 6, reference="x" * 12) == 1.0
    assert judge(reward, "a" * 24, reference="x" * 12) == pytest.approx(judge(reward, "a" * 6, reference="x" * 12))


def test_length_without_reference_learns_the_ratio_of_the_languages():
    texts = {"en": ["x" * 30] * 20, "zh": ["字" * 10] * 20, "es": ["x" * 30] * 19}
    reward = Length(context=RewardContext(target_texts=texts))
    assert reward.ratio("en", "zh") == pytest.approx(1 / 3)
    assert judge(reward, "字" * 10, source="x" * 30, target_lang="zh") == 1.0
    assert judge(reward, "字" * 60, source="x" * 30, target_lang="zh") == 0.0
    assert judge(reward, "a" * 30, source="x" * 30, target_lang="es") is None  # 19 texts are too few
    assert judge(Length(), "a", source="b") is None


def test_length_of_nothing():
    assert judge(Length(), "", reference="") == 1.0
    assert judge(Length(), "", reference="a") == 0.0
    assert judge(Length(), "a", reference="") == 0.0


def test_length_refuses_a_limit_inside_the_band():
    with pytest.raises(ConfigError, match="limit must be larger"):
        parse_options("reward.gates.0", Length.Options, {"limit": 1.2})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0), ("el gato duerme", 0), ("no no", 0), ("bye bye bye", 2 / 3),
        ("Schifffahrt", 0), ("www.example.org", 0),
        ("加载中......", 0), ("。。。。。。", 0), ("Wird geladen……", 0), ("1000000", 0), ("0.000000001", 0),
        ("1 000 000 000", 0), ("10\u202f000\u202f000 Dateien", 0), ("0" * 20, 0.95), ("." * 40, 0.975),
        ("no...no...no...no...", 0.75),
        ("100 " * 9 + "x", 32 / 37), ("5 5 5 5 5", 0.8), ("12" + " 000" * 6, 20 / 26),
        ("hahahaha", 0.75), ("aaaaaaaaaa", 0.9), ("哈哈哈哈哈哈哈哈", 0.875),
        ("the cat sat the cat sat", 0.25),  # 4 trigrams, 3 of them distinct
        ("the cat the cat the cat", 2 / 3), ("مرحبا مرحبا مرحبا مرحبا", 0.75), ("ok " * 1000, 0.999),
    ],
)  # fmt: skip
def test_repeated_share(text, expected):
    assert repeated_share(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "ลบหน้านี้และหน้าย่อยของหน้านี้",  # delete this page and this page's subpages
        "ພາສາລາວແລະພາສາໄທ",
        "លុបទំព័រនេះ និងទំព័រកូន",
        "ဤစာမျက်နှာနှင့် စာမျက်နှာခွဲများ",
    ],
)
def test_a_word_said_twice_is_no_repetition_where_words_have_many_characters(text):
    assert repeated_share(text) == 0.0
    assert repeated_share(text + text) > 0.2


def test_repetition_of_the_source_is_excused():
    reward = Repetition()
    assert judge(reward, "nunca nunca nunca", source="x y z") == pytest.approx(1 / 3)
    assert judge(reward, "nunca nunca nunca", source="never never never") == 1.0
    assert judge(reward, "1000000", source="1000000") == 1.0
    assert judge(reward, "nunca nunca nunca", source="x", reference="jamás jamás jamás") == 1.0
    more, less = repeated_share("no no no no no no sí"), repeated_share("no no no yes")
    assert 0 < less < more < 1
    expected = 1 - (more - less) / (1 - less)
    assert judge(reward, "no no no no no no sí", source="no no no yes") == pytest.approx(expected)


def test_repetition_catches_the_doubled_reference_that_chrf_does_not():
    text = "a man in a blue shirt is standing on a ladder"
    assert judge(Repetition(), text, source="x") == 1.0
    assert judge(Repetition(), f"{text} {text}", source="x") < 0.7
    assert judge(Repetition(), f"{text} {text} {text}", source="x") < 0.4


@pytest.mark.parametrize(
    ("source", "hypothesis", "reference", "expected"),
    [
        ("the black cat sleeps here", "el gato negro duerme", None, 1.0),
        ("the black cat sleeps here", "the black cat sleeps here", None, 0.0),
        ("the black cat sleeps here", "The Black cat sleeps HERE!", None, 0.0),
        ("the black cat sleeps here", "the black cat duerme", None, 0.5),  # 3 of 4 shared, half is tolerated
        ("the black cat sleeps here", "Hola Black Cat Sleeps Here", None, 0.4),  # capitals of its own excuse nothing
        ("50 cats sleep in the garden", "50 Cats Sleep In The Garden", None, 0.0),
        ("50 cats sleep in the garden", "50 CATS SLEEP IN THE GARDEN", None, 0.0),
        ("we are in paris again today", "wir sind heute in Paris", "heute sind wir in Paris", 1.0),
        ("today we saw paris", "nous Paris", "nous avons vu Paris", 1.0),  # so the reference spells it
        ("today we saw paris", "Anne Paris", "nous avons vu la ville", 1.0),  # half is tolerated
        ("yesterday Paris and London saw Anna", "Paris London Anna vinieron", None, 1.0),
        ("the black cat sleeps here", "", None, 1.0),
        ("Save all changes", "Save all changes", None, 0.0),
        ("black cat", "black cat", None, None),  # too short to tell
        ("OK", "OK", None, None),
        ("Paris 2024 %(name)s {x} https://a.b/c 12:30", "Paris 2024 %(name)s {x} https://a.b/c 12:30", None, None),
        ("we met Anna Maria Lopez in Rome", "vimos Anna Maria Lopez Rome", None, 1.0),
        ("la casa de la playa", "la casa de la playa", "la casa de la playa", None),
        ("la casa de la playa", "la casa de la praia", "a casa da praia", 0.4),
        ("la vida es una nave", "a vida es una nave", "vida es una nave", 1.0),  # the reference shares all
        ("我喜欢你的红色房子", "我喜欢你的红色房子", None, 0.0),
        ("我喜欢", "我喜欢", None, None),
        ("así están aquí también", "así están aquí también", None, 0.0),
        ("așa că țara noastră", "AȘA CĂ ȚARA NOASTRĂ", None, 0.0),
        ("iyi bir kılıç alın", "İYİ BİR KILIÇ ALIN", None, 0.0),
        ("kılıcı alın ve gidin", "kilici alin ve gidin", None, 0.0),
    ],
)
def test_copy(source, hypothesis, reference, expected):
    value = judge(Copy(), hypothesis, source=source, reference=reference)
    assert value == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_copy_in_another_normal_form_is_a_copy(form):
    source = unicodedata.normalize(form, "así están aquí también")
    for other in ("NFC", "NFD"):
        assert judge(Copy(), unicodedata.normalize(other, source), source=source) == 0.0


SPANISH = ["la casa de la playa es bonita", "el perro está en la calle"] * 10
GALICIAN = ["a casa da praia é bonita", "o can está na rúa de casa"] * 10
KNOWN = RewardContext(target_texts={"es": SPANISH, "gl": GALICIAN})


def from_spanish(hypothesis, source, context=KNOWN, reference=None, target_lang="gl"):
    (value,) = Copy(context=context)([Segment(source, "es", target_lang, reference)], [hypothesis])
    return value


def test_words_of_both_languages_are_no_copy():
    source, right, half = "la casa está bonita", "a casa está bonita", "la casa está guapa"
    assert from_spanish(right, source, RewardContext()) == pytest.approx(0.5)
    assert from_spanish(right, source) == 1.0
    assert from_spanish(source, source) == 0.0
    assert from_spanish(half, source) == 1.0  # one of two: half is tolerated
    assert from_spanish("la casa está", source) == 0.0
    assert from_spanish("casa está bonita", "casa está bonita") is None  # nothing that a translation changes
    assert from_spanish(right, source, target_lang="pt") == pytest.approx(0.5)  # without text in Portuguese
    reference = "a casa la bonita"  # shares one of two: less than what is tolerated
    assert from_spanish(right, source, reference=reference) == 1.0
    assert from_spanish("la casa", source, reference="la casa está") == 1.0  # the reference shares all


def test_words_are_of_both_languages_only_where_they_are_usual_in_both():
    source = "la casa está bonita"
    untranslated = {"es": SPANISH, "gl": GALICIAN * 4 + SPANISH}  # every fifth text
    assert from_spanish(source, source, RewardContext(target_texts=untranslated)) == 0.0
    assert from_spanish(source, source, RewardContext(target_texts={"es": SPANISH, "gl": SPANISH})) is None
    few = {"es": SPANISH, "gl": GALICIAN[:19]}
    assert from_spanish("a casa está bonita", source, RewardContext(target_texts=few)) == pytest.approx(0.5)


def test_of_much_text_a_part_is_read_evenly():
    many = {"es": SPANISH * 2001, "gl": ["nada"] * 20_000 + GALICIAN * 2000}
    assert from_spanish("a casa está bonita", "la casa está bonita", RewardContext(target_texts=many)) == 1.0


def test_copy_is_cheated_as_its_docstring_says():
    source = "the black cat sleeps here"
    assert judge(Copy(), "thee blackk catt sleepss heree", source=source) == 1.0
    assert judge(Copy(), "el gato negro duerme hoy " + source, source=source) == 1.0
    german = "der Hund und der Vogel im Garten"
    assert judge(Copy(), german, source=german) == 0.0
    assert judge(Copy(), german.lower(), source=german) > 0.5


@pytest.mark.parametrize(
    ("source", "hypothesis", "expected"),
    [
        ("Hello", "Hola", None),
        ("Hello %(name)s", "Hola %(name)s", 1.0),
        ("Hello %(name)s", "Hola %(nombre)s", 0.0),
        ("Hello %(name)s", "Hola", 0.0),
        ("Hello", "Hola %s", 0.0),
        ("%d of %d files", "%d archivos", 2 / 3),
        ("View %s", "%sを表示", 1.0),
        ("{a} {b}", "{b} y {a}", 1.0),
        ("${a} {{ b }}", "{{b}} ${a}", 1.0),
        ("<b>x</b>", "<b>y</b>", 1.0),
        ("<b>x</b>", "<b>y", 2 / 3),
        ("1,250 files", "1.250 archivos", 1.0),
        ("1,250 files", "1\u202f250 fichiers", 1.0),
        ("100,000", "1,00,000", 1.0),
        ("3/4/2024", "04.03.2024", 1.0),
        ("12 3", "١٢ ٣", 1.0),
        ("2 of 10", "2 de 11", 0.5),
        ("100% sure", "100 % seguro", 1.0),
        ("50%", "50 %", 1.0),
    ],
)
def test_placeholders(source, hypothesis, expected):
    value = judge(Placeholders(), hypothesis, source=source)
    assert value == (None if expected is None else pytest.approx(expected))


def test_placeholders_follow_the_reference_where_there_is_one():
    assert judge(Placeholders(), "18:00", source="6 p.m.", reference="18:00") == 1.0
    assert judge(Placeholders(), "cinco", source="5", reference="cinco") is None
    assert judge(Placeholders(Placeholders.Options(numbers=False)), "cinco", source="5") is None


def test_placeholders_are_cheated_by_a_bare_list():
    assert judge(Placeholders(), "%(a)s 7", source="In %(a)s there are 7 rooms") == 1.0


@pytest.mark.parametrize("link", ["https://example.com", "help@example.com"])
def test_a_link_does_not_take_the_numbers_behind_it_in_a_script_without_spaces(link):
    for reward in (Numbers(), Placeholders(Placeholders.Options(numbers=True))):
        assert judge(reward, f"访问{link}获取25条建议", source=f"Visit {link} for 25 tips") == 1.0
        assert judge(reward, f"访问{link}获取26条建议", source=f"Visit {link} for 25 tips") < 1.0
