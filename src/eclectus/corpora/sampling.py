"""Which direction and which item comes next, so that a resumed run goes on with the very same ones."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class DirectionSampler(Generic[T]):
    """Draws directions, or whatever else texts are sorted by, in proportion to size ** (1 / temperature).

    Temperature 1 follows the sizes, a high one draws every direction equally often (Arivazhagan et al. 2019,
    https://arxiv.org/abs/1907.05019, section 4.2).

    Args:
        sizes: direction -> number of items; those without items are never drawn.
        temperature: above 0.
        rng: source of randomness; its state is the caller's to keep.

    Raises:
        ValueError: no direction has items, or the temperature is not positive.
    """

    def __init__(self, sizes: Mapping[T, int], temperature: float, rng: random.Random) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        filled = {direction: size for direction, size in sizes.items() if size > 0}
        if not filled:
            raise ValueError("no direction has any items")
        largest = max(filled.values())
        # Relative to the largest, so that a low temperature cannot overflow.
        weights = {direction: (size / largest) ** (1 / temperature) for direction, size in filled.items()}
        total = sum(weights.values())
        self.probabilities = {direction: weight / total for direction, weight in weights.items()}
        self._rng = rng

    def draw(self, n: int = 1, rng: random.Random | None = None) -> list[T]:
        """Draw `n` directions with replacement, from `rng` if given: a step can bring its own, seeded one."""
        return (rng or self._rng).choices(list(self.probabilities), list(self.probabilities.values()), k=n)


class EpochIterator(Generic[T]):
    """Endless iterator over items, shuffled anew in every epoch: each item once before any comes again.

    Args:
        items: at least one.
        seed: names the order, for example `"1 en-es"`; equal seeds give equal orders in every process.
    """

    def __init__(self, items: Sequence[T], seed: int | str) -> None:
        if not items:
            raise ValueError("an epoch needs at least one item")
        self._items = items
        self._seed = seed
        self._epoch, self._position = 0, 0
        self._order = self._shuffled()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._position == len(self._items):
            self._epoch, self._position = self._epoch + 1, 0
            self._order = self._shuffled()
        item = self._items[self._order[self._position]]
        self._position += 1
        return item

    def take(self, n: int) -> list[T]:
        """Return the next `n` items."""
        return [next(self) for _ in range(n)]

    def state_dict(self) -> dict[str, int]:
        """Return the place as plain integers: epochs finished, and items taken in this one."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go to the place that `state_dict` returned.

        Raises:
            ValueError: the place lies behind the end, so the items are not the ones of the saved run.
        """
        if not 0 <= state["position"] <= len(self._items):
            raise ValueError(f"position {state['position']} of {len(self._items)} items; the corpus has changed")
        self._epoch, self._position = state["epoch"], state["position"]
        self._order = self._shuffled()

    def _shuffled(self) -> list[int]:
        order = list(range(len(self._items)))
        random.Random(f"{self._seed} epoch {self._epoch}").shuffle(order)
        return order
