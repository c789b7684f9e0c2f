"""A step whose samples are judged while the next are drawn (`reinforce.overlap`), against one after the other.

The reward is a program that waits a millisecond for each text, as a metric on another machine or device makes a run
wait. Shipped model, 32 sources with 8 samples each, no result of the program is remembered.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import models
from timing import compare, heading, near

SECONDS = 0.001


def serve() -> None:
    """The program: answers each question after its time."""
    for line in sys.stdin:
        if line.strip():
            time.sleep(SECONDS)
            print(json.dumps({"id": json.loads(line)["id"], "score": len(line) % 10}), flush=True)


def step(parts: int) -> Callable[[], int]:
    waiting = {"type": "process", "command": [sys.executable, __file__, "serve"], "cache": 0, "high": 10}
    trainer = models.reinforcer(models.shipped(), models.segments(32), reward=waiting, overlap=parts)

    def work() -> int:
        models.one_step(trainer)
        return trainer.tokens

    return work


def main() -> None:
    heading("in turn")
    for parts in (2, 4):
        for ours, peer in compare(f"RL step, a reward that waits, in {parts} parts", step(parts), step(1)):
            near("number of tokens so far", ours, peer, 0.02)  # another batch rounds differently, a token may differ


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
