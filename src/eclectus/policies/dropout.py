"""Dropout from fewer random bits, where a processor makes them one at a time.

torch draws a number of 64 bits for each element on the CPU, in one thread, which is up to a quarter of a supervised
step. Sixteen bits say as well what to drop, so that one draw serves four elements.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional

_LEVELS = 1 << 16


def dropout(values: torch.Tensor, p: float) -> torch.Tensor:
    """`values` with each element zero with probability `p` (to 2^-16) and scaled otherwise, so that its mean stays.

    It draws from torch's generator of the CPU.
    """
    dropped = round(p * _LEVELS)
    if dropped == _LEVELS:
        return torch.zeros_like(values)  # nothing is left to scale
    count = values.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None)
    kept = draws.view(torch.int16)[:count].view(values.shape) >= dropped - _LEVELS // 2
    return values * kept.to(values.dtype).mul_(_LEVELS / (_LEVELS - dropped))


@contextmanager
def cheaper_dropout(device: torch.device) -> Iterator[None]:
    """`dropout` in the place of `torch.nn.functional.dropout` for a model on the CPU; other devices keep torch's.

    The backward pass belongs inside, as gradient checkpointing draws the same noise once more there; that is why the
    function is replaced: the modes by which torch lets one override it are not on in a backward pass.
    """
    if device.type != "cpu":
        yield
        return
    own = functional.dropout

    def cheaper(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        if not training or not p or inplace or input.device.type != "cpu" or not input.is_floating_point():
            return own(input, p, training, inplace)
        return dropout(input, p)

    functional.dropout = cheaper
    try:
        yield
    finally:
        functional.dropout = own
