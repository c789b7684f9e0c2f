"""Back-translations that follow the policy: their sources are made again as it learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eclectus.segment import Segment
from eclectus.training.prompts import Prompts
from eclectus.training.renewed import RenewedPolicies
from eclectus.training.synthetic import is_back_translated
from eclectus.training.tasks import Task


class BackTranslator:
    """Gives back-translated prompts of tasks with `back_translated_refresh: N` the source that a later policy writes.

    Up to step N the sources are those of the start; from step N + 1 to 2N those of the policy as it was after step N
    (greedy, with the running mean of its weights), and so on. Who translates depends on the step alone.

    Source: iterative back-translation, Hoang et al. 2018, https://aclanthology.org/W18-2703; on the fly, Lample et al.
    2018, https://aclanthology.org/D18-1549.

    Args:
        tasks: in the order that prompts count them.
        renewed: lends the copies of the policy.
    """

    def __init__(self, tasks: Sequence[Task], renewed: RenewedPolicies) -> None:
        wanted = {index: task.config.back_translated_refresh for index, task in enumerate(tasks)}
        self._every = {index: every for index, every in wanted.items() if every}
        self._translate = {every: renewed.lend(every) for every in self._every.values()}

    def __call__(self, prompts: Prompts, step: int) -> Prompts:
        """Return the prompts of a step, counted from 1; one whose target is translated to nothing stays as it was."""
        found = list(prompts)
        for every, translate in self._translate.items():
            places = [
                place
                for place, (owner, segment) in enumerate(prompts)
                if self._every.get(owner) == every < step and is_back_translated(segment)
            ]
            if not places:
                continue
            segments = [prompts[place][1] for place in places]
            back = translate([Segment(s.reference or "", s.target_lang, s.source_lang) for s in segments])
            for place, segment, source in zip(places, segments, back, strict=True):
                if source.strip():
                    found[place] = prompts[place][0], replace(segment, source=source)
        return found
