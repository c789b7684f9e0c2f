"""A value that changes over a training: an epsilon or a temperature that begins high and ends low."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from eclectus.registry import Options
from eclectus.schedule import Shape, between, check_shape


class Annealing(Options):
    """From `start` to `end` over the first share `until` of the training, and `end` from there on.

    `Schedule` is the same over a number of steps. It depends on the share that has passed and on nothing else, so there
    is no state to save. A plain number in its place is a value that stays.

    Example:
        >>> epsilon = Annealing(start=1.0, end=0.1, until=0.5)
        >>> [round(epsilon.at(progress), 3) for progress in (0, 0.25, 0.5, 1)]
        [1.0, 0.55, 0.1, 0.1]
        >>> round(Annealing(start=1.0, end=0.01, shape="exponential").at(0.5), 3)
        0.1
    """

    start: float = Field(ge=0)
    end: float = Field(ge=0)
    until: float = Field(1.0, gt=0, le=1, description="share of the training after which the value is `end`")
    shape: Shape = "linear"

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"start": value, "end": value}
        return value

    @model_validator(mode="after")
    def _has_its_shape(self) -> Annealing:
        check_shape(self.start, self.end, self.shape)
        return self

    def at(self, progress: float) -> float:
        """The value after a share `progress` in [0, 1] of the training."""
        return between(self.start, self.end, progress / self.until, self.shape)
