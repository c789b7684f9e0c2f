"""Which direction of a task comes next: in proportion to size, or by a bandit that looks for learning progress."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from eclectus import registry
from eclectus.config import Component
from eclectus.corpora.sampling import DirectionSampler
from eclectus.errors import ConfigError
from eclectus.exploration.bandits.base import Bandit
from eclectus.exploration.bandits.progress import LearningProgress
from eclectus.languages import Direction, direction

SIZE = "size"
"""The type that follows the sizes; every other one is a bandit's."""

_PLACE = "reinforce.direction_sampling"
_RATE = 0.05


class DirectionChoice(ABC):
    """Chooses what the prompts of a task are drawn from, step after step."""

    waits = False
    """Whether a choice needs the rewards of the one before it."""

    @abstractmethod
    def draw(self, count: int, random: random.Random) -> list[Direction]:
        """Choose for `count` prompts of one step."""

    def learn(self, reward: float | None) -> None:  # noqa: B027 - sizes do not change
        """Take in the mean reward of the prompts that were last chosen for; None where nothing was judged."""

    def metrics(self) -> dict[tuple[str, str], float]:
        """What has been chosen and why, by measure and direction: ("share", "en-es"), ("progress", "en-es")."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - as `learn`
        """Take over what `state_dict` returned."""


class BySize(DirectionChoice):
    """A direction for each prompt, in proportion to size ** (1 / temperature); see `DirectionSampler`."""

    def __init__(self, sizes: Mapping[Direction, int], temperature: float) -> None:
        self._sampler = DirectionSampler(sizes, temperature, random.Random(0))

    def draw(self, count: int, random: random.Random) -> list[Direction]:
        return self._sampler.draw(count, random)


class ByProgress(DirectionChoice):
    """One direction for all prompts of a step, chosen by a bandit whose reward is learning progress.

    One direction and not a mixture, so that what a step brought is known of many samples of one arm (Graves et al.
    2017, https://arxiv.org/abs/1704.03003, where each batch is of one task). The progress of a direction is how much
    its mean reward is above its own running mean of about twenty visits, scaled to what has been gained of late
    anywhere; see `LearningProgress`. The gain from one visit to the next would be mostly the noise of the samples.

    Args:
        directions: the arms.
        kind: the bandit and its options.
        seed: of its draws.
    """

    waits = True

    def __init__(self, directions: Sequence[Direction], kind: Component, seed: int) -> None:
        self._directions = list(directions)
        bandit, options = bandit_of(kind)
        self._bandit = registry.make(_PLACE, bandit, len(self._directions), seed, options)
        self._progress = LearningProgress(len(self._directions), rate=_RATE)
        self._arm = 0
        self._told = [0.0] * len(self._directions)

    def draw(self, count: int, random: random.Random) -> list[Direction]:
        if count:
            self._arm = self._bandit.draw()
        return [self._directions[self._arm]] * count

    def learn(self, reward: float | None) -> None:
        arm = self._arm
        # Of what nobody judged no progress is known.
        self._told[arm] = 0.0 if reward is None else self._progress.update(arm, reward)
        self._bandit.update(arm, self._told[arm])

    def metrics(self) -> dict[tuple[str, str], float]:
        draws = self._bandit.draws
        names = [direction(*pair) for pair in self._directions]
        shares = {("share", name): n / max(1, sum(draws)) for name, n in zip(names, draws, strict=True)}
        return shares | {("progress", name): told for name, told in zip(names, self._told, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        return {
            "bandit": self._bandit.state_dict(),
            "progress": self._progress.state_dict(),
            "arm": self._arm,
            "told": list(self._told),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._bandit.load_state_dict(state["bandit"])
        self._progress.load_state_dict(state["progress"])
        self._arm, self._told = state["arm"], list(state["told"])


def bandit_of(kind: Component) -> tuple[type[Bandit], registry.Options]:
    """The class of a bandit that the config names, and its options.

    Raises:
        ConfigError: there is none of this type, or a wrong option.
    """
    try:
        found = registry.find("exploration.bandits", kind.type, Bandit)
    except ConfigError as error:
        raise ConfigError(f"config: '{_PLACE}.type': {error}; '{SIZE}' follows the sizes") from error
    return found, registry.parse_options(_PLACE, found.Options, kind.options)


def check_sampling(kind: Component) -> None:
    """Refuse at the door an unknown type or a wrong option.

    Raises:
        ConfigError: one of these.
    """
    if kind.type == SIZE:
        registry.parse_options(_PLACE, registry.Options, kind.options)
    else:
        bandit_of(kind)


def direction_choice(sizes: Mapping[Direction, int], kind: Component, temperature: float, seed: int) -> DirectionChoice:
    """Build what the config asks for.

    Args:
        sizes: items of each direction.
        temperature: of the type `size`.

    Raises:
        ConfigError: see `check_sampling`.
    """
    check_sampling(kind)
    if kind.type == SIZE:
        return BySize(sizes, temperature)
    return ByProgress([pair for pair, size in sizes.items() if size], kind, seed)
