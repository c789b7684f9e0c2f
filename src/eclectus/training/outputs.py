"""What a run leaves beside its report: the model, the models of its rewards, and which text it has met."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError

from eclectus.algorithms import store
from eclectus.algorithms.base import Algorithm
from eclectus.corpora.seen import SeenText
from eclectus.errors import RunError, resuming
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.training.context import RunContext
from eclectus.training.tasks import Task


def save_rewards(folder: Path, tasks: Sequence[Task]) -> None:
    """Write the models that the rewards made of the run's text, so that they can judge outside it."""
    for number, task in enumerate(tasks):
        targets = {rows[0].target_lang for rows in task.prompts.values()}
        name = re.sub(r"[^\w-]+", "_", task.name)  # a task's name may hold what a file's name may not
        try:
            task.reward.save(folder / f"{number}-{name}", sorted(targets))
        except OSError as error:
            raise RunError(
                f"output: cannot write the models of the rewards to '{folder}' ({error}); free some space and continue"
                f" with {resuming(folder.parent)}"
            ) from error


def write_model(run: RunContext, policy: PretrainedPolicy, algorithm: Algorithm | None, seen: SeenText | None) -> None:
    """Write the model with what belongs to it.

    Raises:
        RunError: it cannot be written.
    """
    folder = run.folder / "model"
    try:
        policy.save(folder)
        _share(folder)
        if algorithm is not None:
            store.save(algorithm, folder)
        _remember_text(run, seen, folder)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"output: cannot write the model to '{folder}' ({error}); free some space and continue with"
            f" {resuming(run.folder)}"
        ) from error


def _share(folder: Path) -> None:
    """Let whoever may read the files beside the weights read these: safetensors writes them for their owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o666 & ~mask)


def _remember_text(run: RunContext, seen: SeenText | None, folder: Path) -> None:
    """Write which text the model has met, its start's included, so that a later run can hold out for true."""
    texts = SeenText.of(text for language in run.languages for text in run.dataset.monolingual("train", language))
    (texts if seen is None else texts | seen).save(folder)
