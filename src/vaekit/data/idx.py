"""IDX files (LeCun's format for MNIST), plain or gzipped."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from vaekit.data.download import local_file
from vaekit.data.files import read_bytes
from vaekit.errors import UserError

# the third byte names the type; values are big-endian
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

MOST_AXES = 8


def parse_idx(data: bytes, where: str | Path) -> np.ndarray:
    """Return the array in the bytes of an IDX file: 0 0 type ndim, ndim sizes (big-endian uint32), the values.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]), "memory")
    array([7, 8, 9], dtype=uint8)
    """
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or data[3] == 0:
        raise UserError(f"{where} is not an IDX file: it begins with {data[:4].hex(' ') or 'nothing'}; fetch it again")
    kind, ndim = np.dtype(_TYPES[data[2]]), data[3]
    if ndim > MOST_AXES:
        raise UserError(f"{where} says that it has {ndim} axes, more than {MOST_AXES}; fetch it again")
    start = 4 + 4 * ndim
    if len(data) < start:
        raise UserError(f"{where} is cut short within its header; fetch it again")
    shape = tuple(int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim))
    expected = start + kind.itemsize * math.prod(shape)
    if len(data) != expected:
        state = "cut short" if len(data) < expected else "too long"
        raise UserError(
            f"{where} is {state}: {len(data):,} bytes where shape {shape} needs {expected:,}; fetch it again"
        )
    if 0 in shape and math.prod(n for n in shape if n) * kind.itemsize >= 2**63:  # more places than can be counted to
        raise UserError(f"{where} is not readable (its shape is {shape}); fetch it again")
    return np.frombuffer(data, kind, offset=start).reshape(shape).astype(kind.newbyteorder("="), copy=False)


def read_idx(path: Path) -> np.ndarray:
    """Return the array in an IDX file, plain or gzipped."""
    return parse_idx(read_bytes(path), path)


def find_idx(folder: Path, stem: str) -> Path | None:
    """Return the file of an IDX set in `folder`, e.g. stem `train-images`, under any of its customary names."""
    return local_file(folder, f"{stem}-{'idx3' if stem.endswith('images') else 'idx1'}-ubyte")
