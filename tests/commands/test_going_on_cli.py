"""The command line's ways of going on: a longer run, another run's weights, frozen parts, steps in parts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from commands.conftest import Command
from vaekit.runs.loading import load


def test_a_finished_run_goes_on_and_says_what_its_schedules_do(
    vaekit: Command, here: Path, trained: dict[str, Path]
) -> None:
    shutil.copytree(trained["vae"], "run")
    done = vaekit("train", "--resume", "--steps", 25, "--out", "run", "--no-figures", "--json")
    assert done.code == 0 and json.loads(done.out)["steps"] == 25
    (line,) = [text for text in done.err.splitlines() if "goes on" in text]
    assert "from step 15 to 25 (it was to end at 15)" in line and "learning rate" in line
    refused = vaekit("train", "--resume", "--epochs", 1, "--out", "run")
    assert refused.code == 2 and "has trained 25 steps" in refused.err and "Traceback" not in refused.err


def test_a_run_starts_from_another_with_a_part_frozen(vaekit: Command, here: Path, trained: dict[str, Path]) -> None:
    """Recipe, sizes and data are that run's; the run's name is made of them."""
    done = vaekit("train", "--init", trained["vae"], "--freeze", "encoder", "--steps", 3, "--no-figures")
    assert done.code == 0 and "8 of 8 tensors of weights start as they are in" in done.err
    assert done.out.strip() == "runs/digits-vae"
    run, before = load("runs/digits-vae"), load(trained["vae"])
    assert run.record["settings"]["train"]["freeze"] == ["encoder"]
    same = {n.split(".")[0]: True for n, _ in run.model.named_parameters()}
    for (name, one), other in zip(run.model.named_parameters(), before.model.parameters()):
        same[name.split(".")[0]] &= bool((one == other).all())
    assert same == {"posterior": True, "likelihood": False}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--init", "{vae}", "--resume", "--out", "x"], ["--resume", "--init"]),
        (["--init", "nowhere"], ["nowhere"]),
        (["--init", "{vae}", "--freeze", "trunk"], ["trunk", "encoder, decoder, posterior, likelihood"]),
        (["vae", "--freeze", "encoder"], ["--init RUN"]),
        (["vae", "--set", "train.accumulate=0"], ["train.accumulate"]),
        (["wae-mmd", "--set", "train.accumulate=2"], ["the term 'mmd'", "--batch-size"]),
    ],
)
def test_what_does_not_go_is_one_sentence(
    vaekit: Command, here: Path, trained: dict[str, Path], arguments: list[str], words: list[str]
) -> None:
    done = vaekit("train", *[a.format(**trained) for a in arguments], "--steps", 2, "--no-figures")
    assert done.code == 2 and "Traceback" not in done.err
    assert all(word in done.err.splitlines()[-1] for word in words), done.err
    assert not list(here.rglob("run.json"))
