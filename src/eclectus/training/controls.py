"""Controls: what the same time buys without the reward. A result of reinforcement learning stands beside them.

Constant reward shows what the loop does by itself; supervised training continued, supervised training on the pivot's
translations (distillation, Kim and Rush 2016) and on back-translations (Sennrich et al. 2016), made once or in rounds
(Hoang et al. 2018), use the same data for the same time; best-of-n picks from the starting policy's samples by the same
reward, without any training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from eclectus.config import RunConfig, SupervisedConfig
from eclectus.evaluation.agreement import Translate
from eclectus.evaluation.results import System
from eclectus.languages import expand_directions
from eclectus.policies.base import Policy
from eclectus.rollouts.base import Sampling
from eclectus.seeds import derive
from eclectus.segment import Segment
from eclectus.training.context import RunContext
from eclectus.training.material import Material
from eclectus.training.sampling import sampling_of
from eclectus.training.stages import build_algorithm, cost, reinforce
from eclectus.training.supervised import TIME_USED_UP, Trained, train_supervised
from eclectus.training.synthetic import Make, back_translated, distilled, synthesise
from eclectus.training.tasks import Task, constant_tasks
from eclectus.training.testbench import TestBench
from eclectus.training.validation import judge

_MAKING = 0.25
"""Share of the time after which no more synthetic pairs are made."""

_ROUNDS = 4
"""Times that iterative back-translation makes its pairs, each in a like part of the time."""

_BEST_OF = 8


def continued(config: RunConfig) -> SupervisedConfig:
    """How the controls go on training a start: as the run's own supervised part does, but for what the clock sets."""
    assert config.reinforce is not None  # controls stand beside it
    first = config.supervised or SupervisedConfig(optimizer=config.reinforce.optimizer)
    rate = config.control_learning_rate
    if rate is None:  # a peak as high as the first one would undo what has been learnt since
        rate = config.supervised.learning_rate / 3 if config.supervised else config.reinforce.learning_rate
    changes = {"learning_rate": rate, "warmup": 50, "steps": 1_000_000, "patience": 1_000_000, "denoising": None}
    return first.model_copy(update=changes)


def last_step(trained: Trained) -> int | None:
    """The step after which constant reward ends: the last that reinforcement learning made; None: as the config says.

    Where the clock ended that, it ends the control too, whose learning rate follows it.
    """
    return None if trained.reason == TIME_USED_UP else trained.steps


