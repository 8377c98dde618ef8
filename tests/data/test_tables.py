"""Tables: types inferred and given, cells there and back, and every fault named with its place."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data.csv_files import rows_of
from vaekit.data.digest import frame_keys
from vaekit.data.splits import hashed
from vaekit.data.tables.columns import as_text, restore
from vaekit.data.tables.frames import frame_of
from vaekit.data.tables.modality import Tables, TableSettings
from vaekit.data.tables.reading import read_frame
from vaekit.errors import UserError

ALL = {"valid": 0, "test": 0}
TABLES = Tables()


def load(source: Any, **settings: Any) -> Any:
    return TABLES.load(source, TableSettings.model_validate(ALL | settings))


def kinds(data: Any) -> dict[str, str]:
    return {column["name"]: column["type"] for column in data.info.facts["columns"]}


def table(n: int = 60, seed: int = 0) -> dict[str, list[str]]:
    """Columns of every kind, as texts."""
    noise = np.random.default_rng(seed)
    return {
        "height": [f"{v:.1f}" for v in noise.normal(170, 10, n)],
        "income": [f"{v:.2f}" for v in noise.lognormal(10, 1, n)],
        "visits": [str(v) for v in noise.poisson(np.exp(noise.normal(2, 1, n)))],
        "stars": [str(v) for v in noise.integers(1, 6, n)],
        "year": [str(v) for v in noise.integers(1990, 2020, n)],
        "city": noise.choice(["Hull", "Leeds", "York"], n).tolist(),
        "member": noise.choice(["yes", "no"], n).tolist(),
        "joined": (np.datetime64("2020-01-01") + noise.integers(0, 900, n)).astype(str).tolist(),
    }


def write_csv(path: Path, columns: dict[str, list[str]], mark: str = ",") -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter=mark)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values()))
    return path


# -- types --------------------------------------------------------------------------------------------------------


def test_types_are_inferred() -> None:
    assert kinds(load(table())) == {
        "height": "numeric",
        "income": "positive",
        "visits": "count",
        "stars": "ordinal",
        "year": "numeric",
        "city": "categorical",
        "member": "boolean",
        "joined": "date",
    }


def test_types_are_given() -> None:
    types = "height=positive, stars=count, city=ordinal:York<Hull<Leeds, year=skip, member=label"
    data = load(table(), types=types)
    assert kinds(data)["height"] == "positive" and kinds(data)["stars"] == "count"
    (city,) = [c for c in data.info.facts["columns"] if c["name"] == "city"]
    assert city["type"] == "ordinal" and city["levels"] == ["York", "Hull", "Leeds"]
    assert "year" not in kinds(data) and data.info.classes == ("no", "yes")
    assert TableSettings.model_validate({"types": {"a": "count"}}).types == {"a": "count"}


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ("heigth=count", "did you mean 'height'"),
        ("height=number", "cannot be 'number'"),
        ("city=ordinal", "give their order"),
        ("city=numeric", "'[A-Za-z]+' is not a number"),
    ],
)
def test_wrong_types_are_named(types: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(table(), types=types)


def test_what_says_nothing_is_left_out_and_said() -> None:
    n = 60
    columns: dict[str, Any] = {"x": table()["height"], "id": list(range(5, n + 5)), "k": ["UK"] * n, "e": [None] * n}
    columns["note"] = [f"remark {i}" for i in range(n)]
    with pytest.warns(UserWarning, match="'id' numbers the rows.*'k' is 'UK'.*'e' has no values.*'note' has a diff"):
        data = load(columns)
    assert list(kinds(data)) == ["x"] and data.info.facts["constants"] == {"k": "UK"}


def test_labels_are_kept_apart() -> None:
    columns: dict[str, Any] = table() | {"class": ["b", "a", "c"] * 20}
    with pytest.warns(UserWarning, match="'class' is taken as the label.*; data.label=none makes it a column"):
        data = load(columns)
    assert (
        data.info.classes == ("a", "b", "c") and data.train.y[:3].tolist() == [1, 0, 2] and "class" not in kinds(data)
    )
    assert kinds(load(columns, label="none"))["class"] == "categorical"
    assert load(columns, label="city").info.classes == ("Hull", "Leeds", "York")
    with pytest.raises(UserError, match="no such column"):
        load(columns, label="town")


# -- values -------------------------------------------------------------------------------------------------------


def test_scales_are_those_of_the_observed_training_cells() -> None:
    values = [1.5, None, 2.5, 4.0, float("nan"), 100.0]
    data = load({"x": values}, test=0.34, marginals="moments", gaps="ignore")
    x, facts = data.train.x[:, 0].numpy(), data.info.facts["columns"][0]
    held = {round(float(v), 3) for v in restore(data.test.x[:, 0].numpy(), facts) if not np.isnan(v)}
    kept = np.array([v for v in values if v is not None and v == v and round(v, 3) not in held])
    assert facts["mean"] == pytest.approx(kept.mean()) and facts["sd"] == pytest.approx(kept.std())
    assert np.nanmean(x) == pytest.approx(0, abs=1e-6) and np.nanstd(x) == pytest.approx(1, abs=1e-6)


def test_missing_cells_are_missing_however_they_are_written(tmp_path: Path) -> None:
    columns = {"x": ["1.5", "2.5", "", "3.5"], "c": ["a", "?", "NA", "b"]}
    other = {"x": ["1.5", "2.5", "nan", "3.5"], "c": ["a", " null ", "", "b"]}
    a, b = load(write_csv(tmp_path / "a.csv", columns)), load(write_csv(tmp_path / "b.csv", other))
    assert torch.isnan(a.train.x[:, :2]).tolist() == [[False, False], [False, True], [True, True], [False, False]]
    assert a.train.x[:, 2:].tolist() == [[0, 0], [0, 1], [1, 1], [0, 0]]
    torch.testing.assert_close(a.train.x, b.train.x, equal_nan=True, rtol=0, atol=0)
    assert a.info.facts == b.info.facts
    data = load({"x": [1.5, 2.5, -999, 3.5]}, missing="-999")
    assert torch.isnan(data.train.x[:, 0]).tolist() == [False, False, True, False]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet"])
def test_written_and_read_again_it_is_the_same(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    columns = table()
    columns["height"][3] = columns["city"][4] = columns["joined"][5] = columns["visits"][6] = ""
    data = load(columns)
    out = tmp_path / f"out{suffix}"
    TABLES.write(out, data.train.x, data.info)
    again = TABLES.encode(out, data.info, TableSettings())
    torch.testing.assert_close(again.x, data.train.x, equal_nan=True, rtol=0, atol=1e-4)
    if suffix != ".parquet":
        text = gzip.decompress(out.read_bytes()) if suffix.endswith("gz") else out.read_bytes()
        found = list(csv.DictReader(text.decode().splitlines(), delimiter="\t" if suffix == ".tsv" else ","))
        assert list(found[0]) == list(columns)
        for name in ("height", "visits", "stars", "city", "member", "joined"):
            assert [row[name] for row in found] == columns[name], name
        assert [float(row["income"]) for row in found] == pytest.approx([float(v) for v in columns["income"]], rel=1e-5)


def test_parquet_keeps_types(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    data = load(table())
    TABLES.write(tmp_path / "t.parquet", data.train.x, data.info)
    row = parquet.read_table(tmp_path / "t.parquet").to_pylist()[0]
    wanted = {"height": float, "visits": int, "stars": int, "year": int, "city": str, "joined": date}
    assert {name: type(row[name]) for name in wanted} == wanted


def test_draws_are_written_as_the_source_would() -> None:
    data = load(table(), marginals="moments")
    rows = TABLES.lines(torch.tensor([[0.05, 0.1, 2.4, 0.0, 0.123, 9.0, -1.0, 0.0], [torch.nan] * 8]), data.info)
    cells = dict(part.split("=") for part in rows[0].split(", "))
    assert cells["visits"] == "2" and cells["city"] == "York" and cells["member"] == "no"
    assert len(cells["height"].partition(".")[2]) == 1 and cells["year"].isdigit()
    assert date.fromisoformat(cells["joined"]).year in (2020, 2021, 2022)
    assert rows[1] == ", ".join(f"{name}=?" for name in table())


@pytest.mark.parametrize(
    ("texts", "format"),
    [
        (["31.12.2020", "01.02.2021"], "%d.%m.%Y"),
        (["2020-12-31 10:30:05", "2021-02-01 00:00:00"], "%Y-%m-%d %H:%M:%S"),
        (["12/31/2020", "02/01/2021"], "%m/%d/%Y"),
    ],
)
def test_dates_come_back_in_their_own_form(texts: list[str], format: str) -> None:
    data = load({"d": texts * 3})
    (column,) = data.info.facts["columns"]
    assert column["format"] == format
    days = restore(data.train.x[:2, 0].numpy(), column)
    shown = [as_text(day, column) for day in days]
    assert shown == texts if "%H" not in format else [text[:10] for text in shown] == [text[:10] for text in texts]


def test_dates_of_memory_have_hours_all_or_none() -> None:
    hours = np.array(["2020-01-01T00:00", "2020-01-02T06:00", "2020-01-03T00:00", "NaT"], "datetime64[s]")
    (column, _) = load({"d": hours}).info.facts["columns"]
    assert column["format"] == "%Y-%m-%dT%H:%M:%S"
    (column, _) = load({"d": hours.astype("datetime64[D]").astype("datetime64[s]")}).info.facts["columns"]
    assert column["format"] == "%Y-%m-%d"


def test_a_date_that_could_be_either_is_noted() -> None:
    with pytest.warns(UserWarning, match=r"is read as %d/%m/%Y; say data.types=d=date:%m/%d/%Y"):
        load({"d": ["01/02/2020", "03/04/2020", "05/06/2021"]})


# -- sources ------------------------------------------------------------------------------------------------------


def test_the_same_table_from_every_source(tmp_path: Path) -> None:
    columns = table()
    columns["height"][3] = columns["city"][4] = ""
    wanted = load(columns)
    sources: list[Any] = [write_csv(tmp_path / "t.csv", columns), write_csv(tmp_path / "s.csv", columns, ";")]
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(sources[0].read_bytes()))
    sources.append(packed)
    if importlib.util.find_spec("pandas") is not None:
        sources.append(importlib.import_module("pandas").read_csv(sources[0]))
    for source in sources:
        found = load(source)
        assert kinds(found) == kinds(wanted)
        torch.testing.assert_close(found.train.x, wanted.train.x, equal_nan=True, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "shape", "classes"), [("breast-cancer", 30, 2), ("wine", 13, 3), ("iris", 4, 3), ("diabetes", 11, 0)]
)
def test_known_tables(name: str, shape: int, classes: int) -> None:
    data = load(name)
    assert data.info.shape == (shape,) and data.info.n_classes == classes and data.info.name == name
    assert not torch.isnan(data.train.x).any()


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"vaekit\[tabular\]"):
        load(path)


# -- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "two columns called 'a'"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, the first line 2"),
        ('a,b\n1,"x\n', "not a readable CSV"),
        ("a\n" + "\n".join(f"{i}.5" for i in range(40)) + "\n12 kg\n", "line 42, column 'a': '12 kg' is not a number"),
        ("a\n1.5\n2.5\ninf\n", "line 4, column 'a': 'inf' is not finite"),
        ("a,b\n1,x\n1,x\n", "no column to model"),
    ],
)
def test_faults_are_named_with_their_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        load(path)


def test_faults_of_files(tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_bytes("a,b\n1,éü\n".encode() + b"2,\xe9\n")
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 99)[:-12])
    for source, said in (
        (tmp_path / "broken.csv", "line 3 is not UTF-8"),
        (tmp_path / "cut.csv.gz", "damaged gzip"),
        (tmp_path / "none.csv", "no table"),
        ("breast-cancr", "did you mean 'breast-cancer'"),
        ("mnist", "is not a table"),
        (tmp_path / "t.xlsx", "is not a CSV or Parquet file; save it as CSV"),
        ({"a": [1, 2], "b": [1]}, "differ in length"),
        ({}, "no columns"),
        (3, "cannot read a table from int"),
    ):
        with pytest.raises(UserError, match=said):
            load(source)


def test_bad_rows_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1.5,x\n2.5\n3.5,y\n\n4.5,x\n")
    with pytest.warns(UserWarning, match="line 3 has 1 cells"):
        data = load(path, bad_rows="drop")
    assert data.train.x.shape == (3, 2)
    assert read_frame(path, bad_rows="drop").lines.tolist() == [2, 4, 6]  # type: ignore[union-attr]
    assert [line for line, _, _ in rows_of(path)] == [1, 2, 3, 4, 6]


def test_other_rows_are_read_as_the_runs_own(tmp_path: Path) -> None:
    data = load(table())
    info, settings = data.info, TableSettings()
    fewer = {name: column[:2] for name, column in table(seed=1).items() if name != "income"}
    with pytest.warns(UserWarning, match="no column income: taken as missing"):
        split = TABLES.encode(write_csv(tmp_path / "o.csv", fewer), info, settings)
    assert torch.isnan(split.x[:, 1]).all() and not torch.isnan(split.x[:, [0, 2, 3]]).any()
    odd = {name: column[:2] for name, column in table().items()}
    for name, cell, said in (
        ("city", "Paris", "line 3, column 'city': 'Paris' is not among the column's levels"),
        ("visits", "-1", "line 3, column 'visits': '-1' is not a count"),
        ("income", "0", "line 3, column 'income': '0' is not a number above 0"),
        ("joined", "soon", "line 3, column 'joined': 'soon' is not a date like 2024-12-31"),
        ("height", "tall", "line 3, column 'height': 'tall' is not a number"),
    ):
        wrong = write_csv(tmp_path / "w.csv", odd | {name: [odd[name][0], cell]})
        with pytest.raises(UserError, match=said):
            TABLES.encode(wrong, info, settings)
    with pytest.warns(UserWarning, match="row 2, column 'city': 'Paris': levels that training did not meet"):
        lenient = TABLES.encode({**odd, "city": ["York", "Paris"]}, info, TableSettings(unknown="missing"))
    assert torch.isnan(lenient.x[:, 5]).tolist() == [False, True]
    with pytest.raises(UserError, match="none of this run's columns"):
        TABLES.encode({"weight": [1.0, 2.0]}, info, settings)
    whole = TABLES.encode({**odd, "stars": ["1.0", "2"]}, info, settings)  # a level however its number is written
    assert whole.x[:, 3].tolist() == [0.0, 1.0]


def test_a_level_of_held_out_rows_alone_is_missing_there() -> None:
    columns = {"x": [float(i) + 0.5 for i in range(20)], "c": ["a", "b"] * 9 + ["a", "rare"]}
    keys = frame_keys(frame_of(columns, "", "", set()))
    seed = next(seed for seed in range(100) if hashed(keys, seed).argmin() == 19)
    settings = TableSettings(test=4, valid=0, seed=seed)
    with pytest.warns(UserWarning, match="'rare' occur in held-out rows only"):
        data = TABLES.load(columns, settings)
    assert torch.isnan(data.test.x[:, 1]).sum() == 1 and not torch.isnan(data.train.x).any()
    assert data.info.facts["columns"][1]["levels"] == ["a", "b"]
