"""Letters of the language's own script count, others do not, shared ones tell nothing."""

import pytest

from eclectus.errors import ConfigError
from eclectus.registry import parse_options
from eclectus.rewards.script import Script, scripts
from eclectus.segment import Segment


def judge(text, language, source="", **options):
    (value,) = Script(Script.Options(**options))([Segment(source, "xx", language)], [text])
    return value


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("es", "El niño está aquí, ¿verdad?"),
        ("ru", "Чёрная кошка"),
        ("el", "Η μαύρη γάτα"),
        ("ar", "القطة السوداء، ١٢٣"),
        ("he", "חתול שחור"),
        ("hi", "काली बिल्ली सोती है।"),
        ("th", "แมวดำนอนหลับ"),
        ("zh", "黑猫在睡觉。"),
        ("zh-Hant", "黑貓在睡覺。"),
        ("ja", "黒いネコが寝ています。コーヒー"),
        ("ko", "검은 고양이 大韓民國"),
        ("ka", "შავი კატა"),
        ("am", "ጥቁር ድመት"),
        ("yo", "Ológbò dúdú ń sùn"),
        ("vi", "Con mèo đen đang ngủ"),
        ("sr", "Црна мачка"),
        ("sr", "Crna mačka"),
        ("sr-Latn", "Crna mačka"),
        ("uz", "Qora mushuk ʻuxlayapti"),
        ("pt-BR", "O gato preto não"),
    ],
)
def test_text_in_the_right_script(language, text):
    assert judge(text, language) == 1.0


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ru", "Chyornaya koshka"), ("es", "Чёрная кошка"), ("zh", "hei mao"), ("ja", "검은 고양이"), ("el", "чёрная"),
        ("sr-Latn", "Црна мачка"), ("sr-Cyrl", "Crna mačka"), ("ko", "くろいネコ")    ],
)  # fmt: skip
def test_text_in_a_wrong_script(language, text):
    assert judge(text, language) == 0.0


def test_the_share_of_letters():
    assert judge("кошка cats", "ru") == pytest.approx(5 / 9)
    assert judge("кошка cats", "ru", tolerated=0.2) == pytest.approx(5 / 9 / 0.8)
    assert judge("кошка cats", "ru", tolerated=0.5) == 1.0


def test_names_of_the_source_placeholders_and_links_do_not_count():
    assert judge("Кошка любит Python", "ru", source="The cat likes Python") == 1.0
    assert judge("Кошка любит Python", "ru", source="The cat") == pytest.approx(10 / 16)
    assert judge("Кошка likes рыбу", "ru", source="The cat likes fish") < 1  # a copied word is no name
    assert judge("Кошка %(name)s https://example.org <strong>", "ru") == 1.0


@pytest.mark.parametrize(
    ("language", "text", "source"),
    [
        ("ru", "Используйте HTML", "Use HTML."),
        ("ru", "HTML-код на основе PostgreSQL", "The code is HTML, PostgreSQL-based"),
        ("uk", "Відкрийте window.URL (PDF)", "PDF, window.URL"),
        ("zh", "使用HTML（PDF）或XML。", "Use HTML (PDF) or XML."),
        ("zh", "登录Wagtail", "Sign in to Wagtail"),
        ("ja", "PDFファイルを開く", "Open PDF files"),
        ("ja", "IPv4またはIPv6", "IPv4 or IPv6"),
        ("th", "เปิดWagtailแล้ว", "Open Wagtail now"),
        ("ko", "Wagtail에 로그인", "登录Wagtail"),
    ],
)
def test_names_of_the_source_are_let_pass_wherever_they_stand(language, text, source):
    assert judge(text, language, source) == 1.0
    assert judge(text, language, source.lower()) < 1.0  # without capitals they are no names


@pytest.mark.parametrize(
    ("language", "text", "source"),
    [
        ("ru", "Откройте Wagtails", "Open Wagtail"),
        ("ru", "Откройте window.sql", "Open window.SQL"),
        ("ru", "based на SQL", "SQL-based"),
        ("zh", "打开Opening文件", "Open files"),
        ("zh", "打开files", "Open files"),
    ],
)
def test_no_part_of_a_word_is_a_name(language, text, source):
    assert judge(text, language, source) < 1.0


@pytest.mark.parametrize("text", ["", "123 !?", "%s", "😀", "я", "\u0301\u0301", "\ud800"])
def test_abstains_without_letters(text):
    assert judge(text, "es") is None


def test_options():
    assert judge("я", "es", min_letters=1) == 0.0
    assert judge("Qara pişik", "az", scripts={"az": ["Cyrl"]}) == 0.0
    assert Script(Script.Options(scripts={"az": ["Latn", "Cyrl"]})).signature == "script|tolerated:0|min:2|az:Latn+Cyrl"
    for codes in (["Klingon"], [], ["}]"]):
        with pytest.raises(ConfigError, match=r"gate\.scripts.*no list of ISO 15924 codes"):
            parse_options("gate", Script.Options, {"scripts": {"az": codes}})


def test_scripts_of_a_tag():
    assert scripts("pa") == ("Guru",)
    assert scripts("pa-PK") == ("Arab",)
    assert scripts("not a tag") == ()
    assert judge("abc", "not a tag") is None
