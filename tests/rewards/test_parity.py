"""Overlap rewards equal the reference implementations: on sacreBLEU's own cases, and on every line of WMT 2023."""

from functools import lru_cache

import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from eclectus.registry import find
from eclectus.rewards.base import Reward
from eclectus.segment import Segment

DIRECTIONS = ("de-en", "en-cs", "cs-uk", "en-zh")

# Values of sacreBLEU's own tests: https://github.com/mjpost/sacrebleu, test/ (Apache-2.0).
SUGAR = (
    "Producția de zahăr primă va fi exprimată în ceea ce privește zahărul alb;",
    "producţia de zahăr brut se exprimă în zahăr alb;",
)
WORKED = [
    *(
        ("bleu", dict(zip(("smooth_method", "smooth_value", "lowercase", "tokenize"), options, strict=True)), *SUGAR, v)
        for *options, v in (
            ("exp", None, False, "13a", 8.493),
            ("none", None, False, "13a", 0.0),
            ("floor", None, False, "13a", 4.51688),
            ("floor", 0.5, False, "13a", 10.10),
            ("add-k", None, False, "13a", 14.882),
            ("add-k", 2, False, "13a", 21.389),
            ("exp", None, False, "none", 7.347),
            ("exp", None, False, "intl", 8.493),
            ("exp", None, False, "char", 40.8759),
            ("exp", None, True, "char", 42.0267),
        )
    ),
    *(("bleu", {"smooth_method": m}, "this is a cat", "okay thanks", 0.0) for m in ("exp", "none", "floor", "add-k")),
    ("chrf", {"beta": 3}, "a", "a", 100.0),
    ("chrf", {"beta": 3}, "", "reference", 0.0),
    ("chrf", {"beta": 3}, "a b c", "abc", 100.0),
    ("chrf", {"beta": 3}, "aa", "ab", 25.0),
    ("ter", {"tokenize": "tercom"}, "aaaa bbbb cccc dddd", "aaaa bbbb cccc dddd", 100.0),
    ("ter", {"tokenize": "tercom"}, "dddd eeee ffff", "aaaa bbbb cccc", 0.0),
    ("ter", {"tokenize": "tercom"}, "", "a", 0.0),
    ("ter", {"tokenize": "tercom"}, "d e f g h a b c", "a b c d e f g h", 87.5),
]


@pytest.mark.parametrize(("kind", "options", "hypothesis", "reference", "expected"), WORKED)
def test_sacrebleus_own_cases(kind, options, hypothesis, reference, expected):
    (value,) = build(kind, **options)([Segment("", "xx", "ro", reference)], [hypothesis])
    assert 100 * value == pytest.approx(expected, abs=1e-3)


# The example of sacreBLEU's README, whose second sentence has one reference only in the second table.
DOGS = [
    ("The dog bit the man.", ["The dog bit the man.", "The dog had bit the man."]),
    ("It wasn't surprising.", ["It was not unexpected.", "No one was surprised."]),
    ("The man had just bitten him.", ["The man bit him first.", "The man had bitten the dog."]),
    ("The dog bit the man.", ["The dog had bit the man."]),
]


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [("bleu", BLEU(effective_order=True)), ("chrf", CHRF()), ("ter", TER())],
    ids=["bleu", "chrf", "ter"],
)
def test_sacrebleus_example_with_several_references(kind, theirs):
    segments = [Segment("", "xx", "en", first, alternatives=tuple(others)) for _, (first, *others) in DOGS]
    expected = [theirs.sentence_score(text, references).score / 100 for text, references in DOGS]
    if kind == "ter":
        expected = [max(0.0, 1 - value) for value in expected]
    options = {"tokenize": "tercom"} if kind == "ter" else {}
    assert build(kind, **options)(segments, [text for text, _ in DOGS]) == pytest.approx(expected, abs=1e-9)


def build(kind, **options):
    found = find("rewards", kind, Reward)
    return found(found.Options(**options))


@lru_cache
def rows(folder, direction):
    """Every hypothesis of a direction with its reference."""
    target = direction.partition("-")[2]

    def lines(path):
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")

    references = lines(folder / f"{direction}.ref.{target}")
    systems = [lines(path) for path in sorted(folder.glob(f"{direction}.hyp.*"))]
    assert len(systems) == 3
    return [pair for system in systems for pair in zip(system, references, strict=True)]


@lru_cache
def rouge_scorer(variant):
    return pytest.importorskip("rouge_score.rouge_scorer", reason="compares with rouge-score").RougeScorer([variant])


@lru_cache
def reference_bleu(tokenize, **options):
    return BLEU(effective_order=True, tokenize=tokenize, **options)


def theirs(kind, options, target, pair):
    """What the reference implementation says of (hypothesis, reference), in [0, 1]."""
    hypothesis, reference = pair
    if kind == "rouge":
        found = rouge_scorer(options["variant"]).score(reference, hypothesis)[options["variant"]]
        return getattr(found, {"f": "fmeasure"}.get(options["measure"], options["measure"]))
    if kind == "gleu":
        nltk = pytest.importorskip("nltk.translate.gleu_score", reason="compares with NLTK")
        return nltk.sentence_gleu([reference.split()], hypothesis.split())
    if kind == "bleu":
        return (
            reference_bleu("zh" if target == "zh" else "13a", **options).sentence_score(hypothesis, [reference]).score
            / 100
        )
    if kind == "chrf":
        return CHRF(word_order=options["words"]).sentence_score(hypothesis, [reference]).score / 100
    return max(0.0, 1 - TER().sentence_score(hypothesis, [reference]).score / 100)


OURS = [
    *(("bleu", {"smooth_method": method}) for method in ("exp", "add-k", "floor", "none")),
    ("chrf", {"words": 0}),
    ("chrf", {"words": 2}),
    ("gleu", {"tokenize": "none"}),
    ("ter", {"tokenize": "tercom"}),
    *(
        ("rouge", {"variant": variant, "measure": measure, "tokenizer": "rouge-score"})
        for variant in ("rouge1", "rouge2", "rougeL", "rougeLsum")
        for measure in ("f", "precision", "recall")
    ),
]


def named(value):
    return value if isinstance(value, str) else "-".join(map(str, value.values()))


def check(kind, options, target, pairs, expected):
    segments = [Segment("", "xx", target, reference) for _, reference in pairs]
    found = build(kind, **options)(segments, [hypothesis for hypothesis, _ in pairs])
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("kind", "options"), OURS, ids=named)
def test_a_sample_of_wmt23(shared_data, direction, kind, options):
    target = direction.partition("-")[2]
    pairs = rows(shared_data / "wmt23-golden", direction)[:: 400 if kind == "ter" else 100]
    check(kind, options, target, pairs, [theirs(kind, options, target, pair) for pair in pairs])


@pytest.mark.slow
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("kind", "options"), OURS, ids=named)
def test_every_line_of_wmt23(shared_data, direction, kind, options):
    target = direction.partition("-")[2]
    pairs = rows(shared_data / "wmt23-golden", direction)
    check(kind, options, target, pairs, [theirs(kind, options, target, pair) for pair in pairs])
