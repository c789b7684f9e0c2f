"""A module in training with the running mean of its weights, which is what is evaluated, and the best such mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from eclectus.training import checkpoint as ckpt

Weights = dict[str, torch.Tensor]


class Averaged:
    """The trainable weights of a module beside their mean and the best mean so far (Polyak and Juditsky 1992).

    Each update on a few hundred samples is mostly noise, which the mean leaves out.

    Args:
        module: trained by the caller; evaluated with its mean.
        name: of the module's group in a checkpoint.
        mean, best: of the other groups.
    """

    def __init__(self, module: torch.nn.Module, name: str, mean: str, best: str) -> None:
        self.module, self._names = module, (name, mean, best)
        self.mean = ckpt.weights(module)
        self.best = ckpt.weights(module)

    def update(self, decay: float) -> None:
        """Move the mean towards the module: mean <- decay * mean + (1 - decay) * weights."""
        for name, parameter in self.module.named_parameters():
            if name in self.mean:
                self.mean[name].lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module has its mean weights inside."""
        current = ckpt.weights(self.module)
        ckpt.load_weights(self.module, self.mean)
        try:
            yield
        finally:
            ckpt.load_weights(self.module, current)

    def keep(self) -> None:
        """The mean is the best so far."""
        self.best = {name: value.clone() for name, value in self.mean.items()}

    def restore_best(self) -> None:
        """Put the best weights into the module."""
        ckpt.load_weights(self.module, self.best)

    def tensors(self) -> dict[str, Weights]:
        """Groups of a checkpoint."""
        return dict(zip(self._names, (ckpt.weights(self.module), self.mean, self.best), strict=True))

    def load(self, tensors: Mapping[str, Weights]) -> None:
        """Take over what `tensors` returned; other groups of the checkpoint are passed over."""
        current, mean, best = (tensors[name] for name in self._names)
        ckpt.load_weights(self.module, current)
        self.mean = {name: value.to(self.mean[name].device) for name, value in mean.items()}
        self.best = best
