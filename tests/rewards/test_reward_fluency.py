"""The character model against its equation, and the calibrated reward on real text."""

import math
import random

import pytest

from eclectus.rewards.base import RewardContext
from eclectus.rewards.fluency import Fluency
from eclectus.rewards.ngram import END, START, CharacterModel
from eclectus.segment import Segment

TEXTS = ["abab", "abc", "ba"]


def witten_bell(texts, order, character, context):
    """The equation, read naively: interpolated Witten-Bell by counting again for every question."""
    padded = [START * (order - 1) + text + END for text in texts]
    following = [
        text[i] for text in padded for i in range(order - 1, len(text)) if text[i - len(context) : i] == context
    ]
    alphabet = len({c for text in padded for c in text} - {START}) + 256
    lower = witten_bell(texts, order, character, context[1:]) if context else 1 / alphabet
    kinds, total = len(set(following)), len(following)
    return (following.count(character) + kinds * lower) / (total + kinds) if following else lower


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_follow_the_equation(order):
    model = CharacterModel(TEXTS, order)
    for context in ("", "a", "ab", "ba", "zz", "bz", START * (order - 1), START + "a"):
        for character in ("a", "b", "c", "z", END):
            expected = witten_bell(TEXTS, order, character, context[max(0, len(context) - order + 1) :])
            assert model.probability(character, context) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("context", ["", "a", "ab", "xyz", START * 3])
def test_probabilities_sum_to_one(context):
    model = CharacterModel(TEXTS, 4)
    seen = sum(model.probability(c, context) for c in ("a", "b", "c", END))
    assert seen + 256 * model.probability("z", context) == pytest.approx(1)


def test_a_text_is_the_product_of_its_characters():
    model = CharacterModel(TEXTS, 3)
    total, count = model.log_probability(" ab  z ")
    padded = START * 2 + "ab z" + END
    assert count == 5
    assert total == pytest.approx(sum(math.log(model.probability(padded[i], padded[:i])) for i in range(2, 7)))


def test_an_untrained_model_is_uniform():
    total, count = CharacterModel([], 3).log_probability("ab")
    assert total / count == pytest.approx(math.log(1 / 256))


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
    assert 0.3 < mean(few, english[:100]) < 0.7
    texts = few._train(english).model
    assert len(texts._seen) < len(CharacterModel(english, 5)._seen)
