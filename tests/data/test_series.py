"""Time series as read: every form gives the same rows, gaps and ends are told from each other, and what cannot be is
refused by line or place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data.audio.wav import write_wav
from vaekit.data.datasets import DATASETS
from vaekit.data.series.arrays import of_arrays, of_memory
from vaekit.data.series.collection import Collection, lengths_of, rows, unpadded
from vaekit.data.series.grid import step_of
from vaekit.data.series.modality import Series, as_arrays
from vaekit.data.series.reading import read_series
from vaekit.data.series.settings import SeriesSettings
from vaekit.data.series.ts_files import read_ts
from vaekit.errors import UserError

PLAIN = SeriesSettings(valid=0, test=0)
NAN = float("nan")


def ts(path: Path, data: str, **facts: str) -> Path:
    header = {"problemName": "toy", "timeStamps": "false", "univariate": "true", "classLabel": "true a b"} | facts
    path.write_text("# a comment\n" + "".join(f"@{k} {v}\n" for k, v in header.items()) + "@data\n" + data)
    return path


def same(found: Collection, wanted: list[Any]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found.series, wanted):
        np.testing.assert_array_equal(one, np.array(other, dtype=float))


# -- .ts files ---------------------------------------------------------------------------------------------------------


def test_a_ts_file_has_channels_gaps_lengths_and_classes(tmp_path: Path) -> None:
    path = ts(tmp_path / "x.ts", "1,2,3:4,?,6:b\n\n7,8:9,NaN:a\n", univariate="false")
    found = read_ts(path)
    same(found, [[[1, 2, 3], [4, NAN, 6]], [[7, 8], [9, NAN]]])
    assert list(found.labels) == ["b", "a"] and found.layout == "CT"


def test_a_ts_file_without_classes_or_with_targets(tmp_path: Path) -> None:
    same(read_ts(ts(tmp_path / "a.ts", "1,2\n3\n", classLabel="false")), [[[1, 2]], [[3]]])
    found = read_ts(ts(tmp_path / "b.ts", "1,2:0.75\n", classLabel="false", targetlabel="true"))
    same(found, [[[1, 2]]])
    assert not found.labels


def test_time_stamps_make_gaps(tmp_path: Path) -> None:
    found = read_ts(ts(tmp_path / "x.ts", "(0,1.5),(1,2.5),(3,4.5):a\n(2,7):b\n", timeStamps="true"))
    same(found, [[[1.5, 2.5, NAN, 4.5]], [[7]]])
    dated = "(2024-01-01 00:00:00,1),(2024-01-01 02:00:00,3),(2024-01-01 01:00:00,2):a\n"
    same(read_ts(ts(tmp_path / "y.ts", dated, timeStamps="true")), [[[1, 2, 3]]])


def test_the_twin_is_the_test_split_and_it_is_said(tmp_path: Path) -> None:
    ts(tmp_path / "Toy_TEST.ts", "9,9,9,9:b\n")
    path = ts(tmp_path / "Toy_TRAIN.ts", "1,2:a\n3,4:b\n5:a\n")
    with pytest.warns(UserWarning, match=r"Toy_TEST\.ts beside it is the test split"):
        data = Series().load(path, SeriesSettings(valid=0))
    assert (data.info.name, len(data.train), len(data.test)) == ("Toy", 3, 1)
    assert data.info.shape == (1, 4) and data.info.classes == ("a", "b")
    assert data.info.facts["lengths"] == [[1, 1], [2, 2]], "the test split's lengths are not drawn from"
    assert data.test.y is not None and data.test.y.tolist() == [1]


def test_the_ucr_archive_s_tables_have_the_class_first(tmp_path: Path) -> None:
    (tmp_path / "T_TRAIN.tsv").write_text("1\t0.5\t1.5\tNaN\n2\t3\t?\t4\n")
    (tmp_path / "T_TEST.tsv").write_text("2.0\t7\tNaN\tNaN\n")
    found = read_series(tmp_path / "T_TRAIN.tsv", PLAIN)
    same(found.unpadded(), [[[0.5, 1.5]], [[3, NAN, 4]]])
    assert list(found.labels) == ["1", "2"] and found.name == "T" and found.test is not None
    same(found.test, [[[7]]])
    assert list(found.test.labels) == ["2"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@data\n1,x:a\n", "line 2: 'x' is not a number"),
        ("1,2:a\n", "line 1: a header line begins with @"),
        ("@problemName p\n", "no line @data"),
        ("@classLabel true a\n@data\n:a\n1\n", "line 4: there is no series before the label"),
        ("@classLabel false\n@data\n", "holds no series"),
        ("@classLabel false\n@data\n1,inf\n", "series 0, channel 0, step 1 is infinite"),
        ("@classLabel false\n@data\n1,2:3,4\n5,6\n", "series 1 has 1 channels, the first 2"),
    ],
)
def test_a_bad_ts_file_is_refused_by_its_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.ts"
    path.write_text(text)
    with pytest.raises(UserError) as refusal:
        read_ts(path)
    assert words in str(refusal.value) and str(path) in str(refusal.value)


# -- arrays ------------------------------------------------------------------------------------------------------------

RAGGED: list[Any] = [[[1.0, 2, 3]], [[4.0, 5]], [[6.0]]]
PADDED = np.array([[1, 2, 3], [4, 5, NAN], [6, NAN, NAN]])


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


FORMS = [
    "list",
    "arrays",
    "tensors",
    "columns",
    "padded",
    "tensor",
    "flat",
    "rows",
    "npy",
    "npz",
    "x",
    "wide",
    "named",
    "long",
    "dict",
]


def forms(folder: Path) -> dict[str, Any]:
    """The same three series in every form they may come in."""
    (folder / "wide.csv").write_text("1,2,3\n4,5\n6\n")
    (folder / "named.csv").write_text("a,b,c\n1,2,3\n4,5,\n6,,\n")
    (folder / "long.csv").write_text("id,time,v\nx,1,2\nx,0,1\ny,0,4\nx,2,3\ny,1,5\nz,5,6\n")
    np.save(folder / "padded.npy", PADDED)
    flat = {"values": np.arange(1.0, 7.0), "lengths": np.array([3, 2, 1])}
    return {
        "list": [[1, 2, 3], [4, 5], [6]],
        "arrays": [np.array([1, 2, 3]), np.array([4.0, 5]), np.array([6], np.int8)],
        "tensors": [torch.tensor([1, 2, 3]), torch.tensor([4, 5]), torch.tensor([6])],
        "columns": [np.array([[1], [2], [3]]), np.array([[4], [5]]), np.array([[6]])],
        "padded": PADDED,
        "tensor": torch.tensor(PADDED),
        "flat": flat,
        "rows": {"values": np.nan_to_num(PADDED), "lengths": np.array([3, 2, 1])},
        "npy": folder / "padded.npy",
        "npz": save(folder / "flat.npz", **flat),
        "x": save(folder / "x.npz", x=PADDED),
        "wide": str(folder / "wide.csv"),
        "named": folder / "named.csv",
        "long": folder / "long.csv",
        "dict": {"id": ["x", "x", "y", "x", "y", "z"], "t": [1, 0, 0, 2, 1, 5], "v": [2, 1, 4, 3, 5, 6]},
    }


@pytest.mark.filterwarnings("ignore:.*has no header")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows(tmp_path: Path, form: str) -> None:
    found = read_series(forms(tmp_path)[form], PLAIN).unpadded()
    same(found, RAGGED)
    data = Series().load(forms(tmp_path)[form], PLAIN)
    assert torch.equal(data.train.x.nan_to_num(9), rows(found.series, 3).nan_to_num(9))
    assert data.info.facts["lengths"] == [[1, 1], [2, 1], [3, 1]] and data.info.facts["values"] == "counts"


def test_a_frame_in_long_form() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": [1, 1, 2], "time": [0, 1, 0], "a": [1.5, None, 3.0], "b": [0.0, 1.0, 2.0]})
    found = read_series(frame, PLAIN)
    same(found, [[[1.5, NAN], [0, 1]], [[3], [2]]])
    assert found.channels == ("a", "b") and list(found.names) == ["1", "2"]


@pytest.mark.parametrize(
    ("shape", "channels", "layout", "width"),
    [
        ((5, 50), "auto", "T", 1),
        ((5, 50, 3), "auto", "TC", 3),
        ((5, 3, 50), "auto", "CT", 3),
        ((5, 3, 50), "last", "TC", 50),
        ((5, 50, 3), "first", "CT", 50),
        ((5, 4, 4), "auto", "TC", 4),
    ],
)
def test_which_axis_is_that_of_the_channels(shape: Any, channels: Any, layout: str, width: int) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    found = of_memory(x, channels=channels)
    assert (found.layout, found.width) == (layout, width)
    info = Series().load(x, PLAIN.model_copy(update={"channels": channels})).info
    written = as_arrays(list(found.series), info)["values"]
    np.testing.assert_array_equal(written, x)


def test_ragged_series_share_the_axis_of_their_channels() -> None:
    assert of_memory([np.zeros((2, 3)), np.zeros((5, 3))]).layout == "TC"
    assert of_memory([np.zeros((3, 2)), np.zeros((3, 5))]).layout == "CT"
    with pytest.raises(UserError, match="differ in both"):
        of_memory([np.zeros((3, 2)), np.zeros((4, 5))])


def test_npz_splits_labels_and_padded_rows_of_channels() -> None:
    x = np.random.default_rng(0).normal(size=(4, 6, 2))
    arrays = {"x_train": x, "y_train": np.array([0, 1, 1, 0]), "x_test": x[:1], "y_test": np.array([1])}
    found = of_arrays(arrays | {"lengths_train": np.array([6, 2, 3, 4])}, "f")
    assert found.lengths.tolist() == [6, 2, 3, 4] and list(found.labels) == ["0", "1", "1", "0"]
    assert found.test is not None and found.test.lengths.tolist() == [6]
    flat = of_arrays({"values": x.reshape(-1, 2), "lengths": np.array([20, 4])}, "f")
    assert [one.shape for one in flat.series] == [(2, 20), (2, 4)]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": np.zeros(3)}, "name its arrays values, lengths and y"),
        ({"values": np.zeros(5), "lengths": np.array([2, 2])}, "2 lengths, 4 steps in all"),
        ({"values": np.zeros((2, 5)), "lengths": np.array([2, 9])}, "a length is 9"),
        ({"values": np.zeros(5), "lengths": np.array([5.5])}, "whole numbers"),
        ({"x": np.zeros((2, 5)), "y": np.array([1])}, "2 series but 1 labels"),
        ({"x": np.array(["a", "b"])}, "not numbers"),
    ],
)
def test_a_bad_npz_is_refused(arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        of_arrays(arrays, "file.npz")


@pytest.mark.parametrize("which", ["train", "test"])
def test_labels_of_one_split_alone_are_refused(which: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(8, 5))
    arrays = {"x_train": x, "x_test": x[:4], f"y_{which}": np.arange(8 if which == "train" else 4)}
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(UserError, match=f"labels for {which} only"):
        Series().load(tmp_path / "f.npz", SeriesSettings())


def test_nan_that_signals_is_a_gap() -> None:
    x = np.ones((3, 4), np.float32)
    x.view(np.uint32)[1, 2] = 0x7F800001
    assert int(np.isnan(of_memory(x).series[1]).sum()) == 1


def test_objects_are_never_loaded(tmp_path: Path) -> None:
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros(3), np.zeros(2)]
    np.save(tmp_path / "o.npy", ragged, allow_pickle=True)
    with pytest.raises(UserError, match=r"never loaded; for ragged series give a list of arrays, or an NPZ"):
        read_series(tmp_path / "o.npy", PLAIN)


# -- long tables -------------------------------------------------------------------------------------------------------


def test_a_long_table_has_gaps_channels_and_a_class_a_series(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text(
        "unit,when,a,b,label\n1,2024-01-01,1,10,u\n1,2024-01-03,3,,u\n2,2024-01-02,5,50,v\n2,2024-01-03,6,60,v\n"
    )
    settings = SeriesSettings(id="unit", time="when", valid=0, test=0)
    found = read_series(path, settings)
    same(found, [[[1, NAN, 3], [10, NAN, NAN]], [[5, 6], [50, 60]]])
    assert list(found.labels) == ["u", "v"] and found.channels == ("a", "b")


def test_uneven_times_are_an_order(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("id,t,v\n1,0,1\n1,1,2\n1,2.7,3\n")
    with pytest.warns(UserWarning, match="only their order is used"):
        same(read_series(path, PLAIN), [[[1, 2, 3]]])
    assert step_of([np.array([0.0, 1e-6, 1e3])]) is None, "a grid of a thousand million empty steps"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,time,v\n1,0,x\n", "row 1, column 'v': 'x' is not a number"),
        ("id,time,v\n1,0,1\n1,0,2\n", "series 1 has two rows at one time"),
        ("id,time,v\n1,soon,1\n", "neither a number nor a date"),
        ("id,time,v\n1,0\n", "line 2 has another number of cells"),
        ("id,time\n1,0\n", "no column of values"),
        ("1,2\n3,x\n", "line 2: 'x' is not a number"),
        ("meter,hour,load\na,1,0.5\n", "name those columns: data.id=..., data.time=..."),
    ],
)
@pytest.mark.filterwarnings("ignore:.*has no header")
def test_a_bad_table_is_refused_by_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(UserError) as refusal:
        read_series(path, PLAIN)
    assert words in str(refusal.value) and str(path) in str(refusal.value)


# -- sets --------------------------------------------------------------------------------------------------------------


def test_real_values_are_standardised_by_the_training_split_alone() -> None:
    x = [np.array([[1.0, 3, NAN], [10.5, 10.5, 10.5]]), np.array([[5.0], [10.5]]), np.array([[99.0, 7], [1e6, 1e6]])]
    data = Series().load(x, SeriesSettings(valid=0, test=1, channels="first", seed=1))
    seen = {float(v) for v in data.train.x[:, 0].flatten() if torch.isfinite(v)}
    data = Series().fitted(data, "real")
    facts = data.info.facts
    assert facts["mean"][0] == pytest.approx(np.mean(list(seen))) and facts["sd"][0] == pytest.approx(
        np.std(list(seen))
    )
    made = data.prepare(data.train.x)
    inside = torch.isfinite(made[:, 0])
    assert float(made[:, 0][inside].mean()) == pytest.approx(0, abs=1e-6)
    assert torch.equal(torch.isinf(made), torch.isinf(data.train.x)) and torch.equal(made.isnan(), data.train.x.isnan())
    torch.testing.assert_close(data.prepare.invert(made), data.train.x, equal_nan=True)


def test_a_channel_that_never_varies_keeps_its_scale() -> None:
    data = Series().fitted(Series().load(np.full((5, 9, 1), 3.5), PLAIN), "real")
    assert data.info.facts["sd"] == [1.0] and float(data.prepare(data.train.x).abs().max()) == 0


def test_counts_are_kept_and_wanted_from_whole_values_only() -> None:
    counts = Series().fitted(Series().load([[0, 3, None], [2]], PLAIN), "counts")
    assert counts.info.facts["sd"] is None and counts.info.facts["mean"] == [pytest.approx(5 / 3)]
    assert torch.equal(counts.prepare(counts.train.x).nan_to_num(7), counts.train.x.nan_to_num(7))
    with pytest.raises(UserError, match="wants counts"):
        Series().fitted(Series().load([[0.5, 3], [2.0]], PLAIN), "counts")


def test_longer_series_are_cut_where_asked_and_refused_at_use() -> None:
    with pytest.warns(UserWarning, match="1 of 2 series are cut after 2 steps"):
        data = Series().load([[1.5, 2, 3], [4]], SeriesSettings(valid=0, test=0, length=2))
    data = Series().fitted(data, "real")
    assert data.info.shape == (1, 2)
    with pytest.raises(UserError, match="series 1 has 3 steps; this run's model takes up to 2"):
        Series().encode([[1.0], [1.0, 2, 3]], data.info, PLAIN)
    with pytest.raises(UserError, match="2 channels; this run's have 1"):
        Series().encode([np.zeros((2, 2))], data.info, PLAIN)
    assert Series().encode([[1.0, None]], data.info, PLAIN).x.isnan().sum() == 1


def test_rows_and_back() -> None:
    some = [np.array([[1.0, NAN], [2, 3]]), np.array([[4.0, 5, NAN], [NAN, NAN, NAN]])]
    x = rows(some, 5)
    assert lengths_of(x).tolist() == [2, 3]
    for one, other in zip(unpadded(x), some):
        np.testing.assert_array_equal(one, other)


def test_waves_are_series_of_samples(tmp_path: Path) -> None:
    for digit in range(3):
        for take in range(4):
            t = np.arange(800 + 100 * take) / 8000
            write_wav(tmp_path / f"{digit}_ann_{take}.wav", 0.5 * np.sin(2 * np.pi * 200 * (digit + 1) * t), 8000)
    data = Series().load(tmp_path, SeriesSettings(rate=1000, seconds=0.12, valid=0, test=2))
    assert data.info.shape == (1, 120) and data.info.facts["rate"] == 1000 and data.info.classes == ("0", "1", "2")
    assert {n for n, _ in data.info.facts["lengths"]} <= {100, 113, 112, 120}


def test_known_sets_of_another_kind_are_refused() -> None:
    assert "digits" in DATASETS
    with pytest.raises(UserError, match="holds no series"):
        read_series("digits", PLAIN)


def test_lines_and_files_show_gaps_and_ends(tmp_path: Path) -> None:
    data = Series().fitted(Series().load([[1.5, None, 3], [2.5]], PLAIN), "real")
    lines = Series().lines(data.train.x, data.info)
    assert lines[0].startswith("3 steps, 1.5 … 3 ▁ █") and lines[1].startswith("1 steps, 2.5 … 2.5")
    Series().write(tmp_path / "s.csv", data.train.x, data.info)
    assert (tmp_path / "s.csv").read_text().splitlines() == [
        "series,step,channel 1",
        "0,0,1.5",
        "0,1,",
        "0,2,3",
        "1,0,2.5",
    ]
    Series().write(tmp_path / "s.npz", data.train.x, data.info)
    same(read_series(tmp_path / "s.npz", PLAIN), [[[1.5, NAN, 3]], [[2.5]]])
    same(read_series(tmp_path / "s.csv", SeriesSettings(id="series", time="step")), [[[1.5, NAN, 3]], [[2.5]]])
