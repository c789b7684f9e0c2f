"""Steps of a decoder that are recorded once and then replayed without Python.

A recording repeats the very same operations on the very same memory. That suits decoding if each position has a
recording of its own: how far the cache is filled is then a constant of it, as it is in the code of every family, and
attention covers what is filled and no more. What differs from batch to batch is copied into the memory of the first
one of its shape: the sources, and at each step the last tokens.

How operations are recorded is the affair of a `Recorder`; on CUDA devices it is a graph, see `cuda_graphs`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import torch

from eclectus.rollouts.base import Stepper

_SHAPES = 4
"""Shapes whose recordings are kept, the latest: each holds a cache of its own."""

Recorder = Callable[[Callable[[], None]], Callable[[], None]]
"""Records the operations of a function, and gives what makes them all again."""


class Recordable(Stepper, Protocol):
    """A decoder whose steps can be recorded: none of them looks at values, and rows neither leave nor branch."""

    def held(self) -> list[torch.Tensor]:
        """What its steps read of the batch: tensors, or views of them, that another batch of the shape may fill."""
        ...


class Recordings:
    """The recorded steps of one policy, by the shape of the batch.

    The first batch of a shape is decoded as it is, which also warms up what the device's libraries prepare at first
    use. The second is recorded as far as it goes; a longer one goes on from there.

    Args:
        record: makes a recorder for the steps of a shape, which are replayed in the order in which they were recorded.
        grid: sources are padded to a multiple of so many tokens, so that batches have few shapes.
    """

    def __init__(self, record: Callable[[], Recorder], grid: int) -> None:
        self._record, self.grid = record, grid
        self._shapes: OrderedDict[tuple[object, ...], _Steps | None] = OrderedDict()

    def of(self, stepper: Recordable, *key: int) -> Stepper:
        """A decoder for the batch of `stepper`, recorded or to be recorded.

        Args:
            key: what the shape of a step depends on beside that of what the stepper holds.
        """
        shape = (*key, *(tuple(tensor.shape) for tensor in stepper.held()))
        if shape not in self._shapes:
            self._shapes[shape] = None
            while len(self._shapes) > _SHAPES:
                self._shapes.popitem(last=False)
            return stepper
        self._shapes.move_to_end(shape)
        steps = self._shapes[shape]
        if steps is None:
            steps = self._shapes[shape] = _Steps(stepper, self._record())
        else:
            steps.take(stepper)
        return _Replayed(steps)


class _Steps:
    """The steps of one shape as far as they are recorded, and the decoder whose memory they work on."""

    def __init__(self, stepper: Recordable, record: Recorder) -> None:
        self._stepper, self._record = stepper, record
        self._held = stepper.held()
        self._tokens = torch.empty(0)
        self._logits = torch.empty(0)
        self._steps: list[Callable[[], None]] = []

    def take(self, other: Recordable) -> None:
        """Hold what another decoder holds."""
        for own, new in zip(self._held, other.held(), strict=True):
            own.copy_(new)

    def __call__(self, position: int, tokens: torch.Tensor) -> torch.Tensor:
        if self._steps:
            self._tokens.copy_(tokens)
        else:
            self._tokens = tokens.clone()
        if position == len(self._steps):
            self._steps.append(self._record(self._step))
        self._steps[position]()
        return self._logits

    def _step(self) -> None:
        logits = self._stepper.step(self._tokens)
        if not self._steps:
            self._logits = logits
        elif logits.data_ptr() != self._logits.data_ptr():
            self._logits.copy_(logits)  # or each position would keep logits of its own


class _Replayed:
    """The recorded steps as a decoder, from the first; see `rollouts.base.Stepper`."""

    def __init__(self, steps: _Steps) -> None:
        self._steps, self._position = steps, 0

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        logits = self._steps(self._position, tokens)
        self._position += 1
        return logits

    def keep(self, rows: torch.Tensor) -> None:
        raise RuntimeError("rows of recorded steps do not leave")

    def branch(self, rows: torch.Tensor, places: torch.Tensor) -> None:
        raise RuntimeError("rows of recorded steps do not branch")
