"""What the text of a run gives its controls to learn from; known before any training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eclectus.corpora.dataset import Dataset
from eclectus.languages import Direction, expand_directions
from eclectus.segment import Segment
from eclectus.training.synthetic import back_prompts
from eclectus.training.tasks import Task


@dataclass(frozen=True)
class Material:
    """The text that controls learn from, by direction; the pivot is the run's first language."""

    dataset: Dataset
    tasks: Sequence[Task]

    @property
    def pivot(self) -> str:
        return self.dataset.languages[0]

    @property
    def new_directions(self) -> list[str]:
        """Task directions without the pivot language, of which there are no sentence pairs or no task may see them."""
        seen = {name for task in self.tasks if task.config.references for name in task.directions if self._pairs(name)}
        names = dict.fromkeys(name for task in self.tasks for name in task.directions if name not in seen)
        return [name for name in names if self.pivot not in self._languages(name)]

    @property
    def pairs(self) -> dict[str, list[Segment]]:
        """Sentence pairs of the other task directions, where there are any: all that supervised training may use."""
        new = set(self.new_directions)
        names = dict.fromkeys(name for task in self.tasks for name in task.directions if name not in new)
        return {name: rows for name in names if (rows := self._pairs(name))}

    @property
    def to_distil(self) -> dict[str, list[Segment]]:
        """Sources of the new directions, for the pivot to translate."""
        new = self.new_directions
        return {name: rows for task in self.tasks for name, rows in task.prompts.items() if name in new}

    @property
    def to_translate_back(self) -> dict[str, list[Segment]]:
        """Target-side text that stands in no pair, as prompts of the reverse direction."""
        # Where references are withheld, the others are there not to be lost.
        tasks = [task for task in self.tasks if not task.config.references] or self.tasks
        names = list(dict.fromkeys(name for task in tasks for name in task.directions))
        return back_prompts(self.dataset, expand_directions(names, self.dataset.languages), self.pairs)

    def missing(self, control: str) -> str | None:
        """Why a control of this name has nothing to do; None: it has."""
        if control == "supervised" and not self.pairs:
            return "no direction has sentence pairs"
        if control == "distillation" and not self.new_directions:
            return f"no direction without pairs is without the pivot language '{self.pivot}'"
        if control in {"back_translation", "iterative_back_translation"} and not self.to_translate_back:
            return "all target-side text stands in pairs"
        if control == "best_of_n" and all(task.config.references for task in self.tasks):
            return "every task uses references"
        return None

    def _pairs(self, name: str) -> list[Segment]:
        return self.dataset.pairs("train", *self._languages(name))

    def _languages(self, name: str) -> Direction:
        return expand_directions([name], self.dataset.languages)[0]
