"""Training state and result."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from vaekit.training.validation import HeldOut

MOST_FACTOR = 1e6
"""What a learning rate or β is multiplied by from outside, in all, at most; its inverse at least."""


def times(factor: float, asked: float) -> float:
    """Multiply a factor once more, within its limits.

    >>> times(0.5, 0.5), times(1e6, 100.0), times(1e-6, 0.1)
    (0.25, 1000000.0, 1e-06)
    """
    return min(max(factor * asked, 1 / MOST_FACTOR), MOST_FACTOR)


@dataclass
class Position:
    """How far a run is; all of it goes into the checkpoint's header."""

    stage: int = 0
    epoch: int = 0
    batch: int = 0
    stage_step: int = 0
    stage_steps: int = 0
    """Steps that the stage is to have."""
    rows_at_once: int = 0
    """Examples that a process computes at once; 0: all of a step's."""
    step: int = 0
    examples: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    best_epoch: int = 0
    epochs_without: int = 0
    log_bytes: int = 0
    lr_factor: float = 1.0
    rate_factor: float = 1.0
    """What the learning rate and β have been multiplied by, as was asked while the run went on (`control`)."""


@dataclass
class FitResult:
    """The result of a run: its length, the last held-out evaluation, skipped steps, warnings, precision."""

    position: Position
    held_out: HeldOut
    skipped: int
    warnings: list[str] = field(default_factory=list)
    precision: str = "fp32"
    records: list[dict[str, Any]] = field(default_factory=list, repr=False)
    """What was logged, where a caller kept it."""
