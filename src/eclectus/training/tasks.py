"""Tasks at run time: their prompts, their reward, and which of them a step works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from eclectus.config import TaskConfig
from eclectus.corpora.dataset import Dataset
from eclectus.corpora.sampling import DirectionSampler, EpochIterator
from eclectus.errors import ConfigError, DataError
from eclectus.languages import direction, expand_directions
from eclectus.rewards.base import RewardContext
from eclectus.rewards.combine import CompositeReward
from eclectus.rewards.scaling import Scaling
from eclectus.seeds import derive, rng
from eclectus.segment import Segment


@dataclass
class Task:
    """One task of the config, ready to run.

    Args:
        prompts: training segments by direction; without references where the task may not see them.
        reward: the composite reward.
        scaling: brings the reward to one scale; None: as the reward's config says.
        families: of a joint task, by source language: each source in all target languages.
    """

    config: TaskConfig
    prompts: dict[str, list[Segment]]
    reward: CompositeReward
    scaling: Scaling = None  # type: ignore[assignment]
    families: dict[str, list[tuple[Segment, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scaling = self.scaling or Scaling(self.reward)

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
        reward.check(has_reference=config.references, has_siblings=config.joint)
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
        families = _families(config.name, prompts) if config.joint else {}
        tasks.append(Task(config, prompts, reward, families=families))
    return tasks


def _families(task: str, prompts: Mapping[str, Sequence[Segment]]) -> dict[str, list[tuple[Segment, ...]]]:
    """Each source that has prompts in all target languages, by source language.

    Raises:
        ConfigError: a source language with one target language only.
        DataError: a source language without such a source.
    """
    tables: dict[str, list[dict[str, Segment]]] = {}
    for rows in prompts.values():
        # Reversed, so that of several references of a source the first is taken.
        tables.setdefault(rows[0].source_lang, []).append({s.source: s for s in reversed(rows)})
    families = {}
    for language, targets in tables.items():
        if len(targets) == 1:
            raise ConfigError(
                f"task '{task}' is joint, but has one target language only for '{language}'; add directions"
                f" ({language}-*), or set joint: false"
            )
        first = prompts[next(key for key, rows in prompts.items() if rows[0].source_lang == language)]
        shared = [text for text in dict.fromkeys(s.source for s in first) if all(text in t for t in targets)]
        if not shared:
            raise DataError(
                f"task '{task}' is joint, but no '{language}' text has training pairs in all its target languages;"
                " take a direction out, or set references: false"
            )
        families[language] = [tuple(table[text] for table in targets) for text in shared]
    return families


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
    In a joint task source languages are drawn instead of directions, and each source comes in all target languages; the
    task's share is rounded to whole sources then, and is one at least.
    """

    def __init__(self, tasks: Sequence[Task], segments: int, temperature: float, seed: int) -> None:
        self._segments = segments
        self._seed = seed
        total = sum(task.config.share for task in tasks)
        self._shares = [task.config.share / total for task in tasks]
        units = [_units(task) for task in tasks]
        self._keys = [
            DirectionSampler({key: len(rows) for key, rows in by_key.items()}, temperature, rng(seed, "directions"))
            for by_key in units
        ]
        self._items = {
            (index, _written(key)): EpochIterator(rows, derive(seed, "order", index, _written(key)))
            for index, by_key in enumerate(units)
            for key, rows in by_key.items()
        }
        self._sizes = [{key: len(rows[0]) for key, rows in by_key.items()} for by_key in units]

    def next(self, step: int) -> list[tuple[int, Segment]]:
        """(task index, segment) for each prompt of a step, counted from 1."""
        batch: list[tuple[int, Segment]] = []
        for index, count in enumerate(self._quota(step)):
            taken = 0
            # One draw for each prompt, so that there are enough whatever their sizes.
            for key in self._keys[index].draw(count, rng(self._seed, "directions", index, step)):
                size = self._sizes[index][key]
                if taken and taken + size / 2 > count:
                    break
                taken += size
                batch += [(index, segment) for segment in next(self._items[index, _written(key)])]
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


Key = tuple[str, str]
"""A direction; in a joint task a source language and all its targets, `*`."""


def _units(task: Task) -> dict[Key, list[tuple[Segment, ...]]]:
    """What a task's prompts are drawn from: single segments by direction, or families by source language."""
    if task.families:
        return {(language, "*"): rows for language, rows in task.families.items()}
    return {(rows[0].source_lang, rows[0].target_lang): [(s,) for s in rows] for rows in task.prompts.values()}


def _written(key: Key) -> str:
    return direction(*key)


def constant_tasks(configs: Sequence[TaskConfig]) -> list[TaskConfig]:
    """The same tasks with a reward that says 1 to everything: the control that shows what the rest of the loop does."""
    constant: dict[str, Any] = {"terms": [{"type": "constant"}], "normalise": "none", "unfinished": None}
    return [TaskConfig.model_validate({**config.model_dump(), "reward": constant}) for config in configs]
