"""Which part of a training's tensors each of several processes keeps."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from eclectus import parallel

Weights = dict[str, torch.Tensor]


class Kept:
    """The part of some parameters that this process keeps: of split ones its rows, of whole ones a few.

    Together the processes keep everything, each about as much; a process alone keeps all.

    Args:
        parameters: by name; the same in every process.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        self._parameters = dict(parameters)
        whole = [name for name, value in parameters.items() if not parallel.is_split(value)]
        owners = parallel.owners([parameters[name].numel() for name in whole])
        self._owners = dict(zip(whole, owners, strict=True))
        # Of a split one everybody has some rows.
        self._names = [name for name in parameters if self._owners.get(name, parallel.rank()) == parallel.rank()]

    @classmethod
    def trained(cls, module: torch.nn.Module) -> Kept:
        """The part of a module's trainable parameters."""
        return cls({name: value for name, value in module.named_parameters() if value.requires_grad})

    def own(self) -> Weights:
        """The part itself, not copied."""
        return {name: parallel.piece(self._parameters[name]).detach() for name in self._names}

    def copy(self) -> Weights:
        """A copy of the part."""
        return {name: value.clone() for name, value in self.own().items()}

    def part(self, whole: Mapping[str, torch.Tensor]) -> Weights:
        """The part of whole tensors, as a checkpoint has them."""
        parts = {name: parallel.cut(whole[name], self._parameters[name]) for name in self._names}
        return {name: value.to(self._parameters[name].device) for name, value in parts.items()}

    def put(self, values: Mapping[str, torch.Tensor]) -> None:
        """Overwrite the parameters with what all processes have of them. Collective."""
        for name, own in self.own().items():
            own.copy_(values[name])
        self.hand_out()

    def hand_out(self) -> None:
        """Overwrite whole parameters with those of the process that keeps them. Collective."""
        parallel.hand_out([self._parameters[name] for name in self._owners], list(self._owners.values()))
