"""From a name, a path or values in memory to a `Raw`."""

from __future__ import annotations

import csv
import difflib
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets import DATASETS, read_known
from vaekit.data.disk import open_shards
from vaekit.data.download import user_folders
from vaekit.data.folders import is_idx_folder, read_idx_folder, read_image_folder
from vaekit.data.idx import parse_idx, read_bytes, read_idx
from vaekit.data.raw import Part, Raw, as_array
from vaekit.data.settings import DataSettings
from vaekit.errors import UserError

LABEL_COLUMNS = ("label", "class")


def read(source: Any, size: int | None = None, count: int | None = None, settings: DataSettings | None = None) -> Raw:
    """Read any source. A known name wins over a folder of that name (write `./digits` for the folder).

    `count`: how many examples to take of a known set that is too large to hold. `settings` say how sound is read.
    """
    if isinstance(source, str) and source in DATASETS:
        known: Any = read_known(source, count)
        if not isinstance(known, Path):
            return known
        return replace(_sound(known, settings), name=source)
    if isinstance(source, (str, Path)):
        path = _resolve(source)
        return _sound(path, settings) if is_sound(path) else read_path(path, size)
    if isinstance(source, tuple):
        if len(source) != 2:
            raise UserError(f"data in memory are x or (x, y), not a tuple of {len(source)}")
        x, y = source
        return Raw("memory", "memory", Part(as_array(x, "x"), None if y is None else as_array(y, "y")))
    if isinstance(source, np.ndarray | list) or hasattr(source, "detach"):
        return Raw("memory", "memory", Part(as_array(source, "x")))
    raise UserError(f"cannot read data from {type(source).__name__}; give a name, a path, an array, a tensor or (x, y)")


def is_sound(path: Path) -> bool:
    """Whether a path is a WAV file, or a folder that holds some, itself or in its subfolders."""
    if path.is_dir():
        return any(file.suffix.lower() == ".wav" for file in (*path.glob("*"), *path.glob("*/*")))
    return path.suffix.lower() == ".wav"


def _sound(path: Path, settings: DataSettings | None) -> Raw:
    """Read recordings; their reader is imported when it is first needed."""
    from vaekit.data.modalities.audio import read_audio

    return read_audio(path, settings or DataSettings())


