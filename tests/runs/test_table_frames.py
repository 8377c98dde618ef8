"""Runs on tables take data frames and give data frames, with the names, order and dtypes of what was trained on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import vaekit
from vaekit.commands.sample import sample as sample_file
from vaekit.data.tables.dataframes import is_missing
from vaekit.errors import UserError

N = 160
RARE = pytest.mark.filterwarnings("ignore:(?s).*rare under the model:UserWarning")  # of a short training
SMALL: dict[str, Any] = {"steps": 12, "pictures": False, "set": {"model.hidden": (8,), "data.repeats": "apart"}}


def columns(seed: int = 0, n: int = N) -> dict[str, Any]:
    """Return columns of every kind of value that a frame has, in an order that is no order of kinds."""
    noise = np.random.default_rng(seed)
    day = np.datetime64("2024-01-01") + noise.integers(0, 300, n)
    return {
        "when": (day + noise.integers(0, 86400, n).astype("timedelta64[s]")).astype("datetime64[us]"),
        "size": noise.choice(["small", "mid", "large"], n),
        "age": noise.integers(18, 90, n),
        "paid": noise.random(n) < 0.4,
        "income": np.round(np.exp(noise.normal(10, 1, n)), 2).astype(np.float32),
        "code": noise.choice(["1", "2", "3"], n),
        "rate": noise.normal(size=n).round(3),
        "stars": noise.integers(1, 6, n).astype(np.int8),
    }


def pandas_frame(seed: int = 0, n: int = N) -> pd.DataFrame:
    frame = pd.DataFrame(columns(seed, n), index=[f"r{i}" for i in range(n)])
    frame["size"] = pd.Categorical(frame["size"], ["small", "mid", "large", "huge"], ordered=True)
    frame["stars"] = frame["stars"].astype("Int8")
    frame.loc[frame.index[::7], "stars"] = pd.NA
    frame["there"] = frame["when"].dt.tz_localize("Europe/London", nonexistent="shift_forward", ambiguous=True)
    frame["code"] = frame["code"].astype(object)
    return frame


def polars_frame(seed: int = 0, n: int = N) -> pl.DataFrame:
    frame = pl.DataFrame(columns(seed, n))
    return frame.with_columns(
        pl.col("size").cast(pl.Enum(["small", "mid", "large", "huge"])),
        pl.col("when").dt.date().alias("day"),
        pl.col("when").dt.cast_time_unit("ms").dt.replace_time_zone("UTC").alias("there"),
    )


def trained(frame: Any, **more: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return vaekit.train("tabular-vae", frame, **SMALL | more)


@pytest.fixture(scope="module", params=["pandas", "polars"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    frame = pandas_frame() if request.param == "pandas" else polars_frame()
    trained(frame, out=tmp_path_factory.mktemp(request.param) / "run")  # and what is read back gives the same
    folder = tmp_path_factory.getbasetemp() / f"{request.param}0" / "run"
    return vaekit.load(folder, data=frame), frame


def dtypes(frame: Any) -> dict[str, Any]:
    return dict(zip(frame.columns, frame.dtypes))


def test_samples_have_the_names_order_and_dtypes(both: tuple[Any, Any]) -> None:
    run, frame = both
    made = run.sample(40)
    assert type(made) is type(frame) and len(made) == 40
    assert list(made.columns) == list(frame.columns) and dtypes(made) == dtypes(frame)
    for name in frame.columns:
        real, drawn = ({type(v) for v in part[name].to_list()} for part in (frame, made))
        assert drawn <= real, name  # also in a column of objects: texts are texts
    assert set(made["code"].to_list()) <= {"1", "2", "3"} and "mid" in made["size"].to_list()
    assert isinstance(run.sample(3, form="array"), torch.Tensor)
    other = "polars" if isinstance(frame, pd.DataFrame) else "pandas"
    assert list(run.sample(3, form=other).columns) == list(frame.columns)
    where = run.sample(5, where={"paid": True, "age": (30, 60)})
    assert where["paid"].to_list() == [True] * 5 and min(where["age"].to_list()) >= 30


def test_uses_of_a_frame_give_frames(both: tuple[Any, Any]) -> None:
    run, frame = both
    codes, again, found = run.encode(frame), run.reconstruct(frame), run.detect(frame, k=4, contributions=True)
    np.testing.assert_allclose(codes.to_numpy(), run.encode(run.prepared(frame)).numpy(), rtol=1e-6)
    assert list(codes.columns)[:2] == ["z1", "z2"]
    assert dtypes(again) == dtypes(frame) and list(again.columns) == list(frame.columns)
    assert found.frame["score"].to_list() == found.scores.tolist()
    assert found.frame["anomaly"].to_list() == found.anomaly.tolist()
    assert found.frame["contribution_income"].to_list() == found.contributions[:, 4].tolist()
    if isinstance(frame, pd.DataFrame):
        for one in (codes, again, found.frame):
            assert one.index.equals(frame.index)


def test_arrays_come_of_what_is_no_frame(both: tuple[Any, Any]) -> None:
    run, frame = both
    prepared = run.prepared(frame)
    assert isinstance(run.encode(prepared), torch.Tensor) and isinstance(run.reconstruct(prepared), torch.Tensor)
    assert run.detect(prepared, k=4).frame is None


def test_imputing_gives_the_dtypes_trained_on(both: tuple[Any, Any]) -> None:
    run, frame = both
    if isinstance(frame, pd.DataFrame):
        gaps = frame.head(30).copy()
        gaps["age"], gaps["paid"] = gaps["age"].astype(float), gaps["paid"].astype(object)
        gaps.iloc[3, 2], gaps.iloc[4, 3], gaps.iloc[5, 0], gaps.iloc[6, 1] = np.nan, None, pd.NaT, np.nan
    else:
        gaps = frame.head(30)
        for row, name in ((3, "age"), (4, "paid"), (5, "when"), (6, "size"), (7, "there"), (8, "day")):
            dtype = gaps.schema[name]
            cells = [None if i == row else value for i, value in enumerate(gaps[name].to_list())]
            gaps = gaps.with_columns(pl.Series(name, cells, dtype=dtype))
    made = run.impute(gaps, draws=2, k=10)
    for one in (made.x, *made.draws):
        assert dtypes(one) == dtypes(frame) and list(one.columns) == list(frame.columns)
        for name in frame.columns:
            old, new = gaps[name].to_list(), one[name].to_list()
            for a, b in zip(old, new):
                assert not is_missing(b) if is_missing(a) else a == b, (name, a, b)


def test_what_is_observed_is_not_cut_to_whole_numbers(both: tuple[Any, Any]) -> None:
    run, frame = both
    own = {"age": [20.5, None, 40.0], "rate": [0.1, 0.2, 0.3]}
    few = pd.DataFrame(own) if isinstance(frame, pd.DataFrame) else pl.DataFrame(own)
    with pytest.warns(UserWarning, match="taken as missing"):
        made = run.impute(few, draws=1, k=8).x
    assert made["age"].to_list()[::2] == [20.5, 40.0] and made["age"].to_list()[1] is not None


def test_a_run_on_a_file_gives_frames_of_frames(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pandas_frame()[["age", "size", "income", "paid"]].to_csv(path, index=False)
    run = trained(path)
    assert isinstance(run.sample(2), torch.Tensor)
    frame = run.sample(20, form="pandas")
    assert list(frame.columns) == ["age", "size", "income", "paid"] and frame["age"].dtype == np.int64
    back = run.reconstruct(pd.read_csv(path))
    assert list(back.columns) == list(frame.columns) and len(back) == N
    with pytest.raises(UserError, match="one of auto, array, pandas, polars"):
        run.sample(2, form="arrow")


def test_other_data_have_no_frames() -> None:
    run = vaekit.train("vae", "digits", steps=2, pictures=False)
    with pytest.raises(UserError, match="is no table"):
        run.sample(2, form="pandas")


# -- rows like given ones, and rows that meet rules --------------------------------------------------------------------


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run on a file of bills, whose net and tax go together and whose number is an identifier."""
    noise = np.random.default_rng(0)
    n, size = 600, noise.normal(size=600)
    town = np.where(size + 0.5 * noise.normal(size=n) > 0, "York", "Hull")
    start = np.datetime64("2024-01-01") + noise.integers(0, 300, n)
    net, tax = np.exp(7 + 0.5 * size).round(2), np.exp(5 + 0.5 * size + 0.1 * noise.normal(size=n)).round(2)
    columns = {"nr": [f"N{i:04}" for i in range(n)], "net": net, "tax": tax, "gross": (net + tax).round(2)}
    columns |= {"town": town, "start": start, "end": start + noise.integers(0, 30, n)}
    columns["note"] = np.where(noise.random(n) < 0.4, "", noise.choice(["a", "b"], n))
    frame = pd.DataFrame(columns)
    path = tmp_path_factory.mktemp("bills") / "bills.csv"
    frame.to_csv(path, index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return vaekit.train("tabular-vae", path, steps=300, pictures=False, out=path.parent / "run")


@RARE
def test_rows_like_given_ones_keep_what_is_given(bills: Any) -> None:
    like = pd.DataFrame(
        {"nr": ["A", "B", "C", "D"], "town": ["York", "Hull", None, "York"], "net": [3000.5, 400, 5e3, None]}
    )
    made = bills.rows_like(like).as_frame("pandas")
    assert list(made.columns) == ["nr", "net", "tax", "gross", "town", "start", "end", "note"] and len(made) == 4
    assert made["nr"].to_list() == list("ABCD") and made["net"].to_list()[:3] == [3000.5, 400.0, 5000.0]
    assert made["town"].to_list()[:2] == ["York", "Hull"] and made["town"].to_list()[3] == "York"
    assert int(made[["town", "net", "tax", "start"]].isna().to_numpy().sum()) == 0
    many = bills.rows_like(like.iloc[:2], 300).as_frame("pandas")
    assert len(many) == 300 and many["nr"].to_list() == ["A", "B"] * 150
    assert 0.3 < many["note"].isna().mean() < 0.5  # a column that is not given has its gaps
    rich, poor = many["tax"][::2].median(), many["tax"][1::2].median()
    assert rich > 3 * poor  # given net
    assert len(bills.rows_like({"town": ["York"]}).x) == 1


@RARE
def test_rows_like_a_file_are_written_as_it_is(bills: Any, tmp_path: Path) -> None:
    (tmp_path / "like.csv").write_text("town,start\nYork,2024-03-01\n,2024-07-09\n")
    sample_file(bills.path, like=str(tmp_path / "like.csv"), out=tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "net,tax,gross,town,start,end,note" and len(lines) == 3
    assert lines[1].split(",")[3:5] == ["York", "2024-03-01"] and lines[2].split(",")[4] == "2024-07-09"
    assert lines[2].split(",")[3] in ("York", "Hull")
    sample_file(bills.path, n=5, like=str(tmp_path / "like.csv"), out=tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet")["start"].astype(str).to_list()[::2] == ["2024-03-01"] * 3


def test_rows_meet_the_rules(bills: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = ["net + tax == gross", "start <= end", "seen(town, note)", "unique(start, end)"]
    frame = bills.sample(300, constraints=rules, form="pandas", where="town=York")
    assert len(frame) == 300 and set(frame["town"]) == {"York"}
    whole = frame.dropna(subset=["net", "tax", "gross"])
    assert ((whole["net"] + whole["tax"]).round(2) == whole["gross"]).all()
    assert (frame["start"] <= frame["end"]).all() and not frame.duplicated(["start", "end"]).any()
    made = bills.given(300, None, "start <= end")
    assert 0.4 < made.acceptance < 1 and "of the rows drawn met the condition" in made.how
    sample_file(bills.path, n=20, constraint=rules[:2], out=tmp_path / "s.csv")
    assert "net + tax == gross, start <= end" in capsys.readouterr().err
    written = pd.read_csv(tmp_path / "s.csv")
    sums = (written["net"] + written["tax"]).round(2).to_numpy()
    assert sums.tolist() == written["gross"].to_list() and len(sums) == 20


def test_rules_beside_one_value_of_a_real_column(bills: Any) -> None:
    frame = bills.sample(50, where={"net": 1500.0}, constraints="start <= end", form="pandas")
    assert set(frame["net"]) == {1500.0} and (frame["start"] <= frame["end"]).all()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"constraints": "nett < tax"}, "did you mean 'net'"),
        ({"constraints": ["end < start", "start < end"]}, "too rare under this model"),
        ({"label": "York", "constraints": "net < tax"}, "leave the label out"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(bills: Any, how: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        bills.sample(**how)


def test_a_column_that_is_not_the_runs_is_refused(bills: Any) -> None:
    with pytest.raises(UserError, match="a column 'twon' that this run's table has not; did you mean 'town'"):
        bills.rows_like({"twon": ["York"]})


def test_a_table_that_gives_everything_is_refused(bills: Any) -> None:
    data = pd.read_csv(bills.record["data"]["source"]).dropna()
    with pytest.raises(UserError, match="every cell of memory is given"):
        bills.rows_like(data)


def test_other_data_have_no_rules() -> None:
    run = vaekit.train("vae", "digits", steps=2, pictures=False)
    with pytest.raises(UserError, match="rules for rows of a table"):
        run.sample(2, constraints="a < b")
    with pytest.raises(UserError, match="rows like given ones are of tables"):
        run.rows_like({"a": [1]}, 2)


def test_dates_keep_their_weekdays_and_hours(tmp_path: Path) -> None:
    """Rows of working hours alone: a piecewise linear quantile function put a quarter of samples on weekends."""
    noise = np.random.default_rng(0)
    days = np.array([day for day in range(18_993, 19_393) if day % 7 not in (2, 3)])  # 2022-01-01 is a Saturday
    when = noise.choice(days, 500) * 86400 + noise.integers(9 * 3600, 17 * 3600, 500)
    paid = noise.choice(days, 500).astype("datetime64[D]")
    frame = pd.DataFrame({"when": when.astype("datetime64[s]"), "paid": paid, "sum": noise.normal(size=500)})
    trained(frame, steps=60, out=tmp_path / "run")
    made = vaekit.load(tmp_path / "run").sample(3000)
    assert (made["when"].dt.day_of_week >= 5).mean() < 0.01 and (made["paid"].dt.day_of_week >= 5).mean() < 0.01
    assert ((made["when"].dt.hour < 9) | (made["when"].dt.hour >= 17)).mean() < 0.02
    assert made["when"].min() >= frame["when"].min() and made["when"].max() <= frame["when"].max()
