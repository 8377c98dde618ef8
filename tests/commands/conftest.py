"""A command line run within the test's process, and small runs to use it on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vaekit.commands import main


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: object
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def vaekit(capfd: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs the command line and gives exit code and output."""

    def call(*arguments: object) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main.run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Done(end.value.code, out, err)

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of small runs, by recipe; tests must not change them (see `copied`)."""
    from vaekit.runs.train import train

    folder = tmp_path_factory.mktemp("runs")
    small = {"model.hidden": "16", "model.latent": 2, "train.checkpoint_steps": 10}
    for name in ("vae", "ae", "cvae"):
        train(name, "digits", out=folder / name, steps=15, set=small, pictures=False)
    return {name: folder / name for name in ("vae", "ae", "cvae")}


@pytest.fixture
def copied(trained: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies a run for a test to damage."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(trained[name], tmp_path / f"copy-{name}"))

    return copy


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with nothing of the user's data in sight."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("VAEKIT_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    os.environ.setdefault("MPLBACKEND", "Agg")
    return folder
