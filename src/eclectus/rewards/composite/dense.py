r"""Rewards for tokens: the total of a sample handed out along its text, so that the sum over its tokens is the total.

A *potential* says what the text so far is worth. With $\Phi_0 = 0$ and $\Phi_t$ that of the first t of T tokens,

$$r_t = \Phi_t - \Phi_{t-1} \quad (t < T), \qquad r_T = R - \Phi_{T-1}, \qquad \sum_t r_t = R$$

the last token gets whatever the potential does not know: gates, terms that are not dense, what a cut translation
loses. Such rewards leave the best policy as it was (Ng, Harada and Russell 1999, "Policy invariance under reward
transformations", theorem 1, with gamma 1), and, because $\Phi_{t-1}$ depends on nothing that token t chooses, the
gradient of the expected total too: what is left to earn, $R - \Phi_{t-1}$, is the total minus a baseline of the state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from eclectus.rewards.base import Score
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.segment import Segment

Prefixes = Sequence[Sequence[Sequence[str]]]
"""[B][G][T - 1]: the texts of the first 1, 2, ... T - 1 tokens of each sample."""


def hand_out(total: float, potentials: Sequence[float]) -> list[float]:
    """Return the T rewards of a sample's tokens from its total and the potentials of its T - 1 shorter prefixes.

    Example:
        >>> hand_out(1.0, [0.25, 0.125, 0.5])
        [0.25, -0.125, 0.375, 0.5]
    """
    return [after - before for before, after in pairwise([0.0, *potentials, total])]


def potentials(
    reward: CompositeReward,
    segments: Sequence[Segment],
    texts: Sequence[Sequence[str]],
    prefixes: Prefixes,
    divisors: Sequence[Mapping[str, float]],
    step: int | None = None,
) -> list[list[list[float]]]:
    """Return the potential [B][G][T - 1] of each prefix: what the dense terms say of it, weighted and scaled.

    A term with `dense: increments` judges the prefixes as if they were hypotheses, all of a source at once; where it
    abstains, what it said last counts. One with `dense: tokens` says what each character of the finished text adds.

    Args:
        texts: [B][G], the finished hypotheses.
        divisors: for each segment, what the values of each term are divided by; see `Scaled`.
        step: the training step, for schedules.
    """
    found = [[[0.0] * len(sample) for sample in group] for group in prefixes]
    shares = reward.shares(step)
    for name, kind in reward.dense.items():
        values = (_judged if kind == "increments" else _said)(reward, name, segments, texts, prefixes, step)
        for b, group in enumerate(values):
            factor = shares[name] / divisors[b][name]
            for sums, row in zip(found[b], group, strict=True):
                sums[:] = [a + factor * value for a, value in zip(sums, row, strict=True)]
    return found


def _judged(
    reward: CompositeReward,
    name: str,
    segments: Sequence[Segment],
    texts: Sequence[Sequence[str]],
    prefixes: Prefixes,
    step: int | None,
) -> list[list[list[float]]]:
    table = reward.judge(name, segments, [[text for sample in group for text in sample] for group in prefixes], step)
    found = []
    for group, row in zip(prefixes, table, strict=True):
        values = iter(row)
        found.append([_carried([next(values) for _ in sample]) for sample in group])
    return found


def _said(
    reward: CompositeReward,
    name: str,
    segments: Sequence[Segment],
    texts: Sequence[Sequence[str]],
    prefixes: Prefixes,
    step: int | None,
) -> list[list[list[float]]]:
    owners = [segment for segment, group in zip(segments, texts, strict=True) for _ in group]
    scores = iter(reward.character_scores(name, owners, [text for group in texts for text in group]))
    return [[_summed(next(scores), [*map(len, sample)]) for sample in group] for group in prefixes]


def _carried(values: Sequence[Score]) -> list[float]:
    """Where nothing was judged stands the last value that was, 0 before any."""
    found, last = [], 0.0
    for value in values:
        last = last if value is None else value
        found.append(last)
    return found


def _summed(scores: Sequence[float] | None, lengths: Sequence[int]) -> list[float]:
    """Sum of the scores of the first characters, for each length; 0 where there are no scores."""
    sums = list(accumulate(scores or (), initial=0.0))
    return [sums[min(length, len(sums) - 1)] for length in lengths]
