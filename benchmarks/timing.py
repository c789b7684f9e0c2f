"""Time two ways of doing the same work in turn and print the ratio; machines drift, so only ratios of one run count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def compare(
    name: str,
    ours: Callable[[], A],
    peer: Callable[[], B],
    runs: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> list[tuple[A, B]]:
    """Run both once to warm up, then in turn; print the medians and the median of the paired ratios.

    Args:
        name: printed in front.
        ours: one way to do the work.
        peer: the other way.
        runs: how often each runs.
        clock: seconds; `time.process_time` leaves out what else the machine does, for work in one thread.

    Returns:
        what both returned, run by run, the first being the warm-up.
    """
    results = [(ours(), peer())]
    pairs = []
    for _ in range(runs):
        (fast, made), (slow, expected) = _timed(ours, clock), _timed(peer, clock)
        pairs.append((fast, slow))
        results.append((made, expected))
    fast, slow = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"{name:<48} {fast * 1e3:9.1f} ms {slow * 1e3:9.1f} ms  {ratio:5.2f}x")
    return results


def heading(peer: str) -> None:
    """Print the columns' names."""
    print(f"{'':<48} {'eclectus':>12} {peer:>12}  ratio")


def _timed(work: Callable[[], A], clock: Callable[[], float]) -> tuple[float, A]:
    started = clock()
    result = work()
    return clock() - started, result
