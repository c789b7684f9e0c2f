"""The calibrated reward on real and on broken text, and its models on disk."""

import random

import numpy as np
import pytest

from eclectus.config import RewardConfig
from eclectus.errors import ConfigError
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.rewards.fluency import Fluency
from eclectus.segment import Segment


@pytest.fixture(scope="module")
def english():
    rng = random.Random(1)
    nouns = [
        "cat",
        "dog",
        "man",
        "woman",
        "child",
        "bird",
        "horse",
        "house",
        "river",
        "street",
        "garden",
        "table",
        "window",
        "letter",
    ]
    verbs = ["sees", "finds", "likes", "follows", "paints", "remembers", "watches"]
    adjectives = ["black", "white", "small", "old", "young", "quiet", "green", "heavy"]
    noun = lambda: f"the {rng.choice(adjectives)} {rng.choice(nouns)}"  # noqa: E731
    return [f"{noun()} {rng.choice(verbs)} {noun()}" + rng.choice(["", f" near {noun()}"]) for _ in range(1500)]


@pytest.fixture(scope="module")
def fluency(english):
    return Fluency(context=RewardContext(target_texts={"en": english[:1200], "es": english[:50]}))


def mean(fluency, texts, language="en"):
    values = fluency([Segment("", "xx", language)] * len(texts), texts)
    return sum(values) / len(values)


def test_real_text_averages_a_half_and_broken_text_nothing(fluency, english):
    rng = random.Random(2)
    new = english[1200:]
    characters = ["".join(rng.sample(text, len(text))) for text in new]
    words = [" ".join(rng.sample(text.split(), len(text.split()))) for text in new]
    assert 0.4 < mean(fluency, new) < 0.6
    assert mean(fluency, characters) < 0.01
    assert mean(fluency, words) < 0.1
    assert mean(fluency, ["el gato negro duerme en la casa", "我喜欢猫", "xqzj"]) < 0.01


def test_real_text_averages_about_a_half_on_multi30k(shared_data):
    lines = (shared_data / "multi30k" / "train.de").read_text(encoding="utf-8").split("\n")[:2500]
    reward = Fluency(context=RewardContext(target_texts={"de": lines[:2000]}))
    assert 0.42 < mean(reward, lines[2000:2300], "de") < 0.58
    assert mean(reward, [text[::-1] for text in lines[2000:2300]], "de") < 0.01


def test_length_is_not_rewarded(fluency, english):
    new = english[1200:]
    short = [text for text in new if " near " not in text]
    long = [text for text in new if " near " in text]
    assert abs(mean(fluency, short) - mean(fluency, long)) < 0.1


def test_abstains_without_enough_text_and_gives_nothing_to_nothing(fluency):
    assert fluency([Segment("", "en", "es"), Segment("", "en", "fr")], ["a", "b"]) == [None, None]
    assert fluency([Segment("", "es", "en")] * 2, ["", " \n"]) == [0.0, 0.0]


def test_is_cheated_by_the_most_usual_sentence(fluency, english):
    values = fluency([Segment("whatever it says", "xx", "en")] * 1200, english[:1200])
    assert max(values) > 0.8


def test_uses_at_most_the_texts_it_is_told_to(english):
    few = Fluency(Fluency.Options(max_texts=200), RewardContext(target_texts={"en": english}))
    many = Fluency(context=RewardContext(target_texts={"en": english}))
    assert 0.3 < mean(few, english[:100]) < 0.7
    (one,), (other,) = (reward._train(english).models for reward in (few, many))
    assert one[1].size < other[1].size


@pytest.mark.parametrize("words", [0.5, 1.0])
def test_a_word_model_sees_what_characters_see_less_of(english, words):
    rng = random.Random(3)
    new = english[1200:]
    swapped = []
    for text in new:
        one = text.split()
        i = rng.randrange(len(one) - 1)
        one[i], one[i + 1] = one[i + 1], one[i]
        swapped.append(" ".join(one))
    reward = Fluency(Fluency.Options(words=words, order=2), RewardContext(target_texts={"en": english[:1200]}))
    characters = Fluency(Fluency.Options(order=2), RewardContext(target_texts={"en": english[:1200]}))
    assert 0.4 < mean(reward, new) < 0.6
    assert mean(reward, swapped) < mean(characters, swapped) - 0.1


