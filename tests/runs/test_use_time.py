"""A trained run takes what training took, and prepares it in the same way; what is prepared is a type of its own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vaekit
from data.ways import GREYS, pictures
from vaekit.data import Prepared, Split
from vaekit.data.matching import match_pictures
from vaekit.data.raw import Part, Raw
from vaekit.errors import UserError
from vaekit.runs.run import Run
from vaekit.runs.train import train

RNG = np.random.default_rng(0)
REAL = (RNG.normal(size=(60, 1, 6, 6)) * 400 + 2000).astype(np.float32)
COLOUR = RNG.integers(0, 256, (24, 12, 12, 3)).astype(np.uint8)
SMALL: dict[str, Any] = {"model.hidden": 8, "model.latent": 2}


def quietly(run: Run, data: Any) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return run.encode(data)


@pytest.fixture(scope="module")
def real() -> Run:
    return train("vae", REAL, steps=4, set=SMALL | {"data.standardise": True})


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("colour")
    for i, picture in enumerate(COLOUR):
        Image.fromarray(picture).save(folder / f"{i:02d}.png")
    return train("vae", folder, steps=4, set=SMALL | {"model.likelihood": "discretised-logistic"}), folder


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x,
        torch.from_numpy,
        lambda x: x.astype(np.float64),
        lambda x: x.tolist(),
        lambda x: torch.from_numpy(x)[:, 0],
        lambda x: {"x": x},
    ],
    ids=["array", "tensor", "double", "list", "no channel", "dict"],
)
def test_raw_data_of_a_standardised_run_are_standardised(real: Run, form: Any) -> None:
    assert real.prepare.mean is not None and real.prepare.sd is not None
    mean, sd = (
        torch.tensor(part).reshape(-1).expand(36).view(1, 6, 6) for part in (real.prepare.mean, real.prepare.sd)
    )
    expected = real.encode(Prepared((torch.from_numpy(REAL) - mean) / sd))
    torch.testing.assert_close(real.encode(form(REAL)), expected)
    torch.testing.assert_close(
        real.reconstruct(form(REAL)), real.reconstruct(Prepared((torch.from_numpy(REAL) - mean) / sd))
    )


def test_prepared_examples_are_never_prepared_again_and_others_always_are(real: Run) -> None:
    prepared = real.prepared(REAL)
    assert isinstance(prepared, Prepared) and real.prepared(prepared) is prepared
    some = prepared.take(torch.tensor([4, 2]))
    assert isinstance(some, Prepared) and isinstance(prepared.first(3), Prepared) and isinstance(real.test, Prepared)
    assert some.origin is not None and some.origin.columns["row"].tolist() == [4, 2]
    codes = real.encode(prepared)
    torch.testing.assert_close(real.encode(some), codes[[4, 2]])
    stored = Split(torch.from_numpy(REAL))  # as the run's own data set keeps them
    torch.testing.assert_close(real.encode(stored), codes)
    assert (real.encode(prepared.x) - codes).abs().max() > 1e-3  # a tensor is raw, whatever it holds
    paths = real.interpolate(REAL[:2], REAL[2:4], steps=3)
    torch.testing.assert_close(paths, real.interpolate(prepared.first(2), prepared.take(torch.tensor([2, 3])), steps=3))


@pytest.mark.parametrize("integer", [np.uint8, np.int64])
def test_whole_numbers_of_a_run_of_real_values_keep_their_unit(integer: type) -> None:
    x = RNG.normal(100, 30, (50, 4)).clip(0, 255)
    run = train("vae", x, steps=3, set=SMALL)
    whole = x.round()
    torch.testing.assert_close(run.encode(whole.astype(integer)), run.encode(whole))


def test_greys_come_in_every_type_and_scale(colour: tuple[Run, Path]) -> None:
    run, folder = colour
    expected = run.encode(folder)
    planes = np.moveaxis(COLOUR, 3, 1)
    for same in (
        COLOUR,
        planes,
        torch.from_numpy(planes),
        planes.astype(np.int64),
        planes.astype(np.float32),
        planes / 255,
    ):
        torch.testing.assert_close(run.encode(same), expected)


def test_one_example_needs_no_batch(colour: tuple[Run, Path], real: Run) -> None:
    run, folder = colour
    expected = run.encode(folder)[3:4]
    for one in (
        COLOUR[3],
        np.moveaxis(COLOUR[3], 2, 0),
        folder / "03.png",
        str(folder / "03.png"),
        [folder / "03.png"],
    ):
        torch.testing.assert_close(run.encode(one), expected)
    torch.testing.assert_close(real.encode(REAL[5, 0]), real.encode(REAL)[5:6])


def test_dark_pictures_of_a_file_keep_their_scale(colour: tuple[Run, Path], tmp_path: Path) -> None:
    run, _ = colour
    Image.fromarray(np.full((12, 12, 3), 1, np.uint8)).save(tmp_path / "dark.png")
    assert float(run.prepared(tmp_path / "dark.png").x.max()) == pytest.approx(1 / 255)


def test_pictures_of_another_mode_or_size_are_converted_with_one_warning(
    colour: tuple[Run, Path], tmp_path: Path
) -> None:
    run, _ = colour
    for i, size in enumerate((12, 30, 30)):
        Image.fromarray(np.full((size, size + i, 3), 40 * i, np.uint8)).save(tmp_path / f"{i}.png")
    Image.fromarray(np.full((12, 12), 200, np.uint8)).save(tmp_path / "3.png")
    with pytest.warns(UserWarning, match="of 4 pictures 1 made RGB and 2 scaled and cut to 12×12") as told:
        split = run.prepared(tmp_path)
    assert len(told) == 1 and split.x.shape == (4, 3, 12, 12)
    assert split.origin is not None and split.origin.columns["file"].tolist() == ["0.png", "1.png", "2.png", "3.png"]
    np.testing.assert_allclose(split.x.mean((1, 2, 3)) * 255, [0, 40, 80, 200], atol=0.01)
    with pytest.warns(UserWarning, match="3 pictures were made RGB and scaled from 24×24 to 12×12") as told:
        split = run.prepared(np.full((3, 24, 24), 77, np.uint8))
    assert len(told) == 1 and bool((split.x * 255).round().eq(77).all())


def test_conversions_of_arrays_keep_what_they_show() -> None:
    ramp = np.tile(np.arange(0.0, 1.0, 0.05, dtype=np.float32), (1, 1, 20, 1))
    with pytest.warns(UserWarning, match="scaled from 20×20 to 10×10"):
        half = match_pictures(Raw("r", "r", Part(ramp)), (1, 10, 10)).train.x
    np.testing.assert_allclose(half[0, 0, 5, 1:-1], ramp[0, 0, 0].reshape(10, 2).mean(1)[1:-1], atol=0.01)
    red = np.zeros((1, 3, 4, 4), np.uint8)
    red[:, 0] = 200
    with pytest.warns(UserWarning, match="made grey"):
        grey = match_pictures(Raw("r", "r", Part(red)), (1, 4, 4)).train.x
    assert abs(int(grey[0, 0, 0, 0]) - np.asarray(Image.fromarray(np.moveaxis(red[0], 0, 2)).convert("L"))[0, 0]) <= 1
    counts = Raw("c", "c", Part(np.zeros((2, 5, 8, 8))))
    assert match_pictures(counts, (3, 8, 8)).train.x.shape == (2, 5, 8, 8)  # five channels are no picture


def test_columns_are_found_by_name() -> None:
    table = {"a": RNG.normal(size=40), "b": RNG.normal(5, 1, 40), "c": RNG.normal(-3, 1, 40)}
    run = train("vae", table, steps=3, set=SMALL)
    codes = run.encode(table)
    torch.testing.assert_close(run.encode({name: table[name] for name in "cab"}), codes)
    with pytest.warns(UserWarning, match="columns the model does not know are left out: d"):
        more = run.encode({"d": table["a"], **table})
    torch.testing.assert_close(more, codes)
    with pytest.raises(UserError, match="has no column 'b', which this model was trained on"):
        run.encode({"a": table["a"], "c": table["c"]})


def test_labels_are_found_by_name() -> None:
    y = np.array(["ant", "bee", "cow"])[np.arange(60) % 3]
    run = train("cvae", (REAL, y), steps=3, set=SMALL)
    assert run.info.classes == ("ant", "bee", "cow")
    some = run.prepared((REAL[:2], ["cow", "bee"]))
    assert some.y is not None and some.y.tolist() == [2, 1]
    numbered = run.prepared((REAL[:2], np.array([2, 1])))
    assert numbered.y is not None and numbered.y.tolist() == [2, 1]
    torch.testing.assert_close(run.encode(REAL[:2], ["cow", "bee"]), run.encode(some))
    with pytest.raises(UserError, match="the label 'dog'; this run's model knows ant, bee, cow"):
        run.encode((REAL[:2], ["cow", "dog"]))


def test_anomalies_may_be_of_a_class_that_training_never_saw() -> None:
    run = train("vae", (REAL, ["good"] * 60), steps=3, set=SMALL)
    odd = (np.concatenate([REAL[:6], REAL[:3] * 50]), ["good"] * 6 + ["crack"] * 3)
    found = run.detect(odd, anomalous=["crack"], score="reconstruction")
    assert found.truth is not None and found.truth.tolist() == [False] * 6 + [True] * 3
    assert found.judged["auroc"]["value"] == 1.0
    assert run.label_names(run.prepared(odd)) == ["good"] * 6 + ["crack"] * 3
    with pytest.raises(UserError, match="no label 'dent'"):
        run.detect(odd, anomalous=["dent"])


def test_all_splits_of_a_source_are_taken(real: Run) -> None:
    split = real.prepared({"x_train": REAL[:4], "x_test": REAL[4:6]})
    assert split.origin is not None and split.origin.columns["split"].tolist() == ["train"] * 4 + ["test"] * 2
    assert split.origin.columns["row"].tolist() == [0, 1, 2, 3, 0, 1]
    torch.testing.assert_close(real.encode(split), real.encode(REAL[:6]))


@pytest.mark.parametrize("task", ["detect", "cluster", "classify"])
def test_results_say_where_examples_come_from(task: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p")
    run = train("vae", (GREYS, np.arange(30) % 2), steps=3, set=SMALL)
    more = {"cluster": {"k": 2, "bootstraps": 1}, "classify": {"labels": 4}, "detect": {"score": "reconstruction"}}
    found = getattr(run, task)(folder, **more[task])
    assert found.origin.columns["file"].tolist() == [f"{i:03d}.png" for i in range(30)]
    own = getattr(run, task)(**more[task])
    assert len(own.origin) == run.info.n_test
    for row, x in zip(own.origin.columns["row"], run.data.test.x):
        assert torch.equal(x[0], torch.from_numpy(GREYS[row]))


def test_lines_say_which_line_and_which_were_left_out() -> None:
    run = train("sequence-vae", ["to be or not", "that is", "the question"] * 5, steps=2, set={"data.longest": 12})
    with pytest.warns(UserWarning, match="1 lines are too long and were split; 1 empty lines were left out"):
        split = run.prepared(["to be", "", "to be or not to be that is", "is"])
    origin = split.origin
    assert origin is not None and origin.columns["line"].tolist() == [1, 3, 3, 3, 4]
    assert origin.columns["part"].tolist() == [1, 1, 2, 3, 1] and origin.left_out == ((2, "empty"),)
    assert len(split) == len(run.encode(split)) == 5
    dropping = train(
        "sequence-vae", ["to be or not", "that is"] * 5, steps=2, set={"data.longest": 9, "data.longer": "drop"}
    )
    with pytest.warns(UserWarning):
        lost = dropping.prepared(["that is", "to be or not to be", ""]).origin
    assert lost is not None and lost.left_out == ((2, "too long"), (3, "empty"))


def test_rows_of_tables_say_their_line_or_label(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("age,city\n" + "".join(f"{20 + i * i % 23},{'ab'[i % 2]}\n" for i in range(30)))
    run = train("tabular-vae", tmp_path / "t.csv", steps=2, set={"model.hidden": 8, "data.bad_rows": "drop"})
    (tmp_path / "u.csv").write_text("age,city\n30,a\n31\n\n32,b\n")
    split = run.prepared(tmp_path / "u.csv")
    assert split.origin is not None and split.origin.columns["line"].tolist() == [2, 5]
    assert split.origin.left_out == ((3, "1 cells"),)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [30, 31], "city": ["a", "b"]}, index=["row-x", "row-y"])
    named = run.prepared(frame).origin
    assert named is not None and named.columns["row"].tolist() == ["row-x", "row-y"]
    assert run.test.origin is not None and len(run.test.origin) == run.info.n_test
    first = int(run.test.origin.columns["line"][0]) - 2
    assert run.lines(run.test.x)[0] == f"age={20 + first * first % 23}, city={'ab'[first % 2]}"


def test_nodes_have_their_names() -> None:
    ring = {f"n{i}": [f"n{(i + 1) % 9}"] for i in range(9)}
    run = vaekit.train("graph-vae", ring, steps=2)
    assert run.test.origin is not None and run.test.origin.columns["node"].tolist() == [f"n{i}" for i in range(9)]
    assert run.test.places is None and len(run.node_codes()[0]) == 9
