"""bfloat16 weights as a processor's matrix units read them.

torch hands each product of a layer to oneDNN with the weight as it lies in memory, to be put in order every time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_ROWS = 256
"""Rows of a product that the order is chosen for; others are as exact, and about as fast."""

GRID = 16
"""Rows of the decoder are kept a multiple of this: oneDNN compiles each product anew for each number of rows, about a
millisecond."""


def packs(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether weights of this type on this device can be put in order."""
    ops = torch.ops.mkldnn
    return (
        dtype is torch.bfloat16
        and device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        # torch's own compiler is what these are made for; they are no part of its documented interface.
        and all(hasattr(ops, name) for name in ("_reorder_linear_weight", "_linear_pointwise"))
        and bool(ops._is_mkldnn_bf16_supported())
    )


class PackedLinear(nn.Module):
    """A linear layer without gradient.

    Args:
        weight: bfloat16 [out, in]; bias: bfloat16 [out], or None.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        # Some models look at the type of their layers' weights.
        self.weight, self.bias = weight, bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """[..., in] to [..., out]."""
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(values, self._packed, self.bias, "none", [], "")
        return result


def pack_layers(model: Any) -> None:
    """Put the weights of all linear layers but the vocabulary head in order."""
    head = model.get_output_embeddings()
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is nn.Linear and layer is not head:
                setattr(module, name, PackedLinear(layer.weight, layer.bias))
