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

from vaekit.data.contents import Contents, contents_of, with_classes
from vaekit.data.dataset import Split
from vaekit.data.datasets import DATASETS
from vaekit.data.digest import Keys, frame_keys, mixed
from vaekit.data.disk import HeldRows, ImageRows, Rows, open_rows
from vaekit.data.disk_keys import keys_of
from vaekit.data.disk_rows import DiskRows, Held, Stored
from vaekit.data.folders import is_idx_folder
from vaekit.data.labels import Labels, read_labels
from vaekit.data.origin import Origin
from vaekit.data.paths import resolve_path
from vaekit.data.prepare import Prepare
from vaekit.data.preprocessing import compact
from vaekit.data.raw import Part, Raw, check
from vaekit.data.settings import DataSettings
from vaekit.data.splits import Splits, deal
from vaekit.errors import UserError

STREAM_ABOVE = 1 << 30
"""Bytes (decoded, for images) above which stream=auto leaves data on disk: reading takes three times that at once."""
SAMPLE_ROWS, SAMPLE_BYTES = 8192, 64 << 20


@dataclass(frozen=True)
class Opened:
    """A source whose rows are read when they are wanted: its name, where it is, and rows and labels by split."""

    name: str
    source: str
    splits: dict[str, tuple[Rows, np.ndarray | None]]


def rows_to_stream(source: Any, settings: DataSettings) -> Opened | None:
    """Return the rows of a source that is to stay where it is, else None.

    That is files (stream=yes, or auto and they are large), and sparse matrices that would be large as arrays.

    Raises:
        UserError: stream=yes, and the source is not of files that can.
    """
    if hasattr(source, "tocsr") and settings.stream != "no":
        rows = HeldRows(source)
        large = rows.shape[0] * rows.row_bytes > STREAM_ABOVE
        opened = Opened("memory", "memory", {"train": (rows, None)})
        return opened if large or settings.stream == "yes" else None
    path = _streamed_path(source, settings)
    if path is None:
        return None
    return Opened(path.stem if path.is_file() else path.name, str(path), open_rows(path, settings.size))


def _streamed_path(source: Any, settings: DataSettings) -> Path | None:
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
    and the validation examples end in `train.x`; `labels` are each split's, or None; `origins` say where held-out ones
    come from, and `contents` what the source holds.
    """

    rows: Rows = field(kw_only=True)
    held: Held = field(kw_only=True)
    ends: tuple[int, int] = field(kw_only=True)
    labels: dict[str, np.ndarray | None] = field(kw_only=True)
    origins: dict[str, Origin] = field(kw_only=True)
    contents: Contents = field(kw_only=True)

    @property
    def n(self) -> int:
        """How many examples there are to split."""
        return self.rows.shape[0]

    def splits(self, plan: Prepare, settings: DataSettings) -> tuple[Tensor, tuple[Split, Split, Split], Contents]:
        """Return the sample as stored, the splits, the training split's examples on disk, and what the source holds.

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
        own = {split: Split(x, y[split], None, self.origins[split]) for split, x in (("valid", valid), ("test", test))}
        return sample, (Split(rows, y["train"]), own["valid"], own["test"]), self.contents


def read_streamed(opened: Opened, settings: DataSettings) -> StreamedRaw:
    """Read a sample of the training rows of a source, which stay where they are, and all held-out ones.

    Raises:
        UserError: a file is damaged or does not fit the others, a row is not valid, or `size` is given for arrays.
    """
    path = opened.source
    parts = {split: rows for split, (rows, _) in opened.splits.items()}
    if settings.size is not None and not isinstance(parts["train"], ImageRows):
        raise UserError(f"{path}: size={settings.size} would rewrite arrays on disk; resize the file, or use stream=no")
    for split, rows in parts.items():
        if not rows.shape[0] * rows.row_bytes:
            raise UserError(f"{path}: the {split} split is empty (x has shape {tuple(rows.shape)}); give examples")
    keys = {split: keys_of(rows, path) for split, rows in parts.items()}
    dealt = deal(keys["train"], path, settings, own_valid="valid" in parts, own_test="test" in parts)
    helds = _held(parts, dealt, settings)
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
    labels, ys = _labels(path, helds, {split: y for split, (_, y) in opened.splits.items()}, settings)
    raw = StreamedRaw(
        opened.name,
        path,
        Part(np.concatenate(read)),
        named=lambda i: places[i][0].place(places[i][1]),
        rows=parts["train"],
        held=helds["train"],
        ends=(len(read[0]), len(read[0]) + len(read[1])),
        labels=ys,
        origins={split: homes[split].origin(chosen[split]) for split in ("valid", "test")},
        contents=_contents(dealt, keys, labels),
    )
    check(raw)
    raw.classes, raw.condition = labels.classes, labels.condition
    compact(raw)
    return raw


def _held(parts: dict[str, Rows], dealt: Splits, settings: DataSettings) -> dict[str, Held]:
    """Return which rows each split has; most of the training rows are not listed."""
    n, others = parts["train"].shape[0], {"valid": dealt.valid, "test": dealt.test}
    left_out = np.sort(np.concatenate([*others.values()]))
    return {
        "train": Held(n, left_out=left_out) if settings.limit is None else Held(n, dealt.train),
        **{s: Held(parts[s].shape[0]) if s in parts else Held(n, index) for s, index in others.items()},
    }


def _contents(dealt: Splits, keys: dict[str, Keys], labels: Labels) -> Contents:
    """Return what the source holds, labels included."""
    source, own = keys["train"], {split: own for split, own in keys.items() if split != "train"}
    if not labels.y:
        return contents_of(dealt, source, own)
    whole, y = np.concatenate([source, *own.values()]), np.concatenate([labels.y[split] for split in ("train", *own)])
    if labels.condition is not None:
        return contents_of(dealt, source, own, mixed(whole, frame_keys(labels.condition)[y]))
    return contents_of(dealt, source, own, with_classes(whole, y, labels.classes))


def _labels(
    source: str, helds: dict[str, Held], labels: dict[str, np.ndarray | None], settings: DataSettings
) -> tuple[Labels, dict[str, np.ndarray | None]]:
    """Number all labels together; return what they are (classes or a condition) and each split's numbers."""
    every = read_labels(labels, source, settings.labels)
    if labels["train"] is None:
        return every, dict.fromkeys(helds)
    return every, {
        split: every.y.get(split, every.y["train"])[held.rows(np.arange(len(held)))].astype(np.int64)
        for split, held in helds.items()
    }
