"""Overlap rewards on groups of eight hypotheses against sacreBLEU's and rouge-score's sentence scores, checked equal.

All eight hypotheses of a source are different, and every run scores new texts, so neither side meets a text twice.
"new references" says that every run's references are new as well, "same references" that they are those of the run
before, as when a training set is gone through again. The words are drawn from a vocabulary of 4,000, with punctuation;
fifty batches are scored before, because the rewards remember how words (not texts) become tokens. Seconds are those of
one thread's own work.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import cycle

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF, TER
from timing import compare, heading

from eclectus.rewards.bleu import Bleu
from eclectus.rewards.chrf import ChrF
from eclectus.rewards.matching.overlap import Overlap
from eclectus.rewards.rouge import Rouge
from eclectus.rewards.ter import Ter
from eclectus.segment import Segment

SAMPLES, WORDS, RUNS, WARM = 8, 20, 7, 50
GOAL = 10.0
Batch = tuple[list[Segment], list[list[str]]]

random.seed(1)
SYLLABLES = [c + v for c in "bcdfglmnprstv" for v in "aeiou"]
VOCABULARY = ["".join(random.choices(SYLLABLES, k=1 + i % 4)) + random.choice(["", "", "s", "n"]) for i in range(4000)]
WEIGHTS = [1 / (i + 3) for i in range(len(VOCABULARY))]


def words(count: int) -> list[str]:
    drawn = random.choices(VOCABULARY, WEIGHTS, k=count)
    return [word + random.choice([",", "."]) if random.random() < 0.1 else word for word in drawn]


def batch(segments: list[Segment]) -> Batch:
    groups = []
    for segment in segments:
        group: set[str] = set()
        while len(group) < SAMPLES:
            group.add(" ".join(w if random.random() < 0.7 else words(1)[0] for w in (segment.reference or "").split()))
        groups.append(sorted(group))
    return segments, groups


def sources(count: int) -> list[Segment]:
    return [Segment("", "de", "en", " ".join(words(WORDS))) for _ in range(count)]


def against(
    name: str, reward: Overlap, peer: Callable[[str, str], float], size: int, fresh: bool, goal: float | None = GOAL
) -> None:
    """Time one reward; every call of either side takes the next batch, and both sides take the same ones."""
    same = sources(size)
    batches = [batch(sources(size) if fresh else same) for _ in range(RUNS + 1)]
    for _ in range(WARM):
        reward.score_groups(*batch(sources(32)))
    mine, theirs = cycle(batches), cycle(batches)

    def ours() -> list[list[float | None]]:
        return reward.score_groups(*next(mine))

    def reference() -> list[list[float]]:
        segments, groups = next(theirs)
        return [[peer(s.reference or "", h) for h in group] for s, group in zip(segments, groups, strict=True)]

    label = f"{name}, {size} x {SAMPLES}, {'new' if fresh else 'same'} references"
    for found, expected in compare(label, ours, reference, RUNS, time.process_time, goal):
        for a, b in zip(found, expected, strict=True):
            assert all(abs(x - y) < 1e-9 for x, y in zip(a, b, strict=True)), (
                "the scores differ: the times mean nothing"
            )


def main() -> None:
    bleu, chrf, ter = BLEU(effective_order=True), CHRF(word_order=2), TER()
    rouge = RougeScorer(["rougeL"])
    heading("peer")
    for size, fresh in ((32, True), (32, False), (4, True), (1, True)):
        against("BLEU", Bleu(), lambda r, h: bleu.sentence_score(h, [r]).score / 100, size, fresh)
        against(
            "chrF++", ChrF(ChrF.Options(words=2)), lambda r, h: chrf.sentence_score(h, [r]).score / 100, size, fresh
        )
        for kind in ("rouge-score", "unicode"):
            options = Rouge.Options(tokenizer=kind)
            against(f"ROUGE-L ({kind})", Rouge(options), lambda r, h: rouge.score(r, h)["rougeL"].fmeasure, size, fresh)
    against("1 - TER", Ter(), lambda r, h: max(0, 1 - ter.sentence_score(h, [r]).score / 100), 4, True, goal=None)


if __name__ == "__main__":
    main()
