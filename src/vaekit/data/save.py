"""Writing samples: a grid of images as PNG, arrays as NPZ; whole files or none."""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vaekit.atomic import new_folder, replacing
from vaekit.data.files import writable
from vaekit.errors import UserError


def image_grid(x: Tensor, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Return (N, C, H, W) in [0, 1] as one uint8 picture (rows, columns) or (rows, columns, 3), row by row.

    Of volumes (N, C, D, H, W) it is the middle slice.

    >>> import torch
    >>> image_grid(torch.ones(3, 1, 2, 2), columns=2).shape
    (7, 7)
    """
    if x.ndim == 5:
        x = x[:, :, x.shape[2] // 2]  # the middle slice of a volume
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise UserError(
            f"pictures are (N, 1, H, W) or (N, 3, H, W), not {tuple(x.shape)}; save vectors as .npz or .csv"
        )
    if len(x) == 0:
        raise UserError("there are no pictures to write; ask for at least one")
    pixels = (x.detach().cpu().float().nan_to_num(0.0).clamp(0, 1) * 255).round().byte().numpy()
    count, channels, height, width = pixels.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    grid = np.full((channels, gap + rows * (height + gap), gap + columns * (width + gap)), 128, np.uint8)
    for i, picture in enumerate(pixels):
        top, left = gap + (i // columns) * (height + gap), gap + (i % columns) * (width + gap)
        grid[:, top : top + height, left : left + width] = picture
    return grid[0] if channels == 1 else np.moveaxis(grid, 0, 2)


def write_images(path: str | Path, x: Tensor, columns: int | None = None) -> None:
    """Write a PNG grid of (N, C, H, W) in [0, 1], as wide as it is high unless `columns` says otherwise."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image_grid(x, columns)))
    path = writable(path)
    with replacing(path) as part:
        picture.save(part, format="PNG")


def write_picture(path: Path, one: Tensor) -> None:
    """Write one of (C, H, W) in [0, 1] as a PNG, replacing what is there."""
    from PIL import Image

    with replacing(path) as part:
        Image.fromarray(np.ascontiguousarray(image_grid(one[None], gap=0))).save(part, format="PNG")


def write_pictures(folder: str | Path, x: Tensor, names: Sequence[str]) -> None:
    """Write each of (N, C, H, W) in [0, 1] as a PNG of its name in a new folder, whole or not at all.

    A name may have folders before it. Where two share one, the number of the example is put behind it.
    """
    taken = Counter(names)
    with new_folder(folder) as part:
        for i, (name, one) in enumerate(zip(names, x)):
            path = part / (f"{name}-{i}.png" if taken[name] > 1 else f"{name}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(path, one)


def write_npz(path: str | Path, **arrays: Any) -> None:
    """Write named arrays (or tensors; None is left out) to an NPZ file that needs no pickle to read."""
    plain = {
        name: np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        for name, value in arrays.items()
        if value is not None
    }
    for name, array in plain.items():
        if array.dtype.kind == "O":
            raise UserError(f"array '{name}' holds objects, which only pickle could write; give numbers or text")
    # np.savez cannot write an array that is called file
    with replacing(writable(path)) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as out:
        for name, array in plain.items():
            with out.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def write_npy(path: str | Path, x: Any) -> None:
    """Write one array to an NPY file that needs no pickle to read."""
    with replacing(writable(path)) as part, part.open("wb") as out:
        np.save(out, np.asarray(x), allow_pickle=False)
