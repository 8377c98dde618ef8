"""3D Shapes: the real file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets import DATASETS
from vaekit.data.download import Remote, local_file
from vaekit.data.factors import choose, factors_of
from vaekit.data.raw import Part, Raw
from vaekit.errors import UserError, optional

FILE = "3dshapes.h5"
NAMES = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
SIZES = (10, 10, 10, 8, 4, 15)
SHAPES = ("cube", "cylinder", "sphere", "pill")
_BLOCK = 1024


@DATASETS.register(
    "shapes3d",
    summary="a solid in a room, 64×64 colour, six known factors (needs h5py)",
    reference="Burgess and Kim (2018), 3D Shapes, github.com/google-deepmind/3d-shapes",
    licence="Apache 2.0",
    size="20,000 (or data.limit) of 480,000, 64×64 colour",
    files=(
        Remote(
            FILE,
            ("https://storage.googleapis.com/3d-shapes/",),
            md5="099a2078d58cec4daad0702c55d06868",  # the publishers' own: there is no copy here to hash
            most=1 << 30,
        ),
    ),
    total=480_000,
)
def shapes3d(folder: Path, count: int | None = None) -> Raw:
    """Return a random part of 3D Shapes; shapes are the labels."""
    path = local_file(folder, FILE)
    assert path is not None
    x, index = read_shapes3d(path, count)
    factors = factors_of(index, SIZES)
    part = Part(x, factors[:, 4], factors)
    return Raw("shapes3d", str(path), part, classes=SHAPES, factor_names=NAMES, factor_sizes=SIZES)


def read_shapes3d(path: Path, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 3, 64, 64) uint8 of a random part and their numbers in the file.

    Raises:
        UserError: h5py is not installed, or the file has no such images.
    """
    h5py = optional("h5py", "shapes3d is an HDF5 file, and h5py is not installed: pip install 'vaekit[hdf5]'")
    try:
        with h5py.File(path, "r") as file:
            images: Any = file["images"]
            index = choose(len(images), count)
            out = np.empty((len(index), 3, *images.shape[1:3]), np.uint8)
            for start in range(0, len(images), _BLOCK):
                first, last = np.searchsorted(index, (start, start + _BLOCK))
                if last > first:
                    block = np.asarray(images[start : start + _BLOCK])[index[first:last] - start]
                    out[first:last] = np.moveaxis(block, 3, 1)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is not 3D Shapes' file of images ({error}); delete it to have it fetched again"
        ) from None
    return out, index
