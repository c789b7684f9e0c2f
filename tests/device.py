"""A device that is not there: its tensors say that they lie on it and hold their values on the CPU.

What a GPU refuses is refused, which is tensors of the host beside its own, and each time that the host has to wait for
a value is counted. So the code for GPUs runs where there is none; kernels, autocast, memory and speed it cannot show.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "meta:1"
"""Autograd knows a thread for each kind of device that torch was built for; `meta` is one that it knows everywhere.
Its number keeps it apart from the plain `meta` that transformers loads models on."""

_DEVICE = torch.device(NAME)
_COPIES = ("aten::_to_copy", "aten::copy_")
_INDEXED = ("aten::index.", "aten::index_put", "aten::_index_put")
_COUNTED = {"aten::nonzero", "aten::_unique2", "aten::unique_dim", "aten::masked_select", "aten::equal"}
"""What has as many results as a value says, or ends on the host."""


class Away(torch.Tensor):
    """A tensor on the device; `held` has its values."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Away:
        made: Away = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=_DEVICE,
        )
        made.held = held
        return made

    def __repr__(self, **_: Any) -> str:
        return f"Away({self.held})"

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            # torch would make an index of a list on `meta`, without its values.
            key = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = args[0], tuple(torch.tensor(part) if isinstance(part, list) else part for part in key), *args[2:]
        with torch._C.DisableTorchFunctionSubclass():
            return args[0].cpu().tolist() if function is torch.Tensor.tolist else function(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{function} is called outside of `pretended`")


class _Made(TorchFunctionMode):
    """Makes tensors of Python's numbers on the host first: `meta` would not have their values."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.Tensor.backward:
            # Within it passes are made again, which ask for tensors as any other: nothing may be switched off.
            run = torch.autograd.Variable._execution_engine.run_backward
            with self:
                ones = (torch.ones_like(args[0]),)
                return run((args[0],), ones, False, False, (), allow_unreachable=True, accumulate_grad=True)
        if function in (torch.tensor, torch.as_tensor) and _meant(kwargs.get("device")):
            return function(*args, **kwargs | {"device": "cpu"}).to(_DEVICE)
        return function(*args, **kwargs)


class Device(TorchDispatchMode):
    """Computes what the device is asked for.

    Args:
        doubles: it has double precision; MPS has not.

    Attributes:
        waits: operations that the host has waited for, in order.
    """

    def __init__(self, doubles: bool = True) -> None:
        super().__init__()
        self.doubles = doubles
        self.waits: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), function.name()
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        ours = any(isinstance(value, Away) for value in given)
        target = kwargs.get("device")
        here = _meant(target)
        if not ours and not here:
            return function(*args, **kwargs)
        if torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd"):
            with self:
                return function.decompose(*args, **kwargs)
        self._refuse(name, args, given)
        leaves = (target is not None and not here) or (name == "aten::copy_" and not isinstance(args[0], Away))
        if leaves or name == "aten::_local_scalar_dense" or name in _COUNTED or _by_mask(name, args):
            self.waits.append(name)
        if here:
            kwargs["device"] = torch.device("cpu")
        made = function(*tree_map(_held, args), **tree_map(_held, kwargs))
        if leaves:
            return args[0] if name == "aten::copy_" else made
        known = {id(value.held): value for value in given if isinstance(value, Away)}  # what works in place

        def wrapped(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            return known[id(value)] if id(value) in known else Away(value)

        found = tree_map(wrapped, made)
        if not self.doubles:
            assert all(v.dtype != torch.float64 for v in tree_leaves(found) if isinstance(v, Away)), f"{name} in double"
        return found

    @staticmethod
    def _refuse(name: str, args: Any, given: list[torch.Tensor]) -> None:
        """What CUDA does not take: other devices' tensors, but for a number, an index, and what is copied."""
        if name in _COPIES:
            return
        if name.startswith(_INDEXED):
            given = [value for value in (args[0], *args[2:3]) if isinstance(value, torch.Tensor)]
        for value in given:
            assert isinstance(value, Away) or (value.device.type == "cpu" and not value.dim()), (
                f"{name}: a tensor of '{value.device}', {tuple(value.shape)}, beside the device's"
            )


def _meant(device: Any) -> bool:
    return isinstance(device, str | torch.device) and torch.device(device) == _DEVICE


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Away) else value


def _by_mask(name: str, args: Any) -> bool:
    return name.startswith(_INDEXED) and any(
        index is not None and index.dtype == torch.bool and index.dim() for index in args[1]
    )


def _moved(module: torch.nn.Module) -> torch.nn.Module:
    """A module whose weights lie on the device; those that it has under two names stay one."""
    weights: dict[int, torch.nn.Parameter] = {}
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                moved = torch.nn.Parameter(weight.detach().to(_DEVICE), weight.requires_grad)
                part._parameters[name] = weights.setdefault(id(weight), moved)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(_DEVICE)
    return module


@contextmanager
def pretended(doubles: bool = True) -> Iterator[Device]:
    """The device is there inside, under `NAME`."""
    to, autocast = torch.nn.Module.to, torch.autocast
    enabled = torch.is_autocast_enabled

    def moving(self: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
        target = kwargs.get("device", args[0] if args else None)
        return _moved(self) if _meant(target) else to(self, *args, **kwargs)

    def enter(self: Any) -> None:
        self.before = torch.is_grad_enabled()
        torch.set_grad_enabled(self.before and not self.mode)

    def leave(self: Any, *_: Any) -> None:
        torch.set_grad_enabled(self.before)

    with (
        # A wrapper made in inference mode can be no view of one that was made outside.
        mock.patch.object(torch.inference_mode, "__enter__", enter),
        mock.patch.object(torch.inference_mode, "__exit__", leave),
        mock.patch.object(torch.nn.Module, "to", moving),
        mock.patch.object(
            torch, "autocast", lambda kind, *a, **k: nullcontext() if kind == "meta" else autocast(kind, *a, **k)
        ),
        mock.patch.object(torch, "is_autocast_enabled", lambda *kind: kind[:1] != ("meta",) and enabled(*kind)),
        _Made(),
        Device(doubles) as device,
    ):
        yield device
