"""Small decision problems whose values are known, with Gymnasium's interface and without Gymnasium."""

from types import SimpleNamespace

import numpy as np


class Mdp:
    """A decision problem from its table.

    Args:
        transitions: [state][action] -> list of (probability, next state, reward, terminated).
        starts: first states, drawn uniformly.
        limit: steps after which an episode is truncated.
    """

    def __init__(self, transitions, starts=(0,), limit=10_000):
        self.transitions, self.starts, self.limit = transitions, starts, limit
        self.observation_space = SimpleNamespace(n=len(transitions))
        self.action_space = SimpleNamespace(n=len(transitions[0]))
        self._rng = np.random.default_rng(0)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._state, self._steps = self.starts[self._rng.integers(len(self.starts))], 0
        return self._state, {}

    def step(self, action):
        outcomes = self.transitions[self._state][action]
        chosen = self._rng.choice(len(outcomes), p=[p for p, *_ in outcomes]) if len(outcomes) > 1 else 0
        _, self._state, reward, terminated = outcomes[chosen]
        self._steps += 1
        return self._state, reward, terminated, not terminated and self._steps >= self.limit, {}

    def optimal(self, gamma):
        """Q* by value iteration."""
        q = np.zeros((self.observation_space.n, self.action_space.n))
        while True:
            backed_up = np.array(
                [
                    [sum(p * (r + gamma * (0 if end else q[after].max())) for p, after, r, end in out) for out in row]
                    for row in self.transitions
                ]
            )
            if np.abs(backed_up - q).max() < 1e-12:
                return backed_up
            q = backed_up


def cliff():
    """Sutton and Barto 2018, example 6.6: 4 x 12, from the lower left to the lower right; the cliff lies between."""
    rows, columns = 4, 12
    start, goal = (rows - 1) * columns, rows * columns - 1

    def outcome(state, move):
        row = min(max(state // columns + move[0], 0), rows - 1)
        column = min(max(state % columns + move[1], 0), columns - 1)
        after = row * columns + column
        if start < after < goal:
            return [(1.0, start, -100.0, False)]
        return [(1.0, after, -1.0, after == goal)]

    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    return Mdp([[outcome(state, move) for move in moves] for state in range(rows * columns)], [start])


def slippery_lake():
    """3 x 3, slippery as FrozenLake: the wanted direction or one across, a third each; a hole in the middle."""
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]

    def outcome(state, action):
        found = []
        for turned in (action - 1, action, action + 1):
            move = moves[turned % 4]
            row, column = min(max(state // 3 + move[0], 0), 2), min(max(state % 3 + move[1], 0), 2)
            after = row * 3 + column
            found.append((1 / 3, after, float(after == 8), after in (4, 8)))
        return found

    return Mdp([[outcome(state, action) for action in range(4)] for state in range(9)], [0, 1, 2, 3, 5, 6, 7])
