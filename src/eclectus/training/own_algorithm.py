"""The two methods of an algorithm, called so that a mistake in a user's own is one sentence, not numbers or a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from eclectus.algorithms.base import AdvantageInputs, Algorithm, Signals
from eclectus.algorithms.losses import LossInputs
from eclectus.errors import RunError
from eclectus.own import is_own, place, telling, written
from eclectus.policies.base import Policy

_LOSS = "return (loss, numbers): a tensor of one number with gradient, and a dictionary of numbers for the log"


def build(algorithm: Algorithm, policy: Policy, seed: int) -> None:
    """Call `algorithm.build`.

    Raises:
        RunError: the algorithm is not ours, and failed.
    """
    if not is_own(algorithm):
        return algorithm.build(policy, seed)
    with telling(_error(algorithm), algorithm, "build", "make the algorithm's module for any policy"):
        return algorithm.build(policy, seed)


def signals(algorithm: Algorithm, inputs: AdvantageInputs) -> Signals:
    """Call `algorithm.signals`.

    Raises:
        RunError: the algorithm is not ours, and failed or did not return what a step can learn from.
    """
    if not is_own(algorithm):
        return algorithm.signals(inputs)
    said = "advantages" if type(algorithm).signals is Algorithm.signals else "signals"
    shape = list(inputs.rewards.shape)
    wanted = f"return a float tensor [B, G], here {shape}, or [B, G, T] with one value for each token"
    if inputs.mask is not None:
        wanted += f", here {list(inputs.mask.shape)}"
    if said == "signals":
        wanted = f"return Signals, whose advantages are a float tensor{wanted.removeprefix('return a float tensor')}"
    with telling(_error(algorithm), algorithm, said, wanted):
        found: Any = algorithm.signals(inputs)
    if not isinstance(found, Signals):
        raise _returned(algorithm, said, _kind(found), wanted)
    _check_values(algorithm, said, "advantages", found.advantages, inputs, wanted)
    wrong = (~found.advantages.isfinite()).flatten(1).any(dim=1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise _returned(
            algorithm,
            said,
            f"NaN or infinity for {int(wrong.sum())} of {len(wrong)} sources, first for the rewards"
            f" {[round(reward, 4) for reward in inputs.rewards[row].tolist()]}",
            "give finite numbers, and 0 where a reward is NaN (not judged) or nothing is to be learnt",
        )
    for name in ("targets", "values"):
        if (value := getattr(found, name)) is not None:
            whole = f"return {name} as a float tensor [B, G, T], one for each token"
            _check_values(algorithm, said, name, value, inputs, whole, every_token=True)
    return found


def loss(algorithm: Algorithm, inputs: LossInputs) -> tuple[torch.Tensor, Mapping[str, float]]:
    """Call `algorithm.loss`.

    Raises:
        RunError: the algorithm is not ours, and failed or did not return a loss that can be learnt from and numbers.
    """
    if not is_own(algorithm):
        return algorithm.loss(inputs)
    with telling(_error(algorithm), algorithm, "loss", _LOSS):
        found: Any = algorithm.loss(inputs)
    if isinstance(found, torch.Tensor):
        raise _returned(algorithm, "loss", f"{_kind(found)} alone", _LOSS)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise _returned(algorithm, "loss", _kind(found), _LOSS)
    value, metrics = found
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.is_floating_point():
        raise _returned(algorithm, "loss", f"{_kind(value)} as its loss", _LOSS)
    if not value.requires_grad:
        raise _returned(
            algorithm,
            "loss",
            "a loss without gradient, from which nothing can be learnt",
            "compute the loss from inputs.logprobs (neither detached nor under no_grad) or with the algorithm's module",
        )
    if not isinstance(metrics, Mapping):
        raise _returned(algorithm, "loss", f"{_kind(metrics)} for the log", _LOSS)
    return value.reshape(()), {_name(algorithm, name): _number(algorithm, name, v) for name, v in metrics.items()}


def _check_values(
    algorithm: Algorithm,
    method: str,
    name: str,
    values: Any,
    inputs: AdvantageInputs,
    wanted: str,
    *,
    every_token: bool = False,
) -> None:
    shape, said = tuple(inputs.rewards.shape), "" if method == name else f" as its {name}"
    if not isinstance(values, torch.Tensor) or not values.is_floating_point():
        raise _returned(algorithm, method, f"{_kind(values)}{said}", wanted)
    widths = set(values.shape[2:]) if inputs.mask is None else {inputs.mask.shape[2]} | (set() if every_token else {1})
    fits = values.shape == shape and not every_token
    if not fits and not (values.dim() == 3 and values.shape[:2] == shape and values.shape[2] in widths):
        raise _returned(algorithm, method, f"{_kind(values)}{said}", wanted)


def _name(algorithm: Algorithm, name: Any) -> str:
    if not isinstance(name, str):
        raise _returned(algorithm, "loss", f"{name!r} as a name for the log", "name each number by a string")
    if name == "loss":
        taken = "'loss' as a name for the log, where the trainer writes the loss itself"
        raise _returned(algorithm, "loss", taken, "choose another name, or leave it out")
    return name


def _number(algorithm: Algorithm, name: str, value: Any) -> float:
    try:
        if isinstance(value, str | bytes):  # float() would read "0.5"
            raise TypeError
        return float(value.detach() if isinstance(value, torch.Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _returned(
            algorithm, "loss", f"{_kind(value)} for '{name}' in the log", "give one number for each name"
        ) from error


def _kind(value: Any) -> str:
    """What a value is, in a few words."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {list(value.shape)} ({str(value.dtype).removeprefix('torch.')})"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"


def _returned(algorithm: Algorithm, method: str, what: str, wanted: str) -> RunError:
    return _error(algorithm)(f"{method} at {place(algorithm, method)} returned {what}; it must {wanted}")


def _error(algorithm: Algorithm) -> Callable[[str], RunError]:
    return lambda sentence: RunError(f"algorithm '{written(algorithm)}': {sentence}")
