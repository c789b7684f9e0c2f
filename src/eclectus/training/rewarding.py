"""The rewards of a step: every task judges its own samples, on one scale, for whole texts and for tokens."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import torch

from eclectus import parallel
from eclectus.policies.base import Policy
from eclectus.rewards.base import Score
from eclectus.rewards.composite.combine import CompositeScores
from eclectus.rollouts.base import Rollouts
from eclectus.rollouts.padding import pad_rows
from eclectus.segment import Segment
from eclectus.training.dense import at_the_end, token_rewards
from eclectus.training.observe import StepRewards
from eclectus.training.tasks import Task


class Judge:
    """Asks the tasks' rewards about the samples of one step, which come all at once or in parts.

    Use it in a `with` statement. Parts that are judged `aside` are judged in a thread, one after the other, while the
    caller draws the next: a reward is never asked by two threads at once.

    Args:
        owners: index of the task of each of the B segments.
        step: counted from 1.

    `seconds` is the time for which `take` kept the caller waiting: none of what is judged aside.
    """

    def __init__(
        self, tasks: Sequence[Task], owners: Sequence[int], segments: Sequence[Segment], step: int, *, aside: bool
    ) -> None:
        self._tasks, self._owners, self._segments, self._step = tasks, owners, segments, step
        self._thread = ThreadPoolExecutor(1) if aside else None
        self._waiting: list[Future[None]] = []
        self._totals: list[list[Score]] = [[] for _ in segments]
        self._parts: list[dict[str, list[Score]]] = [{} for _ in segments]
        self._finished: list[list[bool]] = [[] for _ in segments]
        self.seconds = 0.0

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def take(self, rows: Sequence[int], rollouts: Rollouts) -> None:
        """Judge further samples of some of the segments."""
        began = time.monotonic()
        finished = rollouts.finished.tolist()
        if self._thread is None:
            self._judge(rows, rollouts.texts, finished)
        else:
            self._waiting.append(self._thread.submit(self._judge, rows, rollouts.texts, finished))
        self.seconds += time.monotonic() - began

    def _judge(self, rows: Sequence[int], texts: Sequence[Sequence[str]], finished: Sequence[Sequence[bool]]) -> None:
        for index, task in enumerate(self._tasks):
            places = [place for place, row in enumerate(rows) if self._owners[row] == index]
            if not places:
                continue
            own, ended = [rows[place] for place in places], [finished[place] for place in places]
            scores = task.reward.score_groups(
                [self._segments[row] for row in own],
                [texts[place] for place in places],
                step=self._step,
                finished=ended,
            )
            for place, row in enumerate(own):
                self._totals[row] += scores.total[place]
                self._finished[row] += ended[place]
                for name, part in scores.parts.items():
                    self._parts[row].setdefault(name, []).extend(part[place])

    def rewards(
        self, policy: Policy, rollouts: Rollouts, shown: Rollouts | None = None
    ) -> tuple[StepRewards, StepRewards | None]:
        """Rewards of the samples, and of what else was judged, one for each source, if anything was.

        Args:
            policy: detokenises prefixes.
            rollouts: all samples of the step, the first that were judged.
            shown: what else was judged, where its tokens are to have rewards too.
        """
        for part in self._waiting:
            part.result()
        samples = rollouts.finished.shape[1]
        values = _tensor(self._totals)
        scaled, scales = values.clone(), torch.ones(len(values))
        drawn = [(rollouts, 0), *([] if shown is None else [(shown, samples)])]
        dense: list[dict[int, torch.Tensor]] = [{} for _ in drawn]
        for index, task in enumerate(self._tasks):
            rows = [row for row, owner in enumerate(self._owners) if owner == index]
            if not rows:
                continue
            prompts = [self._segments[row] for row in rows]
            parts = {name: [self._parts[row][name] for row in rows] for name in self._parts[rows[0]]}
            scores = CompositeScores([self._totals[row] for row in rows], parts)
            # What was judged beside the samples is one more of each group, so that both stand on one scale.
            finished = [self._finished[row] for row in rows]
            found = task.scaling(prompts, scores, step=self._step, finished=finished)
            scaled[rows], scales[rows] = _tensor(found.totals), torch.tensor(found.scales)
            if task.reward.dense:
                for own, (texts, first) in zip(dense, drawn, strict=True):
                    earned = token_rewards(policy, task, prompts, rows, texts, found, self._step, first)
                    own |= zip(rows, earned, strict=True)

        def told(columns: slice, place: int) -> StepRewards:
            tokens = None
            if place < len(drawn) and dense[place]:
                tokens = at_the_end(scaled[:, columns], drawn[place][0].mask)
                for row, earned in dense[place].items():
                    tokens[row] = earned
            shown = [{name: part[columns] for name, part in parts.items()} for parts in self._parts]
            return StepRewards(values[:, columns], scaled[:, columns], shown, tokens, scales)

        others = told(slice(samples, None), 1) if scaled.shape[1] > samples else None
        # A server or a GPU may not say the same twice, and all processes must learn from the same.
        return parallel.leaders((told(slice(samples), 0), others))


def in_parts(tasks: Sequence[Task], owners: Sequence[int], segments: Sequence[Segment], count: int) -> list[list[int]]:
    """Cut the rows of a step into at most `count` runs of like size; a joint task's source stays in one of them."""
    starts = [
        row
        for row, (owner, segment) in enumerate(zip(owners, segments, strict=True))
        if row == 0
        or not tasks[owner].config.joint
        or (owner, segment.source) != (owners[row - 1], segments[row - 1].source)
    ]
    cuts = sorted({max(s for s in starts if s <= part * len(segments) // count) for part in range(count)})
    return [list(range(first, end)) for first, end in pairwise([*cuts, len(segments)])]


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


def as_rollouts(policy: Policy, texts: Sequence[str]) -> Rollouts:
    """One text for each source as if it had been drawn, to be rewarded; log-probabilities are 0."""
    rows, mask = pad_rows(policy.tokenize_targets(texts), policy.pad_id, torch.device("cpu"))
    finished = torch.ones(len(texts), 1, dtype=torch.bool)
    return Rollouts(rows, torch.zeros(rows.shape), mask, finished, [[text] for text in texts])


def _tensor(table: Sequence[Sequence[float | None]]) -> torch.Tensor:
    """[B, G], NaN where nothing was judged."""
    return torch.tensor([[math.nan if value is None else value for value in row] for row in table])
