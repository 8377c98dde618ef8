"""Tables as people write them: thousands, decimal commas, currency, codes, dates; read, and written back the same."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vaekit.data.csv_files import rows_of
from vaekit.data.number_forms import NumberForm, form_of
from vaekit.data.number_tables import read_numbers
from vaekit.data.tables.columns import restore
from vaekit.data.tables.dates import formats_of
from vaekit.data.tables.modality import Tables, TableSettings
from vaekit.data.tables.reading import read_frame
from vaekit.errors import UserError

TABLES = Tables()
RNG = np.random.default_rng(0)
N = 120


def load(source: Any, **settings: Any) -> Any:
    return TABLES.load(source, TableSettings.model_validate({"valid": 0, "test": 0} | settings))


def values(data: Any, name: str) -> np.ndarray:
    """A column's values in its own units, as the model has them."""
    j = [column["name"] for column in data.info.facts["columns"]].index(name)
    return restore(data.train.x[:, j].numpy(), data.info.facts["columns"][j])


def kinds(data: Any) -> dict[str, str]:
    return {column["name"]: column["type"] for column in data.info.facts["columns"]}


def euro(value: float) -> str:
    """1234.5 → 1.234,50."""
    return f"{value:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")


PRICES = np.round(RNG.lognormal(6, 1.5, N), 2)
CHANGES = np.round(RNG.normal(0, 2000, N), 2)
FORMS: dict[str, tuple[np.ndarray, list[str]]] = {
    "dollars": (PRICES, [f"${v:,.2f}" for v in PRICES]),
    "dollars in brackets": (CHANGES, [f"${v:,.2f}" if v > 0 else f"(${-v:,.2f})" for v in CHANGES]),
    "minus before dollars": (CHANGES, [f"{'-' if v < 0 else ''}${abs(v):.2f}" for v in CHANGES]),
    "euros": (PRICES, [f"{euro(v)} €" for v in PRICES]),
    "decimal comma": (CHANGES, [f"{v:.2f}".replace(".", ",") for v in CHANGES]),
    "blanks for thousands": (PRICES, [f"{v:,.2f}".replace(",", "\u202f").replace(".", ",") for v in PRICES]),
    "Swiss": (PRICES, [f"CHF {v:,.2f}".replace(",", "'") for v in PRICES]),
    "per cent": (np.array([float(f"{v:.1f}") for v in CHANGES]), [f"{v:.1f}%" for v in CHANGES]),
    "whole thousands": (np.round(PRICES), [f"{v:,.0f}" for v in PRICES]),
    "two decimals": (np.round(PRICES), [f"{v:.0f}.00" for v in PRICES]),
}


@pytest.mark.parametrize("form", FORMS)
def test_numbers_are_read_in_their_form_and_written_in_it(form: str, tmp_path: Path) -> None:
    wanted, texts = FORMS[form]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["n;x", *(f"{RNG.normal():.3f};{text}" for text in texts)]), encoding="utf-8")
    data = load(path)
    read = np.array([form_of(texts)[0].read(text) for text in texts], dtype=float)
    np.testing.assert_allclose(read, wanted)
    np.testing.assert_allclose(values(data, "x"), read, rtol=1e-5, atol=2e-3)
    TABLES.write(tmp_path / "out.csv", data.train.x, data.info)
    again = [row[1] for _, row, mark in rows_of(tmp_path / "out.csv")][1:]
    assert sum(a == b for a, b in zip(again, texts)) > 0.95 * N  # all but roundings of float32
    np.testing.assert_allclose(read_numbers(path).x[:, 1], read)


@given(
    value=st.floats(-1e9, 1e9),
    decimals=st.integers(0, 4),
    marks=st.sampled_from([(".", ""), (".", ","), (",", ""), (",", "."), (",", " "), (".", "'"), (",", "\u202f")]),
    currency=st.sampled_from([("", ""), ("$", ""), ("CHF ", ""), ("", " €"), ("", "%")]),
    brackets=st.booleans(),
)
def test_what_a_form_writes_it_reads(value: float, decimals: int, marks: Any, currency: Any, brackets: bool) -> None:
    (decimal, group), (prefix, suffix) = marks, currency
    form = NumberForm(decimal, group, prefix, suffix, brackets)
    text = form.write(value, decimals)
    assert form.read(text) == pytest.approx(round(value, decimals), abs=0.51 * 10.0**-decimals)
    assert form.write(form.read(text) or 0.0, decimals) == text


