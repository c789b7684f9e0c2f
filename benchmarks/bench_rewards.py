"""Sentence BLEU and chrF++ of groups of eight hypotheses against sacreBLEU's `sentence_score`, scores checked equal."""

from __future__ import annotations

import random

from sacrebleu.metrics import BLEU, CHRF
from timing import compare, heading

from eclectus.rewards.bleu import Bleu
from eclectus.rewards.chrf import ChrF
from eclectus.segment import Segment

random.seed(1)
WORDS = [f"w{'abcdefghij'[i % 10]}{i}" for i in range(400)]


def sentence() -> list[str]:
    return random.choices(WORDS, k=20)


SEGMENTS, GROUPS = [], []
for _ in range(32):
    reference = sentence()
    SEGMENTS.append(Segment("", "en", "es", " ".join(reference)))
    GROUPS.append([" ".join(w if random.random() < 0.7 else random.choice(WORDS) for w in reference) for _ in range(8)])

heading("sacreBLEU")
for name, reward, metric in (
    ("BLEU, 32 x 8 hypotheses of 20 words", Bleu(), BLEU(effective_order=True)),
    ("chrF++, 32 x 8 hypotheses of 20 words", ChrF(ChrF.Options(words=2)), CHRF(word_order=2)),
):

    def peer(metric=metric):
        return [
            [metric.sentence_score(h, [s.reference or ""]).score / 100 for h in group]
            for s, group in zip(SEGMENTS, GROUPS, strict=True)
        ]

    def ours(reward=reward):
        return reward.score_groups(SEGMENTS, GROUPS)

    for row, expected in zip(ours(), peer(), strict=True):
        for a, b in zip(row, expected, strict=True):
            assert abs(a - b) < 1e-9, "the scores differ, so the times mean nothing"
    compare(name, ours, peer)
