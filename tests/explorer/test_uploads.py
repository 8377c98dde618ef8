"""Files from a person: read as what they are, or refused in one sentence; nothing is unpickled."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vaekit.errors import UserError
from vaekit.explorer.uploads import read_upload

GREY, COLOUR = (1, 8, 8), (3, 8, 8)


def png(array: Any, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind, **options)
    return out.getvalue()


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def test_a_picture_of_the_right_size_is_read_as_it_is() -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    values, scale, told = read_upload(png(x), GREY)
    assert scale == "unit" and told == "" and np.array_equal(np.rint(values[0] * 255), x)
    assert np.allclose(read_upload(png(x), GREY, invert=True)[0], 1 - values)
    colour = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert np.array_equal(np.rint(read_upload(png(colour), COLOUR)[0] * 255), np.moveaxis(colour, -1, 0))


def test_pictures_are_cropped_and_resized() -> None:
    x = np.zeros((40, 80), np.uint8)
    x[:, 40:] = 255
    values, _, told = read_upload(png(x), GREY)
    assert values.shape == GREY and "8 × 8 from 80 × 40" in told
    assert values[0, :, :4].max() == 0 and values[0, :, 4:].min() == 1
    assert read_upload(png(x, "JPEG"), COLOUR)[0].shape == COLOUR


def test_clear_is_white_and_cameras_are_turned() -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    assert read_upload(png(clear), GREY)[0].min() == 1
    x = np.zeros((8, 8), np.uint8)
    x[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    assert read_upload(png(x, exif=exif.tobytes()), GREY)[0][0, 7].min() == 1
    deep = (np.arange(64).reshape(8, 8) * 1000).astype(np.uint16)
    values, scale, _ = read_upload(png(deep), GREY)
    assert scale == "deep" and np.allclose(values[0], deep / 65535, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (8, 8), (1, 1, 8, 8), (8, 8, 1)])
def test_arrays_of_one_example(shape: tuple[int, ...]) -> None:
    x = np.arange(64.0).reshape(shape)
    values, scale, _ = read_upload(npy(x), GREY)
    assert scale == "source" and np.array_equal(values.ravel(), np.arange(64.0))


def test_channels_last_are_brought_first() -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    values, scale, _ = read_upload(npy(x), COLOUR)
    assert scale == "bytes" and np.array_equal(values, np.moveaxis(x, -1, 0))


def lying_header(shape: str) -> bytes:
    """A NPY file whose header promises more than there is."""
    good = npy(np.zeros((8, 8)))
    return good.replace(b"(8, 8), }" + b" " * len(shape), (shape + ", }").encode() + b" " * (len("(8, 8)")), 1)


def bomb() -> bytes:
    """A PNG of a few bytes that claims 30,000 × 30,000 pixels."""
    from struct import pack

    def chunk(name: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"hello", "cannot be read"),
        (b"GIF89a" + b"\0" * 30, "cannot be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot be read"),
        (png(np.zeros((64, 64), np.uint8))[:60], "damaged"),
        (bomb(), "pixels"),
        (npy(np.zeros((9, 9))), "shape"),
        (npy(np.zeros((2, 8, 8))), "shape"),
        (npy(np.zeros((8, 8)))[:200], "cut short"),
        (lying_header("(8, 80000000000)"), "cut short"),
        (npy(np.full((8, 8), np.nan)), "finite"),
        (npy(np.array([{}], dtype=object)), "numbers"),
        (npy(np.array(["a"])), "numbers"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': evil()}", "damaged"),
        (b"\x93NUMPY\x09\x00", "damaged"),
        (b"\x93NUMPY", "damaged"),
    ],
)
def test_bad_files_are_told(data: bytes, word: str) -> None:
    with pytest.raises(UserError, match=word) as error:
        read_upload(data, GREY)
    assert "\n" not in str(error.value)


def test_a_picture_is_no_row_of_numbers() -> None:
    with pytest.raises(UserError, match="NPY file"):
        read_upload(png(np.zeros((8, 8), np.uint8)), (5,))
    with pytest.raises(UserError, match="2 channels"):
        read_upload(png(np.zeros((8, 8), np.uint8)), (2, 8, 8))
    assert read_upload(npy(np.arange(5)), (5,))[0].tolist() == [0, 1, 2, 3, 4]
