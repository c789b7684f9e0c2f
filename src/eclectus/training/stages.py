"""The stages of a run: supervised training, back-translations for it and for tasks, reinforcement learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from eclectus import registry
from eclectus.algorithms.base import Algorithm
from eclectus.config import BackTranslationConfig, ReinforceConfig, SupervisedConfig
from eclectus.errors import ConfigError, DataError
from eclectus.languages import expand_directions
from eclectus.policies.base import Policy
from eclectus.rewards.composite.combine import check_parts
from eclectus.seeds import derive
from eclectus.segment import Segment
from eclectus.training.context import RunContext
from eclectus.training.directions import check_sampling
from eclectus.training.reinforce import Reinforcer
from eclectus.training.supervised import Trained, train_supervised
from eclectus.training.synthetic import as_back_translated, back_prompts, back_translated, synthesise
from eclectus.training.tasks import Task


def supervised(
    run: RunContext,
    policy: Policy,
    config: SupervisedConfig,
    stage: str = "supervised",
    more: Callable[[], Mapping[str, Sequence[Segment]]] = dict,
) -> Trained:
    """Train on the real pairs, and on `more` of them that are made when the training begins.

    What has been trained before is kept where nothing is better on dev; random weights cannot be.
    """
    untrained = stage == "supervised" and run.config.policy.new is not None
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
            judge_start=not untrained,
            resume=run.resume,
        )

    return run.stage(stage, policy, train)


def prompts_to_translate_back(run: RunContext) -> dict[str, list[Segment]]:
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
    run: RunContext, policy: Policy, config: BackTranslationConfig, prompts: Mapping[str, Sequence[Segment]]
) -> Trained:
    """Train on the real pairs and on what the policy, as it is now, makes of the prompts."""
    make = back_translated(lambda segments: policy.translate(segments, run.config.evaluation.max_length))

    def more() -> Mapping[str, Sequence[Segment]]:
        path, seed = run.folder / "synthetic" / "start.json", run.config.seed
        return synthesise(prompts, make, path, seed=seed, most=config.texts, resume=run.resume).pairs

    # Not "back_translation", which is the control.
    return supervised(run, policy, config, "supervised_back_translation", more)


def texts_of_tasks(run: RunContext, tasks: Sequence[Task]) -> list[dict[str, list[Segment]]]:
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


def add_back_translations(
    run: RunContext, tasks: Sequence[Task], texts: Sequence[Mapping[str, Sequence[Segment]]]
) -> float:
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
            # With the run's own seed each would draw the texts of the others, which the start has learnt already.
            seed=derive(run.config.seed, "task", number),
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


class Cost(TypedDict):
    """What a training cost, as `System` takes it."""

    seconds: float
    steps: int


def cost(trained: Trained) -> Cost:
    """Seconds and steps of a training."""
    return {"seconds": round(trained.seconds, 1), "steps": trained.steps}


def reinforce(
    run: RunContext,
    policy: Policy,
    algorithm: Algorithm,
    config: ReinforceConfig,
    tasks: Sequence[Task],
    stage: str,
    *,
    last: int | None = None,
) -> Trained:
    """One reinforcement-learning stage from the run's starting policy.

    Args:
        last: see `Reinforcer`.
    """
    wanted = [pair for task in tasks for pair in expand_directions(task.directions, run.languages)]
    dev = run.dev(list(dict.fromkeys(wanted)))

    reinforcer = Reinforcer(
        policy,
        run.start,
        algorithm,
        config,
        tasks,
        dev,
        languages=run.languages,
        seed=derive(run.config.seed, stage),
        folder=run.checkpoints(stage),
        tracker=run.tracker,
        stage=stage,
        dev_max_length=run.config.evaluation.max_length,
        renewed=run.renewed if stage == "reinforce" else None,
        last=last,
    )
    return run.stage(stage, policy, lambda _: reinforcer.train(resume=run.resume), algorithm)


def check_reinforce(config: ReinforceConfig) -> Algorithm:
    """Refuse what can be refused of the settings before there is any text; returns the algorithm that they name.

    Raises:
        ConfigError: an algorithm, a reward or a way to choose directions that is not known, or wrong options of one.
    """
    algorithm = build_algorithm(config)
    check_sampling(config.direction_sampling)
    for number, task in enumerate(config.tasks):
        check_parts(task.reward, f"reinforce.tasks.{number}.reward")
    return algorithm


def build_algorithm(config: ReinforceConfig) -> Algorithm:
    """The algorithm that the config names, with its options checked."""
    component = config.algorithm
    algorithm = registry.build("algorithms", component.type, Algorithm, "reinforce.algorithm", component.options)
    algorithm.check(config)
    return algorithm
