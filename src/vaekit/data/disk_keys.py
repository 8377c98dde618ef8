"""Keys of rows on disk (`vaekit.data.digest`): every row is read once, in blocks, and what was found is kept.

Kept in the user's cache under the files' paths, sizes and times, so that only the first start on large data costs
a reading: 8 bytes a row.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

import numpy as np

from vaekit.data.digest import Keys, file_keys, row_keys
from vaekit.data.disk import HeldRows, ImageRows, NpyRows, Rows, Shards
from vaekit.data.download import cache_folder, kept
from vaekit.data.raw import Part, Raw, shape_up

BLOCK = 16 << 20
"""Bytes read together by a thread."""
KEEP_ABOVE = 64 << 20
"""Bytes of files below which reading again is as quick as looking up."""
THREADS = 4


def keys_of(rows: Rows, source: str) -> Keys:
    """Return the key of each row: of its values as data in memory have them; of a picture, of its file's bytes.

    Raises:
        UserError: a file cannot be read, or holds what cannot be data.
    """
    files = _files(rows)
    if not files or sum(file.stat().st_size for file in files) < KEEP_ABOVE:
        return _read(rows, source)
    path = cache_folder() / "keys" / f"{_state(files)}.npz"
    keys = kept(path, lambda: {"keys": _read(rows, source)}).get("keys")
    return keys if keys is not None and keys.shape == rows.shape[:1] else _read(rows, source)


def _files(rows: Rows) -> Sequence[Path]:
    if isinstance(rows, ImageRows):
        return rows.files
    parts = rows.parts if isinstance(rows, Shards) else [rows] if isinstance(rows, NpyRows) else []
    return [part.path for part in parts]


def _state(files: Sequence[Path]) -> str:
    """Return a hash of files' paths, sizes and times of change."""
    made = blake2b(digest_size=16)
    for file in files:
        stat = file.stat()
        made.update(
            f"{file.resolve()}\0{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}\n".encode(errors="replace")
        )
    return made.hexdigest()


def _read(rows: Rows, source: str) -> Keys:
    if isinstance(rows, ImageRows):
        return file_keys(rows.files)
    size, n = max(1, BLOCK // max(rows.row_bytes, 1)), rows.shape[0]

    def block(start: int) -> Keys:
        x = rows.read(np.arange(start, min(start + size, n)))
        return row_keys(shape_up(Raw("rows", source, Part(x))).train.x)

    starts = range(0, n, size)
    if isinstance(rows, HeldRows) or len(starts) == 1:
        return np.concatenate([block(start) for start in starts])
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        return np.concatenate(list(pool.map(block, starts)))
