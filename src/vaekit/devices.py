"""The device a model is on: chosen by name, found again, and its random state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vaekit import distributed
from vaekit.errors import UserError


def best_device() -> str:
    """Return what "auto" means on this machine: CUDA, then Apple's, then the CPU."""
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is `best_device`. Raises UserError where there is no such device.

    Several processes on one machine take a CUDA device each, by their number there.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = best_device()
    if name == "cuda" and distributed.world() > 1:
        name = f"cuda:{distributed.local_rank()}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise UserError(f"there is no device '{name}' here; use auto or cpu") from None
    return device


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's parameters and buffers; the CPU where it has none.

    >>> device_of(nn.Linear(2, 1))
    device(type='cpu')
    """
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


# -- random state ------------------------------------------------------------------------------------------------------


def _generator(device: torch.device | None) -> tuple[Any, tuple[torch.device, ...]] | None:
    """Return the module that keeps a device's random state, and how its functions name the device; None for the CPU."""
    module = None if device is None or device.type == "cpu" else getattr(torch, device.type, None)
    if device is None or not hasattr(module, "get_rng_state"):
        return None
    return module, () if device.type == "mps" else (device,)


def rng_state(device: torch.device | None = None) -> dict[str, Tensor]:
    """Return the states of the CPU's generator and of the device's, as CPU tensors by the kind of device.

    The run's own device is number 0 in the names, whatever its number on this machine.
    """
    states, own = {"cpu": torch.get_rng_state()}, _generator(device)
    if device is not None and own is not None:
        states[f"{device.type}0"] = own[0].get_rng_state(*own[1])
    return states


def set_rng_state(states: Mapping[str, Tensor], device: torch.device | None = None) -> None:
    """Put a random state back; that of a kind of device that the run is not on is left out."""
    torch.set_rng_state(states["cpu"])
    own = _generator(device)
    if device is not None and own is not None and f"{device.type}0" in states:
        own[0].set_rng_state(states[f"{device.type}0"], *own[1])


def check_seed(seed: int) -> None:
    """Raise a UserError if `seed` is out of range."""
    if not 0 <= seed < 2**63:
        raise UserError(f"seed {seed} is out of range: it must be at least 0 and below 2**63")


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Draw from `seed` within the block, on the CPU and on `device`; the generators' states come back after it."""
    check_seed(seed)
    before = rng_state(device)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_rng_state(before, device)
