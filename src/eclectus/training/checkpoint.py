"""Checkpoints: safetensors and JSON, written under a temporary name and renamed, so that none is ever half there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from eclectus import atomic, parallel
from eclectus.errors import RunError
from eclectus.training.optimizer import keeper


@dataclass
class Checkpoint:
    """What a trainer needs to go on: tensors by group ("model", "best", "optimizer") and plain values."""

    tensors: dict[str, dict[str, torch.Tensor]]
    state: dict[str, Any]


def save(folder: Path, step: int, checkpoint: Checkpoint) -> None:
    """Write `folder/step-N` and remove the older ones.

    Raises:
        RunError: the disk is full or not writable; the checkpoint before stays.
    """
    if parallel.leads():  # one is enough, and they are large
        _write(folder, step, checkpoint)
    # The others wait: where a run was stopped their end is what makes a launcher end the leader too.
    parallel.leaders(None)


def _write(folder: Path, step: int, checkpoint: Checkpoint) -> None:
    final = folder / f"step-{step:07d}"
    try:
        with atomic.folder(final) as made:
            for name, group in checkpoint.tensors.items():
                save_file({k: v.detach().contiguous().cpu() for k, v in group.items()}, made / f"{name}.safetensors")
            atomic.write(made / "state.json", json.dumps(checkpoint.state))
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"checkpoint: cannot write '{final}' ({error}); free some space and continue with --resume"
        ) from error
    for old in sorted(folder.glob("step-*")):
        if old != final:
            shutil.rmtree(old, ignore_errors=True)


def slim(folder: Path, groups: Collection[str]) -> None:
    """Of the checkpoint below `folder`, keep these groups of tensors alone: no training goes on from it."""
    if parallel.leads():
        for file in folder.glob("step-*/*.safetensors"):
            if file.stem not in groups:
                file.unlink()


def latest(folder: Path) -> Checkpoint | None:
    """Read the newest checkpoint below `folder`, or None.

    Raises:
        RunError: its files are damaged.
    """
    found = sorted(folder.glob("step-*"))
    if not found:
        return None
    try:
        tensors = {file.stem: load_file(file) for file in sorted(found[-1].glob("*.safetensors"))}
        state = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise ValueError("state.json holds no values by name")
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"checkpoint: '{found[-1]}' is damaged ({error}); remove that folder to start again") from error
    return Checkpoint(tensors, state)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the trainable parameters by name; tied ones appear once. Collective where they are split."""
    return {name: parallel.whole(value) for name, value in model.named_parameters() if value.requires_grad}


def load_weights(model: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
    """Put back what `weights` took."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in values:
                parallel.piece(parameter).copy_(parallel.cut(values[name], parameter))


def optimizer_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's tensors for the parameters of `model`, named `<parameter>|<key>`; a plain number as an int64.

    Of several processes, which share the optimizer out, the first gets the tensors of all. Collective.
    """
    found: dict[str, torch.Tensor] = {}
    places: set[int] = set()
    for name, parameter in model.named_parameters():
        kept = keeper(optimizer, parameter)
        if kept is None:
            continue
        holder, own = kept
        for key, value in holder.state.get(own, {}).items():
            tensor = value if torch.is_tensor(value) else torch.tensor(value, dtype=torch.int64)
            # The 8-bit optimizer's code book is one tensor for all parameters, which safetensors does not write.
            found[f"{name}|{key}"] = tensor.clone() if tensor.data_ptr() in places else tensor
            places.add(tensor.data_ptr())
    return parallel.united(found)


def load_optimizer_tensors(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, values: dict[str, torch.Tensor]
) -> None:
    """Put back what `optimizer_tensors` took."""
    parameters = dict(model.named_parameters())
    for key, value in values.items():
        name, _, field = key.rpartition("|")
        kept = keeper(optimizer, parameters[name]) if name in parameters else None
        if kept is None:
            continue
        holder, own = kept
        if value.dtype == torch.int64 and value.ndim == 0:
            holder.state[own][field] = int(value)
        elif field == "step":  # stays where the optimizer wants it, on the CPU
            holder.state[own][field] = value.clone()
        else:
            holder.state[own][field] = parallel.cut(value, parameters[name]).to(own.device).clone()
