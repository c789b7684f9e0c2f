"""Q-learning, SARSA and expected SARSA with a table: for any environment whose states and actions are numbered.

All three move the value of the last state and action towards a target, and differ in what the target makes of the next
state s' (Sutton and Barto 2018, *Reinforcement Learning*, http://incompleteideas.net/book/the-book-2nd.html):

    q_table[s, a] += alpha * (r + gamma * next_value(s') - q_table[s, a])

After a terminal state there is nothing to come: the target is r alone. An episode that a time limit cut (`truncated`)
has not ended in that sense, and its target keeps the next value (Pardo et al. 2018, https://arxiv.org/abs/1712.00378).

The environment needs Gymnasium's interface but not Gymnasium itself. Only numpy is imported here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eclectus.errors import ConfigError
from eclectus.exploration.base import Exploration
from eclectus.exploration.base import entropy as entropy_of
from eclectus.seeds import derive

Array = npt.NDArray[np.float64]
Actions = npt.NDArray[np.intp]
_MOST_VALUES = 50_000_000  # of a Q-table: 400 MB, and as much again for the visits


class Environment(Protocol):
    """What is asked of an environment: Gymnasium's `reset`, `step` and spaces with a size `n`."""

    observation_space: Any
    action_space: Any

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; `info["action_mask"]`, where there is one, is 1 for each action that may be taken."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Next state, reward, terminated, truncated, info."""


@dataclass(frozen=True)
class After:
    """Where a step led.

    Args:
        state: s'.
        allowed: the actions that may be taken in s'.
        action: a', the action that is taken next.
        probabilities: of each of `allowed` under the behaviour policy.
        greedy: whether none of `allowed` is worth more than a'.
    """

    state: int
    allowed: Actions
    action: int
    probabilities: Array
    greedy: bool


class TemporalDifference(ABC):
    """A Q-table and its update.

    Args:
        states: number of states.
        actions: number of actions.
        alpha: step size, in (0, 1].
        gamma: discount, in [0, 1].
        decay: the step size of the n-th update of a pair is alpha / n ** decay. 0 keeps it; with one in (0.5, 1] the
            values converge where rewards or transitions are random (Even-Dar and Mansour 2003,
            https://jmlr.org/papers/v5/evendar03a.html).
        initial: first value of each pair; a high one is optimistic and makes a greedy policy explore.

    Raises:
        ConfigError: a value is out of its range, or the table would not fit in memory.
    """

    title = ""
    """The name, as people write it."""
    reference = ""
    """The paper that the algorithm is from."""

    def __init__(
        self,
        states: int,
        actions: int,
        *,
        alpha: float = 0.1,
        gamma: float = 1.0,
        decay: float = 0.0,
        initial: float = 0.0,
    ) -> None:
        if not 0 < alpha <= 1:
            raise ConfigError(f"tabular: alpha is {alpha:g}; give a step size above 0 and up to 1")
        if not 0 <= gamma <= 1:
            raise ConfigError(f"tabular: gamma is {gamma:g}; give a discount from 0 to 1")
        if states * actions > _MOST_VALUES:
            raise ConfigError(
                f"tabular: {states:,} states with {actions:,} actions are too many for a table;"
                " use fewer sentences or words"
            )
        self.alpha, self.gamma, self.decay = alpha, gamma, decay
        self.q_table: Array = np.full((states, actions), float(initial))
        self.visits = np.zeros((states, actions), dtype=np.int64)

    @abstractmethod
    def next_value(self, after: After) -> float:
        """What the algorithm believes to get from s' on."""

    def update(self, state: int, action: int, reward: float, after: After | None) -> float:
        """Learn from one step and return the temporal-difference error; `after` is None behind a terminal state."""
        target = reward if after is None else reward + self.gamma * self.next_value(after)
        error = target - self.q_table[state, action]
        self.visits[state, action] += 1
        alpha = self.alpha / float(self.visits[state, action]) ** self.decay
        self.q_table[state, action] += alpha * error
        return float(error)

    def best(self, state: int, allowed: Actions) -> int:
        """The greedy action; the first of equals."""
        return int(allowed[self.q_table[state].take(allowed).argmax()])


class QLearning(TemporalDifference):
    """Off-policy: the next value is the best one, whatever is done next: `max q_table[s']`.

    It learns the values of the greedy policy while it explores, and so walks the short way along the cliff.
    """

    title = "Q-learning"
    reference = "Watkins 1989, Learning from Delayed Rewards; Sutton and Barto 2018, equation 6.8"

    def next_value(self, after: After) -> float:
        return float(self.q_table[after.state].take(after.allowed).max())


class Sarsa(TemporalDifference):
    """On-policy: the next value is that of the action that is taken next: `q_table[s', a']`.

    It learns the values of what it does, exploration included, and so keeps away from the cliff.
    """

    title = "SARSA"
    reference = (
        "Rummery and Niranjan 1994, On-line Q-learning Using Connectionist Systems; Sutton and Barto 2018, equation 6.7"
    )

    def next_value(self, after: After) -> float:
        return float(self.q_table[after.state, after.action])


