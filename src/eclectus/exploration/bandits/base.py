"""What a bandit is: it draws an arm, is told what that brought, and draws better."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from random import Random
from typing import Any

from eclectus import registry
from eclectus.seeds import rng


class Bandit(ABC):
    """Chooses among numbered arms; `exploration/bandits/<type>.py` holds exactly one.

    A subclass gives `_draw` and `_learn`, and keeps everything that it learns in lists of numbers that `_state` names.
    Each draw has a generator of its own, derived from the seed and the number of the draw, so a resumed run goes on
    with the very same arms.

    Args:
        arms: how many, at least 1.
        seed: seed of the draws.
        options: the type's own.
    """

    class Options(registry.Options):
        """No options."""

    reference: str = ""
    """The paper that the bandit is from."""
    _state: tuple[str, ...] = ()

    def __init__(self, arms: int, seed: int, options: registry.Options | None = None) -> None:
        if arms < 1:
            raise ValueError(f"a bandit needs at least one arm, got {arms}")
        self.options: registry.Options = options if options is not None else type(self).Options()
        self.arms = arms
        self.draws = [0] * arms
        self._seed = seed

    @property
    def name(self) -> str:
        """The type, as in a config."""
        return type(self).__module__.rpartition(".")[2]

    def draw(self) -> int:
        """Choose an arm. Several may be drawn before the first `update`, as for a batch."""
        arm = self._draw(rng(self._seed, "bandit", sum(self.draws)))
        self.draws[arm] += 1
        return arm

    def update(self, arm: int, reward: float) -> None:
        """Learn what an arm brought.

        Raises:
            ValueError: no such arm, or the reward is not in [0, 1].
        """
        if not 0 <= arm < self.arms:
            raise ValueError(f"arm {arm} of {self.arms}")
        if not 0 <= reward <= 1:
            raise ValueError(f"a bandit's reward must be in [0, 1], got {reward}; LearningProgress scales to it")
        self._learn(arm, reward)

    def state_dict(self) -> dict[str, Any]:
        """Return all that was learnt, as JSON can hold it."""
        return {name: list(getattr(self, name)) for name in ("draws", *self._state)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            ValueError: it is from a bandit with another number of arms.
        """
        if len(state["draws"]) != self.arms:
            raise ValueError(f"the saved bandit has {len(state['draws'])} arms, this one {self.arms}")
        for name in ("draws", *self._state):
            setattr(self, name, list(state[name]))

    @abstractmethod
    def _draw(self, random: Random) -> int: ...

    @abstractmethod
    def _learn(self, arm: int, reward: float) -> None: ...
