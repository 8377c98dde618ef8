"""Schedules for β, capacity, temperature, free bits and learning rates, and the annealed scalars that follow them.

A schedule is written as a number (constant) or as text, e.g. "linear 0 1 10ep", "cosine 1e-3 0 100%",
"sigmoid 0 1 2000", "cyclical 0 1 25%": the shape, the first and last value, and a length in steps (a plain number),
epochs ("ep") or a share of the run ("%"). After its length a schedule stays at its last value; a cyclical one rises
linearly over the first half of every period, holds for the second, and starts again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from vaekit.errors import UserError

Shape = Literal["constant", "linear", "cosine", "sigmoid", "cyclical"]
Unit = Literal["steps", "epochs", "share"]
_SHAPES = ("linear", "cosine", "sigmoid", "cyclical")


@dataclass(frozen=True)
class Schedule:
    """A value that changes over a run; see the module's text form.

    >>> ramp = Schedule.parse("linear 0 1 10")
    >>> [ramp.at(step, total=100, per_epoch=10) for step in (0, 5, 10, 99)]
    [0.0, 0.5, 1.0, 1.0]
    """

    shape: Shape
    first: float
    last: float
    length: float = 0.0
    unit: Unit = "steps"

    @staticmethod
    def parse(value: Schedule | float | str) -> Schedule:
        """Read a number or the text form; raises UserError, which says what is allowed."""
        if isinstance(value, Schedule):
            return value
        if isinstance(value, int | float):
            if not math.isfinite(value):
                raise UserError(f"{value} is not a schedule; write a finite number")
            return Schedule("constant", float(value), float(value))
        words = value.split()
        try:
            if len(words) == 1:
                return Schedule.parse(float(words[0]))
            shape, first, last, length = words
            if shape not in _SHAPES:
                raise ValueError
            unit: Unit = "epochs" if length.endswith("ep") else "share" if length.endswith("%") else "steps"
            number = float(length.removesuffix("ep").removesuffix("%")) * (0.01 if unit == "share" else 1.0)
            if not number > 0 or not math.isfinite(number + float(first) + float(last)):
                raise ValueError
            return Schedule(cast(Shape, shape), float(first), float(last), number, unit)
        except ValueError:
            raise UserError(
                f"'{value}' is not a schedule; write a number, or e.g. 'linear 0 1 10ep' "
                f"(shape from {', '.join(_SHAPES)}; first value; last value; length in steps, 'ep' or '%')"
            ) from None

    def steps(self, total: int, per_epoch: int) -> float:
        """Return the length in steps, for a run of `total` steps with `per_epoch` an epoch."""
        return self.length * {"steps": 1, "epochs": per_epoch, "share": total}[self.unit]

    def at(self, step: int, total: int, per_epoch: int) -> float:
        """Return the value at `step` (0 is the first)."""
        if self.shape == "constant":
            return self.last
        length = max(self.steps(total, per_epoch), 1e-9)
        t = min(2 * (step % length) / length if self.shape == "cyclical" else step / length, 1.0)
        if self.shape == "cosine":
            t = 0.5 - 0.5 * math.cos(math.pi * t)
        elif self.shape == "sigmoid":
            low, high = 1 / (1 + math.exp(6)), 1 / (1 + math.exp(-6))
            t = (1 / (1 + math.exp(6 - 12 * t)) - low) / (high - low)
        return self.first + (self.last - self.first) * t

    def check(self, name: str, total: int, per_epoch: int) -> None:
        """Warn when the schedule cannot reach its last value within the run."""
        length = self.steps(total, per_epoch)
        if self.shape != "constant" and length > total:
            reached = self.at(total - 1, total, per_epoch)
            warnings.warn(
                f"the schedule of {name} takes {length:g} steps but the run has {total}: it ends at {reached:.4g} "
                f"instead of {self.last:g}; shorten it, or give its length as a share of the run, e.g. '50%'",
                stacklevel=2,
            )

    def __str__(self) -> str:
        if self.shape == "constant":
            return f"{self.last:g}"
        number, suffix = {
            "steps": (self.length, ""),
            "epochs": (self.length, "ep"),
            "share": (self.length * 100, "%"),
        }[self.unit]
        return f"{self.shape} {self.first:g} {self.last:g} {number:g}{suffix}"


class Annealed(nn.Module):
    """A scalar that follows a schedule. It is a buffer, so checkpoints hold it and a resumed run goes on from it.

    >>> beta = Annealed("linear 0 1 4")
    >>> beta.advance(2, total=10, per_epoch=5)
    >>> beta() * torch.ones(2)
    tensor([0.5000, 0.5000])
    """

    value: Tensor

    def __init__(self, schedule: Schedule | float | str) -> None:
        super().__init__()
        self.schedule = Schedule.parse(schedule)
        self.factor = 1.0
        self.register_buffer("value", torch.tensor(self.schedule.at(0, 1, 1), dtype=torch.float32))

    def scale(self, factor: float) -> None:
        """Multiply the schedule by a factor from here on; training keeps it in its checkpoints.

        >>> beta = Annealed(2.0)
        >>> beta.scale(0.5)
        >>> float(beta()), beta.is_one, beta.varies
        (1.0, False, True)
        """
        self.factor = factor
        if self.schedule.shape == "constant":
            self.value.fill_(self.schedule.last * factor)

    def advance(self, step: int, total: int, per_epoch: int) -> None:
        """Set the value for `step`."""
        if self.schedule.shape != "constant":
            self.value.fill_(self.schedule.at(step, total, per_epoch) * self.factor)

    @property
    def is_one(self) -> bool:
        """Whether the value is 1 throughout, so that multiplying by it can be left out."""
        return self.schedule.shape == "constant" and self.schedule.last == self.factor == 1.0

    @property
    def varies(self) -> bool:
        """Whether the value changes over a run, so that logs show it."""
        return self.schedule.shape != "constant" or self.factor != 1.0

    def forward(self) -> Tensor:
        """Return the present value, a scalar tensor."""
        return self.value

    def extra_repr(self) -> str:
        """Name the schedule."""
        return str(self.schedule)


def annealed_in(module: nn.Module) -> Iterator[tuple[str, Annealed]]:
    """Yield every annealed scalar inside `module`, with its dotted name."""
    for name, part in module.named_modules():
        if isinstance(part, Annealed):
            yield name, part


def schedule_field(value: float | str) -> float | str:
    """Check a setting that holds a schedule and return it in the form it was given."""
    schedule = Schedule.parse(value)
    if min(schedule.first, schedule.last) < 0:
        raise UserError(f"'{value}' goes below 0; give values of at least 0")
    return value


ScheduleSetting = Annotated[float | str, AfterValidator(schedule_field)]
"""The type of a setting that holds a schedule of values of at least 0, kept in the form it was given."""
