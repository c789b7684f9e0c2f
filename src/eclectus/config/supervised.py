"""Supervised training, also with back-translations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from eclectus.config.base import Model


class DenoisingConfig(Model):
    """Monolingual text as a training signal: restore it from a copy with words dropped and shuffled.

    In scripts without spaces characters are words.
    """

    languages: list[str] = Field(min_length=1, description="languages whose monolingual text is used")
    share: float = Field(0.2, gt=0, lt=1, description="share of the training examples")
    drop: float = Field(0.1, ge=0, lt=1, description="probability that a word is dropped")
    shuffle: int = Field(3, ge=0, description="maximum number of positions that a word moves")


Optimizer = Literal["adamw", "adamw_8bit"]


class SupervisedConfig(Model):
    """Maximum-likelihood training with label smoothing; the best checkpoint by dev chrF++ is kept."""

    directions: list[str] = Field(["*-*"], min_length=1, description="patterns such as en-es, en-* or *-en")
    steps: int = Field(2000, ge=1)
    batch_tokens: int = Field(4096, ge=32, description="target tokens per update")
    learning_rate: float = Field(1e-3, gt=0)
    warmup: int = Field(200, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    temperature: float = Field(2.0, gt=0, description="directions are drawn in proportion to size ** (1 / temperature)")
    max_grad_norm: float = Field(1.0, gt=0)
    optimizer: Optimizer = Field("adamw", description="adamw_8bit stores its moments in 8 bits; needs bitsandbytes")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16 is faster if the processor supports it; weights and optimizer stay float32"
    )
    evaluate_every: int = Field(200, ge=1)
    patience: int = Field(10, ge=1, description="evaluations without improvement before training ends")
    dev_directions: list[str] | None = Field(
        None, min_length=1, description="directions whose dev chrF++ selects the checkpoint; null: all of `directions`"
    )
    denoising: DenoisingConfig | None = Field(None, description="also train on monolingual text")


class BackTranslationConfig(SupervisedConfig):
    """Supervised training continued with back-translations (Sennrich et al. 2016): monolingual target text, with the
    model's own translation in the reverse direction as its source. The other keys are those of `supervised`."""

    synthetic: list[str] = Field(
        min_length=1, description="directions that get synthetic pairs, in addition to `directions`"
    )
    texts: int = Field(20_000, ge=1, description="target texts translated back for each of these")
