"""Each strategy of exploration and each way to hold the policy beside its absence, on a toy task, over seeds.

    python -m benchmarks.strategies [seeds]

The tables stand in docs/algorithms.md: of RLOO, and of Q-learning whose values count more and less. Reward is the mean
of the last ten of 100 steps, entropy (nats per token) and KL (nats per token) likewise; greedy is the reward of greedy
translations by the policy that the run keeps, which is the start where the end is no better.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import torch

from tests.toy import corpus, mean, positions, reinforcer, steps_of

TASK, STEPS = "reverse", 100
STRATEGIES: dict[str, dict] = {
    "plain (RLOO, temperature 1)": {},
    "temperature 1.5 -> 0.7": {"temperature": {"start": 1.5, "end": 0.7, "steps": STEPS}},
    "epsilon 0.1 over the top 5": {"explore": {"epsilon": 0.1, "top_k": 5}},
    "entropy bonus 0.02": {"entropy": {"weight": 0.02}},
    "entropy held at 0.5": {"entropy": {"weight": 0.05, "target": 0.5, "rate": 0.1}},
    "KL 0.1 (k3)": {"task_options": {"kl": 0.1}},
    "KL 0.1 (k1)": {"task_options": {"kl": 0.1}, "kl": {"estimator": "k1"}},
    "KL 0.1 (exact)": {"task_options": {"kl": 0.1}, "kl": {"estimator": "exact"}},
    "KL held at 0.05": {"task_options": {"kl": 0.01}, "kl": {"target": 0.05, "gain": 0.5}},
    "two updates": {"updates": 2},
}


def boltzmann(beta: float | dict) -> dict:
    """Q-learning around the frozen model, with this inverse temperature of its values."""
    return {"name": "q_learning", "options": {"learning_rate": 1e-2, "batch": 64, "beta": beta}, "updates": 4}


VALUES: dict[str, dict] = {
    "values ignored (beta 0)": boltzmann(0.0),
    "beta 32": boltzmann(32.0),
    "beta 0 -> 32 over 100 steps": boltzmann({"start": 0.0, "end": 32.0, "steps": STEPS}),
    "beta 0 -> 32 over 50 steps": boltzmann({"start": 0.0, "end": 32.0, "steps": STEPS // 2}),
}


def run(seed: int, settings: dict) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        trainer = reinforcer(Path(folder), TASK, seed=seed, steps=STEPS, **settings)
        trainer.train()
        rows = steps_of(Path(folder))
        segments = corpus(TASK)
        texts = trainer.policy.translate(segments, 6)
    measured = [row for row in rows if "kl" in row][-3:]
    return {
        "reward": mean(rows[-10:]),
        "greedy": statistics.mean(positions(segments, texts, [s.reference for s in segments])),
        "entropy": mean(rows[-10:], "entropy"),
        "KL": mean(measured, "kl"),
    }


def main(seeds: int) -> None:
    torch.set_num_threads(1)
    for strategies in (STRATEGIES, VALUES):
        print(f"| strategy | reward | greedy | entropy | KL |  ({seeds} seeds, mean ± standard deviation)")
        for name, settings in strategies.items():
            found = [run(seed, settings) for seed in range(1, seeds + 1)]
            cells = []
            for key in found[0]:
                values = [row[key] for row in found]
                cells.append(f"{statistics.mean(values):.2f} ± {statistics.stdev(values) if seeds > 1 else 0:.2f}")
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
