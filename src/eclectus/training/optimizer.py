"""The optimizer and the learning-rate schedules that every trainer shares."""

from __future__ import annotations

import torch


def adamw(model: torch.nn.Module, learning_rate: float) -> torch.optim.AdamW:
    """AdamW with the betas usual for translation (Vaswani et al. 2017, section 5.3) and no weight decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0)


def scheduled(peak: float, step: int, steps: int, warmup: int, floor: float) -> float:
    """Linear warm-up over `warmup` steps, then a linear fall to `floor * peak` at `steps`.

    Args:
        step: counted from 1.
    """
    if step <= warmup:
        return peak * step / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (1 - (1 - floor) * progress)


def update(optimizer: torch.optim.Optimizer, learning_rate: float, max_norm: float) -> float:
    """Clip, step, clear; return the gradient's norm before clipping. A non-finite gradient is not applied."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    if torch.isfinite(norm):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(norm)
