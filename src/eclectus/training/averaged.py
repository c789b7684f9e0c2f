"""A module in training with the running mean of its weights, which is what is evaluated, and the best such mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from eclectus import parallel
from eclectus.training import checkpoint as ckpt
from eclectus.training.kept import Kept, Weights


class Averaged:
    """The trainable weights of a module beside their mean and the best mean so far (Polyak and Juditsky 1992).

    Each update on a few hundred samples is mostly noise, which the mean leaves out. Of several processes each keeps a
    part of both means; `in_place`, `whole_mean`, `restore_best` and `tensors` are collective then.

    Args:
        module: trained by the caller; evaluated with its mean.
        name: of the module's group in a checkpoint.
        mean, best: of the other groups.
    """

    def __init__(self, module: torch.nn.Module, name: str, mean: str, best: str) -> None:
        self.module, self._names = module, (name, mean, best)
        self._kept = Kept.trained(module)
        self._mean, self._best = self._kept.copy(), self._kept.copy()

    def update(self, decay: float) -> None:
        """Move the mean towards the module: mean <- decay * mean + (1 - decay) * weights."""
        for name, own in self._kept.own().items():
            self._mean[name].lerp_(own, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module has its mean weights inside."""
        current = self._kept.copy()
        self._kept.put(self._mean)
        try:
            yield
        except BaseException:
            if parallel.size() == 1:  # others would not be there for the exchange, and the error ends them all
                self._kept.put(current)
            raise
        self._kept.put(current)

    def whole_mean(self) -> Weights:
        """A copy of the mean of all weights."""
        with self.in_place():
            return ckpt.weights(self.module)

    def keep(self) -> None:
        """The mean is the best so far."""
        self._best = {name: value.clone() for name, value in self._mean.items()}

    def restore_best(self) -> None:
        """Put the best weights into the module."""
        self._kept.put(self._best)

    def tensors(self) -> dict[str, Weights]:
        """Groups of a checkpoint, whole in the process that writes it."""
        means = parallel.united(self._mean), parallel.united(self._best)
        return dict(zip(self._names, (ckpt.weights(self.module), *means), strict=True))

    def load(self, tensors: Mapping[str, Weights]) -> None:
        """Take over what `tensors` returned; other groups of the checkpoint are passed over."""
        current, mean, best = (tensors[name] for name in self._names)
        ckpt.load_weights(self.module, current)
        self._mean, self._best = self._kept.part(mean), self._kept.part(best)
