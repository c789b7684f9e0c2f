"""How time and memory of a whole RL step grow with the samples of a source, the sources and the tokens of a sample.

Each row doubles one of them: half of what the double took stands against what the single took, so 1 is linear and
below 0.95 is more than 1.05 times linear. The shipped model, samples without end, chrF++ as the reward.
Memory is what a step adds to the process's peak, each size in a process of its own.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from collections.abc import Callable

import models
from timing import added_memory, heading, in_new_process, report, timed

START = {"samples": 8, "sources": 8, "tokens": 24}
SIZES = {"samples": [2, 4, 8, 16, 32, 64], "sources": [4, 8, 16, 32, 64], "tokens": [8, 16, 32, 64]}
GOAL, RUNS = round(1 / 1.05, 3), 5


def step(size: dict[str, int]) -> Callable[[], None]:
    policy = models.shipped()
    models.never_end(policy)
    trainer = models.reinforcer(
        policy, models.segments(size["sources"]), samples=size["samples"], tokens=size["tokens"]
    )
    return lambda: models.one_step(trainer)


def main() -> None:
    heading("half the size")
    for axis, values in SIZES.items():
        steps = {value: step({**START, axis: value}) for value in values}
        seconds: dict[int, list[float]] = {value: [] for value in values}
        for run in range(RUNS + 1):
            for value, work in steps.items():
                taken = timed(work)[0]
                if run:
                    seconds[value].append(taken)
        memory = {value: in_new_process(__file__, json.dumps({**START, axis: value})) for value in values}
        for small, large in itertools.pairwise(values):
            pairs = [(b / 2, a) for a, b in zip(seconds[small], seconds[large], strict=True)]
            report(f"growth, {small} to {large} {axis}, time of an RL step", pairs, GOAL)
            report(f"growth, {small} to {large} {axis}, memory", [(memory[large] / 2, memory[small])], GOAL, "MB")
        first, last = values[0], values[-1]
        times = statistics.median(seconds[last]) / statistics.median(seconds[first])
        print(f"  {last // first} times the {axis}: {times:.1f} times the time")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(added_memory(step(json.loads(sys.argv[1])))))
    else:
        main()
