"""The model of a run: where it comes from, how it is prompted, and which part of it is trained."""

from __future__ import annotations

from string import Formatter
from typing import Literal

from pydantic import Field, field_validator, model_validator

from eclectus.config.base import Component, Model


class NewModelConfig(Model):
    """Shape of a Marian encoder-decoder with random weights and a tokenizer trained on the run's training text."""

    vocabulary: int = Field(6000, ge=100)
    d_model: int = Field(192, ge=8)
    heads: int = Field(4, ge=1)
    encoder_layers: int = Field(4, ge=1)
    decoder_layers: int = Field(2, ge=1)
    ffn: int = Field(768, ge=8)
    dropout: float = Field(0.1, ge=0, lt=1)
    max_positions: int = Field(256, ge=16)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> NewModelConfig:
        if self.d_model % self.heads:
            raise ValueError(f"d_model {self.d_model} cannot be shared among {self.heads} heads, make it a multiple")
        return self


class FewShotConfig(Model):
    """Translations of other sentences shown in the prompt as examples."""

    k: int = Field(0, ge=0, le=64, description="how many; 0: none")
    pool: Component | None = Field(
        None, description="a corpus, as in `data.corpora`, to take them from; null: the run's training pairs"
    )
    choose: Literal["similar", "random"] = Field(
        "similar", description="those whose source shares most character trigrams with the current one, or random ones"
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
        "auto", description="put the prompt into the tokenizer's chat template; auto: if it has one"
    )
    few_shot: FewShotConfig = FewShotConfig()
    stop: list[str] | None = Field(
        None, description="texts that end a translation and are cut off; null: a line break without chat, none with it"
    )

    @field_validator("chat", mode="before")
    @classmethod
    def _switch(cls, value: object) -> object:
        # YAML reads a bare on or off as true or false.
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

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
            try:
                value.format(**dict.fromkeys(known, "text"))
            except (ValueError, LookupError) as error:
                raise ValueError(f"not a template ({error}); write its fields as {{source}}, without more") from error
        return value

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and not all(value):
            raise ValueError("a stop text must not be empty")
        return value


class LoraConfig(Model):
    """Low-rank adapters (Hu et al. 2022): the model is frozen, each chosen linear layer gets (alpha / rank) * B A."""

    rank: int = Field(16, ge=1, description="inner width of B A")
    alpha: float = Field(32.0, gt=0, description="the adapter's output is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="on the adapter's input, in supervised training only")
    targets: list[str] | None = Field(
        None,
        min_length=1,
        description="last parts of linear layers' names, such as q_proj; null: every linear layer but the vocabulary's",
    )
    per_language: bool = Field(False, description="an adapter for each target language instead of one for all")
    merge: bool | None = Field(
        None,
        description="save a plain model with the adapter merged into its weights, or only the adapter; null: a plain"
        " model unless there is an adapter per language",
    )

    @model_validator(mode="after")
    def _one_set_of_weights(self) -> LoraConfig:
        if self.per_language and self.merge:
            raise ValueError("adapters of several languages cannot all be added to one model, drop merge: true")
        return self


class PolicyConfig(Model):
    """The model to train: the bundled `base`, a folder, a hub id, or a `new` one."""

    path: str = Field("base", min_length=1, description="'base' (bundled), a folder, a GGUF file, or a hub id")
    revision: str | None = Field(None, description="branch, tag or commit of a hub id; null: its main branch")
    new: NewModelConfig | None = None
    prompt: PromptConfig | None = Field(
        None,
        description="for models without language tags; null: the prompt that the model was saved with, else the"
        " defaults below",
    )
    add_languages: dict[str, str] = Field(
        default_factory=dict,
        description="languages that the model lacks, each with the model's language whose tag initialises it, as in"
        " {ast: es}",
    )
    lora: LoraConfig | None = Field(None, description="train low-rank adapters on the frozen model; needs peft")
    gradient_checkpointing: bool = Field(
        False, description="recompute each layer's activations in the backward pass instead of storing them"
    )
    fsdp: bool = Field(
        False,
        description="with several processes, each stores a shard of every layer, of its gradient and of its start, and"
        " gathers the layer when it is needed; no effect with one process",
    )
    merge_samples: bool = Field(
        True,
        description="compute samples of a source once as long as they agree, in drawing (on a CPU) and in learning;"
        " false: each separately, which takes longer and gives the same result up to rounding",
    )
    autocast: Literal["bfloat16", "float16"] | None = Field(
        None,
        description="data type of the layers' products, in sampling, scoring and training alike; weights, optimizer and"
        " vocabulary stay float32",
    )

    @model_validator(mode="after")
    def _a_new_model_has_all(self) -> PolicyConfig:
        if self.lora is not None and self.new is not None:
            raise ValueError("lora adapts a trained model and policy.new has none, drop one of the two")
        if self.new is not None and self.path != "base":
            raise ValueError(
                f"policy.new makes a model and policy.path names another ('{self.path}'), drop one of the two"
                " (policy.new=null, or policy.path=base)"
            )
        if self.new is not None and self.add_languages:
            raise ValueError("policy.new has a tag for every language of the run, drop policy.add_languages")
        if self.lora is not None and self.add_languages:
            raise ValueError("lora leaves embeddings as they are, so a new tag could not learn, drop one of the two")
        return self
