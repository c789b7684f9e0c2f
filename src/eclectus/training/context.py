"""What the stages of a run share: its text, its policies, its folder, and which of the stages are done."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from eclectus import atomic
from eclectus.algorithms.base import Algorithm
from eclectus.config import RunConfig
from eclectus.corpora.dataset import Dataset
from eclectus.corpora.seen import SeenText
from eclectus.errors import InterruptedRunError, RunError, resuming
from eclectus.languages import Direction, direction, expand_directions
from eclectus.policies.base import Policy
from eclectus.segment import Segment
from eclectus.training import checkpoint as ckpt
from eclectus.training.renewed import RenewedPolicies
from eclectus.training.supervised import Trained
from eclectus.training.tracking import Tracker
from eclectus.training.validation import DevSet


@dataclass
class RunContext:
    """What the stages of a run share.

    Args:
        base: the frozen starting policy of reinforcement learning; None until it is known.
        seen: the text that the loaded model was trained on; None where it carries none.
        weights: the loaded model's fingerprint; None where the run makes its own.
        renewed: later copies of the policy, for rewards that translate with them.
    """

    config: RunConfig
    folder: Path
    dataset: Dataset
    tracker: Tracker
    resume: bool
    base: Policy | None = field(default=None)
    seen: SeenText | None = field(default=None)
    weights: str | None = field(default=None)
    renewed: RenewedPolicies = field(init=False)

    def __post_init__(self) -> None:
        self.renewed = RenewedPolicies(lambda: self.start, self.config.evaluation.max_length)

    @property
    def start(self) -> Policy:
        """The starting policy, once it is known."""
        if self.base is None:
            raise RuntimeError("the starting policy is not trained yet")
        return self.base

    @property
    def languages(self) -> list[str]:
        return self.dataset.languages

    @property
    def texts(self) -> dict[str, list[str]]:
        """Monolingual training text by language."""
        return {language: self.dataset.monolingual("train", language) for language in self.languages}

    def pairs(self, patterns: Sequence[str]) -> dict[str, list[Segment]]:
        """Training pairs by direction."""
        expanded = expand_directions(patterns, self.languages)
        return {direction(s, t): self.dataset.pairs("train", s, t) for s, t in expanded}

    def dev(self, directions: Sequence[Direction]) -> DevSet:
        """The slice of the dev set that is translated at each evaluation."""
        limit = self.config.evaluation.dev_segments
        rows = {name: rows[:limit] for name, rows in self.dev_segments(directions).items()}
        return DevSet(rows, self.languages, self.config.evaluation.engine)

    def dev_segments(self, directions: Sequence[Direction]) -> dict[str, list[Segment]]:
        """The whole dev set.

        Raises:
            DataError: a direction has no dev or test segments, or the loaded model was trained on all of them.
        """
        self.dataset.check(directions)
        return self.dataset.held_out("dev", directions, self.seen)

    def translate(self, segments: Sequence[Segment]) -> list[str]:
        """Greedy translations by the starting policy, for rewards and controls."""
        return self.start.translate(segments, self.config.evaluation.max_length)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of translations, for rewards."""
        return self.start.tokenize_targets(texts)

    def checkpoints(self, stage: str) -> Path:
        """Where the checkpoints of a stage are."""
        return self.folder / "checkpoints" / stage

    def stage(
        self, name: str, policy: Policy, train: Callable[[Path], Trained], algorithm: Algorithm | None = None
    ) -> Trained:
        """Run one training stage, or take over its result where it is complete; leaves `policy` at its best weights.

        Args:
            train: takes the folder for checkpoints.
            algorithm: whose module, where it has one, is left at the weights that belong to the policy's.

        Raises:
            InterruptedRunError: the user stopped it; the checkpoint is written.
        """
        folder, record = self.checkpoints(name), self.folder / "stages" / f"{name}.json"
        if self.resume and record.exists():
            finished = ckpt.latest(folder)
            if finished is None:
                raise RunError(f"resume: '{folder}' is missing although the stage was finished; start a new run")
            ckpt.load_weights(policy.model, finished.tensors["best"])
            if algorithm is not None and algorithm.module is not None:
                ckpt.load_weights(algorithm.module, finished.tensors["algorithm_best"])
            return Trained(**json.loads(record.read_text(encoding="utf-8")))
        trained = train(folder)
        if not trained.complete:
            raise InterruptedRunError(
                f"stopped after step {trained.steps} of '{name}', all saved; continue with {resuming(self.folder)}"
            )
        if trained.best_step == 0:
            self.tracker.warn(f"{name}: no step did better on dev than the start, which was kept")
        record.parent.mkdir(exist_ok=True)
        atomic.write(record, json.dumps(asdict(trained)))
        # The moments of the optimizer alone are twice the model, for every stage and control.
        ckpt.slim(folder, ("best", "algorithm_best"))
        return trained