@dataclass
class _Control:
    run: RunContext
    base: Policy
    tasks: Sequence[Task]
    bench: TestBench
    trained: Trained

    @property
    def seconds(self) -> float:
        return self.trained.seconds

    @property
    def evaluations(self) -> int:
        """How often dev judged the reinforcement learning, at its last step too: a control's best is one of as many."""
        config = self.run.config.reinforce
        assert config is not None
        return max(1, math.ceil(self.trained.steps / config.evaluate_every))

    @property
    def material(self) -> Material:
        return Material(self.run.dataset, self.tasks)

    def pivot_translations(self, segments: Sequence[Segment], translate: Translate | None = None) -> list[str]:
        """Source to pivot language to target by the starting policy, greedily or as `translate` does."""
        pivot, translate = self.material.pivot, translate or self.run.translate
        between = translate([replace(s, target_lang=pivot) for s in segments])
        return translate(
            [replace(s, source=text, source_lang=pivot) for s, text in zip(segments, between, strict=True)]
        )

    def constant_reward(self) -> System:
        config = self.run.config.reinforce
        assert config is not None
        for task in self.tasks:
            task.reset()  # of what the controls before this one asked, or a resumed run would ask for other batches
        tasks = constant_tasks(self.tasks)
        policy = self.base.copy(trainable=True)
        algorithm, last = build_algorithm(config), last_step(self.trained)
        trained = reinforce(self.run, policy, algorithm, config, tasks, "constant_reward", last=last)
        self.bench.add("constant_reward", policy)
        return System(
            name="constant_reward",
            label="constant reward",
            role="control",
            description="the same loop, every translation rewarded alike; a group baseline then leaves no gradient"
            f" but that of the likelihood and KL terms; {trained.outcome}",
            **cost(trained),
        )

    def supervised(self) -> System:
        return self._train(
            "supervised_continued",  # a stage of its own, not the run's first one
            "supervised, continued",
            "supervised training on the sentence pairs for the same time",
            self.material.pairs,
        )

    def distillation(self) -> System | None:
        return self._train_on(
            "distillation",
            "distillation",
            "supervised training on the pivot's own translations and the sentence pairs for the same time, making the"
            " translations included",
            self.material.to_distil,
            distilled(self.pivot_translations),
        )

    def back_translation(self) -> System | None:
        return self._train_on(
            "back_translation",
            "back-translation",
            "supervised training on target-side text with the start's translation of it as the source, and on the"
            " sentence pairs, for the same time, making the translations included",
            self.material.to_translate_back,
            back_translated(self.run.translate),
        )

    def iterative_back_translation(self) -> System:
        prompts = self.material.to_translate_back
        run, name, policy = self.run, "iterative_back_translation", self.base.copy(trainable=True)
        share, rounds, spent = self.seconds / _ROUNDS, [], 0.0
        for number in range(1, _ROUNDS + 1):
            made = synthesise(
                prompts,
                back_translated(lambda segments: policy.translate(segments, run.config.evaluation.max_length)),
                run.folder / "synthetic" / f"{name}-{number}.json",
                seed=derive(run.config.seed, name, number),
                seconds=_MAKING * share,
                resume=run.resume,
            )
            spent += made.seconds
            pairs = self.material.pairs | made.pairs
            if not any(pairs.values()):
                run.tracker.say(f"every translation is empty: round {number} has nothing to learn from")
                continue
            # What a round took beyond its part, with its last look at dev, those after it do not have.
            left, judged = max(1.0, number * share - spent), max(1, self.evaluations // _ROUNDS)
            rounds.append(self._continue(policy, f"{name}-{number}", pairs, left, judged))
            spent += rounds[-1].seconds
        self.bench.add(name, policy)
        return System(
            name=name,
            label="iterative back-translation",
            role="control",
            description=f"back-translation in {_ROUNDS} rounds, each with pairs that the model makes as the last round"
            " left it, for the same time, making the translations included",
            seconds=round(spent, 1),
            steps=sum(trained.steps for trained in rounds),
        )

    def best_of_n(self) -> System | None:
        outputs: dict[str, list[str]] = {}
        if not self.bench.has("best_of_n"):
            config = self.run.config.reinforce
            assert config is not None
            # As long as the other systems' translations may be, not as the samples of training.
            length = self.run.config.evaluation.max_length
            sampling = replace(sampling_of(config, None), epsilon=0.0, max_length=length)
            for task in self.tasks:
                if task.config.references:
                    continue  # choosing by the reference would be no translation system
                outputs |= self._best(task, sampling)
            if not outputs:
                self.run.tracker.say("no direction without references has a test set: best of n has nothing to choose")
                return None
            self.bench.add_outputs("best_of_n", outputs)
        return System(
            name="best_of_n",
            label=f"best of {_BEST_OF}",
            role="control",
            description=f"the start's best of {_BEST_OF} samples by the same reward, no training",
        )

    def _best(self, task: Task, sampling: Sampling) -> dict[str, list[str]]:
        """By direction. All are judged together, as a joint task's translations of a source are judged in training."""
        rows, texts, finished = [], [], []
        for name in task.directions:
            own = [replace(s, reference=None) for s in self.bench.segments.get(name, [])]
            for first in range(0, len(own), 64):
                part = own[first : first + 64]
                generator = torch.Generator().manual_seed(derive(self.run.config.seed, "best of n", name, first))
                with self.base.whole():
                    drawn = self.base.sample(part, _BEST_OF, sampling, generator)
                rows += part
                texts += drawn.texts
                finished += drawn.finished.tolist()
        chosen: dict[str, list[str]] = {}
        totals = task.reward.score_groups(rows, texts, finished=finished).total
        for row, group, scores in zip(rows, texts, totals, strict=True):
            known = [-math.inf if score is None else score for score in scores]
            chosen.setdefault(row.direction, []).append(group[known.index(max(known))])
        return chosen

    def _train_on(
        self, name: str, label: str, description: str, prompts: Mapping[str, Sequence[Segment]], make: Make
    ) -> System | None:
        """Make pairs of the prompts for a part of the time, and train on these and the real ones for the rest."""
        run = self.run
        made = synthesise(
            prompts,
            make,
            run.folder / "synthetic" / f"{name}.json",
            seed=derive(run.config.seed, name),
            seconds=_MAKING * self.seconds,
            resume=run.resume,
        )
        pairs = self.material.pairs | made.pairs
        if not any(pairs.values()):
            run.tracker.say(f"every translation is empty: the {label} control has nothing to learn from")
            return None
        return self._train(name, label, description, pairs, made.seconds)

    def _train(
        self, name: str, label: str, description: str, pairs: dict[str, list[Segment]], making: float = 0.0
    ) -> System:
        """Train the start for the time of reinforcement learning, of which making the pairs has taken a part."""
        policy = self.base.copy(trainable=True)
        trained = self._continue(policy, name, pairs, max(1.0, self.seconds - making), self.evaluations)
        trained = replace(trained, seconds=trained.seconds + making)
        self.bench.add(name, policy)
        told = f"{description}; {trained.outcome}"
        return System(name=name, label=label, role="control", description=told, **cost(trained))

    def _continue(
        self, policy: Policy, stage: str, pairs: dict[str, list[Segment]], seconds: float, evaluations: int
    ) -> Trained:
        """Train a policy on pairs for so many seconds; it is left as dev, asked so often, liked it best.

        Dev judges as it does in reinforcement learning: by a reward where the tasks say so, without any reference.
        """
        run = self.run
        wanted = [name for task in self.tasks for name in task.directions]
        dev = run.dev(expand_directions(list(dict.fromkeys(wanted)), run.languages))

        def judged(outputs: Mapping[str, Sequence[str]]) -> tuple[float, Mapping[str, float]]:
            said = judge(dev, self.tasks, outputs)
            return said.score, said.values

        def train(folder: Path) -> Trained:
            return train_supervised(
                policy,
                continued(run.config),
                pairs,
                dev,
                seed=derive(run.config.seed, stage),
                folder=folder,
                tracker=run.tracker,
                stage=stage,
                max_length=run.config.evaluation.max_length,
                judge=judged,
                seconds=seconds,
                evaluations=evaluations,
                judge_start=True,  # as reinforcement learning does, which is never left worse on dev than it began
                resume=run.resume,
            )

        return run.stage(stage, policy, train)


def run_controls(run: RunContext, tasks: Sequence[Task], bench: TestBench, trained: Trained) -> list[System]:
    """Run the pivot oracle and the controls that the config names; returns the systems in table order."""
    assert run.base is not None
    control = _Control(run, run.base, tasks, bench, trained)
    systems: list[System | None] = []
    new = [name for name in control.material.new_directions if name in bench.segments]
    if new:
        for each in filter(None, (bench, bench.beam)):
            if not each.has("pivot"):

                def translate(segments: Sequence[Segment], bench: TestBench = each) -> list[str]:
                    return bench.translate(run.start, segments)

                asked = {name: control.pivot_translations(each.segments[name], translate) for name in new}
                each.add_outputs("pivot", asked)
        pivot = run.languages[0]
        systems.append(
            System(
                name="pivot",
                label=f"pivot through '{pivot}'",
                role="oracle",
                description=f"the start translates twice, through '{pivot}'; twice the cost of a translation",
            )
        )
    for name in run.config.controls:
        if control.material.missing(name) is None:
            run.tracker.say(f"control: {name.replace('_', ' ')}")
            systems.append(getattr(control, name)())
    return [system for system in systems if system is not None]
