"""Language identification: right text passes, wrong text is seen, and short text is not judged."""

import sys
import time
import unicodedata

import pytest

from eclectus.errors import ConfigError, RunError
from eclectus.rewards.base import RewardContext
from eclectus.rewards.language import Language, identify, labels
from eclectus.segment import Segment

SENTENCES = {
    "en": "The black cat is sleeping in the house near the river.",
    "es": "El gato negro está durmiendo en la casa cerca del río.",
    "ca": "El gat negre dorm a la casa que hi ha prop del riu.",
    "gl": "O gato negro está a durmir na casa que hai preto do río.",
    "pt-BR": "O gato preto está dormindo na casa perto do rio.",
    "fr": "Le chat noir dort dans la maison près de la rivière.",
    "de": "Die schwarze Katze schläft in dem Haus am Fluss.",
    "zh-Hans": "黑猫在河边的房子里睡觉。",
    "ru": "Чёрная кошка спит в доме у реки.",
    "ar": "القطة السوداء تنام في البيت قرب النهر.",
}


def judge(text, target, languages=tuple(SENTENCES), **options):
    reward = Language(Language.Options(**options), RewardContext(languages=languages))
    (value,) = reward([Segment("", "xx", target)], [text])
    return value


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_passes_as_its_own_language_and_as_no_other(language):
    for target in SENTENCES:
        value = judge(SENTENCES[language], target)
        assert value == 1.0 if target == language else value in (0.0, None)
    assert sum(judge(SENTENCES[language], target) == 0.0 for target in SENTENCES) >= 7


def test_an_english_copy_is_seen_in_every_target():
    assert all(judge(SENTENCES["en"], target) == 0.0 for target in SENTENCES if target != "en")


@pytest.mark.parametrize(
    "text", ["", " ", "OK", "123 456 789 012", "%(name)s {count} https://example.org/the/house", "....", "\ud800"]
)
def test_abstains_where_there_are_no_words(text):
    assert judge(text, "es") is None


def test_vowel_signs_are_part_of_the_language_that_they_write():
    """Without them Hindi, Marathi and Nepali are rows of the same consonants."""
    sentences = {
        "hi": "काली बिल्ली नदी के पास घर में सो रही है।",
        "mr": "काळी मांजर नदीजवळच्या घरात झोपली आहे.",
        "ne": "कालो बिरालो नदी नजिकैको घरमा सुतिरहेको छ।",
    }
    for language, text in sentences.items():
        found = {target: judge(text, target, ("en", *sentences)) for target in sentences}
        assert found == {target: 1.0 if target == language else 0.0 for target in sentences}
    assert judge(unicodedata.normalize("NFD", SENTENCES["es"]), "es") == 1.0


def test_a_link_ends_where_a_script_without_spaces_goes_on():
    text = "黑猫在https://example.com/the/house河边的房子里睡觉。"
    assert judge(text, "zh-Hans") == 1.0 and judge(text, "ru") == 0.0


def test_placeholders_and_links_are_not_language():
    text = "%(username)s %(password)s <strong class='the-house'>gato negro</strong> que duerme https://the.house.com/of/the"
    assert judge(text, "es") != 0.0


def test_abstains_in_unknown_languages_and_where_there_is_no_choice():
    assert labels(["mi", "tet", "xx-not-a-tag", "not a tag"]) == dict.fromkeys(
        ["mi", "tet", "xx-not-a-tag", "not a tag"]
    )
    assert judge(SENTENCES["es"], "mi", ["en", "mi"]) is None
    assert judge(SENTENCES["en"], "es", ["es"]) is None
    assert judge(SENTENCES["en"], "es", ["es", "es-MX"]) is None
    assert judge(SENTENCES["en"], "pl") is None  # not a language of the run


def test_tags_become_labels():
    tags = {
        "pt-BR": "pt", "zh-Hant-TW": "zh", "cmn": "zh", "yue": "yue", "nb": "no", "nn": "nn", "fil": "tl", "swa": "sw",
        "hau": "ha", "arb": "ar", "sr-Latn": "sr", "eng_Latn": "en", "ckb": None, "mos": None,
    }  # fmt: skip
    assert labels(list(tags)) == tags


