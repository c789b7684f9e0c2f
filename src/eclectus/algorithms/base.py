"""What an algorithm is: rewards to advantages, and a loss over sampled sequences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from eclectus import registry
from eclectus.algorithms.losses import LossInputs


class Algorithm(ABC):
    """A policy-gradient algorithm; `algorithms/<type>.py` holds exactly one.

    The trainer samples, rewards, calls `advantages` once for the whole step and `loss` for each micro-batch, and adds
    the KL and likelihood terms of the tasks itself.
    """

    class Options(registry.Options):
        """No options."""

    reference: ClassVar[str] = ""
    """The paper that the algorithm is from."""

    def __init__(self, options: registry.Options | None = None) -> None:
        self.options: registry.Options = options if options is not None else type(self).Options()

    @property
    def name(self) -> str:
        """The type, as in the config."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def advantages(self, rewards: torch.Tensor) -> torch.Tensor:
        """Advantages [B, G] from rewards [B, G]; NaN means not judged; 0 where there is nothing to learn."""

    @abstractmethod
    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss (a scalar with gradient) of a micro-batch and sums for the metrics."""
