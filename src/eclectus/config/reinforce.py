"""Reinforcement learning: its tasks, and the loop that they share."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator, model_validator

from eclectus.config.base import Component, Model
from eclectus.config.reward import RewardConfig
from eclectus.config.sampling import CorrectionConfig, ExploreConfig, TruncateConfig
from eclectus.config.supervised import Optimizer
from eclectus.schedule import Schedule, Scheduled, within


class TaskConfig(Model):
    """What a share of the prompts is used for: directions, whether references may be used, and what is rewarded."""

    name: str = Field(min_length=1)
    description: str = ""
    directions: list[str] = Field(min_length=1)
    references: bool = Field(False, description="False: only source-side text is used and references are withheld")
    back_translated: int = Field(
        0,
        ge=0,
        description="also use back-translations: this many texts in a direction's target language that are in none of"
        " its pairs, each as the reference of the start's own translation of it",
    )
    back_translated_refresh: int = Field(
        0,
        ge=0,
        description="regenerate the sources of back-translations by a copy of the policy that is refreshed every so"
        " many steps; 0: keep those of the start",
    )
    share: float = Field(1.0, gt=0, description="share of the prompts in each step, relative to the other tasks")
    joint: bool = Field(
        False,
        description="each source appears with all target languages of the task in one step, as `joint` rewards require",
    )
    reward: RewardConfig
    kl: float = Field(0.05, ge=0, description="weight of KL(policy || starting policy)")
    mle: float = Field(0.0, ge=0, description="weight of demonstrations: the likelihood of a translation, see `mle_of`")
    mle_of: str = Field(
        "references",
        description="which translation: the references, or what a part of the reward compares with, named by its type:"
        " `pivot`",
    )
    mle_segments: int = Field(
        0,
        ge=0,
        description="further sources per step that are only demonstrated, without sampling",
    )
    select_by: Literal["reference", "reward"] = Field(
        "reference",
        description="what selects the checkpoint: dev chrF++ against references, or the dev reward",
    )

    @model_validator(mode="after")
    def _back_translations_are_references(self) -> TaskConfig:
        if self.back_translated and (self.joint or not self.references):
            wrong, right = ("joint: true", "joint: false") if self.joint else ("references: false", "references: true")
            raise ValueError(
                f"task '{self.name}' has back_translated > 0 but {wrong}; set {right} or back_translated: 0"
            )
        if self.back_translated_refresh and not self.back_translated:
            raise ValueError(
                f"task '{self.name}' has back_translated_refresh > 0 but back_translated: 0; set back_translated, or"
                " back_translated_refresh: 0"
            )
        return self

    @model_validator(mode="after")
    def _mle_needs_references(self) -> TaskConfig:
        if self.mle_segments and self.mle == 0:
            raise ValueError(f"task '{self.name}' has mle_segments > 0 but mle: 0; set mle, or mle_segments: 0")
        if self.mle > 0 and self.mle_of == "references" and not self.references:
            raise ValueError(
                f"task '{self.name}' has mle > 0 but references: false; set references: true, mle_of: pivot where the"
                " reward has that term, or mle: 0"
            )
        return self


class KlConfig(Model):
    """How KL(policy || starting policy) is measured and controlled; its weight is each task's `kl`."""

    estimator: Literal["k1", "k3", "exact"] = Field(
        "k3", description="from the sampled tokens (k1, k3) or over the whole vocabulary at each position (exact)"
    )
    target: float | None = Field(
        None, gt=0, description="nats per token; the weights of tasks are adapted to reach it; null: they stay fixed"
    )
    gain: float = Field(0.1, gt=0, le=1, description="a weight changes by at most 0.2 times this per step")


class EntropyConfig(Model):
    """Bonus for the entropy of the policy at each position, exact over the vocabulary, summed over a translation."""

    weight: float = Field(0.0, ge=0, description="0: no bonus")
    target: float | None = Field(
        None, gt=0, description="nats per token; the weight is adapted to reach it; null: it stays fixed"
    )
    rate: float = Field(0.05, gt=0, description="step of the weight's logarithm per nat of distance")

    @model_validator(mode="after")
    def _target_needs_weight(self) -> EntropyConfig:
        if self.target is not None and self.weight == 0:
            raise ValueError("a target moves the weight by factors and cannot move 0, set weight above 0 (0.01)")
        return self


