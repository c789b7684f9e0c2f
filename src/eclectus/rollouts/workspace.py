"""Memory that each step of a sampler fills anew."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch


class Workspace:
    """Room for one tensor at a time.

    A new tensor of tens of megabytes comes from the system page by page, which takes a processor longer than filling
    it: at 256 rows and 32,000 words a softmax takes five times as long into new memory as into old.
    """

    def __init__(self) -> None:
        self._memory = torch.empty(0)

    def take(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """A tensor of this shape, of the type and on the device of `like`; whatever was taken before is overwritten."""
        size = math.prod(shape)
        memory = self._memory
        if memory.numel() < size or (memory.dtype, memory.device) != (like.dtype, like.device):
            self._memory = like.new_empty(size)
        return self._memory[:size].view(*shape)
