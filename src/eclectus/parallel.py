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
import json
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
            to move weights out of the GPUs.
    """
    if not launched() or distributed.is_initialized():
        return
    _check_offload()
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


def asked_to_split() -> bool:
    """Whether `accelerate launch` was told to split the layers: by FSDP, or by stage 2 or 3 of DeepSpeed's ZeRO."""
    return launched() and (_told("ACCELERATE_USE_FSDP") or _zero_stage() in ("2", "3"))


def _told(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() == "true"


def _zero_stage() -> str:
    if not _told("ACCELERATE_USE_DEEPSPEED"):
        return "0"
    return os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") or str(_deepspeed_file().get("stage", "0"))


def _deepspeed_file() -> dict[str, Any]:
    """`zero_optimization` of a `deepspeed_config_file`, of which accelerate passes on the name alone."""
    path = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if path.lower() in ("", "none"):
        return {}
    try:
        return dict(json.loads(Path(path).read_text(encoding="utf-8")).get("zero_optimization", {}))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"processes: accelerate's deepspeed_config_file '{path}' cannot be read as JSON ({error}); name a file with"
            " zero_optimization.stage, or give zero_stage in deepspeed_config"
        ) from error


def _check_offload() -> None:
    places = [os.environ.get(f"ACCELERATE_DEEPSPEED_OFFLOAD_{what}_DEVICE", "none") for what in ("OPTIMIZER", "PARAM")]
    if _told("ACCELERATE_USE_DEEPSPEED"):
        given = (_deepspeed_file().get(f"offload_{what}") or {} for what in ("optimizer", "param"))
        places += [str(part.get("device", "none") if isinstance(part, dict) else part) for part in given]
    if _told("FSDP_OFFLOAD_PARAMS") or any(place not in ("none", "") for place in places):
        raise RunError(
            "processes: weights and moments stay on the GPUs, nothing is moved out of them; drop the offload settings"
            " of accelerate's configuration"
        )


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
    """Add up the gradients; one that no process has stays away, so that its optimizer state is not moved.

    Those of split parameters have been exchanged by the passes that made them, which leave their mean.
    """
    if size() == 1:
        return
    trained = []
    for parameter in parameters:
        if not is_split(parameter):
            trained += [parameter] if parameter.requires_grad else []
        elif parameter.grad is not None:
            piece(parameter.grad).mul_(size())
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
    """For the first process what all of them keep, in its memory; the others keep their part.

    What several keep under one name are the pieces of a split tensor, or a number that is the same for all.
    """
    if size() == 1:
        return part
    found: list[Any] | None = [None] * size() if leads() else None
    with _another_may_have_ended():
        distributed.gather_object({name: value.detach().cpu() for name, value in part.items()}, found)
    if found is None:
        return part
    pieces: dict[str, list[torch.Tensor]] = {}
    for other in found:
        for name, value in other.items():
            pieces.setdefault(name, []).append(value)
    return {name: torch.cat(values) if values[0].ndim else values[0] for name, values in pieces.items()}


def is_split(tensor: torch.Tensor) -> bool:
    """Whether each process holds some rows of the tensor only, as FSDP gives them out."""
    return hasattr(tensor, "to_local")


def piece(tensor: torch.Tensor) -> torch.Tensor:
    """The rows of a split tensor that this process holds, not copied; a whole one as it is."""
    if not is_split(tensor):
        return tensor
    split: Any = tensor.detach()
    own: torch.Tensor = split.to_local()
    return own


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of all rows of a tensor; collective where it is split, and in the processor's memory."""
    if not is_split(tensor):
        return tensor.detach().clone()
    split: Any = tensor.detach()
    with _another_may_have_ended():
        rows: torch.Tensor = split.full_tensor()
    return rows.cpu()


def cut(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Of a whole tensor the rows that this process holds of `like`, all of them where that is whole."""
    if not is_split(like):
        return tensor
    parts = tensor.chunk(size())
    return parts[rank()] if rank() < len(parts) else tensor[:0]


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
            shutil.copytree(folder, own, ignore=shutil.ignore_patterns("model", ".lock"))
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