ROMAN = {
    "hi-Latn": "Sabhi manushya janm se swatantra hain aur garima aur adhikaron mein barabar hain.",
    "ru-Latn": "Vse lyudi rozhdayutsya svobodnymi i ravnymi v svoem dostoinstve i pravakh.",
    "el-Latn": "Oloi oi anthropoi gennioyntai eleytheroi kai isoi stin axioprepeia kai ta dikaiomata.",
    "kk-Latn": "Barlyq adamdar tumysynan azat jäne qadir-qasieti men quqyqtary teñ bolyp düniege keledi.",
    "pa-Arab": "سارے انسان آزاد تے حقوق تے عزت دے لحاظ نال برابر پیدا ہوندے نیں۔",
    "pa-PK": "سارے انسان آزاد تے حقوق تے عزت دے لحاظ نال برابر پیدا ہوندے نیں۔",
    "az-Arab": "بوتون اینسانلار حیثیت و حقوق باخیمیندان دنک و ارکین دوغولارلار.",
    "ku-Arab": "هەموو مرۆڤەکان ئازاد و یەکسان لە کەرامەت و ماف لەدایک دەبن.",
    "crh-Cyrl": "Бутюн инсанлар сербестлик, менлик ве укъукъларда мусавий олып дюньягъа келелер.",
    "zh-Latn": "Rén rén shēng ér zìyóu, zài zūnyán hé quánlì shàng yīlǜ píngděng.",
}
KNOWN = {
    "sr-Cyrl": "Сва људска бића рађају се слободна и једнака у достојанству и правима.",
    "sr-Latn": "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima.",
    "uz": "Barcha odamlar erkin, qadr-qimmat va huquqlarda teng bo‘lib tug‘iladilar.",
    "uz-Cyrl": "Барча одамлар эркин, қадр-қиммат ва ҳуқуқларда тенг бўлиб туғиладилар.",
    "zh-Hant": "人人生而自由,在尊嚴和權利上一律平等。",
    "zh-TW": "人人生而自由,在尊嚴和權利上一律平等。",
    "yue-Hans": "人人生嚟就系自由嘅，喺尊严同权利上一律平等。佢哋有理性。",
    "ko-Hang": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "crh": "Bütün insanlar serbestlik, menlik ve uquqlarda musaviy olıp dünyağa keleler.",
    "crh-Latn": "Bütün insanlar serbestlik, menlik ve uquqlarda musaviy olıp dünyağa keleler.",
}
BESIDE = ["en", "es", "tr", "pl", "fa", "ar", "ur", "mk"]


@pytest.mark.parametrize("language", ROMAN)
def test_abstains_in_a_script_in_which_the_language_is_not_known(language):
    assert judge(ROMAN[language], language, [language, *BESIDE]) is None
    assert identify([ROMAN[language]], [language, "ja", "am"])[0][0] != language


@pytest.mark.parametrize("language", KNOWN)
def test_scripts_in_which_the_language_is_known(language):
    assert judge(KNOWN[language], language, [language, *BESIDE]) == 1.0
    assert judge(SENTENCES["en"], language, [language, *BESIDE]) == 0.0


def test_options_move_the_bar():
    text = "gato negro"  # Spanish and Galician alike
    assert judge(text, "gl") is None
    assert judge(SENTENCES["es"], "es", min_bytes=500) is None
    assert judge(SENTENCES["en"], "es", odds=1e12) is None


def test_identify():
    languages = ["en", "es", "fr", "pt-BR", "pt-PT", "mi"]
    texts = [SENTENCES["es"], SENTENCES["en"], "OK", SENTENCES["pt-BR"], ""]
    found = identify(texts, languages)
    assert [language for language, _ in found] == ["es", "en", None, None, None]
    assert all(0 <= probability <= 1 for _, probability in found)
    assert found[3][1] > 0.8  # Portuguese it is, but which one?
    assert identify(texts[:1], ["es"]) == [(None, 0.0)]
    assert identify([], languages) == []


def test_false_alarms_on_real_translations_are_rare():
    """The table of the docstring, on a part of its texts."""
    pytest.importorskip("django")
    languages = ["en", "es", "fr", "de", "it", "pt", "nl", "pl"]
    reward = Language(context=RewardContext(languages=languages))
    right, copied = [], []
    for language in languages[1:]:
        pairs = [(source, text) for source, text in catalogue(language) if len(text) >= 16]
        segments = [Segment(source, "en", language) for source, _ in pairs]
        right += reward(segments, [text for _, text in pairs])
        copied += reward(segments, [source for source, _ in pairs])
    assert len(right) > 2000
    assert right.count(0.0) / len(right) < 0.01
    assert copied.count(0.0) / len(copied) > 0.65
    assert copied.count(1.0) / len(copied) < 0.01


