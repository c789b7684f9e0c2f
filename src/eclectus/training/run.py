"""One run from text to report: prepare, train, evaluate, write; a resumed run skips what is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from eclectus import atomic, parallel
from eclectus import config as cfg
from eclectus.config import ReinforceConfig, RunConfig
from eclectus.corpora.dataset import Dataset, prepare
from eclectus.errors import InterruptedRunError, RunError, resuming
from eclectus.evaluation import report
from eclectus.evaluation.results import Results, System
from eclectus.languages import expand_directions
from eclectus.policies.base import Policy
from eclectus.policies.load import resolve_device
from eclectus.rewards.base import RewardContext
from eclectus.segment import Segment
from eclectus.training import claim, optimizer, stages
from eclectus.training.context import RunContext
from eclectus.training.controls import run_controls
from eclectus.training.first_policy import first_policy
from eclectus.training.material import Material
from eclectus.training.model_card import write_card
from eclectus.training.outputs import save_rewards, write_model
from eclectus.training.sampling import check_engines
from eclectus.training.supervised import Trained
from eclectus.training.tasks import Task, build_tasks
from eclectus.training.testbench import TestBench, groups
from eclectus.training.tracking import Tracker


def start(config: RunConfig, folder: str | Path, console: Console | None = None) -> Results:
    """Run a configuration in a new folder.

    Raises:
        RunError: the folder exists and is not empty, or cannot be written.
        InterruptedRunError: the user pressed Ctrl-C; `resume` goes on.
    """
    folder = Path(folder)
    parallel.begin()
    claim.check_empty(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"output: cannot write to '{folder}' ({error}); choose another --output") from error
    with claim.alone(folder), parallel.own_folder(folder, resume=False) as own:
        claim.check_empty(folder)  # another one may have come and gone in between
        return _interruptible(config, own, console, resume=False)


def resume(folder: str | Path, console: Console | None = None) -> Results:
    """Go on with an interrupted run, to the same result as if it had not been interrupted.

    Raises:
        RunError: the folder is no run.
    """
    folder = Path(folder)
    parallel.begin()
    path = folder / "config.yaml"
    if not path.exists():
        raise RunError(f"resume: '{folder}' is no run (it has no config.yaml); give the folder of a run")
    config = cfg.load(path)
    claim.check_settings(config, folder)
    with claim.alone(folder), parallel.own_folder(folder, resume=True) as own:
        return _interruptible(config, own, console, resume=True)


def _interruptible(config: RunConfig, folder: Path, console: Console | None, *, resume: bool) -> Results:
    """Ctrl-C between two stages, or a second one within a step, says what is left, too."""
    try:
        return _execute(config, folder, console, resume=resume)
    except KeyboardInterrupt as error:
        if not (folder / "config.yaml").exists():
            raise InterruptedRunError("stopped before anything was saved; the same command begins again") from error
        raise InterruptedRunError(f"stopped; continue from what was saved with {resuming(folder)}") from error


def _execute(config: RunConfig, folder: Path, console: Console | None, *, resume: bool) -> Results:
    if config.threads:
        torch.set_num_threads(config.threads)
    device = resolve_device(config.device)
    tracker = Tracker(folder, console if parallel.leads() else None)
    algorithm = None if config.reinforce is None else stages.check_reinforce(config.reinforce)
    tracker.say("preparing the text")
    dataset = prepare(config.data, config.data.split_seed)
    if resume:
        _check_text(dataset, folder / "data.json")
    run = RunContext(config, folder, dataset, tracker, resume)
    for part in (config.supervised, config.back_translation, config.reinforce):
        if part is not None:
            optimizer.check(part.optimizer, device)
    policy, run.seen = first_policy(run, device)
    if resume:
        claim.check_weights(config, folder, run.weights)
    directions = expand_directions(config.evaluation.directions, dataset.languages)
    dataset.check(directions)
    bench = TestBench(folder, dataset.held_out("test", directions, run.seen), config.evaluation, resume=resume)
    _check_dev(run)
    # Built before any training, so that a mistake in a reward shows now and not after an hour.
    tasks = [] if config.reinforce is None else _tasks(run, config.reinforce)
    check_engines(config, policy, algorithm)
    if algorithm is not None:
        algorithm.check_policy(policy)
    prompts, texts = stages.prompts_to_translate_back(run), stages.texts_of_tasks(run, tasks)
    # Written once everything is checked: after a mistake the folder is still empty and can be used again.
    atomic.write(folder / "config.yaml", cfg.dump(config))
    claim.write_settings(config, folder, run.weights)
    atomic.write(folder / "data.json", json.dumps(dataset.describe(), ensure_ascii=False, indent=1))
    _warn(run, tasks)
    systems = _train_start(run, policy, bench, prompts)
    if config.reinforce is not None and algorithm is not None:
        systems.append(System(name="base", label="start", role="base", description="the model before RL"))
        bench.add("base", run.start)
        tracker.say("reinforcement learning")
        making = stages.add_back_translations(run, tasks, texts)
        trained = stages.reinforce(run, policy, algorithm, config.reinforce, tasks, "reinforce")
        trained = replace(trained, seconds=trained.seconds + making)
        save_rewards(folder / "rewards", tasks)
        systems.append(
            System(
                name="rl",
                label=_label(config.reinforce),
                role="system",
                description=trained.outcome,
                **stages.cost(trained),
            )
        )
        bench.add("rl", policy)
        systems += run_controls(run, tasks, bench, trained)
    tracker.say("scoring the test set and writing the report")
    tested = groups(config, directions)
    results = bench.results(config, dataset.languages, systems, tested, run.translate)
    whole = policy.unsplit()
    if parallel.leads():
        write_model(run, whole, algorithm, run.seen)
    bench.publish(results)
    if bench.beam is not None:
        tracker.say("scoring what beam search made of the test set")
        bench.beam.publish(bench.beam.results(config, dataset.languages, systems, tested, run.translate))
        report.write(bench.beam.folder)
    if parallel.leads():
        write_card(folder / "model", config, dataset, results, [task.reward.signature for task in tasks])
        report.write(folder)
    return results


def _label(config: ReinforceConfig) -> str:
    """What tables call the trained system: by an acronym, or by the name of the user's own class."""
    kind = config.algorithm.type
    return f"RL ({kind.rpartition(':')[2] if ':' in kind else kind.upper()})"


