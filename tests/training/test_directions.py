"""Directions chosen by learning progress: what is picked, that a resumed run picks the same, and what it is worth."""

import random
from dataclasses import replace

from eclectus.config import Component
from eclectus.training import checkpoint as ckpt
from tests.toy import corpus, positions, reinforcer

LEARNABLE, SOLVED, NOISE = ("en", "es"), ("es", "en"), ("en", "en")
BANDITS = [
    Component(type="ucb1", discount=0.98),
    Component(type="thompson", discount=0.95),
    Component(type="exp3", share=0.01, gamma=0.2),
]
coins = random.Random()


def differing(prompts, completions, reference, source_lang, target_lang, **_):
    """What is said counts from English to Spanish alone; one direction is solved, the other pays by the coin."""
    right = positions(prompts, completions, reference)
    pairs = zip(source_lang, target_lang, right, strict=True)
    return [value if (a, b) == LEARNABLE else 1.0 if (a, b) == SOLVED else coins.random() for a, b, value in pairs]


def trainer(folder, sampling, **changes):
    rows = corpus("reverse")
    prompts = {
        f"{a}-{b}": [replace(row, source_lang=a, target_lang=b) for row in rows] for a, b in (LEARNABLE, SOLVED, NOISE)
    }
    coins.seed(changes.get("seed", 1))
    reward = {"terms": [{"type": "tests.training.test_directions:differing"}], "normalise": "none", "unfinished": 0.0}
    options = {"task_options": {"reward": reward}, "prompts": prompts, "direction_sampling": sampling}
    return reinforcer(folder, "reverse", **{**options, **changes})


def learnt(run):
    """Mean reward of greedy translations in the direction that can be learnt, after the last step."""
    rows = corpus("reverse")
    ckpt.load_weights(run.policy.model, ckpt.latest(run.folder).tensors["model"])
    said = run.policy.translate(rows, 8)
    found = positions(None, said, [row.reference for row in rows])
    return sum(found) / len(found)
