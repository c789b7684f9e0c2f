"""Tasks at run time: their prompts, their reward, and which of them a step works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from eclectus.config import TaskConfig
from eclectus.corpora.dataset import Dataset
from eclectus.corpora.sampling import DirectionSampler, EpochIterator
from eclectus.errors import DataError
from eclectus.languages import direction, expand_directions
from eclectus.rewards.base import RewardContext
from eclectus.rewards.combine import CompositeReward
from eclectus.rewards.normalise import Normaliser
from eclectus.seeds import derive, rng
from eclectus.segment import Segment


@dataclass
class Task:
    """One task of the config, ready to run.

    Args:
        prompts: training segments by direction; without references where the task may not see them.
        reward: the composite reward.
        normaliser: running scale of the reward for each direction; None where normalisation is off.
    """

    config: TaskConfig
    prompts: dict[str, list[Segment]]
    reward: CompositeReward
    normaliser: Normaliser | None

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def directions(self) -> list[str]:
        return list(self.prompts)


def build_tasks(configs: Sequence[TaskConfig], dataset: Dataset, context: RewardContext) -> list[Task]:
    """Build the tasks of a run and check them at the door.

    Raises:
        ConfigError: an unknown direction, reward or option, or a reward that needs what the task has not.
        DataError: a direction has no prompts.
    """
    tasks = []
    for number, config in enumerate(configs):
        reward = CompositeReward(config.reward, context, where=f"reinforce.tasks.{number}.reward")
        reward.check(has_reference=config.references)
        prompts: dict[str, list[Segment]] = {}
        for source, target in expand_directions(config.directions, dataset.languages):
            rows = prompts_for(dataset, source, target, references=config.references)
            if not rows:
                kind = "sentence pairs" if config.references else f"'{source}' text"
                raise DataError(
                    f"task '{config.name}': no training {kind} for {source}-{target};"
                    " add a corpus or take the direction out"
                )
            prompts[direction(source, target)] = rows
        normaliser = Normaliser() if config.reward.normalise == "direction" else None
        tasks.append(Task(config, prompts, reward, normaliser))
    return tasks


def prompts_for(dataset: Dataset, source: str, target: str, *, references: bool) -> list[Segment]:
    """Training segments of a direction: sentence pairs, or source-side text alone."""
    if references:
        return dataset.pairs("train", source, target)
    return [
        Segment(text, source, target, id=f"{source}:{number}")
        for number, text in enumerate(dataset.monolingual("train", source))
    ]


class PromptStream:
    """Which segments each step works on.

    A task gets its share of every step, a direction within the task is drawn in proportion to
    size ** (1 / temperature), and the segments of a direction come in seeded order, each once before any comes twice.
    """

    def __init__(self, tasks: Sequence[Task], segments: int, temperature: float, seed: int) -> None:
        self._segments = segments
        self._seed = seed
        total = sum(task.config.share for task in tasks)
        self._shares = [task.config.share / total for task in tasks]
        self._directions = [
            DirectionSampler(
                {(rows[0].source_lang, rows[0].target_lang): len(rows) for rows in task.prompts.values()},
                temperature,
                rng(seed, "directions"),
            )
            for task in tasks
        ]
        self._items = {
            (index, direction_key): EpochIterator(rows, derive(seed, "order", index, direction_key))
            for index, task in enumerate(tasks)
            for direction_key, rows in task.prompts.items()
        }

    def next(self, step: int) -> list[tuple[int, Segment]]:
        """(task index, segment) for each prompt of a step, counted from 1."""
        batch = []
        for index, count in enumerate(self._quota(step)):
            for pair in self._directions[index].draw(count, rng(self._seed, "directions", index, step)):
                batch.append((index, next(self._items[index, direction(*pair)])))
        return batch

    def state_dict(self) -> dict[str, dict[str, int]]:
        return {f"{index}|{key}": items.state_dict() for (index, key), items in self._items.items()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, int]]) -> None:
        for (index, key), items in self._items.items():
            items.load_state_dict(state[f"{index}|{key}"])

    def _quota(self, step: int) -> list[int]:
        """Prompts for each task: whole numbers whose means over steps follow the shares."""
        # A different rounding in each step, so that a small share is not always rounded away.
        offset = rng(self._seed, "quota", step).random()
        ends = [int(end * self._segments + offset) for end in accumulate(self._shares[:-1])]
        return [high - low for low, high in pairwise([0, *ends, self._segments])]


def constant_tasks(configs: Sequence[TaskConfig]) -> list[TaskConfig]:
    """The same tasks with a reward that says 1 to everything: the control that shows what the rest of the loop does."""
    constant: dict[str, Any] = {"terms": [{"type": "constant"}], "normalise": "none", "unfinished": None}
    return [TaskConfig.model_validate({**config.model_dump(), "reward": constant}) for config in configs]