@pytest.mark.parametrize(
    "texts", [["$5", "€4"], ["C101", "C202"], ["1,2,3", "4,5,6"], ["10.0.0.1", "10.0.0.2"], ["x"], ["(-5)", "(-6)"]]
)
def test_what_is_no_number_stays_text(texts: list[str]) -> None:
    assert form_of(texts)[1] < 1


def test_a_mark_that_may_be_of_either_kind_is_said_and_settled_by_a_setting(tmp_path: Path) -> None:
    texts = [f"{v},{w}" for v, w in zip(RNG.integers(1, 9, N), RNG.integers(100, 999, N))]
    path = tmp_path / "t.csv"
    path.write_text("n;x\n" + "\n".join(f"{i % 7}.5;{text}" for i, text in enumerate(texts)))
    with pytest.warns(UserWarning, match=r"column 'x': \d,\d+ is read as \d\d\d\d; say data.decimal=comma"):
        thousands = load(path)
    assert values(thousands, "x").min() >= 999
    assert values(load(path, decimal="comma"), "x").max() < 10
    points = [text.replace(",", ".") for text in texts]
    path.write_text("n;x;y\n" + "\n".join(f"{i % 7},5;{text};a" for i, text in enumerate(points)))
    with pytest.warns(UserWarning, match="column 'x'.*say data.decimal=point"):
        assert values(load(path), "x").min() >= 999  # the other column says what a point is
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert values(load(path, decimal="point"), "x").max() < 10


def test_codes_with_zeros_before_them_are_categories_and_keep_them(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    codes = RNG.choice(["02134", "00501", "94110"], N).tolist()
    path = tmp_path / "t.csv"
    path.write_text("zip,x\n" + "\n".join(f"{code},{v:.3f}" for code, v in zip(codes, RNG.normal(size=N))))
    data = load(path)
    assert kinds(data)["zip"] == "categorical"
    for suffix in (".csv", ".parquet"):
        out = tmp_path / f"out{suffix}"
        TABLES.write(out, data.train.x, data.info)
        column = read_frame(out).column("zip")
        assert column is not None and [column.text(i) for i in range(N)] == codes
    assert kinds(load(path, types="zip=numeric"))["zip"] == "numeric"
    with pytest.warns(UserWarning, match="the codes of column zip are read as numbers.*tabular-vae takes them"):
        assert read_numbers(path).x[0, 0] == int(codes[0])
    months = [f"{m:02d}" for m in [*range(1, 13)] * 10]
    (column,) = load({"m": months, "x": RNG.normal(size=N)}).info.facts["columns"][:1]
    assert column["levels"] == sorted(set(months))


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ("%Y%m%d", ["20220328", "19991231", "20230506"]),
        ("%d-%b-%Y", ["28-Mar-2022", "01-Jan-2020", "31-Dec-1999"]),
        ("%B %d, %Y", ["March 28, 2022", "January 01, 2020", "December 31, 1999"]),
        ("%d.%m.%y", ["28.03.22", "01.01.20", "31.12.99"]),
        ("%m/%d/%Y", ["3/28/2022", "1/1/2020", "12/31/1999"]),
        ("%d.%m.%Y %H:%M", ["28.3.2022 06:05", "1.1.2020 11:00", "31.12.1999 13:59"]),
        ("%Y-%m-%dT%H:%M:%SZ", ["2022-03-28T06:05:00Z", "2020-01-01T11:00:00Z", "1999-12-31T13:59:59Z"]),
        ("%Y-%m-%d %H:%M:%S+02:00", ["2022-03-28 06:05:00+02:00", "2020-01-01 11:00:00+02:00"]),
        ("%Y-%m", ["2022-03", "2020-01", "1999-12"]),
    ],
)
def test_dates_are_read_in_their_form_and_written_in_it(form: str, texts: list[str]) -> None:
    data = load({"d": texts * 4, "x": RNG.normal(size=4 * len(texts))}, types={"x": "numeric"})
    assert formats_of(texts)[0] == form and kinds(data)["d"] == "date"
    shown = [line.split(", x=")[0].removeprefix("d=") for line in TABLES.lines(data.train.x[: len(texts)], data.info)]
    if "%S" in form or "%H" in form:  # float32 keeps a day of years to some seconds
        assert [text[:10].strip() for text in shown] == [text[:10].strip() for text in texts]
    else:
        assert shown == texts