class ReinforceConfig(Model):
    """Online reinforcement learning: sample, reward, update."""

    algorithm: Component = Component(type="rloo")
    tasks: list[TaskConfig] = Field(min_length=1)
    steps: int = Field(300, ge=1)
    seconds: float | None = Field(
        None,
        gt=0,
        description="stop after this much training time, dev evaluations included, unless `steps` are done before; the"
        " learning rate then follows the clock, and the number of steps depends on the machine",
    )
    segments: int = Field(32, ge=1, description="sources per step")
    samples: int = Field(8, ge=1, description="translations sampled per source; some algorithms need two")
    updates: int = Field(1, ge=1, description="updates on each batch of samples; after the first, ratios are clipped")
    minibatches: int = Field(
        1, ge=1, description="shuffled parts of the sources in each of these updates, with an optimizer step each"
    )
    temperature: Scheduled = Field(1.0, description="sampling temperature, above 0; it enters the log-probability")
    explore: ExploreConfig = ExploreConfig()
    truncate: TruncateConfig = TruncateConfig()
    min_length: int = Field(
        0,
        ge=0,
        description="minimum tokens of a sample, end-of-sequence included; a prompt's stop strings may come sooner",
    )
    engine: Component = Field(
        Component(type="native"),
        description="what draws the samples: native, the policy's own sampler, or bfloat16, cuda_graphs, ctranslate2"
        " or vllm, with their options",
    )
    correction: CorrectionConfig = Field(
        CorrectionConfig(), description="for samples drawn by another engine than native"
    )
    overlap: int = Field(
        1,
        ge=1,
        description="parts in which a step's samples are drawn, each judged while the next is drawn: for rewards that"
        " wait for a program, a server or another device; only with one process and the engine native",
    )
    kl: KlConfig = KlConfig()
    entropy: EntropyConfig = EntropyConfig()
    max_length: int = Field(64, ge=2, description="maximum tokens of a sample, end-of-sequence included")
    optimizer: Optimizer = Field("adamw", description="adamw_8bit stores its moments in 8 bits; needs bitsandbytes")
    learning_rate: float = Field(1e-4, gt=0)
    warmup: int = Field(10, ge=0)
    decay: bool = Field(True, description="linear decay of the learning rate to 10 % over the run")
    max_grad_norm: float = Field(1.0, gt=0)
    averaging: float = Field(
        0.98, ge=0, lt=1, description="decay of the running mean of the weights, which is what is evaluated and kept"
    )
    micro_batch_tokens: int = Field(3072, ge=32, description="padded target tokens in one backward pass")
    direction_temperature: float = Field(
        5.0, gt=0, description="as supervised.temperature, within a task; for the type size below"
    )
    direction_sampling: Component = Field(
        Component(type="size"),
        description="how directions are drawn within a task: size, or a bandit that seeks learning progress (ucb1,"
        " thompson, exp3; uniform learns nothing), with its options",
    )
    evaluate_every: int = Field(50, ge=1)
    samples_every: int = Field(50, ge=1, description="steps between two tables of sampled translations")
    checkpoint_every: int = Field(100, ge=1)
    stop_fall: float = Field(
        3.0,
        gt=0,
        description="the run stops when dev chrF++ has fallen this much below its best while the reward rose",
    )

    @field_validator("temperature")
    @classmethod
    def _warm(cls, temperature: float | Schedule) -> float | Schedule:
        if not within(temperature, 1e-3, math.inf):
            raise ValueError("a sampling temperature must be above 0; for greedy translations see evaluation.beams")
        return temperature

    @field_validator("tasks")
    @classmethod
    def _tasks_have_names_of_their_own(cls, tasks: list[TaskConfig]) -> list[TaskConfig]:
        names = [task.name for task in tasks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two tasks have the name '{name}', rename one: metrics and KL weights go by it")
        return tasks

    @model_validator(mode="after")
    def _parts_are_not_empty(self) -> ReinforceConfig:
        if self.minibatches > self.segments:
            raise ValueError(f"{self.minibatches} minibatches cannot be made of {self.segments} segments, set fewer")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}, lower it")
        if self.truncate != TruncateConfig() and self.explore.epsilon:
            raise ValueError("truncate cuts off what explore adds, set explore.epsilon: 0 or drop truncate")
        if self.kl.target is not None and all(task.kl == 0 for task in self.tasks):
            raise ValueError(
                "kl.target moves the weights of tasks by factors and cannot move 0, set kl of a task (0.05)"
            )
        return self
