from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import sacrebleu

from eclectus.errors import DataError
from eclectus.evaluation import metrics
from eclectus.evaluation.diagnostics import has_loop, is_copy, is_repetition, length_ratio
from eclectus.evaluation.metrics import Scorer
from eclectus.evaluation.statistics import Extractor, bleu_scores, chrf_scores
from eclectus.rewards.text.tokens import for_language
from eclectus.segment import Segment

REFERENCES = ["The cat sat on the mat.", "Select 12 users to change.", "No", "Please correct the errors below."]
CASES = [
    REFERENCES,
    ["The cat sat on a mat.", "Select 12 files to change.", "No", "Correct the errors below, please."],
    ["the the the the the", "12", "", "errors below"],
    ["", "", "", ""],
    ["x y z", "q", "r", "s t"],
    ["No", "No", "No", "No"],
    [text * 2 for text in REFERENCES],
]


def segment(source: str, reference: str | None, target: str = "es") -> Segment:
    return Segment(source, "en", target, reference, id="s1")


@pytest.mark.parametrize("hypotheses", CASES)
def test_corpus_scores_are_sacrebleus(hypotheses: list[str]) -> None:
    total = Extractor(REFERENCES, "en")(hypotheses).total()
    assert total["bleu"] == pytest.approx(sacrebleu.corpus_bleu(hypotheses, [REFERENCES]).score, abs=1e-9)
    assert total["chrf"] == pytest.approx(sacrebleu.corpus_chrf(hypotheses, [REFERENCES], word_order=2).score, abs=1e-9)


def test_scores_of_many_sums_are_those_of_each() -> None:
    extract = Extractor(REFERENCES, "en")
    sums = [extract(hypotheses) for hypotheses in CASES]
    bleu = bleu_scores(np.stack([s.bleu.sum(0) for s in sums]).reshape(7, 1, 10))
    chrf = chrf_scores(np.stack([s.chrf.sum(0) for s in sums]).reshape(7, 1, 24))
    assert bleu.shape == chrf.shape == (7, 1)
    assert bleu[:, 0].tolist() == pytest.approx([s.total()["bleu"] for s in sums])
    assert chrf[:, 0].tolist() == pytest.approx([s.total()["chrf"] for s in sums])


def test_golden_scores() -> None:
    """Numbers from the sacrebleu 2.6 command line."""
    total = Extractor(REFERENCES, "en")(CASES[1]).total()
    assert total["bleu"] == pytest.approx(31.9933, abs=1e-4)
    assert total["chrf"] == pytest.approx(70.3168, abs=1e-4)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("es", "13a"),
        ("pt-BR", "13a"),
        ("zh", "zh"),
        ("zh-Hant-TW", "zh"),
        ("zho_Hans", "zh"),
        ("cmn", "zh"),
        ("yue", "zh"),
        ("th", "char"),
        ("not a language", "13a"),
    ],
)
def test_tokenizer_follows_the_target_language(target: str, name: str) -> None:
    assert f"tok:{name}" in Extractor(REFERENCES, target).signatures["bleu"]


def test_japanese_is_cut_into_characters_without_mecab() -> None:
    expected = "ja-mecab" if importlib.util.find_spec("MeCab") and importlib.util.find_spec("ipadic") else "char"
    assert for_language("ja") == expected
    assert f"tok:{expected.removesuffix('-mecab')}" in Extractor(["猫がいる"], "ja").signatures["bleu"]


def test_signatures_say_how() -> None:
    signatures = Extractor(REFERENCES, "zh").signatures
    assert "tok:zh" in signatures["bleu"] and f"version:{sacrebleu.__version__}" in signatures["bleu"]
    assert "nw:2" in signatures["chrf"] and "nrefs:1" in signatures["chrf"]


