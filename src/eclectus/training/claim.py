"""What a run's folder is held to: one run at a time, begun in an empty folder, and gone on with as it began."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from eclectus import __version__, atomic, parallel
from eclectus.config import RunConfig
from eclectus.errors import RunError

_BEGUN = "begun.json"
"""The settings that a run began with, and its model's fingerprint."""

_WEIGHTS, _CONTROL_RATE = "weights", "control_learning_rate"
"""Keys in it beside the parts."""

_NOT_AT_THAT_RATE = {"supervised", "supervised_back_translation", "reinforce", "constant_reward"}
"""Stages that `control_learning_rate` says nothing about; all others are controls that train on pairs."""

_ABSENT = object()

_LOCK = ".lock"
"""Held by the process that works in the folder."""

_PARTS: dict[str, Any] = {
    **dict.fromkeys(("seed", "data", "policy", "supervised", "back_translation", "reinforce"), True),
    "evaluation": {"dev_segments", "max_length", "engine"},
}
"""What decides the weights; other scores, controls and the machine may change when a run is resumed."""


def check_empty(folder: Path) -> None:
    """Make sure that nothing is in the folder, or that there is none.

    Raises:
        RunError: there is something.
    """
    if not parallel.leads() or not folder.exists():
        return
    if not folder.is_dir() or any(path.name != _LOCK for path in folder.iterdir()):
        raise RunError(f"output: '{folder}' exists; choose another --output, or continue that run with --resume")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other run works in the folder; the system gives it back when the process ends, in whatever way.

    Raises:
        RunError: another one does, or the folder cannot be written.
    """
    if not parallel.leads():
        yield
        return
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(f"output: another run is at work in '{folder}'; wait for its end, or choose another") from error
    except OSError as error:
        raise RunError(f"output: cannot write to '{folder}' ({error}); choose another --output") from error
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):
            (folder / _LOCK).unlink()


def write_settings(config: RunConfig, folder: Path, weights: str | None = None) -> None:
    """Keep what a run begins with: its settings, for `check_settings`, and its loaded model, for `check_weights`."""
    kept = {**_settings(config), _WEIGHTS: weights}
    atomic.write(folder / _BEGUN, json.dumps(kept, ensure_ascii=False))


def check_settings(config: RunConfig, folder: Path) -> None:
    """Make sure that a run goes on as it began: what is trained already would be told with other settings.

    Raises:
        RunError: the configuration has been changed since.
    """
    before = _begun(folder)
    before.pop(_WEIGHTS, None)
    if not _a_control_has_trained(folder):
        before.pop(_CONTROL_RATE, None)
    # What an earlier version did not keep cannot have changed.
    now = {key: value for key, value in json.loads(json.dumps(_settings(config))).items() if key in before}
    if not now:
        return
    changed = _difference(before, now, every=before.get("eclectus") == now["eclectus"])
    if changed is not None:
        raise RunError(
            f"resume: '{changed}' in '{folder / 'config.yaml'}' is not what the run began with; put it back, or start a"
            " new run"
        )


def check_weights(config: RunConfig, folder: Path, weights: str | None) -> None:
    """Make sure that the model that was loaded is the one that the run began with.

    Args:
        weights: its `fingerprint`; None where the run makes its own.

    Raises:
        RunError: it has other weights.
    """
    before = _begun(folder).get(_WEIGHTS)
    if before is not None and weights is not None and before != weights:
        raise RunError(
            f"resume: the model '{config.policy.path}' has other weights than when the run began; put back what was"
            " there, or start a new run"
        )


def wrote_every_prompt(folder: Path) -> bool:
    """Whether a run is of a version that wrote the default prompt into config.yaml where none had been given."""
    return (folder / _BEGUN).exists() and _WEIGHTS not in _begun(folder)


def _begun(folder: Path) -> dict[str, Any]:
    """What `write_settings` kept; nothing in folders of early versions."""
    path = folder / _BEGUN
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _a_control_has_trained(folder: Path) -> bool:
    return any(path.name not in _NOT_AT_THAT_RATE for path in folder.glob("checkpoints/*"))


def _settings(config: RunConfig) -> dict[str, Any]:
    return {"eclectus": __version__, **config.model_dump(mode="json", include={**_PARTS, _CONTROL_RATE: True})}


def _difference(before: Any, now: Any, *, every: bool) -> str | None:
    """The first key whose values differ, "" for the values themselves.

    Args:
        every: a key that only one of them has counts; not where the versions differ, which may have other keys.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [key for key in {**before, **now} if key != "eclectus" and (every or (key in before and key in now))]
        pairs = [(key, before.get(key, _ABSENT), now.get(key, _ABSENT)) for key in keys]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = [(str(place), *pair) for place, pair in enumerate(zip(before, now, strict=True))]
    else:
        return None if before == now else ""
    for key, one, two in pairs:
        found = _difference(one, two, every=every)
        if found is not None:
            return f"{key}.{found}" if found else key
    return None
