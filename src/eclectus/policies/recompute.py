"""Gradient checkpointing (Chen et al. 2016): layers keep their input only and are run again in the backward pass.

The switch of transformers is not used: it works in training mode alone, while reinforcement learning has dropout off,
and it takes the key/value cache away, through which decoder-only models share a prompt among its samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

Context = AbstractContextManager[None]


@contextmanager
def recomputed(model: torch.nn.Module, again: Callable[[], Context] = nullcontext) -> Iterator[None]:
    """Within it, every layer of `model` runs under gradient checkpointing; a cache must then be a repeatable one.

    Args:
        again: asked when a layer runs, gives what must hold when it runs again.
    """

    def contexts() -> tuple[Context, Context]:
        return nullcontext(), again()

    layers = repeated_layers(model)
    for layer in layers:
        layer.forward = partial(
            checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=model.training, context_fn=contexts
        )
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def repeated_layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers of encoder and decoder."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