def _resolve(source: str | Path) -> Path:
    """Return an existing path: as given, or by name in `$VAEKIT_DATA`."""
    path = Path(source).expanduser()
    if path.exists():
        return path
    if isinstance(source, str) and "/" not in source:
        for folder in user_folders():
            if (folder / source).exists():
                return folder / source
        near = difflib.get_close_matches(source, DATASETS.names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        tried = ", ".join(str(place) for place in (path, *(folder / source for folder in user_folders())))
        raise UserError(
            f"no data '{source}'; {hint}Known by name: {', '.join(DATASETS.names)}; no such file at {tried}"
        )
    raise UserError(f"there is no file or folder {path}; check the path")


def find(source: str | Path) -> Path | None:
    """Return the path that `read` would read of a source, or None for a known name, or where there is none."""
    if isinstance(source, str) and source in DATASETS:
        return None
    try:
        return _resolve(source)
    except UserError:
        return None  # reading it says so


def read_path(path: Path, size: int | None = None) -> Raw:
    """Read a file by its contents or suffix, or a folder."""
    if path.is_dir():
        if is_idx_folder(path):
            return read_idx_folder(path, path.name)
        arrays = sorted([*path.glob("*.npz"), *path.glob("*.npy")])
        if len(arrays) > 1 and all(file.suffix == ".npy" for file in arrays):
            rows, y = open_shards(path)
            return Raw(path.name, str(path), Part(rows.read(np.arange(rows.shape[0])), y))
        return read_path(arrays[0]) if len(arrays) == 1 else read_image_folder(path, size)
    suffixes = {suffix.lower() for suffix in path.suffixes}
    if ".csv" in suffixes:
        return read_csv(path)
    data = read_bytes(path)
    if not data:
        raise UserError(f"{path} is empty; give a file with data")
    if data[:6] == b"\x93NUMPY":
        return Raw(path.stem, str(path), Part(_npy(data, path)))
    if data[:2] == b"PK" or ".npz" in suffixes:
        return _npz(data, path)
    if data[:2] == b"\0\0":
        return Raw(path.name.split(".")[0], str(path), Part(parse_idx(data, path), _idx_labels(path)))
    raise UserError(f"{path} is not a file vaekit reads; give IDX, NPY, NPZ, CSV or a folder of images")


def _idx_labels(path: Path) -> np.ndarray | None:
    """Return the labels that lie beside a file of IDX images under the matching name, or None."""
    if "images" not in path.name:
        return None
    twin = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    return read_idx(twin) if twin.is_file() else None


def _npy(data: bytes, where: str | Path) -> np.ndarray:
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        mend = "save numbers of one shape, not objects" if "pickle" in str(error).lower() else "write it again"
        raise UserError(f"{where} is not a readable array ({error}); {mend}") from None


def _npz(data: bytes, path: Path) -> Raw:
    """Read `x[, y]`, or `x_train`, `x_valid`, `x_test` and their `y_…`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            arrays = {
                name.removesuffix(".npy"): _npy(archive.read(name), f"{path}: {name}")
                for name in archive.namelist()
                if name.removesuffix(".npy") in {f"{a}{s}" for a in "xy" for s in ("", "_train", "_valid", "_test")}
            }
            names = ", ".join(archive.namelist()) or "nothing"
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise UserError(f"{path} is a damaged NPZ file ({error}); write it again") from None
    if "x" in arrays:
        return Raw(path.stem, str(path), Part(arrays["x"], arrays.get("y")))
    if "x_train" not in arrays:
        raise UserError(f"{path} holds {names}; name its arrays x and y, or x_train, x_valid, x_test and y_train, …")
    parts = {
        split: Part(arrays[f"x_{split}"], arrays.get(f"y_{split}")) if f"x_{split}" in arrays else None
        for split in ("train", "valid", "test")
    }
    assert parts["train"] is not None
    return Raw(path.stem, str(path), parts["train"], parts["valid"], parts["test"])


def read_csv(path: Path) -> Raw:
    """Read a table of numbers with a header; a column `label` or `class` holds the labels, as numbers or names."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise UserError(f"{path} is not a readable CSV ({error}); check its quotes") from None
    if len(rows) < 2:
        raise UserError(f"{path} has {'only a header' if rows else 'nothing in it'}; give a header and rows of numbers")
    header, body = [cell.strip() for cell in rows[0]], rows[1:]
    if all(_number(cell) is not None for cell in header):
        raise UserError(f"{path} begins with numbers; give it a header, a first line that names the columns")
    for number, row in enumerate(body, start=1):
        if len(row) != len(header):
            raise UserError(
                f"{path}: row {number} has {len(row)} cells, the header {len(header)}; give every row the same"
            )
    label = next((i for i, name in enumerate(header) if name.lower() in LABEL_COLUMNS), None)
    kept = [i for i in range(len(header)) if i != label]
    columns = tuple(header[i] for i in kept)
    x = _numbers([[row[i] for i in kept] for row in body], columns, path)
    y = None if label is None else _labels([row[label].strip() for row in body], header[label], path)
    return Raw(path.name.split(".")[0], str(path), Part(x, y), columns=columns, table=True, first_row=1)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _numbers(cells: list[list[str]], columns: tuple[str, ...], path: Path) -> np.ndarray:
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        pass
    for number, row in enumerate(cells, start=1):
        for name, cell in zip(columns, row):
            if _number(cell) is None:
                problem = f"'{cell}' is not a number" if cell.strip() else "the cell is empty"
                raise UserError(f"{path}: row {number}, column '{name}': {problem}; give a number or drop the column")
    raise UserError(f"{path} could not be read as numbers; check for thousands separators or underscores")


def _labels(cells: Sequence[str], column: str, path: Path) -> np.ndarray:
    empty = next((i for i, cell in enumerate(cells, start=1) if not cell), None)
    if empty is not None:
        raise UserError(f"{path}: row {empty}, column '{column}': the label is empty; give every row a label")
    return np.array([int(cell) for cell in cells]) if all(cell.isdecimal() for cell in cells) else np.array(cells)