def _check_dev(run: RunContext) -> None:
    """Make sure that each direction that chooses a checkpoint has dev text.

    Raises:
        DataError: one has none.
    """
    config = run.config
    patterns: list[str] = []
    for part in (config.supervised, config.back_translation):
        if part is not None:
            patterns += part.dev_directions or part.directions
    for task in config.reinforce.tasks if config.reinforce is not None else ():
        patterns += task.directions
    if patterns:
        run.dev_segments(expand_directions(list(dict.fromkeys(patterns)), run.languages))


def _check_text(dataset: Dataset, path: Path) -> None:
    """Make sure that the text is what the run began with: its translations of the test set are kept.

    Raises:
        RunError: it has changed since.
    """
    if not path.exists():
        return
    before, now = json.loads(path.read_text(encoding="utf-8")), json.loads(json.dumps(dataset.describe()))
    # An earlier version told less of the text.
    if any(now.get(key) != value for key, value in before.items()):
        known = json.dumps(before)
        changed = [signature for signature in now["signatures"] if json.dumps(signature) not in known]
        raise RunError(
            f"resume: the text is not what the run began with ({'; '.join(changed) or 'it is split differently'}); put"
            " back what was there, or start a new run"
        )


def _train_start(
    run: RunContext, policy: Policy, bench: TestBench, prompts: Mapping[str, Sequence[Segment]]
) -> list[System]:
    """Train the starting policy; returns the systems that the tables are to show before it."""
    config, systems = run.config, []
    last: Trained | None = None
    if config.supervised is not None and config.policy.new is None:
        role: Literal["base", "control"] = "base" if config.reinforce is None else "control"
        told = "the model before any training"
        systems.append(System(name="loaded", label="as loaded", role=role, description=told))
        bench.add("loaded", policy)
    if config.supervised is not None:
        run.tracker.say("supervised training")
        last = stages.supervised(run, policy, config.supervised)
    if config.back_translation is not None:
        run.tracker.say("supervised training with back-translations")
        bench.add("before", policy)
        told = "the model that made the back-translations"
        systems.append(System(name="before", label="before back-translation", role="control", description=told))
        last = stages.back_translation(run, policy, config.back_translation, prompts)
    run.base = policy.copy()
    if config.reinforce is None and last is not None:
        systems.append(System(name="supervised", label="supervised", role="system", **stages.cost(last)))
        bench.add("supervised", policy)
    return systems


def _tasks(run: RunContext, config: ReinforceConfig) -> list[Task]:
    context = RewardContext(
        languages=run.languages,
        translate=run.translate,
        target_texts=run.texts,
        refreshed=run.renewed.lend,
        tokenize=run.tokenize,
        max_steps=config.steps,
    )
    return build_tasks(config.tasks, run.dataset, context, in_parts=config.overlap > 1)


def _warn(run: RunContext, tasks: Sequence[Task]) -> None:
    """What was or will be left out, said before any training."""
    for sentence in run.dataset.warnings:
        run.tracker.warn(sentence)
    for task in tasks:
        targets = [target for _, target in expand_directions(task.directions, run.languages)]
        for sentence in task.reward.unjudged(list(dict.fromkeys(targets))):
            run.tracker.warn(f"task '{task.name}': {sentence}")
    for control in run.config.controls if tasks else ():
        if missing := Material(run.dataset, tasks).missing(control):
            run.tracker.warn(f"the control {control} is left out: {missing}")
