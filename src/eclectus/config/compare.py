"""What `eclectus compare` varies of a run."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from eclectus.config.base import Model

VARIANT_NAME = re.compile(r"\.*[\w+-][\w.+-]*")
"""Names a folder and a row; dots alone are other folders."""


def variant_folder(name: str) -> str:
    """The folder of a variant's runs; an algorithm `module:Class` has a colon, which Windows takes in no file name."""
    return name.replace(":", ".")


class CompareConfig(Model):
    """Variants of the run, each over sizes of the training data and over seeds; ignored by a single run."""

    variants: dict[str, list[str] | None] = Field(
        default_factory=dict,
        description="by name, the settings that each variant changes, as after `--set`; null leaves a variant out",
    )
    pairs: list[int] = Field(
        default_factory=list,
        description="sizes of the training data with which each variant is run, smallest first: `data.max_pairs` of"
        " every language but the pivot; empty: the run's own data",
    )
    against: str | None = Field(
        None, description="the variant whose quality with the most pairs the others should reach with less"
    )
    seeds: list[int] = Field([1, 2, 3], min_length=1)

    @field_validator("seeds")
    @classmethod
    def _seeds_are_of_runs(cls, seeds: list[int]) -> list[int]:
        if min(seeds) < 0 or len(set(seeds)) < len(seeds):
            raise ValueError("seeds are numbers of at least 0, each once")
        return seeds

    @model_validator(mode="after")
    def _fits_together(self) -> CompareConfig:
        for name in self.variants:
            if not VARIANT_NAME.fullmatch(name):
                raise ValueError(f"'{name}' names a folder; use letters, digits and . + - _")
        if any(n < 1 for n in self.pairs) or self.pairs != sorted(set(self.pairs)):
            raise ValueError("pairs are numbers above 0, each once, the smallest first")
        if self.against is not None and self.variants.get(self.against) is None:
            raise ValueError(f"against: '{self.against}' is not among the variants")
        if self.against is not None and not self.pairs:
            raise ValueError("against asks how few pairs are enough, so give pairs, or drop it")
        return self

    @property
    def chosen(self) -> dict[str, list[str]]:
        """The variants that are not left out."""
        return {name: settings for name, settings in self.variants.items() if settings is not None}
