"""Tabular Q-learning, SARSA and expected SARSA: updates by hand, exact values, and the textbook's cliff."""

from types import SimpleNamespace

import numpy as np
import pytest

from eclectus.algorithms.tabular import (
    ALGORITHMS,
    After,
    ExpectedSarsa,
    QLearning,
    Sarsa,
    learn,
    sizes,
    walk,
)
from eclectus.errors import ConfigError
from eclectus.exploration.epsilon_greedy import EpsilonGreedy
from eclectus.exploration.greedy import Greedy
from eclectus.exploration.uniform import Uniform
from tests.algorithms.mdps import Mdp, cliff, slippery_lake


def epsilon_greedy(epsilon):
    return EpsilonGreedy(EpsilonGreedy.Options(epsilon=epsilon))


def after(state=1, allowed=(0, 1, 2), action=2, probabilities=(0.25, 0.5, 0.25)):
    return After(state, np.array(allowed), action, np.array(probabilities), greedy=False)


def learner(kind, **options):
    made = kind(2, 3, alpha=0.5, gamma=0.9, **options)
    made.q_table[:] = [[1.0, 0.0, 0.0], [4.0, 8.0, 2.0]]
    return made


# q = 1, alpha = 0.5, gamma = 0.9, r = 3: 1 + 0.5 * (3 + 0.9 * v - 1) with v = max, q[s', a'] and mean of q[1].
@pytest.mark.parametrize(
    ("kind", "next_value", "updated"), [(QLearning, 8.0, 5.6), (Sarsa, 2.0, 2.9), (ExpectedSarsa, 5.5, 4.475)]
)
def test_update_by_hand(kind, next_value, updated):
    made = learner(kind)
    error = made.update(0, 0, 3.0, after())
    assert made.q_table[0, 0] == pytest.approx(updated)
    assert error == pytest.approx(3 + 0.9 * next_value - 1)
    assert made.q_table[0, 1:].tolist() == [0, 0]
    assert made.q_table[1].tolist() == [4, 8, 2]


@pytest.mark.parametrize("kind", ALGORITHMS.values())
def test_nothing_comes_after_a_terminal_state(kind):
    made = learner(kind)
    made.update(0, 0, 3.0, None)
    assert made.q_table[0, 0] == pytest.approx(1 + 0.5 * (3 - 1))


def test_only_allowed_actions_count_in_the_next_state():
    made = learner(QLearning)
    made.update(0, 0, 3.0, after(allowed=(0, 2), probabilities=(0.5, 0.5)))
    assert made.q_table[0, 0] == pytest.approx(1 + 0.5 * (3 + 0.9 * 4 - 1))


def test_decaying_step_size_takes_the_mean():
    made = QLearning(1, 1, alpha=1.0, decay=1.0)
    for reward in (1.0, 2.0, 6.0):
        made.update(0, 0, reward, None)
    assert made.q_table[0, 0] == pytest.approx(3.0)


@pytest.mark.parametrize("kind", ALGORITHMS.values())
def test_terminated_is_the_end_and_truncated_is_not(kind):
    """One state that pays 1 for ever is worth 1 / (1 - gamma) = 10, though the clock cuts it after 5 steps."""
    for ends, worth in ((False, 10.0), (True, 1.0)):
        made = kind(1, 1, alpha=0.5, gamma=0.9)
        list(learn(Mdp([[[(1.0, 0, 1.0, ends)]]], limit=5), made, Greedy(), 100, 1))
        assert made.q_table[0, 0] == pytest.approx(worth, abs=1e-6)


@pytest.mark.parametrize("kind", [QLearning, ExpectedSarsa])
def test_values_on_the_cliff_are_those_of_value_iteration(kind):
    """Expected SARSA needs a greedy behaviour for it; first values of 0 are optimistic here and make it explore."""
    environment = cliff()
    exploration = Greedy() if kind is ExpectedSarsa else epsilon_greedy(0.3)
    made = kind(*sizes(environment), alpha=1.0)
    list(learn(environment, made, exploration, 800, 1))
    best = environment.optimal(1.0)
    for state, action, _, _ in walk(environment, made):
        assert made.q_table[state, action] == pytest.approx(best[state].max(), abs=1e-9)
    assert best[environment.starts[0]].max() == -13


