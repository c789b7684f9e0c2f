"""GLEU, ROUGE and TER equal their reference implementations; what all overlap rewards do with odd input."""

import random
import time

import pytest
from sacrebleu.metrics import TER

from eclectus.errors import DataError
from eclectus.registry import find
from eclectus.rewards import chrf
from eclectus.rewards.base import Reward
from eclectus.rewards.gleu import Gleu
from eclectus.rewards.matching.edits import translation_edits
from eclectus.rewards.matching.overlap import Remembered
from eclectus.rewards.rouge import Rouge
from eclectus.rewards.ter import Ter
from eclectus.rewards.text.tokens import Speller, tokenizer
from eclectus.segment import Segment

KINDS = ("bleu", "chrf", "exact", "gleu", "rouge", "ter")


def build(kind, **options):
    found = find("rewards", kind, Reward)
    return found(found.Options(**options))


def score(reward, hypothesis, *references, language="en"):
    return reward.score([hypothesis], [references], [language])[0]


def text(rng, longest):
    words = ["a", "b", "c", "the", "cat", ",", ".", "A", "B", "naïve", "über", "3", "xx.", "'y'", "z-z", "it's", "\n"]
    return " ".join(rng.choice(words) for _ in range(rng.randint(0, longest)))


def cases(seed, count, longest=12):
    """Hypotheses with one to three references; every second is a shuffled reference."""
    rng = random.Random(seed)
    for _ in range(count):
        references = [text(rng, longest) for _ in range(rng.randint(1, 3))]
        words = references[0].split()
        yield text(rng, longest) if rng.random() < 0.5 else " ".join(rng.sample(words, len(words))), references


# sentence, reference, GLEU of NLTK 3.10 (its own examples, rounded there to four digits)
GLEU = [
    ("the the the the the the the", "the cat is on the mat", 2 / 22),
    (
        "It is a guide to action which ensures that the military always obeys the commands of the party",
        "It is a guide to action that ensures that the military will forever heed Party commands",
        29 / 66,
    ),
    ("", "a", 0.0),
    ("a", "", 0.0),
    ("", "", 0.0),
    ("a b", "a b", 1.0),
]


@pytest.mark.parametrize(("hypothesis", "reference", "expected"), GLEU)
def test_gleu_golden(hypothesis, reference, expected):
    assert score(build("gleu", tokenize="none"), hypothesis, reference) == pytest.approx(expected, abs=1e-9)


def test_gleu_equals_nltk():
    nltk = pytest.importorskip("nltk.translate.gleu_score", reason="compares with NLTK")
    ours = build("gleu", tokenize="none")
    for hypothesis, references in cases(1, 200):
        expected = nltk.sentence_gleu([r.split() for r in references], hypothesis.split())
        assert score(ours, hypothesis, *references) == pytest.approx(expected, abs=1e-9), (hypothesis, references)


# hypothesis, reference, variant, (precision, recall, F) by hand
ROUGE = [
    ("the cat sat", "the cat is on the mat", "rouge1", (2 / 3, 2 / 6, 4 / 9)),
    ("the cat sat", "the cat is on the mat", "rouge2", (1 / 2, 1 / 5, 2 / 7)),
    ("on mat the cat", "the cat is on the mat", "rougeL", (2 / 4, 2 / 6, 2 / 5)),
    ("c d e\na b", "a b c d\ne f", "rougeLsum", (5 / 5, 5 / 6, 10 / 11)),
    ("", "a", "rougeL", (0, 0, 0)),
    ("a", "", "rougeLsum", (0, 0, 0)),
]


@pytest.mark.parametrize(("hypothesis", "reference", "variant", "expected"), ROUGE)
def test_rouge_golden(hypothesis, reference, variant, expected):
    for measure, value in zip(("precision", "recall", "f"), expected, strict=True):
        reward = build("rouge", variant=variant, measure=measure)
        assert score(reward, hypothesis, reference) == pytest.approx(value, abs=1e-9), measure


