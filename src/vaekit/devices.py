"""The device a model is on: chosen by name, found again, and its random state."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vaekit import distributed
from vaekit.errors import UserError

_generators = threading.RLock()
"""Held by the thread that draws from a seed."""


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


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device, those that torch holds unused there included; None if unknown."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    if device.type != "cpu":
        return None
    found = [size for size in (_free_here(), _free_in_container()) if size is not None]
    return min(found, default=None)


def _free_here() -> int | None:
    """Return the machine's free memory: what Linux says is available, elsewhere all that there is."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _free_in_container(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return what the control group's limit leaves, files that it can drop from its cache counted as free."""
    for folder, limit, used in (
        (root, "memory.max", "memory.current"),
        (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            facts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
            top, now = (int((folder / name).read_text(encoding="ascii")) for name in (limit, used))
        except (OSError, ValueError):
            continue  # no such group, or "max": no limit
        return max(0, top - now + int(facts.get("total_inactive_file", facts.get("inactive_file", 0))))
    return None


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
def seeded(seed: int, device: torch.device | None = None, wait: float | None = None) -> Iterator[None]:
    """Draw from `seed` within the block, on the CPU and on `device`; the generators' states come back after it.

    The generators are the process's, so one thread at a time: another one waits for the block's end.

    Raises:
        UserError: after `wait` seconds another thread still draws.
    """
    check_seed(seed)
    if not _generators.acquire(timeout=-1 if wait is None else wait):
        raise UserError("this Python process is training or computing something else; try again when it has ended")
    try:
        before = rng_state(device)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            set_rng_state(before, device)
    finally:
        _generators.release()