def test_q_learning_finds_the_values_of_a_slippery_lake():
    environment = slippery_lake()
    best = environment.optimal(0.9)
    made = QLearning(9, 4, alpha=1.0, gamma=0.9, decay=0.8)
    list(learn(environment, made, Uniform(), 4000, 1))
    inside = [0, 1, 2, 3, 5, 6, 7]
    # Means over 28 pairs; a wrong target (a mean for the maximum) would be off by 0.22.
    assert np.abs(made.q_table[inside] - best[inside]).mean() < 0.03
    assert not made.q_table[[4, 8]].any()  # nobody acts in a terminal state


@pytest.mark.parametrize("kind", [Sarsa, ExpectedSarsa])
def test_on_policy_values_are_those_of_the_behaviour(kind):
    """Evaluated exactly: Q of the uniformly random policy on the lake, which Q-learning's differ from."""
    environment = slippery_lake()
    q = np.zeros((9, 4))
    for _ in range(500):
        q = np.array(
            [
                [sum(p * (r + 0.9 * (0 if end else q[s].mean())) for p, s, r, end in out) for out in row]
                for row in environment.transitions
            ]
        )
    made = kind(9, 4, alpha=1.0, gamma=0.9, decay=0.8)
    list(learn(environment, made, Uniform(), 4000, 1))
    inside = [0, 1, 2, 3, 5, 6, 7]
    assert np.abs(made.q_table[inside] - q[inside]).mean() < 0.03
    assert np.abs(environment.optimal(0.9)[inside] - q[inside]).mean() > 0.2


