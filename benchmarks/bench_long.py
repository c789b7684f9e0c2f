"""Seconds of one core that each reward needs for one pair of 100,000 characters, and for one of a tenth of that.

Where the ratio is near 10 the time is linear in the length; near 100 it would be quadratic. Rewards that wait for a
program, a server or a model of their own are left out. Prints the rows of a Markdown table.
"""

from __future__ import annotations

import random
import time

from eclectus.errors import EclectusError
from eclectus.registry import find, names
from eclectus.rewards.base import Reward, RewardContext
from eclectus.segment import Segment

LENGTH = 100_000
ELSEWHERE = {"causal_lm", "embeddings", "languagetool", "process"}
SYLLABLES = [a + b for a in "bcdfglmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "os")]


def text(length: int, seed: int) -> str:
    """Words that repeat about as those of a language do."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(4000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return " ".join(rng.choices(words, weights, k=length // 3))[:length]


CONTEXT = RewardContext(
    languages=["en", "es", "fr"],
    translate=lambda segments: [segment.source for segment in segments],
    target_texts={tag: [text(60, seed) for seed in range(400)] for tag in ("en", "es", "fr")},
)


def seconds(reward: Reward, length: int) -> float:
    """CPU time for a hypothesis that differs from its reference everywhere."""
    segment = Segment(text(length, 1), "es", "fr", reference=text(length, 2))
    hypothesis = text(length, 3)
    started = time.process_time()
    reward([segment], [hypothesis])
    return time.process_time() - started


print("| reward | 10,000 characters | 100,000 characters | ratio |\n|---|---|---|---|")
for name in names("rewards"):
    kind = find("rewards", name, Reward)
    if name in ELSEWHERE:
        continue
    try:
        made = kind(None, CONTEXT)
    except (EclectusError, ValueError):  # it needs an option, such as the file of a glossary
        continue
    made([Segment("un gato", "es", "fr", reference="un chat")], ["un chat"])  # what is loaded once
    short, long = seconds(made, LENGTH // 10), seconds(made, LENGTH)
    print(f"| `{name}` | {short:.3f} s | {long:.3f} s | {long / short:.0f} |")
