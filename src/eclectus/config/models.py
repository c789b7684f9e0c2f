"""The parts of a run but its model: text, supervised training, reinforcement learning, evaluation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from eclectus.config.base import Component, Model
from eclectus.config.compare import CompareConfig
from eclectus.config.policy import PolicyConfig
from eclectus.config.reward import RewardConfig
from eclectus.config.sampling import CorrectionConfig, ExploreConfig, TruncateConfig
from eclectus.schedule import Schedule, Scheduled, within


class DataConfig(Model):
    """Which text the run uses and how it is cleaned and split."""

    languages: list[str] = Field(min_length=2, description="BCP-47 tags, the pivot language first")
    root: Path | None = Field(
        None, description="folder that relative paths of corpora stand in; null: the one the run is started in"
    )
    corpora: list[Component] = Field(min_length=1)
    max_pairs: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict,
        description="training pairs allowed per language; its monolingual text stays free",
    )
    apart: list[str] = Field(
        default_factory=list,
        description="languages of which each meaning keeps one in the training text, so that no text in one has its"
        " translation into another: zero-shot directions out of multi-parallel text; dev and test keep all",
    )
    split_seed: int = Field(
        1,
        description="seed of the split and of made-up phrases; not the run's seed, so that a"
        " model trained earlier on the same data meets the same test set",
    )
    dev: int = Field(100, ge=1, description="development segments per direction")
    test: int = Field(200, ge=1, description="test segments per direction")
    max_chars: int = Field(200, ge=1, description="longer texts are left out")
    max_ratio: float = Field(4.0, gt=1, description="pairs whose lengths in characters differ more are left out")
    allow_leaks: bool = Field(False, description="start although test text stands in the training text")

    @field_validator("apart")
    @classmethod
    def _two_or_none(cls, tags: list[str]) -> list[str]:
        if len(tags) == 1:
            raise ValueError("one language alone cannot be kept apart, name two at least or leave it out")
        return tags


class DenoisingConfig(Model):
    """Monolingual text as a training signal: restore it after words were dropped and shuffled."""

    languages: list[str] = Field(min_length=1, description="languages whose monolingual text is used")
    share: float = Field(0.2, gt=0, lt=1, description="share of the training examples")
    drop: float = Field(0.1, ge=0, lt=1, description="probability that a word is dropped")
    shuffle: int = Field(3, ge=0, description="most places that a word moves")


Optimizer = Literal["adamw", "adamw_8bit"]


class SupervisedConfig(Model):
    """Maximum-likelihood training with label smoothing; the best checkpoint by dev chrF++ is kept."""

    directions: list[str] = Field(["*-*"], min_length=1, description="patterns such as en-es, en-* or *-en")
    steps: int = Field(2000, ge=1)
    batch_tokens: int = Field(4096, ge=32, description="target tokens in one update")
    learning_rate: float = Field(1e-3, gt=0)
    warmup: int = Field(200, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    temperature: float = Field(2.0, gt=0, description="directions are drawn in proportion to size ** (1 / temperature)")
    max_grad_norm: float = Field(1.0, gt=0)
    optimizer: Optimizer = Field("adamw", description="adamw_8bit holds its moments in 8 bits; needs bitsandbytes")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16 is faster where the processor has it; weights and optimizer stay float32"
    )
    evaluate_every: int = Field(200, ge=1)
    patience: int = Field(10, ge=1, description="evaluations without improvement before the training ends")
    dev_directions: list[str] | None = Field(
        None, min_length=1, description="directions whose dev chrF++ chooses the checkpoint; null: all of `directions`"
    )
    denoising: DenoisingConfig | None = Field(None, description="also learn from monolingual text")


class BackTranslationConfig(SupervisedConfig):
    """Supervised training continued with back-translations (Sennrich et al. 2016): monolingual target text, and as its
    source the model's own translation in the reverse direction. The other keys are those of `supervised`."""

    synthetic: list[str] = Field(min_length=1, description="directions that get synthetic pairs, beside `directions`")
    texts: int = Field(20_000, ge=1, description="target texts translated back for each of them")