class ExpectedSarsa(TemporalDifference):
    """On-policy: the next value is the mean over what may be done next: `sum_a pi(a | s') q_table[s', a]`.

    SARSA without the chance in a'; with a greedy policy it is Q-learning.
    """

    title = "expected SARSA"
    reference = (
        "van Seijen et al. 2009, https://doi.org/10.1109/ADPRL.2009.4927542; Sutton and Barto 2018, equation 6.9"
    )

    def next_value(self, after: After) -> float:
        return float(after.probabilities @ self.q_table[after.state].take(after.allowed))


ALGORITHMS: dict[str, type[TemporalDifference]] = {
    "q_learning": QLearning,
    "sarsa": Sarsa,
    "expected_sarsa": ExpectedSarsa,
}


@dataclass(frozen=True)
class Episode:
    """What happened in one episode, and how much of it was exploration.

    Args:
        number: from 0.
        total: undiscounted sum of rewards.
        steps: actions taken.
        explored: share of the actions that were not greedy.
        entropy: mean entropy of the behaviour policy, nats.
        new_pairs: pairs of state and action tried for the first time.
    """

    number: int
    total: float
    steps: int
    explored: float
    entropy: float
    new_pairs: int


def sizes(environment: Environment) -> tuple[int, int]:
    """The numbers of states and of actions.

    Raises:
        ConfigError: the states or the actions are not numbered from 0.
    """
    found = []
    for name in ("observation", "action"):
        space = getattr(environment, f"{name}_space")
        if not hasattr(space, "n") or getattr(space, "start", 0) != 0 or np.ndim(space.n):
            raise ConfigError(f"tabular: the {name} space is {space}; a Q-table needs a Discrete one that starts at 0")
        found.append(int(space.n))
    return found[0], found[1]


def learn(
    environment: Environment,
    learner: TemporalDifference,
    exploration: Exploration,
    episodes: int,
    seed: int,
    options: Callable[[int], dict[str, Any] | None] = lambda episode: None,
) -> Iterator[Episode]:
    """Learn for some episodes and yield each when it has ended, so that the caller can evaluate between them.

    Args:
        environment: where to act; it is seeded once, at the first episode.
        learner: changed in place.
        exploration: how to act; it is told the share of the episodes that has passed.
        episodes: how many.
        seed: seed of the environment and of the actions.
        options: passed to `reset` for each episode.
    """
    rng = np.random.default_rng(derive(seed, "actions"))
    for number in range(episodes):
        progress = number / episodes
        state, info = environment.reset(
            seed=derive(seed, "environment") if number == 0 else None, options=options(number)
        )
        after = _choose(learner, exploration, int(state), info, progress, rng)
        total, entropy, explored, new, steps = 0.0, 0.0, 0, 0, 0
        terminated = truncated = False
        while not (terminated or truncated):
            here = after
            explored += not here.greedy
            new += learner.visits[here.state, here.action] == 0
            entropy += entropy_of(here.probabilities)
            state, reward, terminated, truncated, info = environment.step(here.action)
            if not terminated:
                after = _choose(learner, exploration, int(state), info, progress, rng)
            learner.update(here.state, here.action, float(reward), None if terminated else after)
            total, steps = total + float(reward), steps + 1
        yield Episode(number, total, steps, explored / steps, entropy / steps, int(new))


def walk(
    environment: Environment, learner: TemporalDifference, options: dict[str, Any] | None = None, most: int = 1000
) -> Iterator[tuple[int, int, float, dict[str, Any]]]:
    """Follow the greedy policy through one episode; yields state, action, reward and the info behind the action."""
    state, info = environment.reset(options=options)
    terminated = truncated = False
    for _ in range(most):
        if terminated or truncated:
            return
        before, action = int(state), learner.best(int(state), _allowed(learner, info))
        state, reward, terminated, truncated, info = environment.step(action)
        yield before, action, float(reward), info


def _choose(
    learner: TemporalDifference,
    exploration: Exploration,
    state: int,
    info: dict[str, Any],
    progress: float,
    rng: np.random.Generator,
) -> After:
    allowed = _allowed(learner, info)
    values = learner.q_table[state].take(allowed)
    probabilities = exploration.probabilities(values, learner.visits[state].take(allowed), progress)
    # Without the last sum, which rounding may leave below the drawn number.
    index = int(probabilities.cumsum()[:-1].searchsorted(rng.random(), side="right"))
    return After(state, allowed, int(allowed[index]), probabilities, bool(values[index] == values.max()))


def _allowed(learner: TemporalDifference, info: dict[str, Any]) -> Actions:
    mask = info.get("action_mask")
    allowed = np.arange(learner.q_table.shape[1]) if mask is None else np.asarray(mask).nonzero()[0]
    if not len(allowed):
        raise ConfigError("tabular: the environment's action_mask allows no action; allow at least one in each state")
    return allowed