def test_a_run_of_written_numbers_takes_numbers_and_dates_in_memory() -> None:
    """What a person has after reading the same file with a library that makes numbers and dates of it."""
    days = np.datetime64("2022-01-01") + RNG.integers(0, 300, N)
    ranks = RNG.integers(1, 6, N) * 500
    data = load(
        {
            "price": [euro(value) for value in PRICES],
            "day": [str(day).replace("-", "") for day in days],
            "rank": [f"{rank / 1000:.1f}".replace(".", ",") for rank in ranks],
            "zip": RNG.choice(["02134", "94110"], N).tolist(),
        },
        types="rank=ordinal",
    )
    again = {
        "price": PRICES,
        "day": days.astype("datetime64[s]"),
        "rank": ranks / 1000,
        "zip": [2134, 94110] * (N // 2),
    }
    x = TABLES.encode(again, data.info, TableSettings()).x
    torch.testing.assert_close(x[:, :3], data.train.x[:, :3])
    assert x[:, 3].tolist() == [0, 1] * (N // 2)
    x = TABLES.encode({**again, "price": PRICES.tolist(), "day": days.tolist()}, data.info, TableSettings()).x
    torch.testing.assert_close(x[:, :2], data.train.x[:, :2])


@pytest.mark.parametrize(
    "texts", [["12345678", "20220328"], ["30001231", "30001230"], ["2022", "2023"], ["201", "404"]]
)
def test_other_whole_numbers_are_no_dates(texts: list[str]) -> None:
    assert not formats_of(texts)


@pytest.mark.parametrize(
    ("types", "kind"),
    [
        ("amount=positive", "positive"),
        ("amount=numeric", "numeric"),
        ("amount=categorical", "categorical"),
        ("when=date:%b %d, %Y", "date"),
        ("when=categorical", "categorical"),
        ("city=categorical", "categorical"),
        ("rank=ordinal", "ordinal"),
    ],
)
def test_a_type_that_is_given_is_taken(types: str, kind: str) -> None:
    source = {
        "amount": [f"${v:.2f}" for v in PRICES],
        "when": [f"Mar {d:02d}, 2022" for d in RNG.integers(1, 31, N)],
        "city": [f"town {i}" for i in range(N)],
        "rank": [f"${v}" for v in RNG.integers(1, 20, N) * 5],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = load(source, types=types)
    assert kinds(data)[types.split("=")[0]] == kind
    if types == "rank=ordinal":
        levels = data.info.facts["columns"][-1]["levels"]
        assert levels == sorted(levels, key=lambda level: int(level[1:]))


def test_many_levels_are_kept_and_what_is_left_out_names_the_setting() -> None:
    cities = [f"city {i}" for i in RNG.integers(0, 200, 1000)]
    with pytest.warns(
        UserWarning, match="'note' has a different text in nearly every row.*data.types=note=categorical"
    ):
        data = load({"city": cities, "note": [f"note {i}" for i in range(1000)]})
    assert kinds(data) == {"city": "categorical"} and len(data.info.facts["columns"][0]["levels"]) == len(set(cities))


# -- files ------------------------------------------------------------------------------------------------------------


def plain(rows: int = 30) -> str:
    return "\n".join(f"{v:.2f},{w:.2f},{'ab'[i % 2]}" for i, (v, w) in enumerate(RNG.normal(size=(rows, 2))))


@pytest.mark.parametrize(
    "text",
    [
        "x,y,c\n{}",
        "# made on Monday\n# by hand, twice\nx,y,c\n{}",
        "# x,y,c\n{}",
        "\ufeffx,y,c\n{}",
        "sep=;\nx;y;c\n{;}",
        '"x";"y";"c"\n{;}',
        "x\ty\tc\n{\t}",
        "x|y|c\r\n{|}",
        'x, "y", "c"\n{}',
    ],
)
def test_files_of_every_dialect_hold_the_same_table(text: str, tmp_path: Path) -> None:
    body = plain()
    for mark in ",;\t|":
        text = text.replace("{}" if mark == "," else f"{{{mark}}}", body.replace(",", mark))
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    frame = read_frame(path)
    assert [column.name for column in frame.columns] == ["x", "y", "c"]
    assert [",".join(column.text(i) for column in frame.columns) for i in range(len(frame))] == body.split("\n")


def test_a_file_without_a_header_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    body = plain()
    path.write_text(body)
    with pytest.warns(UserWarning, match="it has no header, and its columns are called c1 to c3"):
        data = load(path)
    assert list(kinds(data)) == ["c1", "c2", "c3"] and len(data.train) == 30
    assert TABLES.lines(data.train.x[:1], data.info) == ["c1={}, c2={}, c3={}".format(*body.split("\n")[0].split(","))]
    path.write_text("1.5,2.5,a\n")  # a row alone could be a header, but not for this run
    assert torch.isfinite(TABLES.encode(path, data.info, TableSettings()).x).all()
    path.write_text("\n".join(line[:-2] for line in body.split("\n")))
    with pytest.warns(UserWarning, match="has no header: its columns are called c1 to c2"):
        numbers = read_numbers(path)
    assert numbers.columns == ("c1", "c2") and numbers.x.shape == (30, 2)
    path.write_text("5,1;3,5\n4,9;3,0\n")
    with pytest.warns(UserWarning, match="has no header"):
        assert read_numbers(path).x.tolist() == [[5.1, 3.5], [4.9, 3.0]]
    path.write_text("K1,5.1,3.5\nK2,4.9,3.0\nK3,4.7,3.2\n")
    with pytest.warns(UserWarning, match="it has no header"):
        assert len(load(path, types="c1=skip").train) == 3
    path.write_text("2019,2020,2021\n" + "1,2,3\n" * 5)
    with pytest.warns(UserWarning, match=r"its first line, 2019, 2020, 2021, …, is taken as names"):
        assert read_numbers(path).columns == ("2019", "2020", "2021")
    with pytest.warns(UserWarning, match="data.header=no"):
        assert len(load(path, types="2019=numeric,2020=numeric,2021=numeric").train) == 5
    assert len(read_frame(path, header="no")) == 6
    path.write_text("country,2019,2021\n" + "UK,1,2\n" * 3)
    assert [column.name for column in read_frame(path).columns] == ["country", "2019", "2021"]


def test_the_index_that_data_frames_write_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",a,b\n" + "".join(f"{i},{i}.5,{2 * i}\n" for i in range(5)))
    table = read_numbers(path)
    assert table.columns == ("a", "b") and table.x[:, 1].tolist() == [0, 2, 4, 6, 8]
    path.write_text("a,b,\n1,2,\n3,4,\n")
    assert read_numbers(path).x.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("codec", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_read_and_named(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("town,x\nZürich,1\nKöln,2\nOrléans,3\n".encode(codec))
    said = {"latin-1": "cp1252"}.get(codec, codec)
    with pytest.warns(UserWarning, match=rf"t\.csv: .*not UTF-8 text, and is read as {said}"):
        frame = read_frame(path)
    assert frame.columns[0].texts == ["Zürich", "Köln", "Orléans"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("aé\nbü\n".encode() + b"c\xfc\n", "line 3 is not UTF-8"),
        (b"a,b\n1,\x81\n", "line 2 is not UTF-8"),
        (b"a,b\n1,\0\n", "not a file of text: line 2 has bytes of other data"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "not a file of text"),
        (b"\xff\xfea", "not readable as utf-16"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"t\.csv.*{said}"):
        read_frame(path)
