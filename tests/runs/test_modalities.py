"""What holds for every modality: a run on its data samples, reconstructs and loads, in files that a person opens."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recipes import examples
from vaekit.commands.augment import augment
from vaekit.commands.reconstruct import reconstruct
from vaekit.commands.sample import sample
from vaekit.data.info import DataInfo
from vaekit.data.modality import MODALITIES
from vaekit.errors import UserError
from vaekit.explorer.graphs import session_of
from vaekit.explorer.session import Session
from vaekit.recipes.base import RECIPES
from vaekit.runs.loading import load
from vaekit.runs.run import Run
from vaekit.runs.train import train

NAMES = [entry.name for entry in RECIPES if entry.part.takes != "array"]


@cache
def _run(name: str, folder: Path) -> Run:
    settings = dict(examples.SETTINGS.get(name, {})) | {"train.steps": 4, "train.epochs": 1, "train.device": "cpu"}
    return train(name, examples.source(name), out=folder / name, set=settings)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("modalities")


@pytest.fixture(params=NAMES)
def run(request: pytest.FixtureRequest, home: Path) -> Run:
    return _run(request.param, home)


def test_every_modality_is_trained_by_a_recipe() -> None:
    taken = {entry.part.takes for entry in RECIPES}
    assert {entry.name for entry in MODALITIES if not entry.part.as_arrays} == taken - {"array"}


def test_the_facts_are_plain_json(run: Run) -> None:
    text = json.dumps(run.info.to_dict())
    assert DataInfo.from_dict(json.loads(text)) == run.info


def test_the_splits_are_disjoint_rows_of_one_shape(run: Run) -> None:
    data = run.data
    assert len(data.train) == run.info.n_train and len(data.test) == run.info.n_test
    if isinstance(data.train.x, Tensor):
        assert data.train.x.shape[1:] == data.test.x.shape[1:] == run.info.shape
        assert data.train.x.dtype == (torch.int64 if run.info.kind == "tokens" else torch.float32)


def test_samples_are_written_in_every_form(run: Run, tmp_path: Path) -> None:
    assert run.path is not None and run.modality is not None and run.modality.formats
    for suffix in run.modality.formats:
        out = tmp_path / f"samples{suffix}"
        sample(run.path, n=3, out=out)
        assert out.stat().st_size > 0
        first = out.read_bytes()
        sample(run.path, n=3, out=out)
        assert out.read_bytes() == first, "the same seed writes the same file"


def test_reconstructions_are_written(run: Run, tmp_path: Path) -> None:
    assert run.path is not None and run.modality is not None
    out = tmp_path / f"again{run.modality.formats[0]}"
    reconstruct(run.path, n=3, out=out)
    assert out.stat().st_size > 0


def test_moved_codes_are_decoded_in_every_form(run: Run, tmp_path: Path) -> None:
    """Codes of the aggregate posterior, and near those of examples, whatever p(x|z) has for a mean."""
    if run.info.kind == "graph":
        return
    assert run.path is not None and run.modality is not None
    out = tmp_path / "aggregate.npz"
    if run.recipe in ("state-space-vae", "variational-rnn"):  # a state at each step
        with pytest.raises(UserError, match="not plain vectors of numbers"):
            sample(run.path, n=3, components=2, source="aggregate", out=out)
        return
    sample(run.path, n=3, components=2, source="aggregate", out=out)
    assert len(np.load(out, allow_pickle=False)["x"]) == 3
    for suffix in (".npz", run.modality.formats[0]):
        out = tmp_path / f"more{suffix}"
        augment(run.path, n=3, radius=0.5, out=out)
        assert out.stat().st_size > 0


def test_another_form_is_refused(run: Run, tmp_path: Path) -> None:
    assert run.path is not None
    assert run.modality is not None
    for wrong in ("x.nothing", *(() if ".png" in run.modality.formats else ("x.png",))):
        with pytest.raises(UserError, match="--out"):
            sample(run.path, n=2, out=tmp_path / wrong)
    assert not list(tmp_path.iterdir())


def test_a_line_an_example_stands_in_the_folder_and_the_report(run: Run) -> None:
    assert run.path is not None and run.modality is not None
    x = run.test.first(3).inputs
    found = run.modality.lines(run.prepare.invert(x), run.info)
    assert len(found) == len(x) and all(isinstance(line, str) and "\n" not in line for line in found)
    samples = (run.path / "figures" / "samples.txt").read_text(encoding="utf-8").strip()
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert samples and ">Samples</h3>" in report
    first = escape(samples.splitlines()[0].strip())
    if run.info.kind == "table":  # a cell a column
        assert all(f">{cell.partition('=')[2]}<" in report for cell in first.split(", "))
    else:  # where there is a picture it stands for the lines
        assert first in report or (run.path / "figures" / "samples.png").is_file()


def test_a_loaded_run_scores_as_the_one_trained(run: Run) -> None:
    assert run.path is not None
    again = load(run.path).to("cpu")  # to the bit
    run.to("cpu")
    if run.record["data"]["source"] == "memory":
        again._data = run.data
    for one in (run, again):
        one.evaluation = dict  # type: ignore[method-assign]  # neither reads nor keeps the other's numbers
    a, b = (one.evaluate(["elbo"], k=2)["elbo"].value for one in (run, again))
    assert a == b and (a is None) == (run.record["result"]["elbo"] is None)


def test_the_wrong_recipe_is_named(run: Run) -> None:
    assert run.modality is not None
    wrong: Any = next(entry.name for entry in RECIPES if entry.part.takes not in ("array", run.info.modality))
    if run.modality.default is not None:
        with pytest.raises(UserError, match=run.recipe):
            train(wrong, run.modality.default)
        with pytest.raises(UserError, match="train"):
            train("vae", run.modality.default)


def test_the_explorer_shows_lines_or_says_why_not(run: Run) -> None:
    if run.info.kind == "graph":  # drawn: tests/explorer/test_graphs.py
        explored = session_of(run)
        drawn = json.loads(explored.decode(explored.code([explored.encode(0)["z"]]))[0])
        assert len(drawn["at"]) > 0
        return
    explored = Session(run)
    z = explored.code([explored.encode(0)["z"]])
    if run.info.kind == "series":  # drawn as lines: tests/explorer/test_series.py
        assert explored.decode(z).dtype == np.float32 and explored.facts["series"]["steps"] == run.info.shape[1]
        return
    assert explored.decode(z).dtype.kind == "U" and len(explored.decode(z)) == 1
    assert run.modality is not None
    if run.modality.reads_lines:
        line = run.modality.lines(run.test.first(1).inputs, run.info)[0]
        assert run.modality.lines(explored.typed(line), run.info) == [line]
