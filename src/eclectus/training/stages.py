"""What a run does before reinforcement learning: supervised stages, and back-translations for them and for tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eclectus.config import BackTranslationConfig, SupervisedConfig
from eclectus.errors import ConfigError, DataError
from eclectus.languages import expand_directions
from eclectus.policies.base import Policy
from eclectus.segment import Segment
from eclectus.training.supervised import Trained, train_supervised
from eclectus.training.synthetic import as_back_translated, back_prompts, back_translated, synthesise

if TYPE_CHECKING:
    from eclectus.training.run import Run
    from eclectus.training.tasks import Task


def supervised(
    run: Run,
    policy: Policy,
    config: SupervisedConfig,
    stage: str = "supervised",
    more: Callable[[], Mapping[str, Sequence[Segment]]] = dict,
) -> Trained:
    """Train on the real pairs, and on `more` of them that are made when the training begins."""
    pairs = run.pairs(config.directions)
    dev = run.dev(expand_directions(config.dev_directions or config.directions, run.languages))

    def train(folder: Path) -> Trained:
        return train_supervised(
            policy,
            config,
            {**pairs, **more()},
            dev,
            seed=run.config.seed,
            folder=folder,
            tracker=run.tracker,
            stage=stage,
            max_length=run.config.evaluation.max_length,
            texts=run.texts,
            judge_start=run.config.policy.new is None,
            resume=run.resume,
        )

    return run.stage(stage, policy, train)


def prompts_to_translate_back(run: Run) -> dict[str, list[Segment]]:
    """What `back_translation` translates, in the reverse directions; nothing without that part.

    Raises:
        ConfigError: there is no such text.
    """
    config = run.config.back_translation
    if config is None:
        return {}
    prompts = back_prompts(
        run.dataset, expand_directions(config.synthetic, run.languages), run.pairs(config.directions)
    )
    if not prompts:
        raise ConfigError(
            "config: 'back_translation.synthetic': all text of the target languages stands in pairs already; add"
            " monolingual text, or take back_translation out"
        )
    return prompts


def back_translation(
    run: Run, policy: Policy, config: BackTranslationConfig, prompts: Mapping[str, Sequence[Segment]]
) -> Trained:
    """Train on the real pairs and on what the policy, as it is now, makes of the prompts."""
    make = back_translated(lambda segments: policy.translate(segments, run.config.evaluation.max_length))

    def more() -> Mapping[str, Sequence[Segment]]:
        path, seed = run.folder / "synthetic" / "start.json", run.config.seed
        return synthesise(prompts, make, path, seed=seed, most=config.texts, resume=run.resume).pairs

    # Not "back_translation", which is the control.
    return supervised(run, policy, config, "supervised_back_translation", more)


def texts_of_tasks(run: Run, tasks: Sequence[Task]) -> list[dict[str, list[Segment]]]:
    """What is translated back for each task, in the reverse directions.

    Raises:
        ConfigError: a task wants back-translations and there is no text for them.
    """
    found = []
    for number, task in enumerate(tasks):
        wanted: dict[str, list[Segment]] = {}
        if task.config.back_translated:
            directions = expand_directions(task.config.directions, run.languages)
            wanted = back_prompts(run.dataset, directions, run.pairs(task.config.directions))
            if not wanted:
                raise ConfigError(
                    f"config: 'reinforce.tasks.{number}.back_translated': all text of the target languages stands in"
                    " pairs already; add monolingual text, or set it to 0"
                )
        found.append(wanted)
    return found


def add_back_translations(run: Run, tasks: Sequence[Task], texts: Sequence[Mapping[str, Sequence[Segment]]]) -> float:
    """Let the start translate the texts of `texts_of_tasks` back, and give the pairs to the tasks.

    Returns:
        the seconds that it took.
    """
    seconds = 0.0
    for number, (task, prompts) in enumerate(zip(tasks, texts, strict=True)):
        if not prompts:
            continue
        made = synthesise(
            prompts,
            back_translated(run.translate),
            run.folder / "synthetic" / f"task-{number}.json",
            seed=run.config.seed,
            most=task.config.back_translated,
            resume=run.resume,
        )
        seconds += made.seconds
        for rows in made.pairs.values():
            for name in {row.direction for row in rows}:
                task.prompts[name] = [*task.prompts[name], *map(as_back_translated, rows)]
        for name, rows in task.prompts.items():
            if not rows:
                raise DataError(
                    f"task '{task.name}': no sentence pairs for {name}, and the start translates no text back; take the"
                    " direction out, or train the start on the reverse direction first"
                )
    return seconds
