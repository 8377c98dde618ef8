"""From a file that a person gives to one example's array. Nothing is unpickled; sizes are checked before memory is."""

from __future__ import annotations

import io
import warnings
from typing import Any, Literal

import numpy as np

from vaekit.errors import UserError

Scale = Literal["unit", "source", "bytes", "deep"]
MOST_SIDE = 8192
MOST_PIXELS = 24_000_000


def read_upload(data: bytes, shape: tuple[int, ...], invert: bool = False) -> tuple[np.ndarray, Scale, str]:
    """Return one example (*shape) in float64, its scale, and what was done to it, for people. Raises UserError.

    PNG and JPEG are cropped about their centre, resized, and with `invert` made negative. NPY must have the right shape
    already; its numbers are the source's own ("source"), or greys of 8 bits ("bytes"). Of a picture they are in [0, 1]
    ("unit"), and so of one of 16 bits ("deep").
    """
    if not data:
        raise UserError("the file is empty; choose another")
    if data[:6] == b"\x93NUMPY" and len(shape) == 2:
        return read_series(data, shape)
    if data[:6] == b"\x93NUMPY":
        values, told = read_npy(data, shape)
        return values.astype(np.float64), "bytes" if values.dtype == np.uint8 else "source", told
    if len(shape) == 2:
        raise UserError(f"this run's examples are series of {shape[0]} channels; give a NPY file of one")
    if len(shape) != 3:
        what = f"volumes of shape {shape}" if len(shape) == 4 else f"rows of {shape[0]} numbers"
        raise UserError(f"this run's examples are {what}; give a NPY file of one")
    picture, deep, told = read_picture(data, shape)
    return 1 - picture if invert else picture, "deep" if deep else "unit", told


def read_series(data: bytes, shape: tuple[int, ...]) -> tuple[np.ndarray, Scale, str]:
    """Return a NPY file of one series, (T,), (T, C) or (C, T) of up to (C, T) = `shape`; NaN is a gap."""
    stored = _header(data)
    if not 1 <= len(stored) <= 2 or 0 in stored or int(np.prod(stored)) > int(np.prod(shape)):
        raise UserError(
            f"the NPY file's array has shape {stored}; a series of this run has up to {shape[1]} steps of {shape[0]} "
            "channels"
        )
    return _loaded(data).astype(np.float64), "source", f"read a series of shape {stored}"


def read_npy(data: bytes, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """Return the array of a NPY file as (*shape); objects and lying headers are refused unread."""
    stored = _header(data)
    fits = {shape, (1, *shape)}
    if len(shape) == 3:
        c, h, w = shape
        fits |= {(h, w, c), (1, h, w, c), *([(h, w), (1, h, w)] if c == 1 else [])}
    if stored not in fits:
        raise UserError(f"the NPY file's array has shape {stored}; this run's examples have {shape}")
    values = _loaded(data)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UserError("the NPY file holds values that are not finite; replace them")
    last = stored[-3:]
    if len(shape) == 3 and last != shape and len(last) == 3 and last == (shape[1], shape[2], shape[0]):
        values = np.moveaxis(values.reshape(last), -1, 0)
    return values.reshape(shape), f"read an array of shape {stored}"


def _header(data: bytes) -> tuple[int, ...]:
    """Return the shape that a NPY file says it has; other than numbers, or more than there are, are refused."""
    from numpy.lib import format as npy

    stream = io.BytesIO(data)
    try:
        version = npy.read_magic(stream)
        head = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        stored, _, dtype = head(stream)
    except Exception as error:  # NumPy's reader of headers lets its parsers' own errors through, a dozen kinds
        raise UserError(f"the NPY file is damaged ({' '.join(str(error).split())[:120]}); write it again") from None
    if dtype.kind not in "fiub":
        raise UserError(f"the NPY file holds {dtype}; only arrays of numbers are read")
    count = int(np.prod(stored, dtype=object)) if stored else 1
    if count * dtype.itemsize > len(data):
        raise UserError("the NPY file is cut short; write it again")
    return tuple(stored)


def _loaded(data: bytes) -> np.ndarray:
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"the NPY file is damaged ({error}); write it again") from None


def read_picture(data: bytes, shape: tuple[int, ...]) -> tuple[np.ndarray, bool, str]:
    """Return a PNG or JPEG as (*shape) in [0, 1], and whether it has 16 bits.

    It is turned as its camera said, cropped about the centre and resized.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    channels, height, width = shape
    if channels not in (1, 3):
        raise UserError(f"this run's images have {channels} channels; give a NPY file of shape {shape}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture: Any = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        if max(picture.size) > MOST_SIDE or picture.size[0] * picture.size[1] > MOST_PIXELS:
            raise UserError(
                f"the picture is {picture.size[0]} × {picture.size[1]}, over {MOST_PIXELS // 1_000_000} million pixels "
                f"or {MOST_SIDE} a side; make it smaller"
            )
        was = picture.size
        picture = ImageOps.exif_transpose(picture)
        if "A" in picture.getbands() or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        deep = picture.mode.startswith("I;16")
        if deep:
            picture = Image.fromarray(np.asarray(picture).astype(np.float32) / 257)
        if not deep or channels == 3:
            picture = picture.convert("L" if channels == 1 else "RGB")
    except UnidentifiedImageError:
        raise UserError("the file cannot be read as PNG, JPEG or NPY; choose another") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"the picture is damaged ({' '.join(str(error).split())[:120]}); save it again") from None
    told = "" if was == (width, height) else f"made {width} × {height} from {was[0]} × {was[1]}"
    if picture.size != (width, height):
        kind = Image.Resampling.BOX if was[0] > width else Image.Resampling.BICUBIC
        picture = ImageOps.fit(picture, (width, height), kind)
    values = np.asarray(picture, dtype=np.float64).reshape(height, width, channels) / 255
    return np.moveaxis(values, -1, 0), deep, told
