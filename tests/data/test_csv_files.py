"""CSV files: one reader, one list of words for a missing cell, and cells that stay as they were written."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import vaekit
from vaekit.data import DataSettings, load
from vaekit.data.csv_files import MISSING, rows_of, write_csv
from vaekit.data.gaps import read_gaps
from vaekit.data.number_tables import read_numbers
from vaekit.data.tables.reading import read_frame
from vaekit.errors import UserError


def test_no_other_file_reads_or_writes_csv() -> None:
    package = Path(str(vaekit.__file__)).parent
    users = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import) and any(alias.name == "csv" for alias in node.names)
    ]
    assert users == ["data/csv_files.py"]


@pytest.mark.parametrize("word", [*MISSING, "N/A", " NaN "])
def test_a_missing_cell_is_the_same_in_tables_and_in_arrays(word: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"a,b\n1,2\n3,{word}\n5,6\n")
    gaps = read_gaps(str(path))
    column = read_frame(path).column("b")
    assert column is not None
    assert np.isnan(gaps.x).tolist() == [[False, False], [False, True], [False, False]]
    assert (column.codes < 0).tolist() == [False, True, False]


def test_cells_that_were_there_stay_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('x,"a, b",label\n1.50,?,u\n , 2e0,\n\n03,4,w\n', encoding="utf-8-sig")
    gaps = read_gaps(str(path))
    assert gaps.table is not None and gaps.table.columns == ("x", "a, b")
    np.testing.assert_array_equal(gaps.x, [[1.5, np.nan], [np.nan, 2], [3, 4]])
    filled = list(gaps.table.filled(np.full((3, 2), 1 / 3)))
    assert filled == [["1.50", "0.333333333", "u"], ["0.333333333", " 2e0", ""], ["03", "4", "w"]]
    write_csv(tmp_path / "full.csv.gz", gaps.table.names, filled)
    assert [row for _, row, _ in rows_of(tmp_path / "full.csv.gz")] == [["x", "a, b", "label"], *filled]


def test_gaps_are_refused_where_none_are_expected(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n3,n/a\n")
    with pytest.raises(UserError, match=r"row 2, column 'b': 'n/a' is not a number; give a number or drop the column"):
        read_numbers(path)
    path.write_text("a,b\n1,2\n3,x\n")
    with pytest.raises(UserError, match=r"row 2, column 'b': 'x' is not a number; leave gaps empty"):
        read_gaps(str(path))


def test_labels_are_those_of_the_first_such_column_in_training_and_with_gaps(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("class,a,label\nu,1,2\nv,3,4\n")
    data = load(path, DataSettings(valid=0, test=0))
    assert data.info.classes == ("u", "v") and data.train.x.tolist() == [[1, 2], [3, 4]]
    np.testing.assert_array_equal(read_numbers(path, MISSING).x, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'a,b\n1,"2\n', "not a readable CSV"),
        (b"a,b\n1,\xff\x81\n", "line 2 is not UTF-8"),
        (b"\x1f\x8b\x08\x00broken", "damaged gzip file"),
    ],
)
def test_damaged_files_are_named(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    for reading in (read_frame, read_numbers):
        with pytest.raises(UserError, match=rf"t\.csv.* {words}"):
            reading(path)


def test_lines_and_cells_may_be_longer_than_the_csv_modules_limit(tmp_path: Path) -> None:
    words = "word " * 40_000
    header, row = ",".join(f"c{i}" for i in range(40_000)), ",".join("1" for _ in range(40_000))
    (tmp_path / "wide.csv").write_text(f"{header}\n{row}\n")
    assert [len(cells) for _, cells, _ in rows_of(tmp_path / "wide.csv")] == [40_000, 40_000]
    (tmp_path / "long.csv").write_text(f"name;text\na;{words}\n")
    assert list(rows_of(tmp_path / "long.csv")) == [(1, ["name", "text"], ";"), (2, ["a", words], ";")]
