"""What the benchmarks share: two ways of doing the same work timed in turn, their memory, and the file of results.

Machines drift and differ, so only ratios of one run count. A ratio says how many times better this project is than
its peer: time or memory of the peer over ours, so that more is always better. Each row goes into `latest.json` beside
this file, in place of the row of the same name, with the machine and the versions that it was measured with. Numbers
of a machine that had other work do not stand: `load`, the mean number of busy processes in the minute before, tells.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import torch

A = TypeVar("A")
B = TypeVar("B")

_STATUS = Path("/proc/self/status")
LATEST = Path(__file__).with_name("latest.json")
_PACKAGES = ("torch", "transformers", "trl", "accelerate", "ctranslate2", "sacrebleu", "rouge-score", "numpy")


def compare(
    name: str,
    ours: Callable[[], A],
    peer: Callable[[], B],
    runs: int = 5,
    clock: Callable[[], float] = time.perf_counter,
    goal: float | None = None,
) -> list[tuple[A, B]]:
    """Run both once to warm up, then in turn; print and keep the medians and the median of the paired ratios.

    Args:
        name: printed in front.
        ours: one way to do the work.
        peer: the other way.
        runs: how often each runs.
        clock: seconds; `time.process_time` leaves out what else the machine does, for work in one thread.
        goal: the ratio to be reached.

    Returns:
        what both returned, run by run, the first being the warm-up.
    """
    results = [(ours(), peer())]
    pairs = []
    for _ in range(runs):
        (fast, made), (slow, expected) = timed(ours, clock), timed(peer, clock)
        pairs.append((fast, slow))
        results.append((made, expected))
    report(name, pairs, goal)
    return results


def heading(peer: str) -> None:
    """Print the columns' names."""
    print(f"{'':<58} {'eclectus':>12} {peer:>12}  ratio   goal")


def report(name: str, pairs: Sequence[tuple[float, float]], goal: float | None = None, unit: str = "s") -> None:
    """Print one row and put it into `latest.json`.

    Args:
        pairs: what ours and the peer took, measured side by side.
        unit: "s", or "MB".
    """
    ours, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    scale, shown = (1e3, "ms") if unit == "s" else (1, unit)
    wanted = "" if goal is None else f"  {goal:4.2f}x {'reached' if ratio >= goal else 'MISSED'}"
    print(f"{name:<58} {ours * scale:9.1f} {shown} {peer * scale:9.1f} {shown}  {ratio:5.2f}x{wanted}", flush=True)
    row = {
        "name": name, "ratio": _short(ratio), "goal": goal, "ours": _short(ours), "peer": _short(peer), "unit": unit,
        "runs": len(pairs), "machine": machine(), "versions": versions(),
    }  # fmt: skip
    rows = json.loads(LATEST.read_text(encoding="utf-8")) if LATEST.exists() else []
    rows = sorted([*(r for r in rows if r["name"] != name), row], key=lambda r: r["name"])
    LATEST.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def same(what: str, ours: Any, peer: Any) -> None:
    """Refuse to compare different work.

    Raises:
        SystemExit: `ours` and `peer` are not equal.
    """
    if ours != peer:
        raise SystemExit(f"not the same work: {what} is {ours} here and {peer} at the peer, so the times mean nothing")


def near(what: str, ours: float, peer: float, share: float) -> None:
    """Refuse to compare work that differs by more than a share; see `same`."""
    if abs(ours - peer) > share * max(abs(ours), abs(peer)):
        same(what, ours, peer)


def timed(work: Callable[[], A], clock: Callable[[], float] = time.perf_counter) -> tuple[float, A]:
    """Seconds that the work took, and its result."""
    started = clock()
    result = work()
    return clock() - started, result


def added_memory(work: Callable[[], Any]) -> float:
    """MB by which the work lifts the process's peak of resident memory.

    It counts every allocator and what they do not give back. Only the first call of a process tells anything, because
    what is not given back is used again: see `in_new_process`. Where the peak cannot be forgotten (not on Linux), work
    that needs less than what was loaded before it seems to need nothing.
    """
    if _STATUS.exists():
        _STATUS.with_name("clear_refs").write_text("5", encoding="ascii")  # the peak is what is resident now
    before = _peak()
    work()
    return _peak() - before


def in_new_process(script: str, *arguments: str) -> Any:
    """Run a benchmark script with arguments by itself and return the JSON value of the last line that it prints."""
    # Freed blocks go back to the system at once, so that what one part of a step leaves behind does not hide another.
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> dict[str, Any]:
    """Processor, threads, and how busy the machine was before."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
    }


def versions() -> dict[str, str]:
    """Versions of this project, of Python and of what is compared."""
    found = {"eclectus": version("eclectus"), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _peak() -> float:
    if _STATUS.exists():
        (line,) = [row for row in _STATUS.read_text(encoding="ascii").splitlines() if row.startswith("VmHWM")]
        return int(line.split()[1]) / 2**10
    # Bytes on macOS, KiB on Linux.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _short(value: float) -> float:
    return float(f"{value:.4g}")
