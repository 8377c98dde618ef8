"""dSprites: the real file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from vaekit.data.datasets import DATASETS
from vaekit.data.datasets.sprites import NAMES, SHAPES, SIZES
from vaekit.data.download import Remote, local_file
from vaekit.data.factors import choose
from vaekit.data.raw import Part, Raw
from vaekit.errors import UserError

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
_BLOCK = 4096


@DATASETS.register(
    "dsprites",
    summary="squares, ellipses and hearts, 64×64 binary, five known factors",
    reference="Matthey et al. (2017), dSprites, github.com/google-deepmind/dsprites-dataset",
    licence="Apache 2.0",
    size="20,000 (or data.limit) of 737,280, 64×64",
    files=(
        Remote(
            FILE,
            ("https://github.com/google-deepmind/dsprites-dataset/raw/master/",),
            md5="7da33b31b13a06f4b04a70402ce90c2e",  # the publishers' own: there is no copy here to hash
            most=100 << 20,
        ),
    ),
    total=737_280,
)
def dsprites(folder: Path, count: int | None = None) -> Raw:
    """Return a random part of dSprites; shapes are the labels. Its `metadata`, a pickled object, is not read."""
    path = local_file(folder, FILE)
    assert path is not None
    x, classes = read_dsprites(path, count)
    factors = classes[:, 1:].astype(np.int64)  # the first is the colour, of which there is one
    part = Part(x[:, None], factors[:, 0], factors)
    return Raw("dsprites", str(path), part, levels=2, classes=SHAPES, factor_names=NAMES, factor_sizes=SIZES)


def read_dsprites(path: Path, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 64, 64) and `latents_classes` (N, 6) of a random part, reading in blocks: 3 GB never at once.

    Raises:
        UserError: the file is not an NPZ, or has no such arrays of numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open("latents_classes.npy") as stream:
                classes = npy.read_array(stream, allow_pickle=False)
            index = choose(len(classes), count)
            return _rows(archive, index), classes[index]
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, OSError) as error:
        raise UserError(
            f"{path} is not dSprites' file of imgs and latents_classes ({error}); delete it to have it fetched again"
        ) from None


def _rows(archive: zipfile.ZipFile, index: np.ndarray) -> np.ndarray:
    """Return the rows `index` (sorted) of the array of images."""
    with archive.open("imgs.npy") as stream:
        version = npy.read_magic(stream)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = header(stream)
        if fortran or dtype != np.uint8 or len(shape) != 3:
            raise ValueError(f"imgs is {dtype} of shape {shape}, not uint8 of (N, 64, 64)")
        out = np.empty((len(index), *shape[1:]), np.uint8)
        size = shape[1] * shape[2]
        for start in range(0, shape[0], _BLOCK):
            rows = min(_BLOCK, shape[0] - start)
            data = stream.read(rows * size)
            if len(data) < rows * size:
                raise ValueError("imgs is cut off")
            first, last = np.searchsorted(index, (start, start + rows))
            block = np.frombuffer(data, np.uint8).reshape(rows, *shape[1:])
            out[first:last] = block[index[first:last] - start]
    return out
