"""`Schedule`: a number that changes over the steps of a run, and the config field that takes a number or a schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

_NUMBER: TypeAdapter[float] = TypeAdapter(FiniteFloat)

Shape = Literal["linear", "cosine", "exponential", "step"]


def between(start: float, end: float, passed: float, shape: Shape) -> float:
    r"""Return the value after a share `passed` (0 or more, 1 and above is the end) of the way from `start` to `end`.

    $$v(p) = \text{start} + (\text{end} - \text{start}) \, f(p)$$

    with f(p) = p (linear), (1 - cos(pi p)) / 2 (cosine; Loshchilov and Hutter 2017, equation 5,
    https://arxiv.org/abs/1608.03983), or 0 until p = 1 (step); exponential is a straight line of the logarithm.
    """
    if passed >= 1:
        return end
    if shape == "step":
        return start
    if shape == "exponential":
        return start ** (1 - passed) * end**passed
    if shape == "cosine":
        passed = (1 - math.cos(math.pi * passed)) / 2
    return start + (end - start) * passed


def check_shape(start: float, end: float, shape: Shape) -> None:
    """Raise `ValueError` for an exponential that has no logarithm."""
    if shape == "exponential" and min(start, end) <= 0:
        raise ValueError("shape exponential cannot begin or end at 0; give a small positive value or shape: linear")


class Schedule(BaseModel):
    r"""A number that goes from `start` to `end` over the first `steps` steps and stays there.

    The way between them is `between`, with $p = \min(1, t / \text{steps})$. It knows nothing but the step, so a resumed
    run goes on with the very same values.

    Example:
        >>> Schedule(start=0, end=1, steps=100).at(25)
        0.25
        >>> Schedule(start=0, end=1, steps=100, shape="step").at(99)
        0.0
        >>> Schedule(start=0, end=1, steps=100).at(None)
        1.0
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: FiniteFloat
    end: FiniteFloat
    steps: int = Field(ge=1, description="steps from start to end")
    shape: Shape = "linear"

    @model_validator(mode="after")
    def _has_its_shape(self) -> Schedule:
        check_shape(self.start, self.end, self.shape)
        return self

    def at(self, step: int | None) -> float:
        """Return the value at a step, counted from 1; None is after the last one."""
        passed = 1.0 if step is None else max(step, 0) / self.steps
        return between(self.start, self.end, passed, self.shape)

    def __str__(self) -> str:
        """Short enough for a signature, for example `0>1:100:linear`."""
        return f"{self.start:g}>{self.end:g}:{self.steps}:{self.shape}"


def _read(value: Any, _: ValidatorFunctionWrapHandler) -> float | Schedule:
    # Pydantic would try both and complain of both; keys are a schedule and anything else is meant as a number.
    if isinstance(value, Schedule):
        return value
    if isinstance(value, Mapping):
        return Schedule.model_validate(dict(value))
    return _NUMBER.validate_python(value)


Scheduled = Annotated[float | Schedule, WrapValidator(_read)]
"""A field that takes a number, or the keys of a `Schedule`."""


def value_at(value: float | Schedule, step: int | None) -> float:
    """Return what a `Scheduled` field is worth at a step; None is after the last one."""
    return value.at(step) if isinstance(value, Schedule) else value


def within(value: float | Schedule, low: float, high: float) -> bool:
    """Whether a `Scheduled` field keeps within [low, high] at every step."""
    ends = (value.start, value.end) if isinstance(value, Schedule) else (value,)
    return all(low <= end <= high for end in ends)


def written(value: float | Schedule) -> str:
    """How a signature writes a `Scheduled` field."""
    return f"({value})" if isinstance(value, Schedule) else f"{value:g}"