def test_hypotheses_must_match_references() -> None:
    with pytest.raises(ValueError, match="1 hypotheses for 4 references"):
        Extractor(REFERENCES, "en")(["one"])


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("no no no", True),
        ("No no NO thanks", True),
        ("no no thanks", False),
        ("the red cat the red cat the red cat", True),
        ("the red cat the red cat", False),
        ("a b c d e a b c d e a b c d e", False),
        ("hahahaha", True),
        ("hahaha", False),
        ("hmmmmmmmm", True),
        ("zzzz", False),
        ("1 1 1 1", False),
        ("100000000000", False),
        ("................", False),
        ("wait . . . . .", False),
        ("是的是的是的是的", True),
        ("Bora Bora, Bora Bora", False),
        ("", False),
    ],
)
def test_loops(text: str, loops: bool) -> None:
    assert has_loop(text) is loops


def test_a_loop_of_the_reference_is_no_fault() -> None:
    assert is_repetition("no no no no", "sí")
    assert not is_repetition("no no no no", "no no no")


@pytest.mark.parametrize(
    ("source", "hypothesis", "reference", "copied"),
    [
        ("Hello  world", "hello world", "Hola mundo", True),
        ("Hello world", "Hola mundo", "Hola mundo", False),
        ("Django", "Django", "Django", False),
        ("Django", "Django", None, True),
        ("", "", "x", False),
    ],
)
def test_copies(source: str, hypothesis: str, reference: str | None, copied: bool) -> None:
    assert is_copy(source, hypothesis, reference) is copied


def test_length_ratio_is_of_characters() -> None:
    assert length_ratio(["abcd ", "ab"], ["ab", "abcd"]) == 1
    assert length_ratio(["abab"], ["ab"]) == 2
    assert length_ratio(["ab"], [""]) == 2


def test_score_counts_each_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def identify(texts: list[str], languages: list[str]) -> list[tuple[str | None, float]]:
        assert languages == ["en", "es"]
        return [({"H": "en", "e": "es"}.get(text[:1]), 1.0) for text in texts]

    monkeypatch.setattr(metrics, "_identify", identify)
    segments = [
        segment("Hello there friend", "hola amigo"),
        segment("Hello", "eh"),
        segment("x y", "z w"),
        segment("a", "b"),
    ]
    hypotheses = ["Hello there friend", "eh ", "", "ja ja ja ja"]
    found = Scorer(segments, ["en", "es"]).score(hypotheses, [1.0, 3.0, float("nan"), 2.0])
    assert found.n == 4
    assert (found.exact, found.copy, found.empty, found.repetition) == (0.25, 0.25, 0.25, 0.25)
    assert (found.off_target, found.judged) == (0.25, 0.5)
    assert found.length_ratio == pytest.approx((18 + 2 + 0 + 11) / (10 + 2 + 3 + 1))
    assert found.entropy == pytest.approx(2.0)


def test_nothing_judged_is_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_identify", lambda texts, languages: [(None, 0.0)] * len(texts))
    found = Scorer([segment("a", "b")], ["en", "es"]).score(["b"])
    assert (found.off_target, found.judged, found.entropy) == (None, 0.0, None)
    assert Scorer([segment("a", "b")], []).score(["b"]).off_target is None


def test_real_identification_finds_the_wrong_language() -> None:
    text = "The committee has decided to postpone the meeting until next Thursday."
    good = "El comité ha decidido aplazar la reunión hasta el próximo jueves por la mañana."
    segments = [segment(text, good), segment(text + " ", good)]
    assert Scorer(segments, ["en", "es"]).score([text, good]).off_target == 0.5


def test_what_cannot_be_scored() -> None:
    with pytest.raises(DataError, match="no test segment"):
        Scorer([], ["en", "es"])
    with pytest.raises(DataError, match=r"'s1' \(en-es\) has no reference"):
        Scorer([segment("a", None)], ["en", "es"])
    with pytest.raises(ValueError, match="one direction"):
        Scorer([segment("a", "b"), segment("a", "b", "fr")], [])


def test_a_language_that_identification_does_not_know_is_not_judged():
    segments = [Segment("Good morning to all of you", "en", "mi", "Ata mārie ki a koutou katoa", id="1")]
    scores = Scorer(segments, ["en", "es", "mi"]).score(["Ata mārie ki a koutou katoa"])
    assert (scores.off_target, scores.judged) == (None, 0.0)
