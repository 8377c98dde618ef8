"""Data larger than memory: which are left on disk, and how they are read.

What needs every row of data in memory is settled by a sample: which values there are (and so which preparation fits),
the training mean and deviation. The held-out splits are read into memory.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.dataset import Split
from vaekit.data.datasets import DATASETS
from vaekit.data.disk import ImageRows, Rows, open_rows
from vaekit.data.disk_rows import DiskRows, Held, Stored
from vaekit.data.folders import is_idx_folder
from vaekit.data.labels import Labels, read_labels
from vaekit.data.paths import resolve_path
from vaekit.data.prepare import Prepare
from vaekit.data.preprocessing import compact
from vaekit.data.raw import Part, Raw, check
from vaekit.data.settings import DataSettings
from vaekit.data.splits import split_numbers
from vaekit.errors import UserError

STREAM_ABOVE = 1 << 30
"""Bytes (decoded, for images) above which stream=auto leaves data on disk: reading takes three times that at once."""
SAMPLE_ROWS, SAMPLE_BYTES = 8192, 64 << 20


def streamed_path(source: Any, settings: DataSettings) -> Path | None:
    """Return the path of a source that is to stay on disk (stream=yes, or auto and it is large), else None.

    Raises:
        UserError: stream=yes, and the source is not of files that can.
    """
    if settings.stream == "no" or not isinstance(source, str | Path):
        return None
    path = None
    if isinstance(source, Path) or source not in DATASETS:
        with suppress(UserError):  # reading it says what is wrong
            path = resolve_path(source)
    if path is None or not _can(path):
        if settings.stream == "yes":
            raise UserError(f"{source} cannot be streamed: stream=yes takes an NPY file, or a folder of them or images")
        return None
    return path if settings.stream == "yes" or _bytes(path, settings.size) > STREAM_ABOVE else None


def _can(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".npy"
    return path.is_dir() and not is_idx_folder(path) and not any(path.glob("*.npz"))


def _bytes(path: Path, size: int | None) -> int:
    """Return how many bytes a source's values take, as far as can be said without reading them."""
    if path.is_file():
        return path.stat().st_size
    with suppress(UserError):  # reading it whole says what is wrong with it
        return sum(rows.shape[0] * rows.row_bytes for rows, _ in open_rows(path, size).values())
    return 0


@dataclass
class StreamedRaw(Raw):
    """A source that stays on disk: `train.x` is a sample of its training rows, and after it all held-out ones.

    `rows` are its training rows on disk, of which the training split has those of `held`; `ends` is where the sample
    and the validation examples end in `train.x`; `labels` are each split's, or None.
    """

    rows: Rows = field(kw_only=True)
    held: Held = field(kw_only=True)
    ends: tuple[int, int] = field(kw_only=True)
    labels: dict[str, np.ndarray | None] = field(kw_only=True)

    @property
    def n(self) -> int:
        """How many examples there are to split."""
        return self.rows.shape[0]

    def splits(self, plan: Prepare, settings: DataSettings) -> tuple[Tensor, tuple[Split, Split, Split]]:
        """Return the sample as stored, and the splits, the training split's examples on disk.

        Raises:
            UserError: binarise=fixed, which would rewrite the data.
        """
        if plan.mode == "fixed":
            raise UserError(
                "binarise=fixed would keep a second copy of the data; use stochastic or threshold, or stream=no"
            )
        x = self.train.x
        x = torch.from_numpy(np.ascontiguousarray(x, dtype=np.uint8 if x.dtype == np.uint8 else np.float32))
        sample, valid, test = x.tensor_split(list(self.ends))
        stored = Stored(self.source, plan.kind, plan.levels if x.dtype == torch.uint8 else None, x.dtype, self.whole)
        rows: Any = DiskRows(self.rows, self.held, stored, sample, settings.shuffle)
        y = {split: None if y is None else torch.from_numpy(y) for split, y in self.labels.items()}
        return sample, (Split(rows, y["train"]), Split(valid, y["valid"]), Split(test, y["test"]))


def read_streamed(path: Path, settings: DataSettings) -> StreamedRaw:
    """Open a source whose training rows stay on disk, and read a sample of them and all held-out ones.

    Raises:
        UserError: a file is damaged or does not fit the others, a row is not valid, or `size` is given for arrays.
    """
    opened = open_rows(path, settings.size)
    parts = {split: rows for split, (rows, _) in opened.items()}
    if settings.size is not None and not isinstance(parts["train"], ImageRows):
        raise UserError(f"{path}: size={settings.size} would rewrite arrays on disk; resize the file, or use stream=no")
    helds = _held(parts, str(path), settings)
    most = max(1, min(len(helds["train"]), SAMPLE_ROWS, SAMPLE_BYTES // max(parts["train"].row_bytes, 1)))
    spread = np.linspace(0, len(helds["train"]) - 1, most).astype(np.int64)
    chosen = {"train": helds["train"].rows(spread)}
    chosen |= {split: helds[split].rows(np.arange(len(helds[split]))) for split in ("valid", "test")}
    homes = {split: parts.get(split, parts["train"]) for split in chosen}
    places = [(homes[split], row) for split, rows in chosen.items() for row in rows.tolist()]
    read = [homes[split].read(rows) for split, rows in chosen.items()]
    shapes = {array.shape[1:] for array in read}
    if len(shapes) > 1:
        raise UserError(f"{path}: the splits' examples differ in shape ({sorted(shapes)}); give them one shape")
    labels, ys = _labels(path, helds, {split: y for split, (_, y) in opened.items()}, settings)
    raw = StreamedRaw(
        path.stem if path.is_file() else path.name,
        str(path),
        Part(np.concatenate(read)),
        named=lambda i: places[i][0].place(places[i][1]),
        rows=parts["train"],
        held=helds["train"],
        ends=(len(read[0]), len(read[0]) + len(read[1])),
        labels=ys,
    )
    check(raw)
    raw.classes, raw.condition = labels.classes, labels.condition
    compact(raw)
    return raw


def _held(parts: dict[str, Rows], source: str, settings: DataSettings) -> dict[str, Held]:
    """Return which rows each split has, as `split_numbers` chooses them; most of the training rows are not listed."""
    n = parts["train"].shape[0]
    own = {"own_valid": "valid" in parts, "own_test": "test" in parts}
    train, *others = split_numbers(n, source, settings, **own)
    left_out = np.sort(np.concatenate(others))
    return {
        "train": Held(n, left_out=left_out) if settings.limit is None else Held(n, train),
        **{s: Held(parts[s].shape[0]) if s in parts else Held(n, index) for s, index in zip(("valid", "test"), others)},
    }


def _labels(
    path: Path, helds: dict[str, Held], labels: dict[str, np.ndarray | None], settings: DataSettings
) -> tuple[Labels, dict[str, np.ndarray | None]]:
    """Number all labels together; return what they are (classes or a condition) and each split's numbers."""
    every = read_labels(labels, str(path), settings.labels)
    if labels["train"] is None:
        return every, dict.fromkeys(helds)
    return every, {
        split: every.y.get(split, every.y["train"])[held.rows(np.arange(len(held)))].astype(np.int64)
        for split, held in helds.items()
    }
