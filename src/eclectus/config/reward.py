"""The reward of a task: weighted terms, gates, a common scale."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator, model_validator

from eclectus.config.base import Component, Model
from eclectus.schedule import Schedule, Scheduled, value_at, within


def _two_ends(clip: list[float] | None) -> list[float] | None:
    if clip is not None and not (len(clip) == 2 and clip[0] < clip[1]):
        raise ValueError("clip must be two numbers, [low, high], the lower one first")
    return clip


class RewardTermConfig(Component):
    """One reward with its weight."""

    weight: Scheduled = Field(1.0, description="above 0; a number, or a schedule over steps, which may touch 0")
    clip: list[float] | None = Field(None, description="[low, high]: values outside are clipped to it")
    dense: Literal["increments", "tokens"] | None = Field(
        None,
        description="rewards per token whose sum is the reward: what each token adds to the value of the text so far"
        " (increments), or the reward's own values per token (tokens); null: everything at the end",
    )

    @field_validator("weight")
    @classmethod
    def _above_zero(cls, weight: float | Schedule) -> float | Schedule:
        if not within(weight, 0, math.inf) or within(weight, 0, 0):
            raise ValueError("a weight must be above 0; a schedule may touch 0, but not go below it or stay there")
        return weight

    _clip = field_validator("clip")(_two_ends)


class RewardGateConfig(Component):
    """One reward by which the weighted terms are multiplied."""

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
    """`sum(weight * term) / sum(weight) * product(gates)`, over those that did not abstain, then put on one scale."""

    terms: list[RewardTermConfig] = Field(min_length=1)
    gates: list[RewardGateConfig] = Field(default_factory=list)
    clip: list[float] | None = Field(None, description="[low, high] of the total, gates included")
    normalise: Literal["none", "direction", "source", "terms"] = Field(
        "direction",
        description="direction: divide by the direction's running deviation; source: standardise among the samples of"
        " a source; terms: divide each term by its own running deviation, then add; none: leave as it is",
    )
    workers: int = Field(
        0, ge=0, description="worker processes for rewards that need nothing from the run; worth it for ter"
    )
    unfinished: float | None = Field(
        0.0,
        ge=0,
        le=1,
        description="reward of a translation truncated by the length limit; null: judged like any other",
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
