"""The whole configuration of a run: pydantic models, defaults that are vetted values, no torch.

YAML in, `RunConfig` out. Components (corpora, rewards, algorithms) are named by `type`; their own options are checked
by their own file when the run is built, still before the first step.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from eclectus.errors import ConfigError, nearest
from eclectus.registry import describe
from eclectus.schedule import Schedule, Scheduled, value_at, within


class Model(BaseModel):
    """Base of the configuration's own parts: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


M = TypeVar("M", bound=Model)


class Component(BaseModel):
    """A part named by `type`; all other keys are that type's own options."""

    model_config = ConfigDict(extra="allow")

    type: str

    @property
    def options(self) -> dict[str, Any]:
        """The keys that belong to the component itself."""
        return dict(self.model_extra or {})


class DataConfig(Model):
    """Which text the run uses and how it is cleaned and split."""

    languages: list[str] = Field(min_length=2, description="BCP-47 tags, the pivot language first")
    corpora: list[Component] = Field(min_length=1)
    max_pairs: dict[str, int] = Field(
        default_factory=dict,
        description="training pairs allowed per language; its monolingual text stays free",
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


class NewModelConfig(Model):
    """Shape of a Marian encoder-decoder built from nothing, with a tokenizer trained on the run's training text."""

    vocabulary: int = Field(6000, ge=100)
    d_model: int = Field(192, ge=8)
    heads: int = Field(4, ge=1)
    encoder_layers: int = Field(4, ge=1)
    decoder_layers: int = Field(2, ge=1)
    ffn: int = Field(768, ge=8)
    dropout: float = Field(0.1, ge=0, lt=1)
    max_positions: int = Field(256, ge=16)


class FewShotConfig(Model):
    """Translations of other sentences that a prompt shows before it asks."""

    k: int = Field(0, ge=0, le=64, description="how many; 0: none")
    pool: Component | None = Field(
        None, description="a corpus, as in `data.corpora`, that they are taken from; null: the run's training pairs"
    )
    choose: Literal["similar", "random"] = Field(
        "similar", description="those whose source shares most character trigrams with the one at hand, or any"
    )
    seed: int = Field(1, description="seed of the random choice")


class PromptConfig(Model):
    """How a model without language tags is asked for a translation: decoder-only models, T5 and BART."""

    template: str | None = Field(
        None,
        description="text with {source}, and {source_language} and {target_language} as English names;"
        " null: a default of the family",
    )
    chat: Literal["auto", "on", "off"] = Field(
        "auto", description="put the prompt into the tokenizer's chat template; auto: where it has one"
    )
    few_shot: FewShotConfig = FewShotConfig()
    stop: list[str] | None = Field(
        None, description="texts that end a translation and are cut off; null: a line break without chat, none with it"
    )

    @field_validator("template")
    @classmethod
    def _known_fields(cls, value: str | None) -> str | None:
        known = {"source", "source_language", "target_language"}
        if value is not None:
            try:
                fields = {name for _, name, _, _ in Formatter().parse(value) if name is not None}
            except ValueError as error:
                raise ValueError(f"not a template ({error}); write {{{{ and }}}} for braces") from error
            if not {"source"} <= fields <= known:
                raise ValueError("a template has {source} and may have {source_language} and {target_language}")
        return value

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and not all(value):
            raise ValueError("a stop text must not be empty")
        return value


class PolicyConfig(Model):
    """The model to train: the shipped `base`, a folder, a hub id, or a `new` one."""

    path: str = Field("base", description="'base' (shipped), a folder, or a hub id")
    new: NewModelConfig | None = None
    prompt: PromptConfig = Field(PromptConfig(), description="for models without language tags")


class DenoisingConfig(Model):
    """Monolingual text as a training signal: restore it after words were dropped and shuffled."""

    languages: list[str] = Field(min_length=1, description="languages whose monolingual text is used")
    share: float = Field(0.2, gt=0, lt=1, description="share of the training examples")
    drop: float = Field(0.1, ge=0, lt=1, description="probability that a word is dropped")
    shuffle: int = Field(3, ge=0, description="most places that a word moves")


class SupervisedConfig(Model):
    """Maximum-likelihood training with label smoothing; the best checkpoint by dev chrF++ is kept."""

    directions: list[str] = Field(["*-*"], description="patterns such as en-es, en-* or *-en")
    steps: int = Field(2000, ge=1)
    batch_tokens: int = Field(4096, ge=32, description="target tokens in one update")
    learning_rate: float = Field(1e-3, gt=0)
    warmup: int = Field(200, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    temperature: float = Field(2.0, gt=0, description="directions are drawn in proportion to size ** (1 / temperature)")
    max_grad_norm: float = Field(1.0, gt=0)
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16 is faster where the processor has it; weights and optimizer stay float32"
    )
    evaluate_every: int = Field(200, ge=1)
    patience: int = Field(10, ge=1, description="evaluations without improvement before the training ends")
    denoising: DenoisingConfig | None = Field(None, description="also learn from monolingual text")


def _two_ends(clip: list[float] | None) -> list[float] | None:
    if clip is not None and not (len(clip) == 2 and clip[0] < clip[1]):
        raise ValueError("clip must be two numbers, [low, high], the lower one first")
    return clip


class RewardTermConfig(Component):
    """One reward with its weight."""

    weight: Scheduled = Field(1.0, description="at least 0; a number, or a schedule over steps")
    clip: list[float] | None = Field(None, description="[low, high]: values outside are moved to the nearer end")

    @field_validator("weight")
    @classmethod
    def _above_zero(cls, weight: float | Schedule) -> float | Schedule:
        if not within(weight, 0, math.inf) or within(weight, 0, 0):
            raise ValueError("a weight must be above 0; a schedule may touch 0, but not go below it or stay there")
        return weight

    _clip = field_validator("clip")(_two_ends)


class RewardGateConfig(Component):
    """One reward that the weighted terms are multiplied by."""

    strength: Scheduled = Field(
        1.0,
        description="0 to 1; a number, or a schedule over steps: the gate's value v counts as 1 - strength * (1 - v)",
    )

    @field_validator("strength")
    @classmethod
    def _a_share(cls, strength: float | Schedule) -> float | Schedule:
        if not within(strength, 0, 1):
            raise ValueError("a strength must lie in 0..1")
        return strength


class RewardConfig(Model):
    """`sum(weight * term) / sum(weight) * product(gates)`, over those who judged, then brought to one scale."""

    terms: list[RewardTermConfig] = Field(min_length=1)
    gates: list[RewardGateConfig] = Field(default_factory=list)
    clip: list[float] | None = Field(None, description="[low, high] of the total, gates included")
    normalise: Literal["none", "direction", "source", "terms"] = Field(
        "direction",
        description="direction: divide by the direction's running deviation; source: standardise among the samples of"
        " a source; terms: divide each term by its own running deviation, then add; none: leave as it is",
    )
    workers: int = Field(
        0, ge=0, description="processes that judge where a reward needs nothing of the run; worth it for ter"
    )
    unfinished: float | None = Field(
        0.0, ge=0, le=1, description="reward of a translation that the length limit cut; null: judged like any other"
    )

    _clip = field_validator("clip")(_two_ends)

    @model_validator(mode="after")
    def _sensible(self) -> RewardConfig:
        if self.clip is not None and self.normalise == "terms":
            raise ValueError(
                "clip bounds a total in the terms' own units, which normalise: terms gives up; clip the terms instead"
            )
        if not any(value_at(term.weight, None) for term in self.terms):
            raise ValueError("the weights of all terms end at 0; one must not, it judges the dev set")
        return self


class TaskConfig(Model):
    """What a share of the prompts is for: directions, whether references may be seen, and what is rewarded."""

    name: str
    description: str = ""
    directions: list[str] = Field(min_length=1)
    references: bool = Field(False, description="False: only source-side text is used and references are withheld")
    share: float = Field(1.0, gt=0, description="share of the prompts in each step, relative to the other tasks")
    joint: bool = Field(
        False,
        description="each source comes in all target languages of the task in one step, as the reward `joint` needs",
    )
    reward: RewardConfig
    kl: float = Field(0.05, ge=0, description="weight of KL(policy || starting policy)")
    mle: float = Field(0.0, ge=0, description="weight of the likelihood of the references beside the reward")
    select_by: Literal["reference", "reward"] = Field(
        "reference",
        description="what chooses the checkpoint: dev chrF++ against references, or the dev reward",
    )

    @model_validator(mode="after")
    def _mle_needs_references(self) -> TaskConfig:
        if self.mle > 0 and not self.references:
            raise ValueError(f"task '{self.name}' has mle > 0 but references: false; set references: true or mle: 0")
        return self


class ExploreConfig(Model):
    """Sampling from (1 - epsilon) * policy + epsilon * uniform over the `top_k` likeliest tokens, which is also what is
    then trained: both sides know the exact probability."""

    epsilon: float = Field(0.0, ge=0, lt=1, description="0: plain sampling")
    top_k: int = Field(20, ge=0, description="0: every token that can be said; used with epsilon > 0")


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
    segments: int = Field(32, ge=1, description="sources in one step")
    samples: int = Field(8, ge=1, description="translations sampled for each source; some algorithms need two")
    updates: int = Field(1, ge=1, description="updates on each batch of samples; beyond the first, ratios are clipped")
    temperature: Scheduled = Field(1.0, description="sampling temperature, above 0; it enters the log-probability")
    explore: ExploreConfig = ExploreConfig()
    kl: KlConfig = KlConfig()
    entropy: EntropyConfig = EntropyConfig()
    max_length: int = Field(64, ge=2, description="tokens of a sampled translation, end-of-sequence included")
    learning_rate: float = Field(1e-4, gt=0)
    warmup: int = Field(10, ge=0)
    decay: bool = Field(True, description="linear decay of the learning rate to 10 % over the run")
    max_grad_norm: float = Field(1.0, gt=0)
    averaging: float = Field(
        0.98, ge=0, lt=1, description="decay of the running mean of the weights, which is what is evaluated and kept"
    )
    micro_batch_tokens: int = Field(3072, ge=32, description="padded target tokens in one backward pass")
    direction_temperature: float = Field(5.0, gt=0, description="as in supervised.temperature, inside a task")
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


class EvaluationConfig(Model):
    """Held-out evaluation: dev for selection, test once at the end."""

    directions: list[str] = Field(["*-*"], description="directions whose test set is scored at the end")
    dev_segments: int = Field(40, ge=1, description="dev segments per direction at each evaluation while training")
    beams: int = Field(1, ge=1, description="beam size; 1 is greedy")
    max_length: int = Field(96, ge=2)
    resamples: int = Field(1000, ge=100, description="paired bootstrap resamples")


Control = Literal["constant_reward", "supervised", "distillation", "best_of_n"]


class RunConfig(Model):
    """One run, from text to report."""

    title: str = "eclectus run"
    seed: int = 1
    threads: int | None = Field(None, ge=1, description="CPU threads; None: all")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    data: DataConfig
    policy: PolicyConfig = PolicyConfig()
    supervised: SupervisedConfig | None = None
    reinforce: ReinforceConfig | None = None
    evaluation: EvaluationConfig = EvaluationConfig()
    controls: list[Control] = Field(default_factory=list)

    @model_validator(mode="after")
    def _something_to_do(self) -> RunConfig:
        if self.policy.new is not None and self.supervised is None:
            raise ValueError("policy.new starts from random weights, add a 'supervised' part that trains it first")
        if self.supervised is None and self.reinforce is None:
            raise ValueError("nothing to do, add a 'supervised' or a 'reinforce' part")
        if self.controls and self.reinforce is None:
            raise ValueError("controls stand beside reinforcement learning, add a 'reinforce' part or drop them")
        return self


def load(path: Path, overrides: list[str] | None = None) -> RunConfig:
    """Read a YAML configuration and apply `a.b=c` overrides.

    Args:
        path: the YAML file.
        overrides: `key.path=value` strings; the value is read as YAML, a number in the path indexes a list.

    Raises:
        ConfigError: missing or unreadable file, an unknown key (the nearest known is named), a wrong value.
    """
    return parse(read(path), overrides, name=str(path))


def read(path: Path) -> str:
    """Return the text of a configuration file.

    Raises:
        ConfigError: missing or unreadable file.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"config: no file '{path}'; `eclectus recipe list` shows the packaged ones") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config: cannot read '{path}' ({error})") from error


def parse(text: str, overrides: list[str] | None = None, name: str = "config") -> RunConfig:
    """Turn YAML text into a checked `RunConfig`; see `load`."""
    values = _mapping(text, name)
    for override in overrides or []:
        _override(values, override)
    return _checked(RunConfig, values)


@dataclass(frozen=True)
class RewardSettings:
    """A reward with what its file says about its use.

    Args:
        reward: terms and gates.
        languages: `data.languages` of the run that it stands in; none where it stands alone.
        references: whether its task lets it see references.
    """

    reward: RewardConfig
    languages: list[str] = dataclasses.field(default_factory=list)
    references: bool = True


def parse_reward(text: str, task: str | None = None, name: str = "config") -> RewardSettings:
    """Turn YAML text into a reward: its keys alone, under the key `reward`, or in a task of a whole run.

    Args:
        text: YAML.
        task: which task's reward of a whole run; not needed where it has only one.
        name: the file, for errors.

    Raises:
        ConfigError: not YAML, an unknown key or a wrong value, a task that is not there or not named.
    """
    values = _mapping(text, name)
    if "reinforce" not in values:
        if task is not None:
            raise ConfigError(f"config: '{name}' is a reward alone and has no task '{task}'; leave --task out")
        if "terms" not in values and "reward" not in values:
            raise ConfigError(f"config: '{name}' holds no reward; write its terms, or a run with a 'reinforce' part")
        inner = values["reward"] if set(values) == {"reward"} else values
        if not isinstance(inner, dict):
            raise ConfigError(f"config: 'reward' in '{name}' must hold keys such as terms and gates")
        return RewardSettings(_checked(RewardConfig, inner))
    run = _checked(RunConfig, values)
    tasks = {t.name: t for t in run.reinforce.tasks} if run.reinforce else {}
    chosen = next(iter(tasks)) if task is None and len(tasks) == 1 else task
    if chosen is None:
        raise ConfigError(f"config: '{name}' has several tasks; choose one with --task: {', '.join(tasks)}")
    if chosen not in tasks:
        raise ConfigError(f"config: '{name}' has no task '{chosen}'{nearest(chosen, tasks)}")
    return RewardSettings(tasks[chosen].reward, run.data.languages, tasks[chosen].references)


def _mapping(text: str, name: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"config: '{name}' is not valid YAML{place}: {getattr(error, 'problem', error)}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"config: '{name}' must hold keys and values; see `eclectus recipe show quickstart`")
    return values


def _checked(model: type[M], values: dict[str, Any]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error, "", model)) from error


def dump(config: RunConfig) -> str:
    """Write a configuration as YAML that `parse` reads back to the same configuration."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, raw = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set: '{override}' is not of the form key.path=value, as in --set reinforce.steps=100")
    *parents, last = path.split(".")
    current: Any = values
    for part in [*parents, last]:
        if isinstance(current, list) and not (part.isdigit() and int(part) < len(current)):
            raise ConfigError(f"--set: '{path}': '{part}' must be an index below {len(current)}")
        if part is last:
            break
        key: Any = int(part) if isinstance(current, list) else part
        if isinstance(current, dict) and current.get(key) is None:
            current[key] = {}
        current = current[key]
        if not isinstance(current, dict | list):
            raise ConfigError(f"--set: '{path}': '{part}' holds a single value, not keys")
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set: '{override}': the value is not valid YAML") from error
    current[int(last) if isinstance(current, list) else last] = value
