"""How long each stage of a run is, and the learning rate over it.

A run has one length, `epochs` or `steps`, and what is written as a share of it (warm-up, decay, annealing over "50%")
is a share of that length. A run taken up again with another length follows, from where it is, the schedules of a run
that had this length from the start: a cosine that had come down to nothing rises to where the longer one stands there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from vaekit.schedules import Annealed, Schedule
from vaekit.training.settings import TrainSettings


@dataclass(frozen=True)
class Plan:
    """Lengths and learning rates of a run whose stages have these `shares` of it, with `per_epoch` steps an epoch.

    >>> plan = Plan(TrainSettings(steps=30, warmup=0), (1.0, 0.5), per_epoch=10)
    >>> plan.length(0, 0), plan.length(1, 20), plan.factor(10, 20)
    (20, 10, 0.5)
    """

    settings: TrainSettings
    shares: Sequence[float]
    per_epoch: int

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        epochs = self.settings.epochs or max(20, -(-self.settings.least_steps // self.per_epoch))
        return self.settings.steps or epochs * self.per_epoch

    def length(self, stage: int, before: int) -> int:
        """Return the steps of a stage: its share, among the stages to come, of what the `before` steps have left."""
        return max(1, round((self.total - before) * self.shares[stage] / sum(self.shares[stage:])))

    def going_on(self, step: int, before: int, now: int, annealed: Mapping[str, Annealed]) -> str:
        """Return what a stage does that goes on from `step` to the end `now`, where its end was `before`."""
        pairs = {"learning rate": [self.settings.lr * self.factor(s, n) for s, n in ((step - 1, before), (step, now))]}
        for name, value in annealed.items():
            pairs[name] = [value.schedule.at(s, n, self.per_epoch) for s, n in ((step - 1, before), (step, now))]
        shown = {name: [f"{value:.3g}" for value in pair] for name, pair in pairs.items()}
        changes = ", ".join(f"{name} {a} → {b}" for name, (a, b) in shown.items() if a != b)
        return (
            f"goes on from step {step:,} to {now:,} (it was to end at {before:,}), from here on by the schedules of "
            f"{now:,} steps: {changes or 'no value changes at this step'}"
        )

    @cached_property
    def _warmup(self) -> Schedule | None:
        return _stretch(self.settings.warmup)

    @cached_property
    def _ahead(self) -> Schedule | None:
        return _stretch(self.settings.encoder_ahead)

    def waits(self, step: int, length: int) -> bool:
        """Return whether the decoder stays as it is at a `step` of a stage of this length.

        >>> plan = Plan(TrainSettings(encoder_steps=3, encoder_ahead=6), (1.0,), per_epoch=10)
        >>> [plan.waits(step, 20) for step in range(8)]
        [True, True, False, True, True, False, False, False]
        """
        ahead = 0.0 if self._ahead is None else self._ahead.steps(length, self.per_epoch)
        return step < ahead and (step + 1) % self.settings.encoder_steps != 0

    def factor(self, step: int, length: int) -> float:
        """Return what the peak learning rate is multiplied by at a `step` of a stage of this length."""
        ramp = 0.0 if self._warmup is None else self._warmup.steps(length, self.per_epoch)
        if step < ramp:
            return (step + 1) / (ramp + 1)
        if self.settings.decay == "none":
            return 1.0
        t = (step - ramp) / max(length - ramp, 1)
        return 0.5 * (1 + math.cos(math.pi * t)) if self.settings.decay == "cosine" else 1 - t


def _stretch(text: int | str) -> Schedule | None:
    """Return a schedule that is as long as a setting says; None for no length."""
    return None if text in (0, "0") else Schedule.parse(f"linear 0 1 {text}")