def catalogue(language):
    import gettext
    from pathlib import Path

    import django

    root = Path(django.__file__).parent
    for file in sorted(root.rglob(f"locale/{language}/LC_MESSAGES/*.mo")):
        with file.open("rb") as stream:
            entries = gettext.GNUTranslations(stream)._catalog
        for source, text in entries.items():
            if isinstance(source, str) and source and text and text != source:
                yield source.rpartition("\x04")[2], text


def test_speed():
    reward = Language(context=RewardContext(languages=["en", "es", "fr", "de"]))
    texts = [f"{SENTENCES['es'][: 20 + i % 20]} {i}x" for i in range(2000)]
    segments = [Segment("", "en", "es")] * len(texts)
    reward(segments[:1], ["warm up the model"])
    started = time.process_time()
    reward(segments, texts)
    reward(segments, texts)
    assert len(texts) * 2 / (time.process_time() - started) > 4000  # 20,000 on an idle machine


MODULE = '''
def vowels(text, languages):
    """Says that a text with more a than e is Spanish, and knows no other language but English."""
    if "abstain" in text:
        return None
    a, e = text.count("a"), text.count("e")
    return {tag: p for tag, p in {"es": a / (a + e), "en": e / (a + e)}.items() if tag in languages}

def broken(text, languages):
    return {"es": -1.0}

def words(text, languages):
    return {"es": "likely", "en": None}

def alone(text):
    return {}

def failing(text, languages):
    return {"es": 1 / 0}

no_function = 1
'''


@pytest.fixture
def identifiers(tmp_path, monkeypatch):
    (tmp_path / "own_identifiers.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_identifiers"
    sys.modules.pop("own_identifiers", None)


def test_an_identifier_of_the_users_own(identifiers):
    own = {"identifier": f"{identifiers}:vowels", "languages": ["en", "es", "fr"]}
    assert judge("la casa blanca", "es", **own) == 1.0
    assert judge("the seven trees here", "es", **own) == 0.0
    assert judge("the seven trees here", "en", **own) == 1.0
    assert judge("la casa blanca", "fr", **own) is None  # it does not know French
    assert judge("la casa abstain", "es", **own) is None
    assert judge("la casa", "es", **own) is None  # too short, not asked
    assert judge("la casa blanca e e e", "es", graded=True, **own) == pytest.approx(5 / 8 / (5 / 8 + 3 / 8 / 4))
    reward = Language(Language.Options(identifier=own["identifier"]), RewardContext(languages=own["languages"]))
    assert reward.signature == "language|own_identifiers:vowels:en,es,fr|odds:2.5|min:10"


def test_an_identifier_that_is_none_or_lies_is_refused(identifiers):
    for kind, message in (
        ("no_such_module:f", "cannot load"),
        (f"{identifiers}:missing", "cannot load"),
        (f"{identifiers}:no_function", "no function"),
        ("fasttext", "no function"),
    ):
        with pytest.raises(ConfigError, match=message):
            Language(Language.Options(identifier=kind), RewardContext(languages=["en", "es"]))
    for name, message in (
        ("broken", r"returned \{'es': -1.0\} for 'la casa blanca'; it must return a probability"),
        ("words", r"returned \{'es': 'likely', 'en': None\} for"),
        ("alone", r"failed with TypeError \(.*\); it must take a text and the run's tags, and return a probability"),
        ("failing", r"failed with ZeroDivisionError \(division by zero\) at .*own_identifiers.py:19; it must"),
    ):
        with pytest.raises(RunError, match=f"^reward 'language': the identifier 'own_identifiers:{name}' {message}"):
            judge("la casa blanca", "es", identifier=f"{identifiers}:{name}", languages=["en", "es"])


def test_graded_is_the_probability_under_the_odds_prior():
    right, wrong = judge(SENTENCES["es"], "es", graded=True), judge(SENTENCES["en"], "es", graded=True)
    assert right > 0.99
    assert wrong < 0.01
    assert 0.05 < judge("gato negro", "gl", graded=True) < 0.95  # where the gate abstains
    assert judge("OK", "es", graded=True) is None
    assert judge(SENTENCES["es"], "mi", ["en", "mi", "es"], graded=True) is None
