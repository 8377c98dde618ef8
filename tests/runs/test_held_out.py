"""Held-out examples: the user's own, few, or none at all; a run ends well and says what it cannot give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from data.ways import GREYS, Pairs
from vaekit.data import DataSettings, Split, load
from vaekit.data.loading import prepare, read
from vaekit.errors import UserError
from vaekit.runs.base import RunBase
from vaekit.runs.loading import load as load_run
from vaekit.runs.train import train

RNG = np.random.default_rng(5)
X = RNG.normal(3, 2, (50, 4)).astype(np.float32)
V, T = X[:7] + 1, X[:9] - 1
Y = np.arange(50) % 2
SMALL: dict[str, Any] = {"model.hidden": 8, "model.latent": 2}


def source(split: Split) -> Any:
    """Return what a split's examples were before standardisation."""
    return split.x.numpy()


FORMS: dict[str, Any] = {
    "arrays": lambda d, x: x,
    "tensors": lambda d, x: torch.from_numpy(x),
    "dataset": lambda d, x: Pairs(len(x), lambda i: x[i]),
    "file": lambda d, x: _saved(d, x),
}


def _saved(folder: Path, x: np.ndarray) -> Path:
    path = folder / f"{len(x)}.npy"
    np.save(path, x)
    return path


@pytest.mark.parametrize(("form", "stream"), [*((form, "no") for form in FORMS), ("file", "yes")])
def test_the_users_own_splits_are_taken_whole_and_nothing_of_the_training_data(
    form: str, stream: str, tmp_path: Path
) -> None:
    x, valid, test = (FORMS[form](tmp_path, part) for part in (X, V, T))
    settings = DataSettings(stream=stream)  # type: ignore[arg-type]
    data = prepare(read(x, settings, {"valid": valid, "test": test}), settings, "real")
    assert (data.info.n_train, data.info.n_valid, data.info.n_test) == (50, 7, 9)
    np.testing.assert_array_equal(data.train.x[:], X)
    np.testing.assert_array_equal(source(data.valid), V)
    np.testing.assert_array_equal(source(data.test), T)
    one = prepare(read(x, settings, {"test": test}), settings, "real")
    assert one.info.n_train + one.info.n_valid == 50 and 0 < one.info.n_valid < 15 and one.info.n_test == 9


def test_labels_of_own_splits_are_numbered_together() -> None:
    settings = DataSettings(valid=0)
    raw = read((X, np.array(["b", "c"])[Y]), settings, {"test": (T, ["a", "c", "b"] * 3)})
    data = prepare(raw, settings, "real")
    assert data.info.classes == ("a", "b", "c")
    assert data.test.y is not None and data.test.y.tolist() == [0, 2, 1] * 3
    with pytest.raises(UserError, match="labels for train only"):
        read((X, Y), settings, {"test": T})


def test_a_set_with_splits_gives_the_one_of_that_name() -> None:
    splits = {"x_train": X[:20], "x_valid": V, "x_test": T}
    data = prepare(read(X, DataSettings(), {"valid": splits, "test": splits}), DataSettings(), "real")
    np.testing.assert_array_equal(source(data.valid), V)
    np.testing.assert_array_equal(source(data.test), T)


def test_own_splits_go_the_way_of_a_run(tmp_path: Path) -> None:
    files = [_saved(tmp_path, part) for part in (X, V, T)]
    run = train(
        "vae", files[0], valid=files[1], test=files[2], out=tmp_path / "run", steps=4, set=SMALL, pictures=False
    )
    assert run.record["result"]["held_out_n"] == 7 and len(run.test) == 9
    assert run.record["data"]["held_out"] == {"valid": str(files[1]), "test": str(files[2])}
    again = load_run(tmp_path / "run")
    torch.testing.assert_close(again.encode(), run.encode())
    torch.testing.assert_close(run.encode(), run.encode(T))
    assert again.data.valid.x.shape == (7, 4)
    same = train("vae", out=tmp_path / "run", resume=True, pictures=False)
    assert same.record["result"]["elbo"] == run.record["result"]["elbo"]
    memory = train("vae", files[0], test=T, out=tmp_path / "memory", steps=2, set=SMALL, pictures=False)
    assert memory.record["data"]["held_out"] == {"test": "memory"}
    with pytest.raises(UserError, match="arrays in memory"):
        train("vae", out=tmp_path / "memory", resume=True)
    with pytest.raises(UserError, match="arrays in memory"):
        load_run(tmp_path / "memory").encode()
    assert train("vae", out=tmp_path / "memory", test=T, resume=True, pictures=False).info.n_test == 9


def test_own_pictures_are_brought_to_the_size_of_training(tmp_path: Path) -> None:
    folder = tmp_path / "test"
    folder.mkdir()
    Image.fromarray(np.full((16, 20), 90, np.uint8)).save(folder / "0.png")
    with pytest.warns(UserWarning, match="of 1 pictures 1 scaled and cut to 8×8"):
        data = load_with(GREYS, test=folder)
    assert data.test.x.shape == (1, 1, 8, 8) and bool((data.test.x == 90).all())