@pytest.mark.parametrize("stem", [False, True])
@pytest.mark.parametrize("variant", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_equals_rouge_score(variant, stem):
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="compares with rouge-score")
    theirs = scorer.RougeScorer([variant], use_stemmer=stem)
    names = {"f": "fmeasure", "precision": "precision", "recall": "recall"}
    ours = {m: build("rouge", variant=variant, measure=m, tokenizer="rouge-score", stem=stem) for m in names}
    for hypothesis, references in cases(2, 60):
        expected = theirs.score_multi(references, hypothesis)[variant]
        for measure, reward in ours.items():
            found = score(reward, hypothesis, *references)
            assert found == pytest.approx(getattr(expected, names[measure]), abs=1e-9), (hypothesis, references)


def test_rouge_reads_every_script_by_default():
    for hypothesis, reference in (
        ("Γάτα μαύρη", "γάτα λευκή"),
        ("قطة سوداء", "قطة بيضاء"),
        ("नीली किताब", "लाल किताब"),
    ):
        assert score(build("rouge", variant="rouge1"), hypothesis, reference) == 0.5
        assert score(build("rouge", variant="rouge1", tokenizer="rouge-score"), hypothesis, reference) == 0
    assert score(build("rouge"), "我喜欢猫", "我喜欢狗") == 0.75
    assert score(build("rouge"), "cafe\u0301", "café") == 1


@pytest.mark.parametrize(
    "options",
    [{}, {"normalized": True}, {"no_punct": True, "case_sensitive": True}, {"normalized": True, "asian_support": True}],
)
def test_ter_equals_sacrebleu(options):
    ours, theirs = build("ter", tokenize="tercom", **options), TER(**options)
    for hypothesis, references in [*cases(3, 60), *cases(4, 6, longest=45), ("我喜欢猫 a", ["我喜欢狗 a b"])]:
        expected = max(0.0, 1 - theirs.sentence_score(hypothesis, references).score / 100)
        assert score(ours, hypothesis, *references) == pytest.approx(expected, abs=1e-9), (hypothesis, references)


# hypothesis, reference, edits by hand: none; a substitution; one shift; a shift and an insertion; all deleted
EDITS = [
    ("a b c", "a b c", 0),
    ("a x c", "a b c", 1),
    ("c d a b", "a b c d", 1),
    ("c d a b", "a b c d e", 2),
    ("a b", "", 2),
]


@pytest.mark.parametrize(("hypothesis", "reference", "edits"), EDITS)
def test_ter_golden(hypothesis, reference, edits):
    assert translation_edits(hypothesis.split(), reference.split()) == edits
    if reference:
        expected = 1 - edits / len(reference.split())
        assert score(Ter(), hypothesis, reference) == pytest.approx(expected, abs=1e-9)


def test_ter_counts_characters_where_words_are_not_spaced():
    assert score(Ter(), "我喜欢猫", "我喜欢狗", language="zh") == 0.75
    assert score(build("ter", tokenize="tercom"), "我喜欢猫", "我喜欢狗", language="zh") == 0
    assert score(Ter(), "", "") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_judged_as_their_members_are(kind):
    reward = build(kind)
    segments = [
        Segment("", "de", "en", reference="a cat"),
        Segment("", "de", "zh", reference="猫", alternatives=("a",)),
    ]
    groups = [["a cat", "a dog", "a cat"], ["猫"]]
    table = reward.score_groups(segments, groups)
    flat = [(segment, h) for segment, group in zip(segments, groups, strict=True) for h in group]
    assert [value for row in table for value in row] == build(kind)(*zip(*flat, strict=True))
    assert table[0][0] == table[0][2] == table[1][0] == 1
    assert reward.score_groups(segments, [[], []]) == [[], []]
    assert reward.score_groups(segments, [["a cat"], []]) == [[1.0], []]


@pytest.mark.parametrize("kind", KINDS)
def test_a_further_reference_never_lowers_a_perfect_score_and_counts_alone(kind):
    segment = Segment("", "de", "en", reference="one two three four", alternatives=("five six seven eight",))
    assert build(kind)([segment], ["five six seven eight"]) == [pytest.approx(1, abs=1e-9)]


