"""One run from text to report: prepare, train, evaluate, write; a resumed run skips what is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, TypedDict

import torch
from rich.console import Console

from eclectus import config as cfg
from eclectus import parallel, registry
from eclectus.algorithms.base import Algorithm
from eclectus.config import PromptConfig, ReinforceConfig, RunConfig
from eclectus.corpora.dataset import Dataset, prepare, read_pairs
from eclectus.corpora.seen import SeenText
from eclectus.errors import InterruptedRunError, RunError
from eclectus.evaluation import report
from eclectus.evaluation.results import Results, System
from eclectus.languages import Direction, direction, expand_directions
from eclectus.policies.base import Policy
from eclectus.policies.load import BASE, load_policy, new_policy, resolve_device
from eclectus.policies.new_language import add_languages
from eclectus.policies.precision import autocast_type
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.rewards.base import RewardContext
from eclectus.seeds import derive
from eclectus.segment import Segment
from eclectus.training import checkpoint as ckpt
from eclectus.training import optimizer, stages
from eclectus.training.directions import check_sampling
from eclectus.training.model_card import write_card
from eclectus.training.outputs import save_rewards, write_model
from eclectus.training.reinforce import Reinforcer
from eclectus.training.renewed import RenewedPolicies
from eclectus.training.sampling import check_engines
from eclectus.training.supervised import Trained
from eclectus.training.tasks import Task, build_tasks
from eclectus.training.testbench import TestBench, groups, test_segments
from eclectus.training.tracking import Tracker
from eclectus.training.validation import DevSet


@dataclass
class Run:
    """What the stages of a run share.

    Args:
        base: the frozen starting policy of reinforcement learning; None until it is known.
        renewed: later copies of the policy, for rewards that translate with them.
    """

    config: RunConfig
    folder: Path
    dataset: Dataset
    tracker: Tracker
    resume: bool
    base: Policy | None = field(default=None)
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
        self.dataset.check(directions)
        limit = self.config.evaluation.dev_segments
        rows = {direction(s, t): self.dataset.pairs("dev", s, t)[:limit] for s, t in directions}
        return DevSet(rows, self.languages, self.config.evaluation.engine)

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
                f"stopped after step {trained.steps} of '{name}', all saved; continue with"
                f" `eclectus train --resume {self.folder}`"
            )
        if trained.best_step == 0:
            self.tracker.say(f"[yellow]{name}: no step did better on dev than the start, which was kept")
        record.parent.mkdir(exist_ok=True)
        ckpt.write_atomic(record, json.dumps(asdict(trained)))
        return trained


def start(config: RunConfig, folder: Path, console: Console | None = None) -> Results:
    """Run a configuration in a new folder.

    Raises:
        RunError: the folder exists and is not empty, or cannot be written.
        InterruptedRunError: the user pressed Ctrl-C; `resume` goes on.
    """
    parallel.begin()
    try:
        if parallel.leads() and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(f"output: '{folder}' exists; choose another --output, or continue that run with --resume")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"output: cannot write to '{folder}' ({error}); choose another --output") from error
    with parallel.own_folder(folder, resume=False) as own:
        return _execute(config, own, console, resume=False)


def resume(folder: Path, console: Console | None = None) -> Results:
    """Go on with an interrupted run, to the same result as if it had not been interrupted.

    Raises:
        RunError: the folder is no run.
    """
    parallel.begin()
    path = folder / "config.yaml"
    if not path.exists():
        raise RunError(f"resume: '{folder}' is no run (it has no config.yaml); give the folder of a run")
    config = cfg.load(path)
    with parallel.own_folder(folder, resume=True) as own:
        return _execute(config, own, console, resume=True)


def _execute(config: RunConfig, folder: Path, console: Console | None, *, resume: bool) -> Results:
    if config.threads:
        torch.set_num_threads(config.threads)
    device = resolve_device(config.device)
    tracker = Tracker(folder, console if parallel.leads() else None)
    tracker.say("preparing the text")
    dataset = prepare(config.data, config.data.split_seed)
    run = Run(config, folder, dataset, tracker, resume)
    autocast = autocast_type(config.policy.autocast, device)
    for part in (config.supervised, config.back_translation, config.reinforce):
        if part is not None:
            optimizer.check(part.optimizer, device)
    policy, seen = _first_policy(run)
    policy.model.to(device)
    policy.autocast, policy.gradient_checkpointing = autocast, config.policy.gradient_checkpointing
    policy.merging = config.policy.merge_samples
    policy.check_languages(dataset.languages)
    if config.supervised is not None or config.back_translation is not None:
        policy.check_supervised()
    directions = expand_directions(config.evaluation.directions, dataset.languages)
    dataset.check(directions)
    policy.check_directions(_directions(config))
    bench = TestBench(folder, test_segments(dataset, directions, seen), config.evaluation, resume=resume)
    # Built before any training, so that a mistake in a reward shows now and not after an hour.
    tasks: list[Task] = []
    algorithm: Algorithm | None = None
    if config.reinforce is not None:
        algorithm = build_algorithm(config.reinforce)
        tasks = _tasks(run, config.reinforce)
    check_engines(config, policy, algorithm)
    prompts, texts = stages.prompts_to_translate_back(run), stages.texts_of_tasks(run, tasks)
    # Written once everything is checked: after a mistake the folder is still empty and can be used again.
    ckpt.write_atomic(folder / "config.yaml", cfg.dump(config))
    ckpt.write_atomic(folder / "data.json", json.dumps(dataset.describe(), ensure_ascii=False, indent=1))
    systems = _train_start(run, policy, bench, prompts)
    if config.reinforce is not None and algorithm is not None:
        systems.append(System(name="base", label="start", role="base", description="the model before RL"))
        bench.add("base", run.start)
        tracker.say("reinforcement learning")
        making = stages.add_back_translations(run, tasks, texts)
        trained = reinforce(run, policy, algorithm, config.reinforce, tasks, "reinforce")
        trained = replace(trained, seconds=trained.seconds + making)
        save_rewards(folder / "rewards", tasks)
        label = f"RL ({config.reinforce.algorithm.type.upper()})"
        systems.append(System(name="rl", label=label, role="system", description=trained.outcome, **cost(trained)))
        bench.add("rl", policy)
        from eclectus.training.controls import run_controls

        systems += run_controls(run, tasks, bench, trained)
    tracker.say("scoring the test set and writing the report")
    tested = groups(config, directions)
    results = bench.results(config, dataset.languages, systems, tested, run.translate)
    if parallel.leads():
        write_model(run, policy, algorithm, seen)
    bench.publish(results)
    if bench.beam is not None:
        tracker.say("scoring what beam search made of the test set")
        bench.beam.publish(bench.beam.results(config, dataset.languages, systems, tested, run.translate))
        report.write(bench.beam.folder)
    if parallel.leads():
        write_card(folder / "model", config, dataset, results, [task.reward.signature for task in tasks])
        report.write(folder)
    return results


def _train_start(run: Run, policy: Policy, bench: TestBench, prompts: Mapping[str, Sequence[Segment]]) -> list[System]:
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
        systems.append(System(name="supervised", label="supervised", role="system", **cost(last)))
        bench.add("supervised", policy)
    return systems


class Cost(TypedDict):
    """What a training cost, as `System` takes it."""

    seconds: float
    steps: int


def cost(trained: Trained) -> Cost:
    """Seconds and steps of a training."""
    return {"seconds": round(trained.seconds, 1), "steps": trained.steps}


def reinforce(
    run: Run, policy: Policy, algorithm: Algorithm, config: ReinforceConfig, tasks: Sequence[Task], stage: str
) -> Trained:
    """One reinforcement-learning stage from the run's starting policy."""
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
    )
    return run.stage(stage, policy, lambda _: reinforcer.train(resume=run.resume), algorithm)


