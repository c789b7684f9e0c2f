"""Segments a second that the reward `fluency` judges: 30 characters each, in batches as a step brings them.

Synthetic sentences of 4,000 words, 20,000 of them as training text.
"""

from __future__ import annotations

import random
import statistics
import time

from eclectus.rewards.base import RewardContext
from eclectus.rewards.fluency import Fluency
from eclectus.segment import Segment

random.seed(1)
SYLLABLES = [a + b for a in "bcdfglmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "os")]
WORDS = ["".join(random.choices(SYLLABLES, k=random.randint(1, 4))) for _ in range(4000)]
FREQUENCIES = [1 / rank for rank in range(1, len(WORDS) + 1)]  # Zipf's law


def sentence() -> str:
    return " ".join(random.choices(WORDS, FREQUENCIES, k=12))[:30]


CONTEXT = RewardContext(target_texts={"es": [sentence() for _ in range(20_000)]})
HYPOTHESES = [sentence() for _ in range(20_000)]
SEGMENT = Segment("", "en", "es")

print(f"{'':<28} {'batch of 256':>16} {'batch of 1024':>16}")
for name, options in (
    ("characters, order 5", Fluency.Options()),
    ("characters, order 7", Fluency.Options(order=7)),
    ("words, order 3", Fluency.Options(words=1)),
    ("both", Fluency.Options(words=0.5)),
):
    reward = Fluency(options, CONTEXT)
    reward([SEGMENT], ["warm up"])
    columns = []
    for size in (256, 1024):
        rates = []
        for _ in range(3):
            started = time.perf_counter()
            for i in range(0, len(HYPOTHESES), size):
                texts = HYPOTHESES[i : i + size]
                reward([SEGMENT] * len(texts), texts)
            rates.append(len(HYPOTHESES) / (time.perf_counter() - started))
        columns.append(f"{statistics.median(rates):9,.0f} texts/s")
    print(f"{name:<28} {' '.join(columns)}")
