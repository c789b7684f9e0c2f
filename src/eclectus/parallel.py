"""Processes that train one policy together, as `--processes`, `torchrun` or `accelerate launch` starts them.

Every process runs the same program with the same seeds and holds the whole state: prompts, rewards, advantages,
decisions. What takes the time is shared out: translating, drawing samples, and the passes of an update. The parts are
exchanged and gradients added, and so all processes make the step that one alone would have made. What is kept for each
weight, such as the optimizer's moments, is shared out too. The first process leads: it writes the run's folder, and the
others write to temporary ones.

With a process alone, every function here does nothing and costs nothing. They are collective: all processes must call
them in the same order.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed

from eclectus.errors import RunError
from eclectus.launch import launched

T = TypeVar("T")

_TIMEOUT = timedelta(hours=2)
"""Longest wait for another process; what only one of them does, such as loading a model, must fit in."""


def begin() -> None:
    """Join the other processes that the launcher has started, if it started any.

    Raises:
        RunError: they cannot be reached, there are fewer GPUs than processes on this machine, or the launcher was told
            to split the model.
    """
    if not launched() or distributed.is_initialized():
        return
    for kind, variable in (("FSDP", "ACCELERATE_USE_FSDP"), ("DeepSpeed", "ACCELERATE_USE_DEEPSPEED")):
        if os.environ.get(variable, "false").lower() == "true":
            raise RunError(
                f"processes: {kind} is not supported, the model is whole in every process; start with `accelerate"
                " launch --multi_gpu`, or with torchrun"
            )
    cuda = torch.cuda.is_available()
    if cuda and local() >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise RunError(
            f"processes: this machine has more of them than GPUs ({count}); start {count}, or hide the GPUs with"
            " CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
    if cuda:
        torch.cuda.set_device(local())
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(
            f"processes: cannot join the others ({reason}); start all with `eclectus train CONFIG"
            " --processes N`, or with torchrun"
        ) from error
    atexit.register(distributed.destroy_process_group)


def size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if size() > 1 else 0


def local() -> int:
    """The number of this process on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def leads() -> bool:
    """Whether this process writes the run's folder and talks to the user."""
    return rank() == 0


def share(items: Sequence[T]) -> Sequence[T]:
    """This process's part of some work: every n-th item."""
    return items[rank() :: size()]


def gather(value: T) -> list[T]:
    """What each process has, in their order."""
    if size() == 1:
        return [value]
    found: list[Any] = [None] * size()
    with _another_may_have_ended():
        distributed.all_gather_object(found, value)
    return found


def joined(own: Sequence[T]) -> list[T]:
    """What all made of their `share` of some items, in the order of the items."""
    parts = gather(list(own))
    found: list[Any] = [None] * sum(map(len, parts))
    for number, part in enumerate(parts):
        found[number :: len(parts)] = part
    return found


def leaders(value: T) -> T:
    """What the first process has: for clocks and signals, which differ."""
    if size() == 1:
        return value
    box = [value]
    with _another_may_have_ended():
        distributed.broadcast_object_list(box, src=0)
    return box[0]


def now() -> float:
    """Seconds of a clock that all processes read alike."""
    return leaders(time.monotonic())


def add(tensor: torch.Tensor) -> torch.Tensor:
    """Add up the tensor over all processes, in place."""
    if size() > 1:
        with _another_may_have_ended():
            distributed.all_reduce(tensor)
    return tensor


def add_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Add up the gradients; one that no process has stays away, so that its optimizer state is not moved."""
    if size() == 1:
        return
    trained = [p for p in parameters if p.requires_grad]
    there = torch.tensor([p.grad is not None for p in trained], dtype=torch.int32)
    wanted = [p for p, count in zip(trained, add(there).tolist(), strict=True) if count]
    by_type: dict[tuple[torch.device, torch.dtype], list[torch.nn.Parameter]] = {}
    for parameter in wanted:
        by_type.setdefault((parameter.device, parameter.dtype), []).append(parameter)
    for same in by_type.values():
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in same])
        for parameter, part in zip(same, add(flat).split([p.numel() for p in same]), strict=True):
            parameter.grad = part.view_as(parameter)


def owners(sizes: Sequence[int]) -> list[int]:
    """For each of several tensors the process that keeps it, so that all keep about as many elements."""
    kept = [0] * size()
    found = [0] * len(sizes)
    for place in sorted(range(len(sizes)), key=lambda place: (-sizes[place], place)):
        found[place] = kept.index(min(kept))
        kept[found[place]] += sizes[place]
    return found


def hand_out(tensors: Sequence[torch.Tensor], by: Sequence[int]) -> None:
    """Overwrite each tensor, in place, with that of its owner."""
    if size() == 1:
        return
    with _another_may_have_ended():
        waiting = [
            distributed.broadcast(tensor.detach(), src=owner, async_op=True)
            for tensor, owner in zip(tensors, by, strict=True)
        ]
        for work in waiting:
            work.wait()


def united(part: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """For the first process what all of them keep, in its memory; the others keep their part."""
    if size() == 1:
        return part
    found: list[Any] | None = [None] * size() if leads() else None
    with _another_may_have_ended():
        distributed.gather_object({name: value.detach().cpu() for name, value in part.items()}, found)
    return part if found is None else {name: value for other in found for name, value in other.items()}


@contextmanager
def own_folder(folder: Path, *, resume: bool) -> Iterator[Path]:
    """Where this process writes: the run's folder, or a temporary one that begins as a copy of it to be resumed."""
    if leads():
        leaders(None)  # made and checked
        gather(None)  # copied
        yield folder
        return
    leaders(None)
    with tempfile.TemporaryDirectory(prefix="eclectus-") as place:
        own = Path(place) / folder.name
        if resume:
            shutil.copytree(folder, own, ignore=shutil.ignore_patterns("model"))
        own.mkdir(exist_ok=True)
        gather(None)
        yield own


@contextmanager
def _another_may_have_ended() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RunError(
            "processes: another one has ended or cannot be reached any more, see its error; what was saved can be"
            " continued with --resume"
        ) from error
