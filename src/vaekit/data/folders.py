"""Folders: sets of IDX files, and images sorted into a folder a label."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from vaekit.data.files import in_folder, in_short, paths_below, size_of
from vaekit.data.idx import find_idx, read_idx
from vaekit.data.limits import check_size
from vaekit.data.raw import Part, Raw
from vaekit.errors import UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm"}
SPLITS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}


def is_idx_folder(folder: Path) -> bool:
    """Whether `folder` holds MNIST's four files or at least its training images."""
    return find_idx(folder, "train-images") is not None


def read_idx_folder(folder: Path, name: str, classes: tuple[str, ...] = ()) -> Raw:
    """Read `train-images…`, `train-labels…` and, where there are any, `t10k-…` (or `test-…`)."""
    train = _idx_part(folder, "train")
    if train is None:
        raise UserError(f"{folder} has no train-images-idx3-ubyte(.gz); check the folder")
    test = _idx_part(folder, "t10k") or _idx_part(folder, "test")
    return Raw(name, str(folder), train, test=test, classes=classes)


def _idx_part(folder: Path, stem: str) -> Part | None:
    images, labels = find_idx(folder, f"{stem}-images"), find_idx(folder, f"{stem}-labels")
    if images is None:
        return None
    return Part(read_idx(images), None if labels is None else read_idx(labels))


def list_splits(folder: Path) -> dict[str, list[tuple[Path, str | None]]]:
    """Return {split: (file, label) of every image}; a folder without subfolders for splits is all "train"."""
    subfolders = {path.name.lower(): path for path in in_folder(folder) if path.is_dir()}
    roots = {"train": folder}
    if "train" in subfolders and subfolders.keys() <= SPLITS.keys():
        roots = {SPLITS[name]: path for name, path in subfolders.items()}
    return {split: _images_in(root) for split, root in roots.items()}


def _images_in(root: Path) -> list[tuple[Path, str | None]]:
    """Return (file, label) of every image: of the subfolders if any holds one, else of the folder itself."""
    nested = [
        (path, folder.name)
        for folder in in_folder(root)
        if folder.is_dir() and not folder.name.startswith(".")
        for path in paths_below(folder)
        if is_image(path)
    ]
    own = [path for path in in_folder(root) if is_image(path)]
    if nested and own:
        raise UserError(f"{own[0]} lies beside the label folders of {root}; move it into one of them")
    if not nested and not own:
        kinds = ", ".join(sorted(SUFFIXES))
        raise UserError(f"{root} has no images ({kinds}), in itself or in its subfolders; check the path")
    return list(nested) or [(path, None) for path in own]


def is_image(path: Path) -> bool:
    """Whether a path is a picture's, by its suffix."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def open_image(path: Path, size: int | None, like: tuple[Path, tuple[int, int]] | None = None) -> Any:
    """Return a picture in mode L or RGB, or in F (float32) where its greys have more than 8 bits.

    It is turned as its camera says, and scaled if `size` is given. Colours of more than 8 bits are cut to 8, and this
    is said. `like`: another picture and the (width, height) that this one must have too; it is not decoded otherwise.
    """
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                if opened.format == "TIFF" and getattr(opened, "n_frames", 1) > 1:
                    warnings.warn(
                        f"{path.parent}: TIFF files have several pages, and the first alone is read", stacklevel=2
                    )
                check_size(math.prod(opened.size) * len(opened.getbands()), path, packed=size_of(path))
                deep = any(";16" in str(tile) for tile in opened.tile)
                if like is None or sorted(opened.size) == sorted(like[1]):
                    ImageOps.exif_transpose(opened, in_place=True)
                    opened.load()
                if like is not None and opened.size != like[1]:
                    sizes = f"{opened.width}×{opened.height}, {like[0].name} {like[1][0]}×{like[1][1]}"
                    raise UserError(
                        f"{path} differs in size ({sizes}); give size=N to scale and crop every image to N×N"
                    )
                picture = opened
    except (UserError, MemoryError):
        raise
    except Exception as error:  # each format's decoder raises what it likes, and its warnings are errors here
        raise UserError(f"{path} cannot be read as an image ({in_short(error)}); remove or replace it") from None
    if picture.mode.startswith(("I", "F")):
        picture = Image.fromarray(np.asarray(picture).astype(np.float32))
    elif deep:
        warnings.warn(f"{path.parent}: colours of 16 bits are read as 8 bits; greys of 16 bits are kept", stacklevel=2)
    if picture.mode != "F" and picture.has_transparency_data:
        grey = picture.mode == "LA"
        over = Image.new("RGBA", picture.size, "white")
        over.alpha_composite(picture.convert("RGBA"))
        picture = over.convert("L" if grey else "RGB")
    elif picture.mode != "F":
        picture = picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    return picture if size is None else fit_image(picture, (size, size))


def fit_image(picture: Any, extent: tuple[int, int]) -> Any:
    """Return a picture scaled until it covers (width, height), and cut to its centre."""
    from PIL import Image, ImageOps

    return ImageOps.fit(picture, extent, Image.Resampling.BICUBIC)
