"""From a source to series: `.ts`, CSV, NPY and NPZ files, folders of WAV, arrays, lists and frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from vaekit.data.audio.recordings import files_in, is_sound, labels_of, read_sounds
from vaekit.data.datasets import DATASETS, modality_name, read_known
from vaekit.data.files import read_bytes
from vaekit.data.limits import bounded
from vaekit.data.npy_files import MAGIC, npz_arrays, parse_npy
from vaekit.data.paths import resolve_path
from vaekit.data.series.arrays import RAGGED, of_arrays, of_memory
from vaekit.data.series.collection import Collection, Layout
from vaekit.data.series.csv_series import of_columns, read_csv_series, read_ucr
from vaekit.data.series.settings import SeriesSettings
from vaekit.data.series.ts_files import read_ts, with_twin
from vaekit.errors import UserError


@bounded
def read_series(source: Any, settings: SeriesSettings, layout: Layout | None = None) -> Collection:
    """Read any source of series; `layout` is that of the run's own where they are read for use.

    Raises:
        UserError: it holds no series, or is of another kind of data.
    """
    how: dict[str, Any] = {"channels": settings.channels, "layout": layout}
    if isinstance(source, Collection):
        return source
    if isinstance(source, str) and source in DATASETS:
        if modality_name(source) != "audio":
            raise UserError(f"{source} holds no series; give a .ts, CSV, NPY or NPZ file, arrays or a folder of WAV")
        return replace(_waves(read_known(source), settings), name=source, source=source)
    if isinstance(source, str | Path):
        return _file(resolve_path(source), settings, how)
    if isinstance(source, tuple) and len(source) == 2:
        return of_memory(*source, **how)
    if hasattr(source, "columns") or (isinstance(source, Mapping) and settings.is_long([str(name) for name in source])):
        columns = {str(name): list(source[name]) for name in getattr(source, "columns", source)}
        return of_columns(columns, "memory", settings.id, settings.time)
    if isinstance(source, Mapping):
        return of_arrays(source, "memory", **how)
    return of_memory(source, **how)


def _file(path: Path, settings: SeriesSettings, how: dict[str, Any]) -> Collection:
    if is_sound(path):
        return _waves(path, settings)
    if path.is_dir():
        raise UserError(f"{path} is a folder without WAV files; give a .ts, CSV, NPY or NPZ file of series")
    suffixes = {suffix.lower() for suffix in path.suffixes}
    if ".ts" in suffixes:
        return with_twin(path, read_ts)
    if ".tsv" in suffixes:
        return with_twin(path, read_ucr)
    if ".csv" in suffixes:
        return read_csv_series(path, settings.id, settings.time)
    data = read_bytes(path)
    with _ragged(path):
        return _arrays(data, path, how)


@contextmanager
def _ragged(path: Path) -> Iterator[None]:
    """Say how ragged series are given where a file has arrays of objects."""
    try:
        yield
    except UserError as error:
        if "objects" in str(error):
            raise UserError(f"{path} holds objects, which are never loaded; for ragged series {RAGGED}") from None
        raise


def _arrays(data: bytes, path: Path, how: dict[str, Any]) -> Collection:
    if data[:6] == MAGIC:
        return replace(of_memory(parse_npy(data, path), where=str(path), **how), name=path.stem)
    if data[:2] == b"PK":
        arrays, _ = npz_arrays(data, path)
        return replace(of_arrays(arrays, str(path), **how), name=path.stem)
    raise UserError(f"{path} is not a file of series; give .ts, CSV, NPY or NPZ, or a folder of WAV")


def _waves(path: Path, settings: SeriesSettings) -> Collection:
    """Return recordings as series of samples in [-1, 1], no longer than `data.seconds`."""
    files = [path] if path.is_file() else files_in(path)
    sounds, _ = read_sounds(files, settings.rate)
    rate = sounds[0].rate
    series = [sound.samples[None, : round(settings.seconds * rate)].astype(np.float64) for sound in sounds]
    labels = labels_of(files, path, cast(str, settings.label))
    return Collection(path.stem, str(path), series, labels, [file.name for file in files], rate=rate).checked()
