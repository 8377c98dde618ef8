"""From a name, a path or values in memory to a `Raw`."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.audio.recordings import is_sound, read_audio
from vaekit.data.datasets import DATASETS, read_known
from vaekit.data.disk import open_rows
from vaekit.data.files import read_bytes
from vaekit.data.folders import is_idx_folder, read_idx_folder
from vaekit.data.idx import parse_idx, read_idx
from vaekit.data.labels import as_labels
from vaekit.data.number_tables import read_numbers
from vaekit.data.paths import resolve_path
from vaekit.data.raw import Part, Raw, as_array
from vaekit.data.settings import DataSettings
from vaekit.data.splits import examples_needed
from vaekit.errors import UserError

SPARSE = ("format.npy", "shape.npy")
"""What a file of a sparse matrix holds beside its values."""


def read_raw(source: Any, settings: DataSettings | None = None) -> Raw:
    """Read any source as it is, unchecked. A known name wins over a folder of that name (write `./digits`).

    `settings` say how large images are made, how many examples are taken of a known set that is too large to hold, and
    how sound is read.
    """
    settings = settings or DataSettings()
    if isinstance(source, str) and source in DATASETS:
        known = read_known(source, examples_needed(settings))
        return replace(read_audio(known, settings), name=source) if isinstance(known, Path) else known
    if isinstance(source, str | Path):
        path = resolve_path(source)
        return read_audio(path, settings) if is_sound(path) else read_path(path, settings.size, settings.label)
    if isinstance(source, tuple):
        if len(source) != 2:
            raise UserError(f"data in memory are x or (x, y), not a tuple of {len(source)}")
        x, y = source
        labels, names = (None, ()) if y is None else as_labels(y)
        return Raw("memory", "memory", Part(as_array(x, "x"), labels), label_names=names)
    if isinstance(source, np.ndarray | list) or hasattr(source, "detach"):
        return Raw("memory", "memory", Part(as_array(source, "x")))
    raise UserError(f"cannot read data from {type(source).__name__}; give a name, a path, an array, a tensor or (x, y)")


def read_path(path: Path, size: int | None = None, label: str = "auto") -> Raw:
    """Read a file by its contents or suffix, or a folder; `label` names a CSV's columns of labels."""
    if path.is_dir():
        if is_idx_folder(path):
            return read_idx_folder(path, path.name)
        arrays = sorted([*path.glob("*.npz"), *path.glob("*.npy")])
        return read_path(arrays[0]) if len(arrays) == 1 else _rows(path, size)
    suffixes = {suffix.lower() for suffix in path.suffixes}
    if ".csv" in suffixes:
        table = read_numbers(path, label=label)
        part, name, names = Part(table.x, table.labels), path.name.split(".")[0], table.label_names
        return Raw(name, str(path), part, columns=table.columns, table=True, first_row=1, label_names=names)
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


def _rows(folder: Path, size: int | None) -> Raw:
    opened = open_rows(folder, size)
    parts: dict[str, Any] = {split: Part(rows.all(), y) for split, (rows, y) in opened.items()}
    return Raw(folder.name, str(folder), **parts, named=opened["train"][0].place)


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
        fix = "save numbers of one shape, not objects" if "pickle" in str(error).lower() else "write it again"
        raise UserError(f"{where} is not a readable array ({error}); {fix}") from None


def _npz(data: bytes, path: Path) -> Raw:
    """Read `x[, y]`, or `x_train`, `x_valid`, `x_test` and their `y_…`; or a sparse matrix that scipy saved."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            arrays = {
                name.removesuffix(".npy"): _npy(archive.read(name), f"{path}: {name}")
                for name in archive.namelist()
                if name in SPARSE
                or name.removesuffix(".npy") in {f"{a}{s}" for a in "xy" for s in ("", "_train", "_valid", "_test")}
            }
            names = ", ".join(archive.namelist()) or "nothing"
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise UserError(f"{path} is a damaged NPZ file ({error}); write it again") from None
    if "format" in arrays and "shape" in arrays:
        return Raw(path.stem, str(path), Part(_dense(data, path)))
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


def _dense(data: bytes, path: Path) -> np.ndarray:
    """Return the rows of a sparse matrix that `scipy.sparse.save_npz` wrote."""
    from scipy.sparse import load_npz

    try:
        return load_npz(io.BytesIO(data)).toarray()
    except (ValueError, KeyError, EOFError, OSError, NotImplementedError, MemoryError) as error:
        raise UserError(f"{path} is not a readable sparse matrix ({error}); save it again, or as an array") from None
