"""vaekit parts, and training with a part's options from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands.conftest import Command
from commands.test_errors import complaint
from vaekit.recipes.catalogue import KINDS, parts


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_parts_are_listed_with_their_options(kind: str | None, vaekit: Command) -> None:
    listed = json.loads(vaekit("parts", *([kind] if kind else []), "--json").out)
    assert listed == json.loads(json.dumps(parts(kind)))
    table = vaekit("parts", *([kind] if kind else [])).out
    for entries in listed.values():
        for name, entry in entries.items():
            assert name in table and all(option["name"] in table for option in entry["options"])


def test_an_unknown_kind_is_refused(vaekit: Command) -> None:
    complaint(vaekit("parts", "priors"), "prior", "likelihood", "metric")


@pytest.mark.parametrize(
    ("assignments", "settled"),
    [
        (["model.prior=gaussian-mixture", "model.components=20"], {"components": 20}),
        (["model.likelihood=student-t", "model.df=3"], {"df": 3.0, "scale": "shared"}),
        (["model.posterior=flow", "model.flow=planar", "model.transforms=2"], {"flow": "planar", "transforms": 2}),
    ],
)
def test_options_are_set_and_recorded(
    assignments: list[str], settled: dict[str, object], vaekit: Command, tmp_path: Path
) -> None:
    given = [word for one in assignments for word in ("--set", one)]
    out = tmp_path / "run"
    assert vaekit("train", "vae", "--steps", 2, "--no-figures", "--out", out, *given).code == 0
    recorded = json.loads((out / "run.json").read_text(encoding="utf-8"))["settings"]["model"]
    assert settled.items() <= recorded.items()
    assert vaekit("sample", out, "-n", 2, "--out", tmp_path / "x.npz").code == 0


def test_an_option_without_its_part_names_the_parts_that_have_it(vaekit: Command) -> None:
    words = ["model.components", "priors gaussian-mixture and vamp", "set model.prior"]
    complaint(vaekit("train", "vae", "--steps", 2, "--set", "model.components=3"), *words)
