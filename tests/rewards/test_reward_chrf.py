"""chrF and chrF++: equal to sacreBLEU's, and why it must not stand alone."""

import random

import pytest
from sacrebleu.metrics import CHRF

from eclectus.errors import DataError
from eclectus.rewards.chrf import ChrF
from eclectus.segment import Segment

# hypothesis, reference, word order, chrF of sacreBLEU 2.6.0
GOLDEN = [
    ("A black cat", "A black cat", 0, 1.0),
    ("black cats", "A black cat", 0, 0.8340608465608468),
    ("A black cat", "A black cat", 2, 1.0),
    ("the cat sat", "the cat sits", 2, 0.6039409888435875),
    ("", "cat", 0, 0.0),
    ("cat", "", 2, 0.0),
    ("", "", 0, 0.0),
    ("dog", "cat", 2, 0.0),
    ("我喜欢猫", "我喜欢狗", 0, 0.479166666667),
]


@pytest.mark.parametrize(("hypothesis", "reference", "words", "expected"), GOLDEN)
def test_golden(hypothesis, reference, words, expected):
    chrf = ChrF(ChrF.Options(words=words))
    segment = Segment("", "xx", "en", reference=reference)
    assert chrf([segment], [hypothesis]) == [pytest.approx(expected, abs=1e-9)]


def score(chrf, hypothesis, *references):
    return chrf.score([hypothesis], [references], ["en"])[0]


def text(rng, longest=40):
    alphabet = "aabbc dé.,!(' \u00a0\u3000\u2028中文שלום한😀\n"
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(0, longest)))


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize(("characters", "beta"), [(6, 2), (3, 1), (6, 3)])
@pytest.mark.parametrize("words", [0, 1, 2])
def test_equals_sacrebleu(words, characters, beta, lowercase):
    rng = random.Random(words)
    ours = ChrF(ChrF.Options(words=words, characters=characters, beta=beta, lowercase=lowercase))
    theirs = CHRF(word_order=words, char_order=characters, beta=beta, lowercase=lowercase)
    pairs = []
    for _ in range(200):
        reference = text(rng)
        pairs.append((reference[: rng.randint(0, 40)].upper() + text(rng, 10), reference))
    expected = [theirs.sentence_score(h, [r]).score / 100 for h, r in pairs]
    assert [score(ours, h, r) for h, r in pairs[:20]] == pytest.approx(expected[:20], abs=1e-9)
    segments = [Segment("", "xx", "en", reference=r) for _, r in pairs]
    assert ours(segments, [h for h, _ in pairs]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("words", [0, 2])
def test_lone_surrogates_are_characters(words):
    chrf = ChrF(ChrF.Options(words=words))
    segment = Segment("", "xx", "en", reference="a \ud800 cat")
    expected = CHRF(word_order=words).sentence_score("a \ud800 dog", ["a \ud800 cat"]).score / 100
    assert chrf([segment] * 2, ["a \ud800 cat", "a \ud800 dog"]) == pytest.approx([1.0, expected], abs=1e-9)


@pytest.mark.parametrize("words", [0, 2])
def test_the_best_of_several_references_counts(words):
    rng = random.Random(3)
    ours, theirs = ChrF(ChrF.Options(words=words)), CHRF(word_order=words)
    for _ in range(100):
        hypothesis, *references = [text(rng, 15) for _ in range(rng.randint(2, 5))]
        expected = theirs.sentence_score(hypothesis, references).score / 100
        assert score(ours, hypothesis, *references) == pytest.approx(expected, abs=1e-9), (hypothesis, references)


def test_signature():
    assert ChrF().signature.startswith("chrF2|nrefs:var|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.")
    assert ChrF(ChrF.Options(words=2)).signature.startswith("chrF2++|")


def test_needs_a_reference():
    with pytest.raises(DataError, match=r"reward 'chrf'.*has no reference"):
        ChrF()([Segment("Hello", "en", "es")], ["Hola"])


def test_is_cheated_as_its_docstring_says():
    chrf = ChrF()
    source, reference = "un hombre con una camisa azul está de pie", "a man in a blue shirt is standing on a ladder"
    shuffled = " ".join(sorted(reference.split()))
    assert score(chrf, f"{reference} {reference}", reference) > 0.7
    assert score(chrf, f"{reference} {source}", reference) > 0.7
    assert score(chrf, shuffled, reference) > 0.5
