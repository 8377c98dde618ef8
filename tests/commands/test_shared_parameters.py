"""What every command on a run shares: a device, one answer where there is no test split, help at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commands.conftest import Done
from vaekit.commands.main import app

COMPUTES_ON_THE_CPU = {"export"}
"""Programs are made from a copy on the CPU, wherever the model is."""


def parameters(command: str) -> set[str]:
    """Return the options of a command, as they are typed."""
    collection = app[command].assemble_argument_collection()
    return {name for argument in collection for name in argument.names}


def on_a_run() -> list[str]:
    """Return the commands that take a run's folder."""
    return [name for name in app if not name.startswith("-") and {"RUN", "RUNS"} & parameters(name)]


@pytest.mark.parametrize("command", [*on_a_run(), "train"])
def test_every_command_that_computes_takes_a_device(command: str) -> None:
    assert ("--device" in parameters(command)) == (command not in COMPUTES_ON_THE_CPU)


@pytest.fixture(scope="module")
def no_test(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from vaekit.runs.train import train

    folder = tmp_path_factory.mktemp("no-test") / "run"
    train("vae", "digits", steps=2, out=folder, set={"data.test": 0, "model.hidden": 8}, pictures=False)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("encode", "--out", "z.npz"),
        ("reconstruct", "--out", "r.npz"),
        ("interpolate", "--out", "i.npz"),
        ("traverse", "--out", "t.npz"),
        ("arithmetic", "--examples", "1,2,3", "--out", "a.npz"),
        ("detect", "--out", "d.csv"),
        ("cluster", "--out", "c.csv"),
        ("classify", "--out", "c.csv"),
        ("compress", "test", "c.bits"),
        ("evaluate",),
    ],
    ids=lambda words: words[0],
)
def test_without_a_test_split_the_answer_is_one(words: tuple[str, ...], no_test: Path, vaekit: Any, here: Path) -> None:
    command, *rest = words
    done: Done = vaekit(command, no_test, *rest)
    assert done.code == 2
    assert done.err == "vaekit: digits has no test examples, so nothing is held out; give other data\n"
    assert not list(here.glob("*.npz")) and not list(here.glob("*.csv")) and not list(here.glob("*.bits"))
