"""Fewer bits: the products of the layers by autocast, or a copy of the weights to sample from.

Autocast is the same wherever the policy samples, scores and trains. Weights and optimizer stay float32 in it, and so
does the vocabulary's product: rounding it is what sets the log-probabilities of sampling and training furthest apart
(MiniMax-M1, 2025, section 3.2).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from eclectus.errors import RunError

_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast_type(name: str | None, device: torch.device) -> torch.dtype | None:
    """The type that `policy.autocast` names.

    Raises:
        RunError: this device does not compute in it.
    """
    if name is None:
        return None
    dtype = _TYPES[name]
    # Older cards only imitate bfloat16, slower than float32.
    emulated = device.type == "cuda" and dtype is torch.bfloat16 and not torch.cuda.is_bf16_supported(False)
    if emulated or not _computes(dtype, device):
        other = "float16 or null" if emulated else "null"
        raise RunError(f"policy.autocast: device '{device}' does not compute in {name}; set policy.autocast: {other}")
    return dtype


def _computes(dtype: torch.dtype, device: torch.device) -> bool:
    try:
        one = torch.ones(1, 1, device=device)
        # A device that cannot warns and goes on in float32.
        with torch.autocast(device.type, dtype):
            return (one @ one).dtype == dtype
    except RuntimeError:
        return False


@contextmanager
def computing_in(dtype: torch.dtype | None, device: torch.device) -> Iterator[None]:
    """Autocast to `dtype`; nothing changes where it is None, not even an autocast that is on already."""
    if dtype is None:
        yield
        return
    with torch.autocast(device.type, dtype):
        yield


def loss_scaler(dtype: torch.dtype | None, device: torch.device) -> torch.amp.GradScaler:
    """Scales the loss where gradients would underflow, in float16 (Micikevicius et al. 2018); else leaves it alone."""
    return torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)


def rounded_copy(model: Any, dtype: torch.dtype) -> Any:
    """A frozen copy of a model with all weights in another floating type.

    Rotary frequencies stay as they are, as where transformers loads a model in that type: rounded, their error grows
    with the position.
    """
    # Rounded on the way, so that there is at no time a copy in the old type.
    weights = [nn.Parameter(weight.detach().to(dtype), requires_grad=False) for weight in model.parameters()]
    twin = copy.deepcopy(model, dict(zip(map(id, model.parameters()), weights, strict=True)))
    for module in twin.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_floating_point() and not name.endswith("inv_freq"):
                setattr(module, name, buffer.to(dtype))
    return twin
