"""Known words are counted, names, numbers and placeholders are not; dictionaries of both kinds."""

import sys

import pytest

from eclectus.errors import ConfigError
from eclectus.rewards.base import RewardContext
from eclectus.rewards.models.dictionaries import Hunspell
from eclectus.rewards.words import Words, _words
from eclectus.segment import Segment

pytest.importorskip("simplemma", reason="the word lists of the extra 'words' are not installed")


def judge(text, language, texts=(), **options):
    reward = Words(Words.Options(**options), RewardContext(target_texts={language: texts}))
    (value,) = reward([Segment("", "xx", language)], [text])
    return value


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The black cat doesn't sleep in the well-known house."),
        ("es", "El gato negro duerme en la casa."),
        ("ca", "El gat negre dorm a la casa d'un home."),
        ("gl", "O gato negro durme na casa."),
        ("pt-BR", "O gato preto dorme na casa."),
        ("de", "Die schwarze Katze schläft im Haus."),
        ("fr", "Le chat noir de l'homme qu'il aime dort."),
        ("ru", "Чёрная кошка спит в доме."),
        ("sr-Latn", "Crna mačka spava u kući."),
        ("hi", "काली बिल्ली घर में सोती है।"),
        ("nb", "Den svarte katten sover i huset."),
        ("fil", "Ang itim na pusa ay natutulog sa bahay."),
    ],
)
def test_real_text_is_known_and_broken_text_is_not(language, text):
    assert judge(text, language) > 0.7
    assert judge(" ".join(word[::-1].lower() + "q" for word in text.split()), language) < 0.3


def test_the_share():
    assert judge("el gato xqzj duerme", "es") == 0.75
    assert judge("xqzj vvkk ppqq", "es") == 0.0


def test_names_inside_a_sentence_are_left_out_unless_told():
    text = "El gato vive en Xqzjburgo. Vvkk es su amigo"
    assert judge(text, "es") == pytest.approx(7 / 8)  # Vvkk begins a sentence
    assert judge(text, "es", names=False) == pytest.approx(7 / 9)
    assert [word for word, name in _words("«Aa» Bb cc. Dd: Ee, Ff! — Gg HH iPad") if name] == ["Bb", "Ff", "HH", "iPad"]


def test_placeholders_numbers_links_and_single_letters_do_not_count():
    assert [word for word, _ in _words("ab %(xqzj)s <bqz> 12 3rd a_b v2 x https://xq.zj/ab {vk} é ab-cd d'ef")] == [
        "ab",
        "ab-cd",
        "d'ef",
    ]


def test_a_compound_is_known_by_its_parts():
    assert judge("gato-casa negro-xqzj casa", "es") == pytest.approx(2 / 3)


@pytest.mark.parametrize("text", ["", "El gato", "%s 1 2 3", "Xqz Vvk Ppq", "猫 在 睡 觉 我 们", "\ud800"])
def test_abstains_on_too_few_words(text):
    assert judge(text, "es") is None


@pytest.mark.parametrize("language", ["zh", "ja", "mi", "yo"])
def test_abstains_in_languages_without_a_list(language):
    assert judge("black cats sleep in the house", language) is None
    assert judge("black cats sleep in the house", language, ["black cats sleep in the house"] * 5) is None


def test_words_of_the_training_text_are_known():
    texts = ["el fnord duerme", "un fnord", "fnord fnord"]
    assert judge("el fnord duerme", "es") == pytest.approx(2 / 3)
    assert judge("el fnord duerme", "es", texts) == 1.0
    assert judge("el fnord duerme", "es", texts[1:]) == pytest.approx(2 / 3)  # in two texts, however often
    assert judge("el fnord duerme", "es", texts, seen=0) == pytest.approx(2 / 3)
    assert judge("el fnord duerme", "es", texts[1:], seen=2) == 1.0


def write(folder, name, words, encoding="UTF-8"):
    folder.mkdir(exist_ok=True)
    rules = f"SET {encoding}\nSFX S Y 1\nSFX S 0 s .\n"
    (folder / f"{name}.aff").write_text(rules, encoding=encoding)
    (folder / f"{name}.dic").write_text("\n".join([str(len(words)), *words]) + "\n", encoding=encoding)


def test_a_folder_of_hunspell_dictionaries(tmp_path):
    pytest.importorskip("hunspell", reason="the binding of the extra 'hunspell' is not installed")
    write(tmp_path, "gl", ["gato/S", "negro/S", "dúas"])
    write(tmp_path, "es_ES", ["perro", "niño"], "ISO8859-1")
    (tmp_path / "fr.aff").write_text("SET UTF-8\n", encoding="utf-8")  # without its .dic
    reward = Words(Words.Options(path=tmp_path))
    assert reward.signature == "words|hunspell:es_ES,gl|names:out|seen:3|min:3"
    segments = [Segment("", "en", language) for language in ("gl", "gl", "es-MX", "es", "fr")]
    texts = ["Dúas gatos negros", "duas gatos negross", "perro niño перро", "perro perro niños", "un chat noir"]
    assert reward(segments, texts) == [1.0, pytest.approx(1 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3), None]


def test_which_dictionary_a_tag_takes(tmp_path):
    pytest.importorskip("hunspell", reason="the binding of the extra 'hunspell' is not installed")
    for name in ("en_AU", "en_GB", "en_US", "pt", "pt-BR", "est"):
        write(tmp_path, name, ["a"])
    name = Hunspell(tmp_path)._name
    assert [name(tag) for tag in ("en", "en-GB", "en-NZ", "pt", "pt-BR", "pt-PT", "es", "et")] == [
        "en_US", "en_GB", "en_US", "pt", "pt-BR", "pt", None, None,
    ]  # fmt: skip


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no Hunspell dictionary"):
        Words(Words.Options(path=tmp_path))
    monkeypatch.setitem(sys.modules, "hunspell", None)
    with pytest.raises(ConfigError, match=r"pip install 'eclectus\[hunspell\]'"):
        Words(Words.Options(path=tmp_path))
    monkeypatch.setitem(sys.modules, "simplemma", None)
    with pytest.raises(ConfigError, match=r"pip install 'eclectus\[words\]'"):
        Words()