def rows_walked(environment, made):
    return {state // 12 for state, *_ in walk(environment, made)} - {3}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_cliff(seed):
    """Sutton and Barto 2018, example 6.6: Q-learning learns the short way along the edge and falls from it while it
    explores; SARSA learns the way round and earns more meanwhile."""
    environment = cliff()
    earned, rows, steps = {}, {}, {}
    for name in ("q_learning", "sarsa"):
        made = ALGORITHMS[name](*sizes(environment), alpha=0.1)
        episodes = list(learn(environment, made, epsilon_greedy(0.1), 1200, seed))
        earned[name] = np.mean([episode.total for episode in episodes[-500:]])
        rows[name] = rows_walked(environment, made)
        steps[name] = len(list(walk(environment, made)))
    assert rows["q_learning"] == {2}
    assert steps["q_learning"] == 13
    assert min(rows["sarsa"]) < 2
    assert 15 <= steps["sarsa"] <= 17
    assert earned["sarsa"] > earned["q_learning"] + 10


def test_action_mask_is_kept():
    class Masked(Mdp):
        def reset(self, **given):
            return super().reset(**given)[0], {"action_mask": np.array([0, 1, 1], dtype=np.int8)}

    environment = Masked([[[(1.0, 0, reward, True)] for reward in (9.0, 1.0, 2.0)]])
    made = QLearning(1, 3, alpha=0.5)
    list(learn(environment, made, Uniform(), 50, 1))
    assert made.visits[0, 0] == 0
    assert made.visits[0, 1:].min() > 5
    assert [action for _, action, _, _ in walk(environment, made)] == [2]


def test_what_was_explored_is_told():
    environment = Mdp([[[(1.0, 0, reward, True)] for reward in (0.0, 1.0)]])
    episodes = list(learn(environment, QLearning(1, 2, alpha=1.0), Uniform(), 400, 1))
    assert sum(episode.new_pairs for episode in episodes) == 2
    assert np.mean([episode.explored for episode in episodes]) == pytest.approx(0.5, abs=0.08)
    assert episodes[0].entropy == pytest.approx(np.log(2))
    quiet = list(learn(environment, QLearning(1, 2, alpha=1.0), Greedy(), 50, 1))
    assert max(episode.explored for episode in quiet) == 0
    assert quiet[-1].entropy == pytest.approx(0)


def test_episodes_are_summed_by_hand():
    """Two steps that pay 2 and 3, with one action each: nothing to explore, and no entropy."""
    environment = Mdp([[[(1.0, 1, 2.0, False)]], [[(1.0, 0, 3.0, True)]]])
    first, second = learn(environment, QLearning(2, 1), Uniform(), 2, 1)
    assert (first.number, first.total, first.steps, first.explored, first.entropy, first.new_pairs) == (
        0,
        5,
        2,
        0,
        0,
        2,
    )
    assert (second.number, second.total, second.steps, second.new_pairs) == (1, 5, 2, 0)


def test_exploration_is_told_for_each_step_of_an_episode():
    """Two steps with two actions that pay -1 and 0: after one episode of the worse ones the other is greedy."""

    class Worse(Uniform):
        def probabilities(self, values, visits, progress):
            return np.array([1.0, 0.0])

    pays = [[(1.0, 1, -1.0, False)], [(1.0, 1, 0.0, False)]], [[(1.0, 0, -1.0, True)], [(1.0, 0, 0.0, True)]]
    environment = Mdp(list(pays))
    assert [e.explored for e in learn(environment, QLearning(2, 2, alpha=1.0), Worse(), 3, 1)][1:] == [1.0, 1.0]
    (even,) = learn(environment, QLearning(2, 2), Uniform(), 1, 1)
    assert even.steps == 2 and even.entropy == pytest.approx(np.log(2))


def test_exploration_is_told_the_share_of_the_episodes_that_has_passed():
    told = []

    class Told(Uniform):
        def probabilities(self, values, visits, progress):
            told.append(progress)
            return super().probabilities(values, visits, progress)

    list(learn(Mdp([[[(1.0, 0, 1.0, True)]]]), QLearning(1, 1), Told(), 4, 1))
    assert told == [0.0, 0.25, 0.5, 0.75]


def test_one_seed_one_result():
    tables = []
    for seed in (7, 7, 8):
        environment = slippery_lake()
        made = Sarsa(*sizes(environment))
        list(learn(environment, made, epsilon_greedy(0.5), 50, seed))
        tables.append(made.q_table)
    assert np.array_equal(tables[0], tables[1])
    assert not np.array_equal(tables[0], tables[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"alpha": 0.0}, "alpha"), ({"alpha": 1.5}, "alpha"), ({"gamma": -0.1}, "gamma"), ({"gamma": 2}, "gamma")],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        QLearning(2, 2, **options)


@pytest.mark.parametrize("gamma", [0, 1])
def test_the_ends_of_the_ranges_are_allowed(gamma):
    made = QLearning(2, 3, alpha=1, gamma=gamma)
    made.q_table[1] = [4.0, 8.0, 2.0]
    made.update(0, 0, 3.0, after())
    assert made.q_table[0, 0] == 3 + 8 * gamma


def test_a_table_beyond_memory_is_refused():
    with pytest.raises(ConfigError, match="too many"):
        QLearning(10**6, 10**3)


@pytest.mark.parametrize(
    "space", [SimpleNamespace(shape=(3,)), SimpleNamespace(n=3, start=1), SimpleNamespace(n=np.array([2, 2]))]
)
def test_spaces_that_are_not_numbered_are_refused(space):
    environment = SimpleNamespace(observation_space=space, action_space=SimpleNamespace(n=2))
    with pytest.raises(ConfigError, match="observation space"):
        sizes(environment)


def test_an_environment_of_gymnasium():
    gymnasium = pytest.importorskip("gymnasium")
    environment = gymnasium.make("FrozenLake-v1", is_slippery=False)
    made = QLearning(*sizes(environment), alpha=0.5, gamma=0.95, initial=1.0)
    list(learn(environment, made, epsilon_greedy(0.1), 300, 1))
    steps = list(walk(environment, made))
    assert (len(steps), steps[-1][2]) == (6, 1.0)
