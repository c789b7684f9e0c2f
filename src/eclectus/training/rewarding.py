"""The rewards of a step: every task judges its own samples, on one scale, for whole texts and for tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from eclectus.policies.base import Policy
from eclectus.rollouts.base import Rollouts
from eclectus.segment import Segment
from eclectus.training.dense import at_the_end, token_rewards
from eclectus.training.observe import StepRewards
from eclectus.training.tasks import Task


def reward_step(
    policy: Policy,
    tasks: Sequence[Task],
    owners: Sequence[int],
    segments: Sequence[Segment],
    rollouts: Rollouts,
    other: Rollouts | None,
    step: int,
) -> tuple[StepRewards, torch.Tensor | None]:
    """Rewards of the samples, and [B] scaled ones of other translations, one for each source, where there are any.

    Args:
        policy: detokenises prefixes.
        owners: index of the task of each of the B segments.
        step: counted from 1.
    """
    texts, ended, samples = rollouts.texts, rollouts.finished, rollouts.finished.shape[1]
    if other is not None:
        # Judged as one more of each group, so that both stand on one scale.
        texts = [[*group, *own] for group, own in zip(texts, other.texts, strict=True)]
        ended = torch.cat([ended, other.finished], dim=1)
    values = torch.full(ended.shape, math.nan)
    scaled = values.clone()
    parts: list[dict[str, list[float | None]]] = [{} for _ in segments]
    dense: dict[int, torch.Tensor] = {}
    for index, task in enumerate(tasks):
        rows = [row for row, owner in enumerate(owners) if owner == index]
        if not rows:
            continue
        prompts = [segments[row] for row in rows]
        finished = ended[rows].tolist()
        scores = task.reward.score_groups(prompts, [texts[row] for row in rows], step=step, finished=finished)
        found = task.scaling(prompts, scores, step=step, finished=finished)
        values[rows], scaled[rows] = _tensor(scores.total), _tensor(found.totals)
        for place, row in enumerate(rows):
            parts[row] = {name: part[place][:samples] for name, part in scores.parts.items()}
        if task.reward.dense:
            dense |= zip(rows, token_rewards(policy, task, prompts, rows, rollouts, found, step), strict=True)
    tokens = None
    if dense:
        tokens = at_the_end(scaled[:, :samples], rollouts.mask)
        for row, earned in dense.items():
            tokens[row] = earned
    rewards = StepRewards(values[:, :samples], scaled[:, :samples], parts, tokens)
    return rewards, None if other is None else scaled[:, samples]


def demonstrations(
    tasks: Sequence[Task], owners: Sequence[int], segments: Sequence[Segment], step: int
) -> list[str | None]:
    """The text whose likelihood the task of each segment raises; None where it has none."""
    found: list[str | None] = [None] * len(segments)
    for index, task in enumerate(tasks):
        rows = [row for row, owner in enumerate(owners) if owner == index]
        for row, text in zip(rows, task.demonstrations([segments[row] for row in rows], step), strict=True):
            found[row] = text
    return found


def as_rollouts(texts: Sequence[str]) -> Rollouts:
    """One text for each source as if it had been drawn, to be rewarded; without tokens."""
    nothing = torch.zeros(len(texts), 1, 0)
    finished = torch.ones(len(texts), 1, dtype=torch.bool)
    return Rollouts(nothing.long(), nothing, nothing.bool(), finished, [[text] for text in texts])


def _tensor(table: Sequence[Sequence[float | None]]) -> torch.Tensor:
    """[B, G], NaN where nothing was judged."""
    return torch.tensor([[math.nan if value is None else value for value in row] for row in table])
