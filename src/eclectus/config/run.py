"""One run: its parts, held-out evaluation and controls."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from eclectus.config.base import Component, Model
from eclectus.config.compare import CompareConfig
from eclectus.config.data import DataConfig
from eclectus.config.policy import PolicyConfig
from eclectus.config.reinforce import ReinforceConfig
from eclectus.config.supervised import BackTranslationConfig, SupervisedConfig


class EvaluationConfig(Model):
    """Held-out evaluation: dev for selection, test once at the end."""

    directions: list[str] = Field(["*-*"], min_length=1, description="directions whose test set is scored at the end")
    dev_segments: int = Field(40, ge=1, description="dev segments per direction at each evaluation while training")
    beams: int = Field(1, ge=1, description="beam size; 1 is greedy")
    engine: Component = Field(
        Component(type="native"),
        description="what translates the dev and the test set, as in reinforce.engine; entropies are measured only with"
        " native",
    )
    also_beams: int | None = Field(
        None, ge=2, description="also translate the test set by beam search of this size, with a separate report"
    )
    reference_tokens: bool = Field(
        False,
        description="also measure rank, entropy and likelihood of the references' tokens: knowledge or sharpening",
    )
    agreement: bool = Field(
        False,
        description="also measure whether the translations of a source into several languages agree, once the starting"
        " policy has translated them into the run's first language",
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
        None, description="a second training stage between supervised training and reinforcement learning"
    )
    reinforce: ReinforceConfig | None = None
    evaluation: EvaluationConfig = EvaluationConfig()
    controls: list[Control] = Field(default_factory=list)
    control_learning_rate: float | None = Field(
        None,
        gt=0,
        description="peak learning rate of the controls that train on pairs; null: a third of supervised.learning_rate,"
        " or reinforce.learning_rate if the run has no such section",
    )
    compare: CompareConfig | None = Field(None, description="what `eclectus compare` varies; `train` ignores it")

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
