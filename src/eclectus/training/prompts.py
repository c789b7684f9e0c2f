"""Which prompts each step works on, so that a resumed run goes on with the very same ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from eclectus.config import Component
from eclectus.corpora.sampling import EpochIterator
from eclectus.languages import direction
from eclectus.seeds import derive, rng
from eclectus.segment import Segment
from eclectus.training.directions import SIZE, direction_choice
from eclectus.training.tasks import Task

WINDOW = 25
"""Steps whose prompts are drawn together."""

Prompts = list[tuple[int, Segment]]
"""(task index, segment) for each prompt of a step."""


class StepPrompts(NamedTuple):
    """What a step works on: prompts whose translations are sampled, and those whose translation is only learnt."""

    sampled: Prompts
    shown: Prompts


Key = tuple[str, str]
"""A direction; in a joint task a source language and all its targets, `*`."""


class PromptStream:
    """Which segments each step works on.

    A task gets its share of every step, a direction within the task is drawn in proportion to
    size ** (1 / temperature) or by a bandit, and the segments of a direction come in seeded order, each once before any
    comes twice. In a joint task source languages are drawn instead of directions, and each source comes in all target
    languages; the task's share is rounded to whole sources then, and is one at least.

    Args:
        segments: prompts of a step; None: those of each task that are only shown, `mle_segments`.
        sampling: how directions are drawn, see `direction_choice`.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        segments: int | None,
        temperature: float,
        seed: int,
        sampling: Component | None = None,
    ) -> None:
        self._names = [task.name for task in tasks]
        self._segments = segments
        self._shown = [task.config.mle_segments for task in tasks]
        self._seed = seed
        sampling = sampling or Component(type=SIZE)
        total = sum(task.config.share for task in tasks)
        self._shares = [task.config.share / total for task in tasks]
        units = [_units(task) for task in tasks]
        self._choices = [
            direction_choice(
                {key: len(rows) for key, rows in by_key.items()}, sampling, temperature, derive(seed, "bandit", index)
            )
            for index, by_key in enumerate(units)
        ]
        self._items = {
            (index, _written(key)): EpochIterator(rows, derive(seed, "order", index, _written(key)))
            for index, by_key in enumerate(units)
            for key, rows in by_key.items()
        }
        self._sizes = [{key: len(rows[0]) for key, rows in by_key.items()} for by_key in units]

    @property
    def window(self) -> int:
        """Steps whose prompts can be drawn together: a bandit waits for what each step brought."""
        return 1 if any(choice.waits for choice in self._choices) else WINDOW

    def next(self, step: int) -> Prompts:
        """The prompts of a step, counted from 1."""
        batch: Prompts = []
        for index, count in enumerate(self._quota(step)):
            taken = 0
            # One draw for each prompt, so that there are enough whatever their sizes.
            for key in self._choices[index].draw(count, rng(self._seed, "directions", index, step)):
                size = self._sizes[index][key]
                if taken and taken + size / 2 > count:
                    break
                taken += size
                batch += [(index, segment) for segment in next(self._items[index, _written(key)])]
        return batch

    def learn(self, owners: Sequence[int], rewards: Sequence[Sequence[float]]) -> None:
        """Take in what the prompts of the last step brought.

        Args:
            owners: index of the task of each of the B prompts.
            rewards: [B][G], NaN where not judged.
        """
        for index, choice in enumerate(self._choices):
            rows = [row for row, owner in zip(rewards, owners, strict=True) if owner == index]
            known = [value for row in rows for value in row if math.isfinite(value)]
            if rows:
                choice.learn(math.fsum(known) / len(known) if known else None)

    def metrics(self) -> dict[str, float]:
        """What bandits chose so far and why: `direction_share/TASK/en-es`, `direction_progress/TASK/en-es`."""
        return {
            f"direction_{measure}/{task}/{pair}": value
            for task, choice in zip(self._names, self._choices, strict=True)
            for (measure, pair), value in choice.metrics().items()
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "items": {f"{index}|{key}": items.state_dict() for (index, key), items in self._items.items()},
            "choices": [choice.state_dict() for choice in self._choices],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for (index, key), items in self._items.items():
            items.load_state_dict(state["items"][f"{index}|{key}"])
        for choice, saved in zip(self._choices, state["choices"], strict=True):
            choice.load_state_dict(saved)

    def _quota(self, step: int) -> list[int]:
        """Prompts for each task: whole numbers whose means over steps follow the shares."""
        if self._segments is None:
            return self._shown
        # A different rounding in each step, so that a small share is not always rounded away.
        offset = rng(self._seed, "quota", step).random()
        ends = [int(end * self._segments + offset) for end in accumulate(self._shares[:-1])]
        return [high - low for low, high in pairwise([0, *ends, self._segments])]


class PromptWindows:
    """A stream drawn a window of steps at a time, so that rewards can prepare for many prompts at once.

    Windows begin at step 1, 26, 51 and so on, or with every step where a bandit waits for the rewards of each. The
    state is that of the window's beginning: a resumed run draws the whole window again and prepares the same batches.

    Args:
        stream: where the prompts come from.
        shown: and those that are only shown.
        tasks: their rewards are told of each window's segments.
        steps: the last step of the run.
    """

    def __init__(self, stream: PromptStream, shown: PromptStream, tasks: Sequence[Task], steps: int) -> None:
        self._stream, self._shown, self._tasks, self._steps = stream, shown, tasks, steps
        self._drawn: dict[int, StepPrompts] = {}
        self._state = self._now()

    def next(self, step: int) -> StepPrompts:
        """The prompts of a step, counted from 1; steps come in order."""
        if not self._drawn:
            window = self._stream.window
            first = (step - 1) // window * window + 1
            steps = range(first, min(first + window, self._steps + 1))
            self._drawn = {number: StepPrompts(self._stream.next(number), self._shown.next(number)) for number in steps}
            for index, task in enumerate(self._tasks):
                drawn = self._drawn.values()
                task.prepare(
                    [segment for prompts in drawn for owner, segment in prompts.sampled if owner == index],
                    [segment for prompts in drawn for owner, segment in prompts.shown if owner == index],
                )
        batch = self._drawn[step]
        if step == max(self._drawn):
            self._drawn, self._state = {}, self._now()
        return batch

    def learn(self, owners: Sequence[int], rewards: Sequence[Sequence[float]]) -> dict[str, float]:
        """Take in what the step's prompts brought, see `PromptStream.learn`; returns what was chosen, for the log."""
        self._stream.learn(owners, rewards)
        if not self._drawn:
            self._state = self._now()
        return self._stream.metrics()

    def rewind(self) -> None:
        """Go back to the window's beginning, so that it is drawn and prepared again, as a resumed run does."""
        self.load_state_dict(self._state)

    def state_dict(self) -> dict[str, Any]:
        return self._state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._stream.load_state_dict(state["sampled"])
        self._shown.load_state_dict(state["shown"])
        self._drawn, self._state = {}, self._now()

    def _now(self) -> dict[str, Any]:
        return {"sampled": self._stream.state_dict(), "shown": self._shown.state_dict()}


def _units(task: Task) -> dict[Key, list[tuple[Segment, ...]]]:
    """What a task's prompts are drawn from: single segments by direction, or families by source language."""
    if task.families:
        return {(language, "*"): rows for language, rows in task.families.items()}
    return {(rows[0].source_lang, rows[0].target_lang): [(s,) for s in rows] for rows in task.prompts.values()}


def _written(key: Key) -> str:
    return direction(*key)
