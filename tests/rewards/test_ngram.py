"""N-gram models against their equations: by hand, by counting naively, and by summing to one."""

import math
import re
from collections import Counter

import numpy as np
import pytest

from eclectus.rewards.models.ngram import NgramModel

TEXTS = ["abab", "abc", "ba", "abcabd", "bcd", "dab"]
START, END = "^", "$"


def tokens(text, unit):
    return list(" ".join(text.split())) if unit == "char" else re.findall(r"\w+|[^\w\s]", text)


def padded(texts, unit):
    return [(START, *tokens(text, unit), END) for text in texts]


def grams(texts, n, unit="char"):
    return [row[i : i + n] for row in padded(texts, unit) for i in range(len(row) - n + 1)]


def by_token(model, text):
    """log P of each token of a text and of its end."""
    ids, _ = model._coder.encode([text])
    return model._score(ids)[1:]


def naive(texts, order, smoothing, token, context, unit="char"):
    """The equations of the class read naively, counting again for every question."""
    context = context[max(0, len(context) - order + 1) :]
    top = len(context) == order - 1
    counts = Counter(grams(texts, len(context) + 1, unit))
    if smoothing == "kneser-ney" and not top:
        wider = Counter(gram[1:] for gram in set(grams(texts, len(context) + 2, unit)))
        counts = Counter({g: c if g[0] == START else wider[g] for g, c in counts.items()})
    if not context:
        counts.pop((START,), None)
    following = {g: c for g, c in counts.items() if g[:-1] == context}
    vocabulary = {t for row in padded(texts, unit) for t in row} - {START}
    if context:
        lower = naive(texts, order, smoothing, token, context[1:], unit)
    else:
        lower = 1 / (len(vocabulary) + (256 if unit == "char" else 1))
    if not following:
        return lower
    total, own = sum(following.values()), following.get((*context, token), 0)
    if smoothing == "witten-bell":
        return (own + len(following) * lower) / (total + len(following))
    n = [sum(c == k for c in counts.values()) for k in range(5)]
    discount = [0, 0.5, 1, 1.5]
    if all(n[1:]):
        y = n[1] / (n[1] + 2 * n[2])
        found = [0] + [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
        if all(0 < d < k for k, d in enumerate(found) if k):
            discount = found
    kept = sum(discount[min(c, 3)] for c in following.values())
    return (own - discount[min(own, 3)] + kept * lower) / total


# A corpus whose counts of counts give discounts at several orders, and one where they do not.
RICH = ["abcde", "abcdf", "abcdg", "abcgh", "abhij", "abijk", "bcda", "cdab", "abcd", "jkab", "efgabc", "hgfe", "abab"]
WORDS = [" ".join(text) for text in RICH]


@pytest.mark.parametrize("smoothing", ["kneser-ney", "witten-bell"])
@pytest.mark.parametrize("unit", ["char", "word"])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("texts", [TEXTS, RICH, WORDS], ids=["tiny", "rich", "words"])
def test_probabilities_follow_the_equation(texts, order, unit, smoothing):
    model = NgramModel(texts, order, unit, smoothing)
    for text in ("", "a", "abcd", "zab", "abz", "a b c", "gab c d", "dcba", *texts[:3]):
        row = (START, *tokens(text, unit), END)
        expected = [naive(texts, order, smoothing, row[i], row[:i], unit) for i in range(1, len(row))]
        assert np.exp(by_token(model, text)) == pytest.approx(expected, rel=1e-5), text


def test_the_rich_corpus_has_discounts_of_its_own():
    """Else the test above would only see the fallback."""
    estimated = 0
    for n in (1, 2, 3):
        counts = Counter(grams(RICH, n)) if n == 3 else Counter(gram[1:] for gram in set(grams(RICH, n + 1)))
        kinds = [sum(c == k for c in counts.values()) for k in range(5)]
        estimated += all(kinds[1:])
    assert estimated


def test_kneser_ney_by_hand():
    """Order 2 on 'ab' and 'cb': every count is 1 or 2, so the discounts are 0.5 and 1.

    Bigrams: ^a 1, ab 1, b$ 2, ^c 1, cb 1. Continuations: a 1, b 2, c 1, $ 1, sum 5; kept 3 * 0.5 + 1 = 2.5.
    Uniform: 1 / (a, b, c, $ and 256) = 1/260.
    """
    model = NgramModel(["ab", "cb"], 2)
    p = lambda text: np.exp(by_token(model, text))  # noqa: E731
    a = (1 - 0.5) / 5 + 2.5 / 5 / 260
    b = (2 - 1) / 5 + 2.5 / 5 / 260
    end = (1 - 0.5) / 5 + 2.5 / 5 / 260
    # After ^: a and c once each, kept (0.5 + 0.5) / 2. After a: b once. After b: $ twice, kept 1 / 2.
    assert p("ab") == pytest.approx([0.5 / 2 + 0.5 * a, 0.5 / 1 + 0.5 * b, (2 - 1) / 2 + 0.5 * end], rel=1e-5)
    # b begins no text; after it only $ was seen; z was never seen, and after it nothing is known.
    assert p("bz") == pytest.approx([0.5 * b, 0.5 * 0.5 / 260, end], rel=1e-5)


@pytest.mark.parametrize("smoothing", ["kneser-ney", "witten-bell"])
@pytest.mark.parametrize("context", ["", "a", "ab", "abc", "xyz", "bxa", "dabc"])
def test_probabilities_sum_to_one(context, smoothing):
    for unit, unseen in (("char", 256), ("word", 1)):
        model = NgramModel(RICH if unit == "char" else WORDS, 4, unit, smoothing)
        space = "" if unit == "char" else " "
        history = space.join(context)
        at = len(context)
        p = lambda text: math.exp(by_token(model, text)[at])  # noqa: B023, E731
        alphabet = sorted({c for text in RICH for c in text})
        total = p(history) + sum(p(f"{history}{space}{c}") for c in alphabet)
        assert total + unseen * p(f"{history}{space}Ω") == pytest.approx(1, rel=1e-5)


def test_a_batch_is_its_texts_one_by_one(monkeypatch):
    texts = ["abab", "", "  ab  c ", "zzz", "\x02a\x03b", "\ud800a", "a" * 500, "猫𝒳"]
    for unit in ("char", "word"):
        model = NgramModel(RICH, 3, unit)
        totals, lengths = model.log_probabilities(texts)
        single = [by_token(model, text) for text in texts]
        assert lengths.tolist() == [len(one) for one in single]
        assert totals == pytest.approx([one.sum() for one in single])
        monkeypatch.setattr("eclectus.rewards.models.ngram._CHUNK", 7)
        assert model.log_probabilities(texts)[0] == pytest.approx(totals)
    assert model.log_probabilities([])[0].shape == (0,)


def test_control_characters_in_a_text_are_no_boundaries():
    model = NgramModel(["ab"] * 50, 3)
    two = model.log_probabilities(["ab"])[0][0] * 2
    assert model.log_probabilities(["ab\x03\x02ab", "ab\x00ab"])[0].max() < two - 3


def test_an_untrained_model_is_uniform():
    for smoothing in ("kneser-ney", "witten-bell"):
        model = NgramModel([], 3, "char", smoothing)
        assert by_token(model, "ab") == pytest.approx([math.log(1 / 257)] * 3)


def test_words_are_cut_at_marks_and_in_scripts_without_spaces():
    model = NgramModel(["a b"], 2, "word")
    for text, count in (
        ("Hello, world!", 4),
        ("don't", 3),
        ("我喜欢猫。", 5),
        ("कि ताब", 2),
        ("¿Qué?", 3),
        ("a  \n b", 2),
    ):
        assert len(by_token(model, text)) == count + 1, text


@pytest.mark.parametrize("unit", ["char", "word"])
def test_arrays_make_the_same_model(unit):
    model = NgramModel([*RICH, "猫 𝒳 \ud800"], 4, unit)
    again = NgramModel.from_arrays(model.arrays())
    assert (again.order, again.size, again.unit) == (4, model.size, unit)
    texts = ["abcd", "a b c", "猫 𝒳", "zz"]
    assert np.array_equal(again.log_probabilities(texts)[0], model.log_probabilities(texts)[0])


def test_kneser_ney_has_the_lower_perplexity_on_multi30k(shared_data):
    read = lambda name: (shared_data / "multi30k" / name).read_text(encoding="utf-8").split("\n")  # noqa: E731
    training, held_out = read("train.de")[:2000], read("val.de")[:500]
    found = {}
    for smoothing in ("kneser-ney", "witten-bell"):
        totals, lengths = NgramModel(training, 5, "char", smoothing).log_probabilities(held_out)
        found[smoothing] = math.exp(-totals.sum() / lengths.sum())
    assert found["kneser-ney"] < 0.95 * found["witten-bell"] < 4
