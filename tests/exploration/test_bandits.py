"""Bandits: formulas by hand, regret against drawing uniformly, resuming, and learning progress."""

import json
import math
import random

import pytest

from eclectus import registry
from eclectus.exploration.bandits.base import Bandit
from eclectus.exploration.bandits.exp3 import Exp3
from eclectus.exploration.bandits.progress import LearningProgress
from eclectus.exploration.bandits.thompson import Thompson
from eclectus.exploration.bandits.ucb1 import Ucb1

NAMES = registry.names("exploration.bandits")
CHANGING = {"ucb1": {"discount": 0.97}, "thompson": {"discount": 0.97}, "exp3": {"share": 0.01, "gamma": 0.2}}


def made(name, arms=3, seed=1, **options):
    kind = registry.find("exploration.bandits", name, Bandit)
    return kind(arms, seed, registry.parse_options("bandit", kind.Options, options))


def play(bandit, chances, steps, seed=5):
    """Draw arms that pay 1 with the given chances; returns what was earned."""
    coins, earned = random.Random(seed), 0
    for _ in range(steps):
        arm = bandit.draw()
        reward = float(coins.random() < chances[arm])
        bandit.update(arm, reward)
        earned += reward
    return earned


def test_the_room_is_complete():
    assert NAMES == ["exp3", "thompson", "ucb1", "uniform"]


def test_ucb1_by_hand():
    bandit = Ucb1(2, 1)
    assert sorted([bandit.draw(), bandit.draw()]) == [0, 1]
    bandit.update(0, 1.0)
    bandit.update(1, 0.5)
    bandit.update(1, 0.0)
    expected = [1 + math.sqrt(2 * math.log(3)), 0.25 + math.sqrt(2 * math.log(3) / 2)]
    assert bandit.bounds() == pytest.approx(expected)
    assert bandit.draw() == 0


def test_ucb1_after_one_reward_has_no_width_yet():
    bandit = Ucb1(2, 1)
    bandit.update(0, 0.5)
    assert bandit.bounds() == [0.5, math.inf]


def test_discounted_ucb1_by_hand():
    bandit = made("ucb1", 2, discount=0.5)
    bandit.update(0, 1.0)
    bandit.update(1, 1.0)
    bandit.update(1, 0.0)
    assert bandit.counts == [0.25, 1.5]
    assert bandit.sums == [0.25, 0.5]


def test_thompson_counts_wins_and_losses():
    bandit = Thompson(2, 1)
    bandit.update(0, 0.75)
    bandit.update(0, 1.0)
    assert (bandit.wins, bandit.losses) == ([1.75, 0], [0.25, 0])
    # Beta(1 + 40, 1) against Beta(1, 1 + 40): the second is never the higher in practice.
    for _ in range(40):
        bandit.update(0, 1.0)
        bandit.update(1, 0.0)
    assert {bandit.draw() for _ in range(100)} == {0}


def test_exp3_by_hand():
    bandit = made("exp3", 2, gamma=0.5)
    assert bandit.probabilities() == [0.5, 0.5]
    arm = bandit.draw()
    bandit.update(arm, 1.0)
    # w = exp(gamma * (r / p) / K) = exp(0.5 * 2 / 2) against 1, then half of the probability is uniform.
    weight = math.exp(0.5)
    assert bandit.probabilities()[arm] == pytest.approx(0.5 * weight / (weight + 1) + 0.25)


def test_exp3_takes_an_arm_that_it_did_not_draw_for_one_drawn_uniformly():
    bandit = made("exp3", 2, gamma=0.5)
    bandit.update(0, 1.0)
    assert bandit.log_weights == pytest.approx([0.0, -0.5])  # gamma * (r / p) / K = 0.5 * 2 / 2, the largest at 0


def test_exp3_s_shares_weight_by_hand():
    bandit = made("exp3", 2, gamma=0.5, share=0.1)
    arm = bandit.draw()
    bandit.update(arm, 1.0)
    shared = math.e * 0.1 / 2 * 2
    weights = (math.exp(0.5) + shared, 1 + shared)
    assert bandit.probabilities()[arm] == pytest.approx(0.5 * weights[0] / sum(weights) + 0.25)


def test_exp3_weighs_with_the_probability_of_the_draw():
    """In a batch the second update must not use the probability that the first has changed."""
    bandit = made("exp3", 2, gamma=0.5)
    drawn = [bandit.draw() for _ in range(2)]
    for arm in drawn:
        bandit.update(arm, 1.0)
    growth = [0.5 * drawn.count(arm) for arm in range(2)]
    assert bandit.log_weights == pytest.approx([value - max(growth) for value in growth])


@pytest.mark.parametrize("name", ["ucb1", "thompson", "exp3"])
@pytest.mark.parametrize("best", [0, 1, 2])
def test_bandits_earn_more_than_their_absence(name, best):
    chances = [0.2, 0.2, 0.2]
    chances[best] = 0.8
    for seed in range(3):
        assert play(made(name, seed=seed), chances, 1000) > 1.5 * play(made("uniform", seed=seed), chances, 1000)


@pytest.mark.parametrize("name", ["ucb1", "thompson", "exp3"])
def test_changing_rewards_are_followed(name):
    """The best arm becomes the worst: what forgets earns more afterwards than drawing uniformly does."""
    bandit = made(name, 2, **CHANGING[name])
    play(bandit, [0.9, 0.1], 500)
    assert play(bandit, [0.1, 0.9], 500) > 300


