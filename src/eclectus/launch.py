"""Several processes on this machine: of one command, for `--processes`; `parallel` is what they do together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

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


def run(processes: int, arguments: Sequence[str]) -> int:
    """Run `eclectus <arguments>` in that many processes, each with its share of the cores.

    The first that fails ends the others. An interrupt reaches them all from the terminal; their leader saves.

    Returns:
        0, or the exit status of the first that failed.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    shared |= threads(processes)
    command = [sys.executable, "-m", "eclectus", *arguments]
    # No more than not to end here; the children have their own, because a function is not inherited.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        started = [
            subprocess.Popen(command, env=os.environ | shared | {"RANK": str(number), "LOCAL_RANK": str(number)})
            for number in range(processes)
        ]
        return _wait(started)
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(started: Sequence[subprocess.Popen[bytes]]) -> int:
    while True:
        codes = [process.poll() for process in started]
        failed = next((code for code in codes if code), None)
        if failed is None and None not in codes:
            return 0
        if failed is not None:
            break
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
