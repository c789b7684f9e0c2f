"""The optimizer and the learning-rate schedules that every trainer shares."""

from __future__ import annotations

import math

import torch


def adamw(model: torch.nn.Module, learning_rate: float) -> torch.optim.AdamW:
    """AdamW with the betas usual for translation (Vaswani et al. 2017, section 5.3) and no weight decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0)


def add_module(optimizer: torch.optim.Optimizer, module: torch.nn.Module, factor: float) -> None:
    """Let the optimizer train a further module too, with `factor` times the learning rate."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer.add_param_group({"params": parameters, "factor": factor})


def scheduled(peak: float, step: int, steps: int, warmup: int, floor: float) -> float:
    """Linear warm-up over `warmup` steps, then a linear fall to `floor * peak` at `steps`.

    Args:
        step: counted from 1.
    """
    if step <= warmup:
        return peak * step / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (1 - (1 - floor) * progress)


def update(optimizer: torch.optim.Optimizer, learning_rate: float, max_norm: float) -> list[float]:
    """Clip, step, clear; return the gradient's norm of each module before clipping.

    Each module is clipped by itself, so that one that is far off does not take the others' step. Where any gradient is
    not finite none is applied.
    """
    norms = []
    for group in optimizer.param_groups:
        norms.append(float(torch.nn.utils.clip_grad_norm_(group["params"], max_norm)))
        group["lr"] = learning_rate * group.get("factor", 1.0)
    if all(map(math.isfinite, norms)):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norms