def test_uniform_draws_all_arms_equally():
    bandit = made("uniform")
    play(bandit, [1, 0, 0], 3000)
    assert min(bandit.draws) > 900


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_bandit_goes_on_with_the_very_same_arms(name):
    whole, first = made(name), made(name)
    play(whole, [0.2, 0.5, 0.7], 60)
    play(first, [0.2, 0.5, 0.7], 60)
    second = made(name)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for bandit in (whole, second):
        bandit.trace = [(bandit.draw(), bandit.update(0, 0.3)) for _ in range(40)]
    assert whole.trace == second.trace
    assert whole.state_dict() == second.state_dict()


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_does_not_change_later(name):
    bandit = made(name)
    saved = bandit.state_dict()
    before = json.dumps(saved)
    play(bandit, [0.5] * 3, 10)
    assert json.dumps(saved) == before


@pytest.mark.parametrize("name", NAMES)
def test_seeds_make_a_difference(name):
    draws = [
        [(bandit.draw(), bandit.update(0, 0.5))[0] for _ in range(30)] for bandit in (made(name), made(name, seed=2))
    ]
    assert draws[0] != draws[1]


@pytest.mark.parametrize("name", NAMES)
def test_one_arm_is_enough_and_draws_are_counted(name):
    bandit = made(name, arms=1)
    assert [bandit.draw() for _ in range(3)] == [0, 0, 0]
    assert bandit.draws == [3]


@pytest.mark.parametrize("name", NAMES)
def test_misuse_is_refused(name):
    bandit = made(name)
    for arm, reward in ((3, 0.5), (-1, 0.5), (0, 1.5), (0, -0.1), (0, math.nan)):
        with pytest.raises(ValueError, match=r"arm|reward"):
            bandit.update(arm, reward)
    with pytest.raises(ValueError, match="at least one arm"):
        made(name, arms=0)
    with pytest.raises(ValueError, match="2 arms"):
        bandit.load_state_dict(made(name, arms=2).state_dict())


def test_long_exp3_stays_finite():
    bandit = made("exp3", 2, gamma=1.0)
    for _ in range(5000):
        bandit.update(0, 1.0)
    assert bandit.probabilities() == pytest.approx([0.5, 0.5])
    bandit = Exp3(2, 1)
    for _ in range(20000):
        bandit.update(0, 1.0)
    assert bandit.probabilities() == pytest.approx([0.95, 0.05])


def test_learning_progress_by_hand():
    progress = LearningProgress(2, rate=0.5, low=0.0, high=0.99)
    assert progress.update(0, 1.0) == 0.5  # nothing to compare with
    assert progress.update(0, 3.0) == 0.5  # gain 2, the only one
    assert progress.update(0, 2.0) == 0.0  # mean 2, gain 0: the least of [2, 0]
    assert progress.update(0, 3.0) == pytest.approx(0.5)  # mean 2, gain 1, between 0 and 2
    assert progress.update(0, 12.5) == 1.0  # mean 2.5, gain 10: the most


@pytest.mark.parametrize(
    ("high", "expected"),
    # Gains 1, 2, 3, 4, 3. The lower quantile is 1, 1, 2, 2, 2; the upper one by its share.
    [
        (0.5, [0.5, 1.0, 1.0, 1.0, 1.0]),  # upper 1, 2, 2, 3, 3: what lies above counts as 1
        (0.9, [0.5, 1.0, 1.0, 1.0, 0.5]),  # upper 1, 2, 3, 4, 4
        (1.0, [0.5, 1.0, 1.0, 1.0, 0.5]),  # the same: the largest
    ],
)
def test_learning_progress_between_its_quantiles(high, expected):
    progress = LearningProgress(1, rate=1.0, low=0.25, high=high)
    assert [progress.update(0, value) for value in (0, 1, 3, 6, 10, 13)] == [0.5, *expected]


def test_learning_progress_remembers_as_many_gains_as_its_window():
    progress = LearningProgress(1, rate=1.0, window=2, low=0.0, high=0.99)
    # Gains 9, 1, 2: of the last two, 2 is the most.
    assert [progress.update(0, value) for value in (0, 9, 10, 12)] == [0.5, 0.5, 0.0, 1.0]


def test_learning_progress_leaves_alone_what_is_learnt_and_what_cannot_be():
    progress = LearningProgress(3)
    rewards = [[], [], []]
    for step in range(100):
        for arm, value in enumerate((1.0, 0.0, step / 100)):
            rewards[arm].append(progress.update(arm, value))
    assert [sum(row) / 100 < 0.1 for row in rewards] == [True, True, False]
    assert sum(rewards[2]) / 100 > 0.8


def test_forgetting_is_no_progress():
    progress = LearningProgress(1)
    for value in (1.0, 1.0, 1.0, 1.0, 1.0):
        progress.update(0, value)
    assert progress.update(0, 0.0) == 0.0


def test_the_one_arm_that_moves_is_seen_where_most_stand_still():
    progress = LearningProgress(5)
    for step in range(20):
        found = [progress.update(arm, value) for arm, value in enumerate((1.0, 0.0, 0.0, 0.0, step / 20))]
    assert found == [0.5, 0.5, 0.5, 0.5, 1.0]
    assert progress.update(4, 0.0) == 0.0


def test_learning_progress_resumes():
    first, second = LearningProgress(2), LearningProgress(2)
    for step in range(30):
        first.update(step % 2, math.sin(step))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert [first.update(0, v) for v in (0.1, 0.9)] == [second.update(0, v) for v in (0.1, 0.9)]
    with pytest.raises(ValueError, match="3 arms"):
        second.load_state_dict(LearningProgress(3).state_dict())


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0},
        {"rate": 1.1},
        {"window": 1},
        {"low": 0.8, "high": 0.2},
        {"low": 0.5, "high": 0.5},
        {"low": -0.1},
        {"high": 1.1},
    ],
)
def test_wrong_options_of_learning_progress(options):
    with pytest.raises(ValueError, match="LearningProgress needs"):
        LearningProgress(2, **options)
