"""From a name, a path or values in memory to a `Raw`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.audio.recordings import is_sound, read_audio
from vaekit.data.datasets import DATASETS, read_known
from vaekit.data.digest import file_keys
from vaekit.data.disk import ImageRows, Rows, image_rows, open_rows
from vaekit.data.files import read_bytes
from vaekit.data.folders import is_idx_folder, is_image, read_idx_folder
from vaekit.data.idx import parse_idx, read_idx
from vaekit.data.limits import check_size
from vaekit.data.matching import warn_of_pictures
from vaekit.data.npy_files import MAGIC, dense, npz_arrays, parse_npy, sparse_matrix
from vaekit.data.number_tables import read_numbers
from vaekit.data.paths import resolve_path
from vaekit.data.python_objects import ARRAY_NAMES, of_arrays, read_object
from vaekit.data.raw import Part, Raw
from vaekit.data.settings import DataSettings
from vaekit.data.splits import examples_needed
from vaekit.errors import UserError

SPARSE = ("format", "shape", "data", "indices", "indptr", "row", "col", "offsets")
"""The arrays of a file of a sparse matrix."""


def read_raw(source: Any, settings: DataSettings | None = None, shape: tuple[int, ...] | None = None) -> Raw:
    """Read any source as it is, unchecked. A known name wins over a folder of that name (write `./digits`).

    `settings` say how large images are made, how many examples are taken of a known set that is too large to hold, and
    how sound is read. With a `shape`, that of a trained model, files of pictures of another mode or size become it.
    """
    settings = settings or DataSettings()
    if isinstance(source, str) and source in DATASETS:
        known = read_known(source, examples_needed(settings))
        return replace(read_audio(known, settings), name=source) if isinstance(known, Path) else known
    if isinstance(source, str | Path):
        path = resolve_path(source)
        return read_audio(path, settings) if is_sound(path) else read_path(path, settings.size, shape, settings.label)
    if isinstance(source, list) and source and isinstance(source[0], Path):
        return _files(source, settings.size, shape)
    return read_object(source, examples_needed(settings))


def _files(files: list[Any], size: int | None, shape: tuple[int, ...] | None) -> Raw:
    """Read a list of pictures' files, named as they are given."""
    bad = next((file for file in files if not isinstance(file, Path) or not is_image(file)), None)
    if bad is not None:
        raise UserError(f"{bad} is not the file of a picture; give a list of pictures, or one path")
    rows = image_rows(files, None, size, shape)
    return _rows("memory", "memory", {"train": (rows, None)})


def read_path(path: Path, size: int | None = None, shape: tuple[int, ...] | None = None, label: str = "auto") -> Raw:
    """Read a file by its contents or suffix, or a folder; `label` names a CSV's columns of labels."""
    if path.is_dir():
        if is_idx_folder(path):
            return read_idx_folder(path, path.name)
        arrays = sorted([*path.glob("*.npz"), *path.glob("*.npy")])
        return read_path(arrays[0]) if len(arrays) == 1 else _rows(path.name, str(path), open_rows(path, size, shape))
    if is_image(path):
        return _rows(path.stem, str(path), open_rows(path, size, shape))
    suffixes = {suffix.lower() for suffix in path.suffixes}
    if ".csv" in suffixes:
        table = read_numbers(path, label=label)
        part, name, names = Part(table.x, table.labels), path.name.split(".")[0], table.label_names
        return Raw(name, str(path), part, columns=table.columns, table=True, first_row=1, label_names=names)
    data = read_bytes(path)
    if not data:
        raise UserError(f"{path} is empty; give a file with data")
    if data[:6] == MAGIC:
        return Raw(path.stem, str(path), Part(parse_npy(data, path)))
    if data[:2] == b"PK" or ".npz" in suffixes:
        return _npz(data, path)
    if data[:2] == b"\0\0":
        return Raw(path.name.split(".")[0], str(path), Part(parse_idx(data, path), _idx_labels(path)))
    raise UserError(f"{path} is not a file vaekit reads; give IDX, NPY, NPZ, CSV, a picture or a folder of them")


def _rows(name: str, source: str, opened: Mapping[str, tuple[Rows, np.ndarray | None]]) -> Raw:
    """Read all rows into memory."""
    parts: dict[str, Any] = {}
    check_size(sum(rows.shape[0] * rows.row_bytes for rows, _ in opened.values()), source)
    for split, (rows, y) in opened.items():
        keys = file_keys(rows.files) if isinstance(rows, ImageRows) else None
        parts[split] = Part(rows.all(), y, origin=rows.origin(np.arange(rows.shape[0])), keys=keys)
        if isinstance(rows, ImageRows) and rows.fitted:
            warn_of_pictures(source, rows)
    greys = any(isinstance(rows, ImageRows) and rows.fitted and rows.mode != "F" for rows, _ in opened.values())
    return Raw(name, source, **parts, levels=256 if greys else None, named=opened["train"][0].place)


def _idx_labels(path: Path) -> np.ndarray | None:
    """Return the labels that lie beside a file of IDX images under the matching name, or None."""
    if "images" not in path.name:
        return None
    twin = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    return read_idx(twin) if twin.is_file() else None


def _npz(data: bytes, path: Path) -> Raw:
    """Read `x[, y]`, or `x_train`, `x_valid`, `x_test` and their `y_…`; or a sparse matrix that scipy saved."""
    arrays, names = npz_arrays(data, path, lambda name: name in SPARSE or name in ARRAY_NAMES)
    if "format" in arrays and "shape" in arrays:
        return Raw(path.stem, str(path), Part(dense(sparse_matrix(arrays, path), path, packed=len(data))))
    return of_arrays(arrays, path.stem, str(path), ", ".join(names) or "nothing")