class TaskConfig(Model):
    """What a share of the prompts is for: directions, whether references may be seen, and what is rewarded."""

    name: str
    description: str = ""
    directions: list[str] = Field(min_length=1)
    references: bool = Field(False, description="False: only source-side text is used and references are withheld")
    back_translated: int = Field(
        0,
        ge=0,
        description="also work on back-translations: so many texts of a direction's target language that none of its"
        " pairs has, each the reference of the start's own translation of it",
    )
    back_translated_refresh: int = Field(
        0,
        ge=0,
        description="make the sources of back-translations again by a copy of the policy that is renewed every so many"
        " steps; 0: the start's stay",
    )
    share: float = Field(1.0, gt=0, description="share of the prompts in each step, relative to the other tasks")
    joint: bool = Field(
        False,
        description="each source comes in all target languages of the task in one step, as the reward `joint` needs",
    )
    reward: RewardConfig
    kl: float = Field(0.05, ge=0, description="weight of KL(policy || starting policy)")
    mle: float = Field(0.0, ge=0, description="weight of a translation's likelihood beside the reward, see `mle_of`")
    mle_of: str = Field(
        "references",
        description="which translation: the references, or what a part of the reward compares with, named by its type:"
        " `pivot`",
    )
    mle_segments: int = Field(
        0,
        ge=0,
        description="further sources in each step whose translation is only learnt, without samples of them",
    )
    select_by: Literal["reference", "reward"] = Field(
        "reference",
        description="what chooses the checkpoint: dev chrF++ against references, or the dev reward",
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
    """How KL(policy || starting policy) is measured and held; its weight is each task's `kl`."""

    estimator: Literal["k1", "k3", "exact"] = Field(
        "k3", description="from the sampled tokens (k1, k3) or over the whole vocabulary at each position (exact)"
    )
    target: float | None = Field(
        None, gt=0, description="nats per token; the weights of tasks are moved to hold it, null: they stay as set"
    )
    gain: float = Field(0.1, gt=0, le=1, description="a weight moves by at most 0.2 times this in a step")


class EntropyConfig(Model):
    """Bonus for the entropy of the policy at each position, exact over the vocabulary, summed over a translation."""

    weight: float = Field(0.0, ge=0, description="0: no bonus")
    target: float | None = Field(
        None, gt=0, description="nats per token; the weight is moved to hold it, null: it stays as set"
    )
    rate: float = Field(0.05, gt=0, description="step of the weight's logarithm for each nat of distance")

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
        description="stop after this much training time, dev evaluations included, where `steps` are not done before;"
        " the learning rate then follows the clock, and another machine makes another number of steps",
    )
    segments: int = Field(32, ge=1, description="sources in one step")
    samples: int = Field(8, ge=1, description="translations sampled for each source; some algorithms need two")
    updates: int = Field(1, ge=1, description="updates on each batch of samples; beyond the first, ratios are clipped")
    minibatches: int = Field(
        1, ge=1, description="shuffled parts of the sources in each of these updates, with an optimizer step each"
    )
    temperature: Scheduled = Field(1.0, description="sampling temperature, above 0; it enters the log-probability")
    explore: ExploreConfig = ExploreConfig()
    truncate: TruncateConfig = TruncateConfig()
    min_length: int = Field(
        0,
        ge=0,
        description="tokens of the shortest sample, end-of-sequence included; a prompt's stop strings may come sooner",
    )
    engine: Component = Field(
        Component(type="native"),
        description="what draws the samples: native, the policy's own sampler, or bfloat16, cuda_graphs, ctranslate2"
        " or vllm, with their options",
    )
    correction: CorrectionConfig = Field(
        CorrectionConfig(), description="for samples that another engine than native drew"
    )
    overlap: int = Field(
        1,
        ge=1,
        description="parts in which a step's samples are drawn, each judged while the next is drawn: for rewards that"
        " wait for a program or a server, or another device; one process, engine native",
    )
    kl: KlConfig = KlConfig()
    entropy: EntropyConfig = EntropyConfig()
    max_length: int = Field(64, ge=2, description="tokens of a sampled translation, end-of-sequence included")
    optimizer: Optimizer = Field("adamw", description="adamw_8bit holds its moments in 8 bits; needs bitsandbytes")
    learning_rate: float = Field(1e-4, gt=0)
    warmup: int = Field(10, ge=0)
    decay: bool = Field(True, description="linear decay of the learning rate to 10 % over the run")
    max_grad_norm: float = Field(1.0, gt=0)
    averaging: float = Field(
        0.98, ge=0, lt=1, description="decay of the running mean of the weights, which is what is evaluated and kept"
    )
    micro_batch_tokens: int = Field(3072, ge=32, description="padded target tokens in one backward pass")
    direction_temperature: float = Field(
        5.0, gt=0, description="as in supervised.temperature, inside a task; of the type size below"
    )
    direction_sampling: Component = Field(
        Component(type="size"),
        description="how directions are drawn inside a task: size, or a bandit that looks for learning progress (ucb1,"
        " thompson, exp3; uniform learns nothing), with its options",
    )
    evaluate_every: int = Field(50, ge=1)
    samples_every: int = Field(50, ge=1, description="steps between two tables of sampled translations")
    checkpoint_every: int = Field(100, ge=1)
    stop_fall: float = Field(
        3.0,
        gt=0,
        description="the run stops when dev chrF++ fell this much below its best while the reward rose",
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
        return self


class EvaluationConfig(Model):
    """Held-out evaluation: dev for selection, test once at the end."""

    directions: list[str] = Field(["*-*"], min_length=1, description="directions whose test set is scored at the end")
    dev_segments: int = Field(40, ge=1, description="dev segments per direction at each evaluation while training")
    beams: int = Field(1, ge=1, description="beam size; 1 is greedy")
    engine: Component = Field(
        Component(type="native"),
        description="what translates the dev and the test set, as in reinforce.engine; another than native measures no"
        " entropies",
    )
    also_beams: int | None = Field(
        None, ge=2, description="also translate the test set by beam search of this size, with a report of its own"
    )
    reference_tokens: bool = Field(
        False,
        description="also measure rank, entropy and likelihood of the references' tokens: knowledge or sharpening",
    )
    agreement: bool = Field(
        False,
        description="also measure whether the translations of a source into several languages say the same in the"
        " run's first language, as the starting policy reads them",
    )
    max_length: int = Field(96, ge=2)
    resamples: int = Field(1000, ge=100, description="paired bootstrap resamples")


Control = Literal[
    "constant_reward", "supervised", "distillation", "back_translation", "iterative_back_translation", "best_of_n"
]


class RunConfig(Model):
    """One run, from text to report."""

    title: str = "eclectus run"
    seed: int = Field(1, ge=0)
    threads: int | None = Field(None, ge=1, description="CPU threads; None: all")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    data: DataConfig
    policy: PolicyConfig = PolicyConfig()
    supervised: SupervisedConfig | None = None
    back_translation: BackTranslationConfig | None = Field(
        None, description="a second training between supervised and reinforcement learning"
    )
    reinforce: ReinforceConfig | None = None
    evaluation: EvaluationConfig = EvaluationConfig()
    controls: list[Control] = Field(default_factory=list)
    control_learning_rate: float | None = Field(
        None,
        gt=0,
        description="peak learning rate of the controls that train on pairs; null: a third of supervised.learning_rate,"
        " or reinforce.learning_rate where the run has no such part",
    )
    compare: CompareConfig | None = Field(None, description="what `eclectus compare` varies; `train` takes no notice")

    @field_validator("controls")
    @classmethod
    def _each_control_once(cls, controls: list[Control]) -> list[Control]:
        if len(set(controls)) < len(controls):
            raise ValueError("a control stands there twice, name each once")
        return controls

    @model_validator(mode="after")
    def _something_to_do(self) -> RunConfig:
        if self.policy.new is not None and self.supervised is None:
            raise ValueError("policy.new starts from random weights, add a 'supervised' part that trains it first")
        if self.supervised is None and self.back_translation is None and self.reinforce is None:
            raise ValueError("nothing to do, add a 'supervised' or a 'reinforce' part")
        if self.controls and self.reinforce is None:
            raise ValueError("controls stand beside reinforcement learning, add a 'reinforce' part or drop them")
        for name, part in (("supervised", self.supervised), ("back_translation", self.back_translation)):
            if self.policy.autocast and part is not None and part.precision != "float32":
                raise ValueError(f"policy.autocast serves supervised training too, drop {name}.precision")
        return self
