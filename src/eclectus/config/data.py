"""Which text a run uses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from eclectus.config.base import Component, Model


class DataConfig(Model):
    """Which text the run uses and how it is cleaned and split."""

    languages: list[str] = Field(min_length=2, description="BCP-47 tags, the pivot language first")
    root: Path | None = Field(
        None, description="folder that relative paths of corpora refer to; null: the one where the run is started"
    )
    corpora: list[Component] = Field(min_length=1)
    max_pairs: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict,
        description="training pairs allowed per language; its monolingual text is not limited",
    )
    apart: list[str] = Field(
        default_factory=list,
        description="for each sentence of multi-parallel training text, keep only one of these languages, so that no"
        " translations between them remain (zero-shot directions); dev and test keep all",
    )
    split_seed: int = Field(
        1,
        description="seed of the split and of generated phrases; separate from the run's seed, so that a"
        " model trained earlier on the same data has the same test set",
    )
    dev: int = Field(100, ge=1, description="development segments per direction")
    test: int = Field(200, ge=1, description="test segments per direction")
    max_chars: int = Field(200, ge=1, description="longer texts are left out")
    max_ratio: float = Field(4.0, gt=1, description="pairs whose lengths in characters differ more are left out")
    leaks: Literal["refuse", "remove", "keep"] = Field(
        "refuse",
        description="where splits of your own share text: do not start, remove it from training for dev and test and"
        " from dev for test, or keep it and measure less",
    )

    @field_validator("apart")
    @classmethod
    def _two_or_none(cls, tags: list[str]) -> list[str]:
        if len(tags) == 1:
            raise ValueError("one language alone cannot be kept apart, name two at least or leave it out")
        return tags
