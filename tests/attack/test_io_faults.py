"""A run's folder is its old self or its new self, and goes on, wherever I/O fails or the process dies in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from attack.io_faults import Faults, forked, instants

SCRIPT = Path(__file__).with_name("io_faults.py")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self/fd").is_dir(), reason="forks on Linux")


def attack(scene: str, folder: Path, kind: str, first: int, stride: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), scene, str(folder), kind, str(first), str(stride)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["tried"] > 0 and found["tried"] == len(instants(found["calls"])[first::stride])
    return found["complaints"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kill", "fail", "full"])
@pytest.mark.parametrize(("scene", "stride"), [("train", 6), ("replace", 8), ("evaluate", 4)])
def test_the_folder_is_whole_after_a_fault_at_instants_spread_over_all(
    scene: str, stride: int, kind: str, tmp_path: Path
) -> None:
    """`make attack` tries every instant; here each kind begins at another."""
    first = {"kill": 0, "fail": 1, "full": 2}[kind]
    assert attack(scene, tmp_path, kind, first, stride) == []


def test_a_torn_write_is_torn_and_a_child_dies(tmp_path: Path) -> None:
    """The harness does what it says: a plain write is found half done, an atomic one not at all."""
    from vaekit import atomic

    def plain() -> None:
        Faults(tmp_path, "kill", 2).install()
        (tmp_path / "a").write_bytes(b"12345678")

    def whole() -> None:
        Faults(tmp_path, "kill", 4).install()
        atomic.write_bytes(tmp_path / "a", b"new")

    def fails() -> None:
        Faults(tmp_path, "fail", 1).install()
        (tmp_path / "b").write_bytes(b"1")

    assert forked(plain).died and (tmp_path / "a").read_bytes() == b"1234"
    assert forked(whole).died and (tmp_path / "a").read_bytes() == b"1234"
    assert str(forked(fails).raised).startswith("OSError") and not (tmp_path / "b").exists()
    assert forked(lambda: 3).answer == 3
