"""The optimizer and the learning-rate schedules that every trainer shares."""

from __future__ import annotations

import math
from typing import Any

import torch

from eclectus import parallel
from eclectus.config import Optimizer
from eclectus.errors import RunError


def build_optimizer(kind: Optimizer, model: torch.nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """The optimizer that a training names, over the trainable parameters of `model`.

    AdamW has the betas usual for translation (Vaswani et al. 2017, section 5.3) and no weight decay; `adamw_8bit` holds
    its moments in blocks of 8 bits (Dettmers et al. 2022), in 32 for tensors under 4,096 elements. Of several processes
    each keeps the moments of a part of the parameters, moves that part and hands it to the others (stage 1 of ZeRO,
    Rajbhandari et al. 2020, arXiv:1910.02054).

    Raises:
        RunError: bitsandbytes is not installed.
    """
    made = torch.optim.AdamW if kind == "adamw" else _adamw_8bit()
    settings: dict[str, Any] = {"lr": learning_rate, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.0}
    if parallel.size() == 1:
        return made(_trained(model), **settings)
    from torch.distributed.optim import ZeroRedundancyOptimizer

    return ZeroRedundancyOptimizer(_trained(model), optimizer_class=made, **settings)


def keeper(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """What holds the moments that this process keeps: the optimizer itself, or the one inside of a shared one."""
    kept: torch.optim.Optimizer = getattr(optimizer, "optim", optimizer)
    return kept


def check(kind: Optimizer, device: torch.device) -> None:
    """Try an optimizer that is not torch's own, with one step on a small tensor.

    Raises:
        RunError: the optimizer is not installed, or does not work on this device.
    """
    if kind == "adamw":
        return
    # Large enough to be held in 8 bits; without random numbers, which would be missing later.
    probe = torch.zeros(64, 64, device=device, requires_grad=True)
    probe.grad = torch.ones_like(probe)
    optimizer = _adamw_8bit()([probe])
    try:
        optimizer.step()
    except Exception as error:  # its kernels raise what they like where there is none for a device
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"optimizer: {kind} does not work on '{device}' ({reason}); set optimizer: adamw") from error


def _adamw_8bit() -> Any:
    try:
        import bitsandbytes
    except (ImportError, RuntimeError, OSError) as error:  # its library may fail to load where it is installed
        raise RunError(
            "optimizer: adamw_8bit needs bitsandbytes; install it with `pip install 'eclectus[bitsandbytes]'`, or set"
            " optimizer: adamw"
        ) from error
    return bitsandbytes.optim.AdamW8bit


def _trained(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]


def add_module(optimizer: torch.optim.Optimizer, module: torch.nn.Module, factor: float) -> None:
    """Let the optimizer train a further module too, with `factor` times the learning rate."""
    optimizer.add_param_group({"params": _trained(module), "factor": factor})


def scheduled(peak: float, step: int, steps: int, warmup: int, floor: float) -> float:
    """Linear warm-up over `warmup` steps, then a linear fall to `floor * peak` at `steps`.

    Args:
        step: counted from 1.
    """
    if step <= warmup:
        return peak * step / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (1 - (1 - floor) * progress)


def update(
    optimizer: torch.optim.Optimizer, learning_rate: float, max_norm: float, scaler: torch.amp.GradScaler | None = None
) -> list[float]:
    """Clip, step, clear; return the gradient's norm of each module before clipping.

    Each module is clipped by itself, so that one that is far off does not take the others' step. Where any gradient is
    not finite none is applied.

    Args:
        scaler: scaled the losses; its scale is taken out of the gradient, and moved by whether that was finite.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    scaled = scaler is not None and scaler.is_enabled() and any(p.grad is not None for p in parameters)
    if scaler is not None and scaled:
        scaler.unscale_(optimizer)
    norms = []
    for group in optimizer.param_groups:
        norms.append(float(torch.nn.utils.clip_grad_norm_(group["params"], max_norm)))
        group["lr"] = learning_rate * group.get("factor", 1.0)
    if all(map(math.isfinite, norms)):
        optimizer.step()
    if scaler is not None and scaled:
        scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return norms
