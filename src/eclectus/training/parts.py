"""Which parts of a reward still tell hypotheses apart, and which say the same to everything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eclectus.rewards.base import Score
from eclectus.training.tasks import Task

WINDOW = 50
"""Steps that are judged together."""

_FEWEST_GROUPS, _FEWEST_SAMPLES = 20, 100
_EQUAL, _LOW, _HIGH = 0.95, 0.02, 0.98

Part = tuple[str, str]
"""Name of the task, name of the part."""


@dataclass
class PartCounts:
    """What one part of a reward said over some steps.

    Args:
        asked, judged: hypotheses that it was asked about, and those on which it did not abstain.
        total, low, high: sum, smallest and largest of its values.
        groups: sources with at least two different hypotheses that it judged; nothing could tell the others apart.
        equal: those of them that all got one value.
    """

    asked: int = 0
    judged: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    groups: int = 0
    equal: int = 0

    def add(self, texts: Sequence[str], values: Sequence[Score]) -> None:
        """Count the hypotheses of one source."""
        known = [value for value in values if value is not None]
        self.asked += len(values)
        self.judged += len(known)
        if not known:
            return
        self.total += math.fsum(known)
        self.low, self.high = min(self.low, *known), max(self.high, *known)
        if len({text for text, value in zip(texts, values, strict=True) if value is not None}) > 1:
            self.groups += 1
            self.equal += min(known) == max(known)

    def merge(self, other: PartCounts) -> None:
        """Add the counts of another step."""
        for name in ("asked", "judged", "total", "groups", "equal"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    @property
    def mean(self) -> float | None:
        """Mean value over what was judged."""
        return self.total / self.judged if self.judged else None

    @property
    def equal_share(self) -> float | None:
        """Share of the groups that all got one value, 0 to 1."""
        return self.equal / self.groups if self.groups else None

    @property
    def abstained(self) -> float:
        """Share of abstentions, 0 to 1."""
        return 1 - self.judged / self.asked if self.asked else 0.0

    def verdict(self, gate: bool) -> str:
        """Say what is wrong with the part, "" for nothing: silent, saturated, constant, or a gate that stays open."""
        if not self.judged:
            return "silent" if self.asked >= _FEWEST_SAMPLES else ""
        if self.groups < _FEWEST_GROUPS:
            return ""
        mean = self.total / self.judged
        if gate and mean > _HIGH:
            return "open"  # what a gate is for; it shuts when something goes wrong
        if self.low >= 0 and self.high <= 1 and not _LOW <= mean <= _HIGH:
            return "saturated"
        return "constant" if self.equal > _EQUAL * self.groups else ""


def count_parts(
    tasks: Sequence[Task],
    owners: Sequence[int],
    texts: Sequence[Sequence[str]],
    parts: Sequence[Mapping[str, Sequence[Score]]],
) -> dict[Part, PartCounts]:
    """Count what each part of each task's reward said in one step, for B sources with G hypotheses each."""
    found: dict[Part, PartCounts] = {}
    for owner, group, by_name in zip(owners, texts, parts, strict=True):
        for name, values in by_name.items():
            found.setdefault((tasks[owner].name, name), PartCounts()).add(group, values)
    return found


class PartWatch:
    """Looks at the parts of all rewards over windows of `WINDOW` steps, and warns once of each that teaches nothing.

    Args:
        tasks: the run's tasks.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._terms = {(task.name, name) for task in tasks for name in task.reward.terms}
        self._counts: dict[Part, PartCounts] = {}
        self._first = 1
        self._warned: set[tuple[str, ...]] = set()

    def add(self, step: int, counts: Mapping[Part, PartCounts], last: bool) -> dict[str, Any] | None:
        """Take in a step; returns what the metrics file keeps of the window that it closes, or None."""
        for part, found in counts.items():
            self._counts.setdefault(part, PartCounts()).merge(found)
        if step % WINDOW and not last:
            return None
        rows = [
            {
                "task": part[0],
                "part": part[1],
                "kind": "term" if part in self._terms else "gate",
                "mean": _rounded(found.mean),
                "equal": _rounded(found.equal_share),
                "abstained": _rounded(found.abstained),
                "verdict": found.verdict(gate=part not in self._terms),
            }
            for part, found in self._counts.items()
        ]
        record = {"first": self._first, "parts": rows}
        self._counts, self._first = {}, step + 1
        return record

    def warnings(self, record: Mapping[str, Any]) -> Iterable[str]:
        """Yield a sentence for each part that the record finds wrong for the first time."""
        for row in record["parts"]:
            key = (row["task"], row["part"], row["verdict"])
            # Nobody is surprised that the reward of type `constant` is constant.
            if row["verdict"] in ("", "open") or row["part"] == "constant" or key in self._warned:
                continue
            self._warned.add(key)
            yield f"task '{row['task']}': {row['kind']} '{row['part']}' {_REASONS[row['verdict']].format(**row)}"

    def state_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        counts = [[*part, _finite(asdict(found))] for part, found in self._counts.items()]
        return {"first": self._first, "counts": counts, "warned": sorted(self._warned)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._first = state["first"]
        self._counts = {(task, name): PartCounts(**values) for task, name, values in state["counts"]}
        self._warned = {tuple(key) for key in state["warned"]}


_REASONS = {
    "silent": "abstained from everything so far, so it has no part in the reward; check that it knows the languages",
    "saturated": "is saturated (mean {mean}), so it hardly tells hypotheses apart; take it out or use a stricter one",
    "constant": "is constant (one value in {equal:.0%} of the groups), so it teaches nothing; take it out or weigh it"
    " less",
}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Without the infinities that stand for "none yet" and that JSON does not have."""
    return {name: value for name, value in values.items() if math.isfinite(value)}
