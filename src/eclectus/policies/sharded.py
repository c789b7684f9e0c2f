"""A model whose layers are split over the processes that train it (FSDP, Zhao et al. 2023, arXiv:2304.11277).

Of each layer a process keeps every n-th part of the rows of each weight. A pass gathers a layer when it comes to it and
lets it go behind it; its gradient goes to whoever keeps the rows. Embeddings and vocabulary head stay whole.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from eclectus import parallel
from eclectus.policies.recompute import repeated_layers


class Shards:
    """Splits the layers of a model, in place. Collective, as everything here is.

    A pass through split layers is made by all processes together, so each has to make as many. Within `whole` each goes
    its own way: for sampling, which runs every layer at every token, and for passes without gradient.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        from torch.distributed import fsdp
        from torch.distributed.device_mesh import init_device_mesh

        # Split modules cannot be copied; this has all that a copy needs but its weights.
        self._skeleton = copy.deepcopy(model, {id(own): _meta(own) for own in model.parameters()})
        mesh = init_device_mesh(device.type, (parallel.size(),))
        self._layers: list[Any] = list(repeated_layers(model))
        for layer in self._layers:
            fsdp.fully_shard(layer, mesh=mesh, reshard_after_forward=True)
        if hasattr(fsdp, "share_comm_ctx"):
            # Else each layer's whole gradient would stay until the backward pass ends.
            fsdp.share_comm_ctx(self._layers)
        for layer in self._layers:
            # Some versions of torch move the pieces when they are gathered first; nobody may hold them before.
            layer.unshard()
            layer.reshard()
        self._opened = 0

    @property
    def open(self) -> bool:
        """Whether all layers are whole now."""
        return self._opened > 0

    @contextmanager
    def whole(self) -> Iterator[None]:
        """All layers are whole inside, in every process."""
        if not self._opened:
            for layer in self._layers:
                layer.set_reshard_after_forward(False)
                layer.unshard()
        self._opened += 1
        try:
            yield
        finally:
            self._opened -= 1
            if not self._opened:
                for layer in self._layers:
                    layer.reshard()
                    layer.set_reshard_after_forward(True)

    def gather_for(self, left: Sequence[Sequence[torch.Tensor]]) -> None:
        """Have each layer gathered when the gradient comes to what it has left beside its output.

        Args:
            left: for each layer, in order; such as the keys and values of a prompt, through which the gradient of a
                translation comes to a layer whose output nobody has used.
        """
        for layer, tensors in zip(self._layers, left, strict=True):
            for tensor in tensors:
                if tensor.requires_grad:
                    tensor.register_hook(partial(_gather, layer))

    def unsplit(self, model: nn.Module, device: torch.device) -> Any:
        """A whole copy of the model that was split, on a device."""
        pairs = zip(self._skeleton.parameters(), model.parameters(), strict=True)
        weights = {
            id(empty): nn.Parameter(parallel.whole(own).to(device), requires_grad=own.requires_grad)
            for empty, own in pairs
        }
        return copy.deepcopy(self._skeleton, weights).to(device)


def _gather(layer: Any, _: torch.Tensor) -> None:
    layer.unshard()


def _meta(parameter: nn.Parameter) -> nn.Parameter:
    """A parameter like another, without the memory."""
    return nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad)
