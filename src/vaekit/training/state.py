"""Training state and result, and the choice of the device."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from vaekit import distributed
from vaekit.errors import UserError
from vaekit.training.validation import HeldOut


@dataclass
class Position:
    """How far a run is; all of it goes into the checkpoint's header."""

    stage: int = 0
    epoch: int = 0
    batch: int = 0
    stage_step: int = 0
    step: int = 0
    examples: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    best_epoch: int = 0
    epochs_without: int = 0
    done: bool = False
    log_bytes: int = 0


@dataclass
class FitResult:
    """The result of a run: its length, the last held-out evaluation, skipped steps, warnings, precision."""

    position: Position
    held_out: HeldOut
    skipped: int
    warnings: list[str] = field(default_factory=list)
    precision: str = "fp32"


def choose_device(name: str) -> torch.device:
    """Return the device of that name; auto takes CUDA, then Apple's, then the CPU.

    Several processes on one machine take a CUDA device each, by their number there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda" and distributed.world() > 1:
        name = f"cuda:{distributed.local_rank()}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise UserError(f"there is no device '{name}' here; use --device auto or cpu") from None
    return device
