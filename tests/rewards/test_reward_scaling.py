"""The four ways of `normalise`, each against numbers computed by hand, and that a run resumes with them."""

import doctest
import json
import math

import pytest

from eclectus.config import RewardConfig
from eclectus.errors import RunError
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite import normalise as module
from eclectus.rewards.composite.combine import CompositeReward, CompositeScores
from eclectus.rewards.composite.normalise import standardise
from eclectus.rewards.composite.scaling import Scaling
from eclectus.segment import Segment

SPANISH, FRENCH = Segment("x", "en", "es"), Segment("x", "en", "fr")


def scaling(normalise, unfinished=0.0, gates=()):
    terms = [{"type": "chrf", "weight": 3}, {"type": "bleu", "weight": 1}]
    config = RewardConfig(terms=terms, gates=list(gates), normalise=normalise, unfinished=unfinished)
    reward = CompositeReward(config, RewardContext())
    return Scaling(reward), reward


def scores(reward, chrf, bleu, **gates):
    parts = {"chrf": [chrf], "bleu": [bleu]} | {name: [row] for name, row in gates.items()}
    return CompositeScores(reward.combine(parts, [len(chrf)]), parts)


def test_none_leaves_as_it_is():
    scale, reward = scaling("none")
    given = scores(reward, [0.2, None], [0.6, None])
    assert scale([SPANISH], given).totals == given.total == [[pytest.approx(0.3), None]]


def test_direction_divides_the_total():
    scale, reward = scaling("direction")
    for _ in range(40):
        found = scale([SPANISH], scores(reward, [0.1, 0.5], [0.1, 0.5])).totals
    assert found == [[pytest.approx(0.5), pytest.approx(2.5)]]  # the deviation of 0.1 and 0.5 is 0.2


@pytest.mark.parametrize("normalise", ["direction", "terms"])
def test_all_sources_of_a_step_are_on_one_scale(normalise):
    """Also in the first step, within which a direction comes to the number of values that its own deviation needs."""
    scale, reward = scaling(normalise)
    parts = {name: [[0.1, 0.5]] * 60 for name in ("chrf", "bleu")}
    given = CompositeScores(reward.combine(parts, [2] * 60), parts)
    found = scale([SPANISH, FRENCH] * 20 + [SPANISH] * 20, given)  # 80 values of Spanish, 40 of French
    assert found.totals == [[pytest.approx(0.5), pytest.approx(2.5)]] * 60  # the deviation of 0.1 and 0.5 is 0.2
    assert all(divisor == pytest.approx(0.2) for row in found.divisors for divisor in row.values())


def test_terms_are_divided_each_by_its_own_deviation():
    scale, reward = scaling("terms")
    for _ in range(40):
        # chrF spreads by 0.2 and BLEU by 0.05; after division both spread by 1 and only the weights speak.
        found = scale([SPANISH], scores(reward, [0.1, 0.5], [0.2, 0.1])).totals
    assert found == [[pytest.approx((3 * 0.5 + 1 * 4) / 4), pytest.approx((3 * 2.5 + 1 * 2) / 4)]]
    # another direction has its own scale; French BLEU is None, the weights of those that judged count
    for _ in range(40):
        found = scale([FRENCH], scores(reward, [0.4, 0.6], [None, None])).totals
    assert found == [[pytest.approx(4), pytest.approx(6)]]


def test_terms_keep_gates_and_the_value_of_cut_hypotheses():
    scale, reward = scaling("terms", unfinished=0.5, gates=[{"type": "copy"}])
    for _ in range(40):
        given = scores(reward, [0.1, 0.5], [0.2, 0.1], copy=[0.5, 1.0])
        found = scale([SPANISH], given, finished=[[True, False]]).totals
    # cut: as if both terms had said 0.5 and no gate anything
    assert found == [[pytest.approx((3 * 0.5 + 4) / 4 * 0.5), pytest.approx((3 * 2.5 + 10) / 4)]]


def test_what_was_cut_has_its_value_where_no_term_weighs_anything():
    later = {"start": 0, "end": 1, "steps": 5, "shape": "step"}
    config = RewardConfig(terms=[{"type": "chrf", "weight": later}], normalise="terms", unfinished=0.5)
    reward = CompositeReward(config, RewardContext())
    given = scores(reward, [0.1, 0.5], [0.2, 0.1])
    assert Scaling(reward)([SPANISH], given, step=1, finished=[[True, False]]).totals == [[None, 0.5]]


def test_source_standardises_each_group():
    scale, reward = scaling("source")
    found = scale([SPANISH], scores(reward, [0.25, 0.5, 0.75, None], [0.25, 0.5, 0.75, None])).totals
    assert found == [[pytest.approx(-1, abs=1e-3), 0.0, pytest.approx(1, abs=1e-3), None]]
    assert scale.state_dict() == {}


@pytest.mark.parametrize("values", [[0.1] * 7, [0.1 + 0.2] * 3, [0.5, None], [None, None], []])
def test_equal_or_single_rewards_are_exactly_0(values):
    assert standardise(values) == [None if value is None else 0.0 for value in values]


def test_rounding_errors_stay_small():
    assert max(abs(value) for value in standardise([0.3, 0.3 + 1e-9])) < 1e-4


def test_examples_run():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("normalise", ["none", "direction", "source", "terms"])
def test_resumes_to_the_last_bit(normalise):
    rows = [[math.sin(i), math.cos(i)] for i in range(120)]
    whole, reward = scaling(normalise)
    first, _ = scaling(normalise)
    for row in rows[:70]:
        whole([SPANISH], scores(reward, row, row[::-1]))
        first([SPANISH], scores(reward, row, row[::-1]))
    second, _ = scaling(normalise)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for row in rows[70:]:
        given = scores(reward, row, row[::-1])
        assert second([SPANISH], given) == whole([SPANISH], given)


def test_the_state_of_another_reward_is_refused():
    with pytest.raises(RunError, match="belong to another reward"):
        scaling("terms")[0].load_state_dict(scaling("direction")[0].state_dict())
