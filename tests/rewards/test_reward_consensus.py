"""Agreement among the samples of a source: by hand, against the similarity itself, and with nothing."""

import pytest

from eclectus.config import RewardConfig
from eclectus.rewards.base import RewardContext
from eclectus.rewards.chrf import ChrF
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.rewards.consensus import Consensus
from eclectus.segment import Segment

SEGMENT = Segment("the cat sleeps", "en", "es")


def values(*groups, **options):
    return Consensus(Consensus.Options(**options)).score_groups([SEGMENT] * len(groups), groups)


def test_by_hand():
    exact = {"bleu": 0, "chrf": 0, "exact": 1}
    assert values(["a", "a", "b", "a"], ["c", "d"], **exact) == [[2 / 3, 2 / 3, 0, 2 / 3], [0, 0]]


def test_it_is_the_mean_similarity_to_the_others():
    group = ["el gato duerme", "el gato duerme hoy", "un gato duerme", "el gato duerme"]
    expected = []
    for place, text in enumerate(group):
        others = [Segment("", "en", "es", other) for i, other in enumerate(group) if i != place]
        expected.append(sum(ChrF()(others, [text] * 3)) / 3)
    assert values(group, bleu=0)[0] == pytest.approx(expected)


def test_what_stands_alone_is_not_judged():
    assert values(["el gato"], []) == [[None], []]
    assert Consensus()([SEGMENT, SEGMENT], ["el gato", "el gato"]) == [None, None]


@pytest.mark.parametrize("nothing", ["", " ", "\u200b"])
def test_nothing_agrees_with_nothing(nothing):
    assert values([nothing, nothing, "el gato"])[0] == [0, 0, 0]


def test_groups_do_not_touch():
    one, other = ["el gato", "el perro", "el gato"], ["la casa", "la cosa"]
    assert values(one, other) == [*values(one), *values(other)]


def test_in_a_composite_and_its_signature():
    config = RewardConfig(terms=[{"type": "consensus"}], gates=[{"type": "nonempty"}], normalise="none")
    reward = CompositeReward(config, RewardContext(["en", "es"]))
    total = reward.score_groups([SEGMENT], [["el gato", "el gato", "x"]]).total
    assert total[0][0] == total[0][1] > total[0][2]
    assert "consensus|bleu:0.5|chrf:0.5" in reward.signature
