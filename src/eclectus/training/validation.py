"""Dev evaluation while training: greedy translations of a fixed slice of the dev set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eclectus.config import Component
from eclectus.evaluation.metrics import DirectionScores, Scorer
from eclectus.policies.base import Policy
from eclectus.rollouts.engine import NATIVE, engine_of
from eclectus.segment import Segment


@dataclass(frozen=True)
class DevScores:
    """Means over directions: BLEU and chrF++ in 0..100, the other rates as in `DirectionScores`."""

    bleu: float
    chrf: float
    off_target: float
    length_ratio: float
    repetition: float
    copy: float
    empty: float

    def named(self, group: str) -> dict[str, float]:
        """For the metrics file: `chrf/<group>` and so on."""
        return {f"{name}/{group}": value for name, value in vars(self).items()}


class DevSet:
    """The dev segments of several directions, with reference statistics extracted once.

    Args:
        segments: by direction, each with a reference.
        languages: the run's languages, for language identification.
        engine: what translates; None: the policy itself.
    """

    def __init__(
        self, segments: Mapping[str, Sequence[Segment]], languages: Sequence[str], engine: Component | None = None
    ) -> None:
        self._engine = engine or Component(type=NATIVE)
        self.segments = {direction: list(rows) for direction, rows in segments.items()}
        self._scorers = {direction: Scorer(rows, languages) for direction, rows in self.segments.items()}

    def translate(self, policy: Policy, max_length: int) -> dict[str, list[str]]:
        """Greedy translations by direction, all directions in one go so that batches are full."""
        translator = engine_of(self._engine, policy, "evaluation.engine") or policy
        texts = iter(translator.translate([s for rows in self.segments.values() for s in rows], max_length))
        return {direction: [next(texts) for _ in rows] for direction, rows in self.segments.items()}

    def score(self, outputs: Mapping[str, Sequence[str]], directions: Sequence[str] | None = None) -> DevScores:
        """Mean scores over `directions` (all by default)."""
        scores = [self._scorers[d].score(outputs[d]) for d in directions or list(self._scorers)]
        names = DevScores.__dataclass_fields__
        return DevScores(**{name: _mean(scores, name) for name in names})


def _mean(scores: Sequence[DirectionScores], name: str) -> float:
    """Mean of one field over the directions that have it."""
    values = [value for s in scores if (value := getattr(s, name)) is not None]
    return sum(values) / len(values) if values else 0.0
