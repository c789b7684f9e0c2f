"""joint: agreement of siblings on hand-computed values; no language is sacrificed by min and the geometric mean."""

import sys
from types import ModuleType

import pytest

from eclectus.config import RewardConfig
from eclectus.errors import ConfigError
from eclectus.registry import parse_options
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.rewards.joint import Joint
from eclectus.segment import Segment

CLOSE, FAR = 0.8, 0.5
ANGLES = {"cat": (1.0, 0.0), "kitty": (CLOSE, 0.6), "dog": (0.0, 1.0), "pet": (FAR, 0.75**0.5)}
"""Unit vectors, so that similarities are: cat-kitty 0.8, cat-pet 0.5, cat-dog 0, kitty-dog 0.6, ..."""


def encode(texts):
    return [ANGLES[text] for text in texts]


@pytest.fixture(autouse=True)
def as_a_module(monkeypatch):
    module = ModuleType("vectors")
    module.encode = encode
    monkeypatch.setitem(sys.modules, "vectors", module)


def translate(segments):
    """`es:cat` says "cat" in English, `es:` says nothing; Spanish `gato` is "cat"."""
    assert all(s.target_lang == "en" for s in segments)
    return [{"gato": "cat"}.get(s.source, s.source.partition(":")[2]) for s in segments]


def make(**options):
    options = {"similarity": "embeddings", "encoder": "vectors:encode"} | options
    context = RewardContext(languages=["en", "es", "fr", "de"], translate=translate)
    return Joint(parse_options("reward.terms.0", Joint.Options, options), context)


def judge(reward, source="cat", source_lang="en", **said):
    """Hypotheses by language, as what they say in English: `es=["cat", "dog"]`."""
    segments = [Segment(source, source_lang, language) for language in said]
    groups = [[text if k == "en" else f"{k}:{text}" for text in texts] for k, texts in said.items()]
    return dict(zip(said, reward.score_groups(segments, groups), strict=True))


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        # es: source 1, fr 0.8, de 0.5; fr: source 0.8, es 0.8, de 0.4 + 0.6 * 0.866 = 0.91962; de: 0.5, 0.5, 0.91962
        ("mean", {"es": 2.3 / 3, "fr": 2.5196152 / 3, "de": 1.9196152 / 3}),
        ("min", {"es": 0.5, "fr": 0.8, "de": 0.5}),
        ("geometric", {"es": 0.4 ** (1 / 3), "fr": 0.5885538 ** (1 / 3), "de": 0.2299038 ** (1 / 3)}),
    ],
)
def test_aggregates_by_hand(aggregate, expected):
    found = judge(make(aggregate=aggregate), es=["cat"], fr=["kitty"], de=["pet"])
    assert {language: row[0] for language, row in found.items()} == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("aggregate", ["min", "geometric"])
def test_a_language_left_alone_costs_everything(aggregate):
    assert judge(make(aggregate=aggregate), es=["cat"], fr=["cat"], de=["dog"])["es"] == [0.0]
    assert judge(make(aggregate="mean"), es=["cat"], fr=["cat"], de=["dog"])["es"] == [pytest.approx(2 / 3)]


@pytest.mark.parametrize(
    ("siblings", "expected"),
    [
        ("mean", [(1 + (0.8 + 0 + 0) / 3) / 2, (0.8 + (1 + 0.6 + 0.6) / 3) / 2]),
        ("best", [(1 + 0.8) / 2, (0.8 + 1) / 2]),  # "kitty" is nearest to the source
        ("paired", [(1 + 0) / 2, (0.8 + 1) / 2]),
    ],
)
def test_which_samples_of_a_sibling_count(siblings, expected):
    found = judge(make(siblings=siblings), es=["cat", "kitty"], fr=["dog", "kitty", "dog"])
    assert found["es"] == pytest.approx(expected)


def test_pairs_beyond_the_smaller_group_hear_the_source_only():
    found = judge(make(siblings="paired"), es=["cat", "cat", "kitty"], fr=["cat", "dog"])
    assert found["es"] == pytest.approx([1.0, 0.5, 0.8])


def test_the_source_is_translated_and_can_be_left_out():
    near = [pytest.approx(CLOSE)]
    assert judge(make(), source="gato", source_lang="es", fr=["cat"], de=["dog"]) == {"fr": [0.5], "de": [0.0]}
    assert judge(make(source=False), fr=["cat"], de=["kitty"]) == {
        "fr": [pytest.approx(0.8)],
        "de": [pytest.approx(0.8)],
    }
    assert judge(make(source=False), fr=["cat"]) == {"fr": [None]}
    assert judge(make(), fr=["kitty"]) == {"fr": near}


def test_a_target_that_is_the_pivot_is_judged_by_its_siblings():
    found = judge(make(), source="gato", source_lang="es", en=["kitty"], fr=["cat"])
    assert found == {"en": [pytest.approx(0.8)], "fr": [pytest.approx((1 + 0.8) / 2)]}


def test_who_says_nothing_gets_0_and_judges_nobody():
    found = judge(make(aggregate="min"), es=["cat", ""], fr=["", ""], de=["kitty", "kitty"])
    assert found == {"es": [pytest.approx(0.8), 0.0], "fr": [0.0, 0.0], "de": [pytest.approx(0.8)] * 2}


def test_other_sources_are_no_siblings_and_one_that_comes_twice_is_two_families():
    reward = make(source=False)
    segments = [Segment("cat", "en", "es"), Segment("dog", "en", "fr"), Segment("cat", "es", "fr")]
    assert reward.score_groups(segments, [["es:cat"], ["fr:cat"], ["fr:cat"]]) == [[None]] * 3
    twice = [Segment("cat", "en", "es"), Segment("cat", "en", "fr")] * 2
    assert reward.score_groups(twice, [["es:cat"], ["fr:cat"], ["es:cat"], ["fr:dog"]]) == [[1], [1], [0], [0]]


def test_translates_once_and_forgets_on_reset():
    calls = []

    def counted(segments):
        calls.append(len(segments))
        return translate(segments)

    reward = Joint(None, RewardContext(languages=["en"], translate=counted))
    for _ in range(2):
        judge(reward, es=["cat", "cat"], fr=["cat"])
    assert calls == [2]
    reward.reset()
    judge(reward, es=["cat"], fr=["cat"])
    assert calls == [2, 2]


def test_refused_without_siblings_and_without_a_pivot():
    context = RewardContext(languages=["en"], translate=translate)
    reward = CompositeReward(RewardConfig(terms=[{"type": "joint"}]), context)
    reward.check(has_reference=False, has_siblings=True)
    with pytest.raises(ConfigError, match=r"reward\.terms\.0.*set joint: true in the task"):
        reward.check(has_reference=False)
    with pytest.raises(ConfigError, match="no pivot language"):
        Joint(None, RewardContext(translate=translate))


def test_the_encoder_may_be_a_folder(monkeypatch, tmp_path):
    class SentenceTransformer:
        def __init__(self, folder):
            assert folder == str(tmp_path)

        def encode(self, texts, batch_size, show_progress_bar):
            return encode(texts)

    package = ModuleType("sentence_transformers")
    package.SentenceTransformer = SentenceTransformer
    monkeypatch.setitem(sys.modules, "sentence_transformers", package)
    said = {"es": ["cat", "dog"], "fr": ["cat", "cat"]}
    by_folder = make(encoder=str(tmp_path))
    assert judge(by_folder, **said) == judge(make(), **said)
    assert f"encoder:{tmp_path.name}|floor" in by_folder.signature
