"""Settings every test runs under, made here before anything loads torch."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import browsers

# Workers with several threads each wait for one another, and one thread adds in one order: results repeat.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

collect_ignore = ["far_device.py", "device_sweep.py"]  # imported once: a device is registered once in a process

WORKER_BYTES = 1 << 30  # torch, scikit-learn and matplotlib loaded, with room for a small model
MOST_WORKERS = 16  # beyond this, start-up costs more than it gives


def allowed_processors(root: Path = Path("/")) -> int:
    """Processors this process may use: the machine's, less what affinity and a container's quota take away."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (root / "sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, int(quota) // int(period)))


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes this process may still take, or None where the system does not say."""
    found = []
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        most = (root / "sys/fs/cgroup/memory.max").read_text().strip()
        if most != "max":
            found.append(int(most) - int((root / "sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return min(found) if found else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: one worker a processor, as long as the memory lasts."""
    workers = min(allowed_processors(), MOST_WORKERS)
    memory = free_memory()
    return max(1, workers if memory is None else min(workers, memory // WORKER_BYTES))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test begins from the same random state, whatever ran before it."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def device() -> Iterator[None]:
    """With VAEKIT_TEST_DEVICE=far "auto" is the make-believe device: what fails then would fail beside a GPU."""
    if os.environ.get("VAEKIT_TEST_DEVICE") != "far":
        yield
        return
    import far_device

    with far_device.auto():
        yield


@pytest.fixture(autouse=True, scope="session")
def single_precision() -> Iterator[None]:
    """`auto` is float32 wherever the tests run, so that tolerances hold on every machine; bf16 has tests of its own."""
    from vaekit.training import precision

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "hardware_has_bf16", lambda device: False)
        yield


def _missing(reason: str) -> Any:
    if os.environ.get("VAEKIT_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{reason}, and VAEKIT_REQUIRE_BROWSER=1 asks for one")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """Playwright, once for all tests of a process: two of its loops do not run beside each other."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed (pip install 'vaekit[dev]')")
        return
    with sync_playwright() as made:
        yield made


@pytest.fixture(scope="session", params=list(browsers.NAMES))
def browser(request: pytest.FixtureRequest, playwright: Any) -> Iterator[Any]:
    """The system's Chromium and its Firefox, each once for all tests of a process."""
    path = browsers.path_of(request.param)
    if path is None:
        _missing(f"there is no {request.param.capitalize()} on this system")
        return
    made = browsers.launched(playwright, request.param, path)
    yield made
    made.close()
