"""Several processes on this machine, and how they are stopped; `parallel` is what those of one run do together."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eclectus.errors import InterruptedRunError

_POLL = 0.1
"""Seconds between two looks at the processes."""

_PATIENCE = 10.0
"""Seconds in which the others end once one of them was stopped."""


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
            if previous is not None:  # None: not installed from Python, so Python cannot put it back
                signal.signal(number, previous)


class Children:
    """Processes that SIGTERM is passed on to: schedulers and containers send it to the first process alone."""

    def __init__(self) -> None:
        self.ended = False
        """Whether SIGTERM has come."""
        self._started: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def ended_together(self) -> Iterator[None]:
        """Pass SIGTERM on inside."""
        with on_signals(self._end, signal.SIGTERM):
            yield

    def start(self, command: Sequence[str], **settings: Any) -> subprocess.Popen[bytes]:
        """Start one more."""
        process = subprocess.Popen(command, **settings)
        self._started.append(process)
        if self.ended:  # before the signal could reach it
            process.terminate()
        return process

    def _end(self, *_: Any) -> None:
        self.ended = True
        for process in list(self._started):
            process.terminate()


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
    children = Children()
    # The terminal interrupts the children too, so here no more than not to end; a function is not inherited.
    with on_signals(lambda *_: None, signal.SIGINT), children.ended_together():
        own = ({"RANK": str(number), "LOCAL_RANK": str(number)} for number in range(processes))
        return _wait([children.start(command, env=os.environ | shared | which) for which in own])


def _wait(started: Sequence[subprocess.Popen[bytes]]) -> int:
    stopped = InterruptedRunError.exit_code
    until, failed = math.inf, 0
    while not failed:
        codes = [process.poll() for process in started]
        if None not in codes and not any(codes):
            return 0
        failed = next((code for code in codes if code not in (None, 0, stopped)), 0)
        if stopped in codes:
            # All save before the first of them ends; one that waits for the others inside of a library never does.
            until = min(until, time.monotonic() + _PATIENCE)
            if None not in codes or time.monotonic() >= until:
                failed = failed or stopped
        time.sleep(_POLL)
    for process in started:
        # Not by SIGTERM, which asks to save, together with the one that has failed.
        process.kill()
        process.wait()
    return failed if failed > 0 else 128 - failed


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
