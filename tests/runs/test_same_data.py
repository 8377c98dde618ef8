"""A run knows what it was trained on: other data under the same name are refused, or accepted by name and said."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vaekit
from vaekit.data.settings import DataSettings
from vaekit.data.shares import Shares
from vaekit.errors import ChangedData, UserError
from vaekit.runs.run import Run
from vaekit.runs.train import train

SMALL = {"model.hidden": 4, "model.latent": 2}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3)).round(3).astype(np.float32)
Y = np.arange(300) % 3


def write(path: Path, x: np.ndarray, names: str = "a,b,c") -> None:
    path.write_text("\n".join([names, *(",".join(f"{v:.3f}" for v in row) for row in x)]))


def trained(folder: Path, source: Any, recipe: str = "vae", **more: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what is said of columns, of so little training
        train(
            recipe, source, out=folder / "run", steps=2, pictures=False, set=(SMALL if recipe == "vae" else {}) | more
        )
    return folder / "run"


def rows(x: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in x.flatten(1).tolist()}


def of_source(run: Run, x: torch.Tensor) -> set[tuple[float, ...]]:
    """Return examples as the source has them."""
    return {tuple(np.round(row, 3).tolist()) for row in x.numpy()}


# --- arrays in files -----------------------------------------------------------------------------------------------


def test_a_row_appended_is_refused_or_accepted_and_said(tmp_path: Path) -> None:
    """The case that was found: of 100 "test" rows 11 had been trained on after one row was appended."""
    source = tmp_path / "d.csv"
    write(source, X)
    run = vaekit.load(trained(tmp_path, source))
    had = {name: rows(getattr(run.data, name).x) for name in ("train", "valid", "test")}
    for more in (1, 5, 200):
        write(source, np.concatenate([RNG.normal(size=(more, 3)).round(3), X]))
        with pytest.raises(ChangedData, match=rf"d\.csv has {300 + more} examples, and 300 when the run was trained"):
            vaekit.load(tmp_path / "run").evaluate(["elbo"])
        again = vaekit.load(tmp_path / "run", changed_data=True)
        with pytest.warns(UserWarning, match=rf"has {300 + more} examples, and 300 .* as they are now"):
            found = again.evaluate(["elbo"])
        test = rows(again.data.test.x)
        assert had["test"] <= test and not test & (had["train"] | had["valid"])
        assert found["elbo"].n == len(test)
        number = again.evaluation()["elbo"]["number_of"]
        assert f"has {300 + more} examples, and 300" in number["changed"]


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (
            {"x": X * 3 + 1},
            r"as many examples as when the run was trained, with other values \(train and valid and test\)",
        ),
        ({"x": X, "names": "a,b,d"}, "no longer has the column 'c' and has a column 'd'"),
        ({"x": X[:, :2], "names": "a,b"}, "no longer has the column 'c'"),
        ({"x": X[:-1]}, "has 299 examples, and 300"),
    ],
    ids=["scaled", "renamed", "narrower", "fewer"],
)
def test_what_differs_is_said(now: dict[str, Any], words: str, tmp_path: Path) -> None:
    source = tmp_path / "d.csv"
    write(source, X)
    folder = trained(tmp_path, source)
    write(source, **now)
    for use in (lambda run: run.evaluate(["elbo"]), lambda run: run.data, lambda run: run.encode()):
        with pytest.raises(ChangedData, match=words):
            use(vaekit.load(folder))
    with pytest.raises(UserError, match=words):
        train(out=folder, resume=True, steps=4, pictures=False)


def test_the_same_contents_pass_whatever_they_are_called_and_saved_as(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    run = vaekit.load(trained(tmp_path, tmp_path / "d.npz"))
    before = run.evaluate(["elbo"])["elbo"].value
    (tmp_path / "d.npz").unlink()
    with pytest.raises(UserError):
        _ = vaekit.load(tmp_path / "run").data
    named = [*(",".join(map(str, [*map(float, row), y])) for row, y in zip(X, Y))]
    (tmp_path / "other.csv").write_text("\n".join(["x0,x1,x2,label", *named]))
    np.savez(tmp_path / "doubles.npz", x=X.astype(np.float64)[::-1], y=Y[::-1].astype(np.uint8))
    for source in (tmp_path / "doubles.npz", (X, Y), (torch.from_numpy(X), Y.astype(str))):
        again = vaekit.load(tmp_path / "run", data=source)
        assert rows(again.data.test.x) == rows(run.data.test.x)
    assert vaekit.load(tmp_path / "run", data=(X, Y)).evaluate(["elbo"])["elbo"].value == before


def test_labels_that_were_changed_are_seen(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    folder = trained(tmp_path, tmp_path / "d.npz")
    np.savez(tmp_path / "d.npz", x=X, y=Y[::-1])
    with pytest.raises(ChangedData, match="has the same examples as when the run was trained, with other labels"):
        _ = vaekit.load(folder).data
    with pytest.warns(UserWarning, match="with other labels"):
        assert vaekit.load(folder, changed_data=True).data.test.y is not None


def test_figures_of_data_that_changed_are_left_as_they_were(tmp_path: Path) -> None:
    source = tmp_path / "d.csv"
    write(source, X)
    run = vaekit.load(trained(tmp_path, source))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        run.write_figures()
    before = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    write(source, X[1:])
    with pytest.raises(ChangedData):
        vaekit.load(tmp_path / "run").write_figures()
    assert before and before == {path.name for path in (tmp_path / "run" / "figures").iterdir()}


def test_splits_of_their_own_are_known_again_too(tmp_path: Path) -> None:
    for name, x in (("train", X), ("test", X[:50] + 9)):
        np.save(tmp_path / f"{name}.npy", x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        train("vae", tmp_path / "train.npy", test=tmp_path / "test.npy", out=tmp_path / "run", steps=2, set=SMALL)
    assert len(vaekit.load(tmp_path / "run").data.test) == 50
    np.save(tmp_path / "test.npy", X[:50])
    with pytest.raises(ChangedData, match=r"other values \(test\)"):
        _ = vaekit.load(tmp_path / "run").data


def test_data_that_are_just_the_test_split_are_called_so(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", X)
    run = vaekit.load(trained(tmp_path, tmp_path / "d.npy"))
    own = run.evaluate(["elbo"])["elbo"]
    np.save(tmp_path / "mine.npy", run.data.test.x.numpy())
    other = run.evaluate(["elbo"], data=tmp_path / "mine.npy")["elbo"]
    assert run.evaluation()["elbo"]["split"] == "test" and "of the test split" in str(run.evaluation()["elbo"])
    assert other.value == own.value
    np.save(tmp_path / "mine.npy", run.data.train.x.numpy())
    run.evaluate(["elbo"], data=tmp_path / "mine.npy")
    assert run.evaluation()["elbo"]["split"] == "the training split"
    np.save(tmp_path / "mine.npy", X[:100])
    run.evaluate(["elbo"], data=tmp_path / "mine.npy")
    assert run.evaluation()["elbo"]["split"].endswith("mine.npy")


# --- going on ------------------------------------------------------------------------------------------------------


def test_going_on_with_other_contents_is_refused_unless_it_is_said(tmp_path: Path) -> None:
    source = tmp_path / "d.csv"
    write(source, X)
    folder = trained(tmp_path, source)
    had = rows(vaekit.load(folder).data.test.x)
    write(source, np.concatenate([X, RNG.normal(size=(60, 3)).round(3)]))
    with pytest.raises(ChangedData, match="has 360 examples, and 300"):
        train(out=folder, resume=True, steps=4, pictures=False)
    with pytest.warns(UserWarning, match="has 360 examples, and 300 .* training goes on with the data as they are now"):
        run = train(out=folder, resume=True, steps=4, pictures=False, changed_data=True)
    assert had <= rows(run.data.test.x) and not had & rows(run.data.train.x) and len(run.data.train) > 260
    assert run.record["data"]["info"]["n_train"] == len(run.data.train)
    assert vaekit.load(folder).data.info.n_train == len(run.data.train)  # from now on these are its data


def test_going_on_where_the_data_were_moved(tmp_path: Path) -> None:
    write(tmp_path / "d.csv", X)
    folder = trained(tmp_path, tmp_path / "d.csv")
    (tmp_path / "d.csv").rename(tmp_path / "moved.csv")
    run = train(None, tmp_path / "moved.csv", out=folder, resume=True, steps=4, pictures=False)
    assert run.record["result"]["steps"] == 4
    assert len(vaekit.load(folder).data.test) == len(run.data.test)


def test_what_was_fitted_to_the_examples_cannot_go_on_with_others(tmp_path: Path) -> None:
    lines = [f"the {a} and the {b}" for a in ("sea", "king", "night", "storm") for b in ("crown", "tide", "wind")]
    (tmp_path / "t.txt").write_text("\n".join(lines))
    folder = trained(tmp_path, tmp_path / "t.txt", "sequence-vae")
    (tmp_path / "t.txt").write_text("\n".join([*lines, "and one more"]))
    with pytest.raises(UserError, match=r"has 13 examples, and 12 .* start another run from its weights \(--init"):
        train(out=folder, resume=True, steps=4, pictures=False, changed_data=True)


# --- in memory -----------------------------------------------------------------------------------------------------


def test_data_in_memory_are_known_again(tmp_path: Path) -> None:
    folder = trained(tmp_path, X)
    assert len(vaekit.load(folder, data=X.tolist()).data.test)
    for other, words in ((X[1:], "has 299 examples, and 300"), (X + 1, "with other values")):
        with pytest.raises(UserError, match=words):
            vaekit.load(folder, data=other)
        with pytest.warns(UserWarning, match=words):
            assert len(vaekit.load(folder, data=other, changed_data=True).data.test)


def test_a_hand_made_model_knows_its_data_again(tmp_path: Path) -> None:
    from torch import nn

    def made() -> Any:
        return vaekit.VAE(
            vaekit.DiagonalNormal(nn.Linear(3, 4)), vaekit.StandardNormal(2), vaekit.Gaussian(nn.Linear(2, 3))
        )

    Run.of(made(), X).save(tmp_path / "run")
    assert len(vaekit.load(tmp_path / "run", module=made, data=X).data.test)
    with pytest.raises(UserError, match="has 299 examples, and 300"):
        vaekit.load(tmp_path / "run", module=made, data=X[1:])


# --- other kinds ---------------------------------------------------------------------------------------------------

TABLE = {"n": X[:60, 0], "w": [f"w{i % 4}" for i in range(60)]}
WORDS = [f"the {a} and the {b} of {c}" for a in ("sea", "king") for b in ("crown", "tide", "wind") for c in range(9)]
EDGES = np.stack([np.arange(60), (np.arange(60) + 1) % 60], 1)
SERIES = [np.sin(np.arange(8) * f / 9).round(4).tolist() for f in range(1, 41)]
KINDS: dict[str, tuple[str, Any, Any]] = {
    "tables": (
        "tabular-vae",
        {"n": X[:60, 0], "w": [f"w{i % 4}" for i in range(60)]},
        lambda t: {n: c[:-1] for n, c in t.items()},
    ),
    "text": ("sequence-vae", WORDS, lambda lines: [*lines[1:], "the sea and the tide of 10"]),
    "series": ("series-vae", SERIES, lambda series: [*series, [0.5, 0.25]]),
    "graphs": ("graph-vae", {"edges": EDGES}, lambda g: {"edges": np.concatenate([g["edges"], [[0, 30]]])}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_known_again_and_used_as_the_model_has_it(kind: str, tmp_path: Path) -> None:
    recipe, source, altered = KINDS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        run = train(recipe, source, steps=2, out=tmp_path / "run", pictures=False)
        same = vaekit.load(tmp_path / "run", data=source)
        assert same.difference is None
        with pytest.raises(UserError, match="when the run was trained"):
            vaekit.load(tmp_path / "run", data=altered(source))
        now = vaekit.load(tmp_path / "run", data=altered(source), changed_data=True)
    assert now.difference is not None
    before, after = run.data.info, now.data.info
    assert (after.facts, after.shape) == (before.facts, before.shape)  # nothing was fitted anew
    assert now.evaluate(["elbo"])["elbo"].n
    if kind == "text":
        kept = {*run.lines(run.data.train.x), *run.lines(run.data.valid.x)}
        assert not kept & {*now.lines(now.data.test.x)}
        assert {*now.lines(now.data.test.x)} >= {*run.lines(run.data.test.x)} - {WORDS[0]}


# --- runs of earlier versions --------------------------------------------------------------------------------------


def trained_earlier(folder: Path, source: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Train a run that is dealt out and recorded as before contents were."""
    with monkeypatch.context() as patch:
        patch.setattr(DataSettings, "shares", Shares("positions"))
        run = trained(folder, source)
    record = json.loads((run / "run.json").read_text())
    del record["data"]["contents"], record["settings"]["data"]["repeats"]
    (run / "run.json").write_text(json.dumps(record))
    return run


def test_a_run_of_an_earlier_version_keeps_its_splits_and_says_once_that_it_cannot_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "d.csv", X)
    folder = trained_earlier(tmp_path, tmp_path / "d.csv", monkeypatch)
    run = vaekit.load(folder)
    with pytest.warns(UserWarning, match="whether they are the same cannot be checked") as said:
        found = run.evaluate(["elbo", "active_units"])
        run.encode()
    assert len(said) == 1 and found["elbo"].n == 30
    order = np.random.default_rng(0).permutation(300)
    assert rows(run.data.test.x) == {tuple(row) for row in X[order[:30]].tolist()}
    assert rows(run.data.valid.x) == {tuple(row) for row in X[order[30:60]].tolist()}
    again = train(out=folder, resume=True, steps=4, pictures=False)
    assert rows(again.data.test.x) == rows(run.data.test.x) and "contents" not in again.record["data"]
    write(tmp_path / "d.csv", X[:200])  # what can be seen without a record of contents is refused as before
    with pytest.raises(UserError, match=r"are not what .* was trained on"):
        train(out=folder, resume=True, steps=6, pictures=False)
