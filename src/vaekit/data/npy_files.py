"""NPY and NPZ files: headers are checked against the bytes that are there before an array is made of them."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from vaekit.data.files import in_short
from vaekit.data.limits import check_size, in_words
from vaekit.errors import UserError

MAGIC = b"\x93NUMPY"
CELLS = {"csr": ("indices", "indptr"), "csc": ("indices", "indptr"), "bsr": ("indices", "indptr")}
"""The arrays that say where a sparse matrix's values lie, beside those of `coo` and `dia`."""


def npy_header(stream: IO[bytes], where: str | Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether columns come first, and type, leaving the stream at the first value.

    Raises:
        UserError: it is no NPY file, holds objects, or its header is damaged.
    """
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = read(stream)
    except Exception as error:  # a header is Python text, and its parser raises whatever it meets
        raise UserError(f"{where} is not a readable array ({in_short(error)}); write it again") from None
    if dtype.hasobject:
        raise UserError(f"{where} holds objects, which are never loaded; save numbers of one shape, not objects")
    # Without a number an array still has no more places than one can be counted to.
    places = math.prod(n for n in shape if n) * max(dtype.itemsize, 1)
    if any(n < 0 for n in shape) or len(shape) > 32 or (0 in shape and places >= 2**63):
        raise UserError(f"{where} is not a readable array (its shape is {_short(shape)}); write it again")
    return tuple(int(n) for n in shape), columns_first, dtype


def parse_npy(data: bytes, where: str | Path) -> np.ndarray:
    """Return the array in the bytes of an NPY file.

    Raises:
        UserError: it is damaged, holds objects, or has fewer bytes than its header says.

    >>> stream = io.BytesIO()
    >>> np.save(stream, np.arange(3))
    >>> parse_npy(stream.getvalue(), "a.npy").tolist()
    [0, 1, 2]
    """
    stream = io.BytesIO(data)
    shape, columns_first, dtype = npy_header(stream, where)
    start, count = stream.tell(), math.prod(shape)
    needed, held = count * dtype.itemsize, len(data) - start
    if needed > held:
        raise UserError(
            f"{where} is not a readable array: its header says {_short(shape)} of {dtype}, {in_words(needed)}, and "
            f"{in_words(held)} are there; write it again"
        )
    if not count or not dtype.itemsize:
        return np.zeros(shape, dtype) if not count else np.zeros((), dtype)
    values = np.frombuffer(data, dtype, count, start)
    return values.reshape(shape, order="F" if columns_first else "C").copy()


def npz_arrays(
    data: bytes, where: str | Path, wanted: Callable[[str], bool] | None = None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays in the bytes of an NPZ file, those whose names are `wanted`, and the names of all.

    Raises:
        UserError: it is damaged, encrypted, or its arrays would become too large (see `vaekit.data.limits`).
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            every = [entry for entry in archive.infolist() if not entry.is_dir()]
            chosen = [e for e in every if wanted is None or wanted(e.filename.removesuffix(".npy"))]
            check_size(sum(entry.file_size for entry in chosen), where, packed=len(data))
            parts = {entry.filename: archive.read(entry) for entry in chosen}
    except UserError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise UserError(f"{where} is a damaged NPZ file ({in_short(error)}); write it again") from None
    except RuntimeError as error:  # zipfile's for what is encrypted
        raise UserError(f"{where} cannot be read ({in_short(error)}); write it without a password") from None
    except Exception as error:  # names that are no text, offsets outside the file and the like
        raise UserError(f"{where} is a damaged NPZ file ({in_short(error)}); write it again") from None
    arrays = {name.removesuffix(".npy"): parse_npy(part, f"{where}: {name}") for name, part in parts.items()}
    return arrays, [entry.filename for entry in every]


def sparse_matrix(arrays: Mapping[str, np.ndarray], where: str | Path) -> Any:
    """Return the matrix that `scipy.sparse.save_npz` wrote as these arrays, checked.

    Raises:
        UserError: an array is missing or they do not go together.
    """
    from scipy import sparse

    try:
        kind = bytes(arrays["format"].item()).decode() if arrays["format"].dtype.kind == "S" else "?"
        shape = tuple(int(n) for n in arrays["shape"])
        values = arrays["data"]
        if kind in CELLS:
            made = getattr(sparse, f"{kind}_matrix")((values, *(arrays[name] for name in CELLS[kind])), shape=shape)
            made.check_format(full_check=True)
        elif kind == "coo":
            made = sparse.coo_matrix((values, (arrays["row"], arrays["col"])), shape=shape)
        else:
            made = sparse.dia_matrix((values, arrays["offsets"]), shape=shape)
    except Exception as error:  # scipy raises whatever it meets
        raise UserError(
            f"{where} is not a readable sparse matrix ({in_short(error)}); save it again, or as an array"
        ) from None
    return made


def dense(matrix: Any, where: str | Path, packed: int | None = None) -> np.ndarray:
    """Return a sparse matrix as an array; a UserError where that would take too much memory."""
    check_size(math.prod(matrix.shape) * matrix.dtype.itemsize, where, packed=packed)
    try:
        return matrix.toarray()
    except (ValueError, TypeError) as error:
        raise UserError(f"{where} is not a readable sparse matrix ({in_short(error)}); give numbers") from None


def _short(shape: tuple[int, ...]) -> str:
    return str(shape) if len(shape) < 8 else f"{len(shape)} axes"