def _first_policy(run: Run) -> tuple[PretrainedPolicy, SeenText | None]:
    config = run.config
    if config.policy.new is None:
        prompt = config.policy.prompt
        # A model that was trained with a prompt brings it along, unless the run has its own.
        policy, seen = load_policy(
            config.policy.path, None if prompt == PromptConfig() else prompt, config.policy.revision
        )
        if config.policy.add_languages:
            policy = add_languages(policy, config.policy.add_languages)
        few_shot = prompt.few_shot
        if few_shot.k and few_shot.pool is None:
            policy.use_examples(run.pairs(["*-*"]))
        elif few_shot.pool is not None:
            policy.use_examples(
                read_pairs("policy.prompt.few_shot.pool", few_shot.pool, run.languages, root=config.data.root)
            )
        lora = config.policy.lora
        if lora is not None:
            path = config.policy.path
            base = str(Path(path).resolve()) if path != BASE and Path(path).exists() else path
            policy.adapt(lora, base, run.languages, derive(config.seed, "adapters"))
        return policy, seen
    texts = [text for language in run.languages for text in run.dataset.monolingual("train", language)]
    return new_policy(config.policy.new, texts, run.languages, derive(config.seed, "weights")), None


def _directions(config: RunConfig) -> list[Direction]:
    """Every direction that the run trains or scores."""
    patterns = list(config.evaluation.directions)
    if config.supervised is not None:
        patterns += config.supervised.directions
    if config.back_translation is not None:
        patterns += config.back_translation.directions + config.back_translation.synthetic
        patterns += [
            direction(t, s) for s, t in expand_directions(config.back_translation.synthetic, config.data.languages)
        ]
    for task in config.reinforce.tasks if config.reinforce is not None else ():
        patterns += task.directions
        if task.back_translated:
            patterns += [direction(t, s) for s, t in expand_directions(task.directions, config.data.languages)]
    return expand_directions(list(dict.fromkeys(patterns)), config.data.languages)


def _tasks(run: Run, config: ReinforceConfig) -> list[Task]:
    context = RewardContext(
        languages=run.languages,
        translate=run.translate,
        target_texts=run.texts,
        refreshed=run.renewed.lend,
        tokenize=run.tokenize,
        max_steps=config.steps,
    )
    check_sampling(config.direction_sampling)
    return build_tasks(config.tasks, run.dataset, context, in_parts=config.overlap > 1)


def build_algorithm(config: ReinforceConfig) -> Algorithm:
    """The algorithm that the config names, with its options checked."""
    kind = registry.find("algorithms", config.algorithm.type, Algorithm)  # type: ignore[type-abstract]
    options = registry.parse_options("reinforce.algorithm", kind.Options, config.algorithm.options)
    algorithm = kind(options)
    algorithm.check(config)
    return algorithm