def test_a_withheld_reference_withholds_its_alternatives():
    assert Segment("", "de", "en", reference=None, alternatives=("a",)).references == ()


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_refused_in_one_sentence(kind):
    reward, segment = build(kind), Segment("Hallo", "de", "en", reference="a", id="s1")
    for odd in (None, 3, b"a"):
        with pytest.raises(TypeError, match=f"reward '{kind}'.*'s1' is {type(odd).__name__}, not a string"):
            reward.score_groups([segment], [["a", odd]])
        with pytest.raises(TypeError):
            reward([segment], [odd])
    with pytest.raises(ValueError, match="1 hypotheses or groups for 2 segments"):
        reward.score_groups([segment] * 2, [["a"]])
    with pytest.raises(DataError, match=r"'s1' .de-en. has no reference"):
        reward([Segment("Hallo", "de", "en", id="s1")], ["a"])
    with pytest.raises(DataError, match="has a reference of type NoneType"):
        reward([Segment("Hallo", "de", "en", "a", "s1", alternatives=(None,))], ["a"])


def test_memory_of_references_is_bounded_and_the_oldest_goes_first():
    read = []
    memory = Remembered(lambda texts, language: read.append(texts) or texts, size=12)
    for name in ("aaa", "bbb", "ccc", "aaa", "ddd", "aaa", "bbb"):
        memory((name,), "en")
    assert read == [("aaa",), ("bbb",), ("ccc",), ("ddd",), ("bbb",)]
    assert len(memory) == 3
    memory(("x" * 100,), "en")  # larger than all the room there is
    assert len(memory) == 0


def test_spelling_starts_afresh_when_it_is_full(monkeypatch):
    monkeypatch.setattr("eclectus.rewards.text.tokens._FULL", 20)
    bleu, chrf = build("bleu"), build("chrf", words=2)
    for i in range(30):
        reference = f"word{i} other{i} third{i}"
        assert score(bleu, reference, reference) == score(chrf, reference, reference) == pytest.approx(1)
        assert score(bleu, f"x{i} y{i}", reference) == 0
    assert len(bleu._speller._letters) < 40


def test_more_tokens_than_characters_are_refused(monkeypatch):
    monkeypatch.setattr("eclectus.rewards.text.tokens._LAST_LETTER", 0x22)
    spell = Speller().using(tokenizer("none"))
    assert spell(["a b a"]) == [" ! "]
    with pytest.raises(DataError, match="score fewer texts at a time"):
        spell(["c d e"])


@pytest.mark.parametrize(
    "odd", ["", " ", "\0", "a \0 b", "line\nline", "a\x1cb", "\u2028", "a\x85 b", "\ud800", "Σ ΑΣ"]
)
@pytest.mark.parametrize("fold", [False, True])
def test_texts_spelt_together_are_spelt_as_each_alone(odd, fold):
    texts = ["the cat, sat.", odd, "", "the 1.5 dogs"]
    for chosen in (tokenizer("13a"), chrf._WORDS, tokenizer("zh")):
        spell = Speller(fold).using(chosen)
        alone = [spell([text])[0] for text in texts]
        assert spell(texts) == alone
        assert [len(text) for text in alone] == [len(chosen.whole(text.lower() if fold else text)) for text in texts]
    assert Speller().using(tokenizer("13a"))([]) == []


@pytest.mark.parametrize("name", ["spaced", "unspaced", "shuffled", "lines"])
def test_100_000_characters_take_seconds(name):
    rng = random.Random(1)
    words = [str(rng.randrange(2000)) for _ in range(20_000)]
    reference = {"unspaced": "".join(chr(0x4E00 + int(w)) for w in words * 5), "lines": "\n".join(words)}.get(
        name, " ".join(words)
    )
    hypothesis = " ".join(rng.sample(words, len(words))) if name == "shuffled" else reference[500:] + reference[:500]
    segment = Segment("", "xx", "th", reference=reference)
    for reward in (build("bleu"), build("chrf", words=2), Gleu(), Ter(), Rouge(), build("rouge", variant="rougeLsum")):
        started = time.process_time()
        (value,) = reward([segment], [hypothesis])
        assert 0 <= value <= 1
        assert time.process_time() - started < 20, reward.signature
