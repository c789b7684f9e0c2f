"""Several processes on this machine, and how they are stopped; `parallel` is what those of one run do together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eclectus.errors import InterruptedRunError

_POLL = 0.1
"""Seconds between two looks at the processes."""

_PATIENCE = 10.0
"""Seconds in which a process that was asked to end may do so."""


def launched() -> bool:
    """Whether this process is one of several already, by this or by another launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def threads(processes: int) -> dict[str, str]:
    """The environment that gives each of several processes its share of the cores; a setting that is there stays."""
    # More threads than cores would wait for each other.
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, _cores() // processes)))}


@contextmanager
def on_signals(handler: Callable[..., Any], *numbers: signal.Signals) -> Iterator[None]:
    """Handle signals so inside; where another thread than the main one asks, whoever runs it owns them."""
    try:
        before = {number: signal.signal(number, handler) for number in numbers}
    except ValueError:
        before = {}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def ended_together(started: Collection[subprocess.Popen[Any]]) -> Iterator[None]:
    """Pass SIGTERM on to what is started inside: schedulers and containers send it to the first process alone."""

    def end(*_: Any) -> None:
        for process in list(started):
            process.terminate()

    with on_signals(end, signal.SIGTERM):
        yield


def run(processes: int, arguments: Sequence[str]) -> int:
    """Run `eclectus <arguments>` in that many processes, each with its share of the cores.

    The first that fails ends the others. Where they are stopped (Ctrl-C, SIGTERM), their leader saves.

    Returns:
        0, or the exit status of the first that failed.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    shared |= threads(processes)
    command = [sys.executable, "-m", "eclectus", *arguments]
    started: list[subprocess.Popen[bytes]] = []
    # The terminal interrupts the children too, so here no more than not to end; a function is not inherited.
    with on_signals(lambda *_: None, signal.SIGINT), ended_together(started):
        for number in range(processes):
            own = {"RANK": str(number), "LOCAL_RANK": str(number)}
            started.append(subprocess.Popen(command, env=os.environ | shared | own))
        return _wait(started)


def _wait(started: Sequence[subprocess.Popen[bytes]]) -> int:
    while True:
        codes = [process.poll() for process in started]
        # Who was stopped does not end the leader, which may be writing still.
        failed = next((code for code in codes if code not in (None, 0, InterruptedRunError.exit_code)), None)
        if failed is not None:
            break
        if None not in codes:
            return InterruptedRunError.exit_code if any(codes) else 0
        time.sleep(_POLL)
    for process in started:
        if process.poll() is None:
            process.terminate()
    for process in started:
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    return failed if failed > 0 else 128 - failed


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