def test_smoothing_and_words_stand_in_the_signature():
    assert Fluency().signature == "fluency|char-5-gram|smooth:kneser-ney|min:100"
    mixed = Fluency(Fluency.Options(words=0.3, smoothing="witten-bell"))
    assert mixed.signature == "fluency|char-5-gram+0.3*word-3-gram|smooth:witten-bell|min:100"
    assert Fluency(Fluency.Options(words=1)).signature == "fluency|1*word-3-gram|smooth:kneser-ney|min:100"


@pytest.mark.parametrize("words", [0.0, 0.4, 1.0])
def test_saved_models_give_the_same_values(english, tmp_path, words):
    reward = Fluency(Fluency.Options(words=words), RewardContext(target_texts={"en": english}))
    segments, texts = [Segment("", "es", "en")] * 3, ["the black cat", "zzz 猫 qx", "the the the"]
    values = reward(segments, texts)
    reward.save(tmp_path / "here", ["en", "fr"])
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["en.npz"]
    loaded = Fluency(Fluency.Options(words=words, path=tmp_path / "here"))
    assert loaded(segments, texts) == values
    assert loaded([Segment("", "en", "fr")], ["le chat"]) == [None]


def test_a_composite_saves_each_part_apart_and_takes_them_back(english, tmp_path):
    texts = RewardContext(target_texts={"en": english})
    config = {"terms": [{"type": "fluency"}, {"type": "fluency", "words": 1}], "gates": [{"type": "nonempty"}]}
    reward = CompositeReward(RewardConfig(**config), texts)
    reward.save(tmp_path, ["en"])
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.npz")) == [
        "fluency-2/en.npz",
        "fluency/en.npz",
    ]
    config["terms"] = [{"type": "fluency", "path": tmp_path / name} for name in ("fluency", "fluency-2")]
    loaded = CompositeReward(RewardConfig(**config), RewardContext())
    loaded.check(has_reference=False)  # no training text is needed now
    groups = [["the black cat sees the dog", "dog the"]]
    segments = [Segment("", "es", "en")]
    assert loaded.score_groups(segments, groups).total == reward.score_groups(segments, groups).total


def test_a_folder_without_models_and_a_broken_one_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no models in"):
        Fluency(Fluency.Options(path=tmp_path))
    (tmp_path / "es.npz").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"cannot read the model .*es\.npz"):
        Fluency(Fluency.Options(path=tmp_path))([Segment("", "en", "es")], ["hola"])
    np.savez(tmp_path / "es.npz", weights=np.ones(1))
    with pytest.raises(ConfigError, match=r"cannot read the model .*es\.npz"):
        Fluency(Fluency.Options(path=tmp_path))([Segment("", "en", "es")], ["hola"])


def test_languages_with_too_little_text_are_known_before_a_run(english, tmp_path):
    texts = {"en": english, "cy": [f"testun {n}" for n in range(30)] + ["testun 1", " "], "gl": []}
    config = RewardConfig(terms=[{"type": "fluency"}, {"type": "length"}])
    reward = CompositeReward(config, RewardContext(target_texts=texts))
    assert reward.unjudged(["en", "cy", "gl"]) == [
        "'fluency' judges no translation into 'cy': it has 30 distinct texts and needs 100 (min_texts)",
        "'fluency' judges no translation into 'gl': it has 0 distinct texts and needs 100 (min_texts)",
    ]
    segments = [Segment("", "es", "en"), Segment("", "es", "cy")]
    assert [score is None for score in reward._rewards["fluency"](segments, ["the cat", "testun 1"])] == [False, True]
    Fluency(context=RewardContext(target_texts=texts)).save(tmp_path, ["en"])
    saved = Fluency(Fluency.Options(path=tmp_path))
    assert saved.unjudged(["en", "cy"]) == {"cy": f"'{tmp_path}' has no cy.npz"}
