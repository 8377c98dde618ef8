"""Each test runs a fresh interpreter: the settings are a process's, and made before torch loads."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

import pytest

from vaekit import _env

OURS = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"}
SPIN = str(_env.SPIN_COUNT)
glibc_only = pytest.mark.skipif(not _env.on_glibc(), reason="mallopt's thresholds are glibc's")


def run(code: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if k not in OURS | {"VAEKIT_KEEP_ENV"}} | settings
    return subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)


PREPARE = "import os, vaekit._env as e; done = e.prepare(); "


@pytest.mark.parametrize(
    ("settings", "spin", "heap"),
    [
        ({}, SPIN, True),
        ({"VAEKIT_KEEP_ENV": "0"}, SPIN, True),
        ({"VAEKIT_KEEP_ENV": "1"}, "None", False),
        ({"GOMP_SPINCOUNT": "7"}, "7", True),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "None", True),
        ({"MALLOC_MMAP_THRESHOLD_": "131072"}, SPIN, False),
        ({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}, SPIN, False),
    ],
)
def test_what_the_user_has_set_stays(settings: dict[str, str], spin: str, heap: bool) -> None:
    seen = run(PREPARE + "print(os.environ.get('GOMP_SPINCOUNT'), 'mallopt' in done)", **settings).stdout.split()
    assert seen == [spin, str(heap and _env.on_glibc())]


@pytest.mark.parametrize(
    ("before", "kept", "after"), [("", "0", "10000"), ("", "1", "700"), ("50000", "0", "50000"), ("0", "0", "0")]
)
def test_garbage_is_looked_for_less_often_unless_it_was_set(before: str, kept: str, after: str) -> None:
    code = f"import gc; gc.set_threshold({before or 700}); {PREPARE} print(gc.get_threshold()[0])"
    assert run(code, VAEKIT_KEEP_ENV=kept).stdout.split() == [after]


def test_a_command_ends_with_its_output_whole() -> None:
    done = subprocess.run([sys.executable, "-m", "vaekit", "recipes"], capture_output=True, text=True, check=True)
    assert "beta-vae" in done.stdout and done.stderr == ""


def test_it_is_quick_and_leaves_torch_alone() -> None:
    code = (
        "import sys, time, vaekit; start = time.process_time(); import vaekit._env as e; e.prepare(); "
        "print(time.process_time() - start, 'torch' in sys.modules)"
    )
    runs = [run(code).stdout.split() for _ in range(5)]
    assert {torch for _, torch in runs} == {"False"}
    assert min(float(seconds) for seconds, _ in runs) < 0.02  # 5 ms on a quiet machine


@glibc_only
def test_freed_buffers_stay_in_the_heap() -> None:
    # Each new 2 MB buffer that came from the system would fault in its pages, about 500 of them.
    loop = (
        "import resource\n"
        "for _ in range(5): b'x' * 2_000_000\n"
        "size = 2_000_000\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for i in range(40): a = b'x' * (size + i); b = b'y' * (size + i); del a, b\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    kept = int(run(PREPARE + "\n" + loop).stdout)
    given_back = int(run(PREPARE + "\n" + loop, VAEKIT_KEEP_ENV="1", MALLOC_MMAP_THRESHOLD_="131072").stdout)
    assert kept < given_back / 5


@pytest.mark.skipif(sys.platform != "linux", reason="only torch for Linux comes with GNU OpenMP")
def test_the_openmp_that_torch_loads_takes_the_spin_count() -> None:
    report = run(PREPARE + "import torch", OMP_DISPLAY_ENV="VERBOSE").stderr
    if "GOMP_" not in report:
        pytest.skip("torch was not built with GNU OpenMP here")
    assert f"GOMP_SPINCOUNT = '{SPIN}'" in report


def test_a_notebooks_cell_gets_no_escapes() -> None:
    """A kernel gives `!vaekit` a terminal and asks for colours; what the cell shows is text all the same."""
    asked = {"TERM": "xterm-color", "FORCE_COLOR": "1", "CLICOLOR": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    pty = pytest.importorskip("pty")
    for parent, escapes in (({"JPY_PARENT_PID": "1"}, False), ({}, True)):
        ours, theirs = pty.openpty()
        environ = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "JPY_PARENT_PID")} | asked | parent
        command = [sys.executable, "-m", "vaekit", "train", "--help"]
        with subprocess.Popen(command, env=environ, stdout=theirs, stderr=theirs) as running:
            os.close(theirs)
            said = b""
            with suppress(OSError):  # the other end has gone
                while part := os.read(ours, 65536):
                    said += part
        os.close(ours)
        assert running.returncode == 0 and b"--data" in said
        assert (b"\x1b" in said) == escapes
