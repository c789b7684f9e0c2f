"""Time two ways of doing the same work in turn and print the ratio; machines drift, so only ratios of one run count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def compare(name: str, ours: Callable[[], object], peer: Callable[[], object], runs: int = 5) -> None:
    """Run both once to warm up, then in turn; print the medians and the median of the paired ratios."""
    ours()
    peer()
    pairs = [(_seconds(ours), _seconds(peer)) for _ in range(runs)]
    fast, slow = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"{name:<44} {fast * 1e3:9.1f} ms {slow * 1e3:9.1f} ms  {ratio:5.2f}x")


def heading(peer: str) -> None:
    """Print the columns' names."""
    print(f"{'':<44} {'eclectus':>12} {peer:>12}  ratio")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
