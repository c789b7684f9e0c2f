"""The optimizer and the learning-rate schedules that every trainer shares."""

from __future__ import annotations

import math
from typing import Any

import torch

from eclectus import parallel
from eclectus.config import Optimizer
from eclectus.errors import RunError
from eclectus.training.kept import Kept


def build_optimizer(kind: Optimizer, model: torch.nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """The optimizer that a training names, over the trainable parameters of `model`.

    AdamW has the betas usual for translation (Vaswani et al. 2017, section 5.3) and no weight decay; `adamw_8bit` holds
    its moments in blocks of 8 bits (Dettmers et al. 2022), in 32 for tensors under 4,096 elements. Several processes
    share it out.

    Raises:
        RunError: bitsandbytes is not installed.
    """
    made = torch.optim.AdamW if kind == "adamw" else _adamw_8bit()
    settings: dict[str, Any] = {"lr": learning_rate, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.0}
    if parallel.size() == 1:
        return made(_trained(model), **settings)
    return SharedOptimizer(_trained(model), made, settings)


class SharedOptimizer(torch.optim.Optimizer):
    """An optimizer of which each process keeps the moments of its part of the parameters, moves that part and hands it
    to the others (stage 1 of ZeRO, Rajbhandari et al. 2020, arXiv:1910.02054).

    Args:
        made: the optimizer that moves a part, given `settings`.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], made: Any, settings: dict[str, Any]) -> None:
        self._made, self._settings = made, settings
        self._kept: list[Kept] = []
        # By identity, since tensors compare by their elements.
        self._own: dict[int, torch.nn.Parameter] = {}
        self.moves: torch.optim.Optimizer
        """What moves this process's part."""
        super().__init__(parameters, settings)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        parameters = self.param_groups[-1]["params"]
        kept = Kept({str(number): value for number, value in enumerate(parameters)})
        own = {id(parameters[int(name)]): torch.nn.Parameter(value) for name, value in kept.own().items()}
        group = {"params": list(own.values())}
        if self._kept:
            self.moves.add_param_group(group)
        else:
            self.moves = self._made([group], **self._settings)
        self._kept.append(kept)
        self._own |= own

    def own(self, parameter: torch.nn.Parameter) -> torch.nn.Parameter | None:
        """What of a parameter is moved here, sharing its memory; None: another process moves it."""
        return self._own.get(id(parameter))

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # of a closure nobody asks for the loss
        """Move the parameters by their gradients, which all processes have."""
        for group, moved in zip(self.param_groups, self.moves.param_groups, strict=True):
            moved["lr"] = group["lr"]
            for parameter in group["params"]:
                if (own := self.own(parameter)) is not None:
                    own.grad = None if parameter.grad is None else parallel.piece(parameter.grad)
        self.moves.step()
        self.moves.zero_grad(set_to_none=True)
        for kept in self._kept:
            kept.hand_out()


def keeper(
    optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter
) -> tuple[torch.optim.Optimizer, torch.nn.Parameter] | None:
    """What keeps the moments of a parameter in this process, and for which tensor; None: another process keeps them."""
    if not isinstance(optimizer, SharedOptimizer):
        return optimizer, parameter
    own = optimizer.own(parameter)
    return None if own is None else (optimizer.moves, own)


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


def expected_steps(step: int, steps: int, spent: float, seconds: float | None) -> int:
    """How many steps a training will have that ends at `steps` or after so many `seconds`, by its pace so far.

    Args:
        step: the present one, counted from 1.
        spent: seconds of the steps before it.
    """
    if seconds is None or not spent:
        return steps
    return min(steps, max(step, round((step - 1) * seconds / spent)))


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
        norms.append(_clip(group["params"], max_norm))
        group["lr"] = learning_rate * group.get("factor", 1.0)
    if all(map(math.isfinite, norms)):
        optimizer.step()
    if scaler is not None and scaled:
        scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return norms


def _clip(parameters: list[torch.nn.Parameter], max_norm: float) -> float:
    """Scale the gradients down to a norm of at most `max_norm` together; returns their norm before."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    split = [parallel.piece(gradient) for gradient in gradients if parallel.is_split(gradient)]
    if not split:
        return float(torch.nn.utils.clip_grad_norm_(parameters, max_norm))
    whole = [gradient for gradient in gradients if not parallel.is_split(gradient)]
    squared = parallel.add(torch.nn.utils.get_total_norm(split) ** 2)
    norm = (squared + torch.nn.utils.get_total_norm(whole) ** 2).sqrt()
    for gradient in [*whole, *split]:
        gradient.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0))
    return float(norm)