def load_with(x: Any, **held_out: Any) -> Any:
    return prepare(read(x, DataSettings(), held_out), DataSettings(), "any")


MODALITIES: dict[str, tuple[str, Any, Any]] = {
    "texts": ("sequence-vae", ["to be", "or not", "to be"] * 5, ["be or", "not"]),
    "tables": (
        "tabular-vae",
        {"a": [1.5, 2.5, 0.5] * 5, "b": ["x", "y", "y"] * 5},
        {"a": [1.0, None], "b": ["y", "x"]},
    ),
    "graphs": (
        "graph-vae",
        [{i: [(i + 1) % n] for i in range(n)} for n in (4, 5, 6)] * 4,
        [{0: [1], 1: [2], 2: []}] * 2,
    ),
}


@pytest.mark.parametrize("kind", MODALITIES)
def test_own_splits_of_other_kinds_of_data(kind: str) -> None:
    recipe, x, test = MODALITIES[kind]
    run = train(recipe, x, test=test, valid=test, steps=2)
    assert (run.info.n_valid, run.info.n_test, len(run.test)) == (2, 2, 2)
    assert run.record["result"]["held_out_n"] == 2
    assert run.info.n_train == len(x if isinstance(x, list) else x["a"])


@pytest.mark.parametrize("kind", ["arrays", *MODALITIES])
def test_held_out_examples_that_are_trained_on_are_said(kind: str) -> None:
    recipe, x, test = ("vae", X, T) if kind == "arrays" else MODALITIES[kind]
    some = {name: column[:3] for name, column in x.items()} if isinstance(x, dict) else x[:3]
    size = 3
    with pytest.warns(UserWarning, match=f"{size} of the {size} test examples are training examples too"):
        run = train(recipe, x, test=some, steps=1, set={"data.valid": 0}, pictures=False)
    assert run.info.n_test == size
    train(recipe, x, test=test, steps=1, set={"data.valid": 0}, pictures=False)  # without a warning


def test_own_splits_that_cannot_be() -> None:
    with pytest.raises(UserError, match="is one graph, whose own edges are held out"):
        train("graph-vae", {i: [(i + 1) % 30] for i in range(30)}, test={0: [1]}, steps=1)
    with pytest.raises(UserError, match="a DataSet has its splits already"):
        train("vae", load("digits"), test=X, steps=1)
    with pytest.raises(UserError, match="differ in shape"):
        train("vae", X, test=X[:, :3], steps=1)


NONE = {"data.valid": 0, "data.test": 0}
FEW: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "two vectors": ("vae", X[:2], {"data.valid": 0}),
    "one vector": ("vae", X[:1], {}),
    "two pictures": ("vae", GREYS[:2], {}),
    "no validation": ("vae", GREYS, {"data.valid": 0}),
    "nothing held out": ("vae", GREYS, NONE),
    "eight lines": ("sequence-vae", ["to be", "or not"] * 4, NONE),
    "two rows, twice each": (
        "tabular-vae",
        {"a": [1.5, 2.5] * 2, "b": ["x", "y"] * 2},
        {"data.valid": 0, "data.test": 0},
    ),
    "early stopping": ("vae", X[:5], {"data.valid": 0, "train.early_stop": 1, "train.epochs": 4}),
}


@pytest.mark.parametrize("case", FEW)
def test_a_run_without_held_out_examples_ends_well(case: str, tmp_path: Path) -> None:
    recipe, x, settings = FEW[case]
    steps = None if "train.epochs" in settings else 3
    run = train(recipe, x, out=tmp_path / "run", steps=steps, set=settings, pictures=False)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    result = record["result"]
    assert record["status"] == "done" and result["elbo"] is None and result["held_out_n"] == 0
    assert result["refused"] == "there are no held-out examples"
    assert result["epochs"] == 4 or result["steps"] == 3
    again = train(None, x, out=tmp_path / "run", resume=True, pictures=False)
    assert again.record["result"]["elbo"] is None
    if not run.info.n_test:
        with pytest.raises(UserError, match=r"has no test examples, so nothing is held out; give other data"):
            run.evaluate(["elbo"], k=2)
    assert len(run.encode(x)) >= len(run.data.train)


def test_figures_without_held_out_examples_are_of_training_ones_and_say_so(tmp_path: Path) -> None:
    run = train("vae", GREYS, out=tmp_path / "run", steps=3, set={"data.valid": 0, "data.test": 0})
    assert isinstance(run, RunBase) and torch.equal(run.shown.x, run.training().x)
    assert (tmp_path / "run" / "figures" / "reconstructions.png").is_file()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "training example" in page and "test example" not in page and "left out" not in page
    assert "there are no held-out examples" in page
    held = train("vae", GREYS, steps=3, set={"data.test": 0})
    assert torch.equal(held.shown.x, held.prepare.fixed(held.data.valid, 1).x)


def test_a_run_called_as_a_known_set_is_trained_on_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = train("vae", "digits", out="digits", steps=1, set={"model.hidden": [4]}, pictures=False)
    assert run.record["data"]["source"] == "digits"
    assert len(load_run("digits").data.test) == run.info.n_test
