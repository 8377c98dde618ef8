"""Pictures of more than 8 bits: kept as they are, as real data, in memory and on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vaekit.data.folders import open_image
from vaekit.data.loading import load, read
from vaekit.data.settings import DataSettings
from vaekit.errors import UserError

GREYS = np.random.default_rng(0).integers(0, 65536, (12, 5, 6)).astype(np.uint16)
NONE: dict[str, Any] = {"valid": 0, "test": 0}


def folder(where: Path, suffix: str, pictures: np.ndarray = GREYS) -> Path:
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(where / f"{i:02d}{suffix}")
    return where


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
@pytest.mark.parametrize("stream", ["no", "yes"])
def test_greys_of_16_bits_are_real_data_as_they_are(suffix: str, stream: Any, tmp_path: Path) -> None:
    data = load(folder(tmp_path, suffix), DataSettings(stream=stream, **NONE))
    assert data.info.kind == "real" and data.info.shape == (1, 5, 6)
    np.testing.assert_array_equal(data.train.x[:][:, 0].numpy(), GREYS)


def test_floats_of_tiff_are_kept_and_their_faults_named(tmp_path: Path) -> None:
    floats = GREYS.astype(np.float32) / 65535
    raw = read(folder(tmp_path, ".tiff", floats), DataSettings())
    np.testing.assert_array_equal(raw.train.x[:, 0], floats)
    floats[3, 1, 2] = np.nan
    with pytest.raises(UserError, match=r"03\.tiff, channel 0, pixel \(1, 2\) is nan"):
        read(folder(tmp_path, ".tiff", floats), DataSettings())


def test_they_are_resized_as_others_are(tmp_path: Path) -> None:
    even = np.full((3, 8, 12), 40_000, np.uint16)
    even[:, :, 6:] = 50_000
    data = load(folder(tmp_path, ".png", even), DataSettings(size=4, **NONE))
    x = data.train.x[0, 0].numpy()
    assert data.info.shape == (1, 4, 4) and x[:, 0] == pytest.approx(40_000, abs=500)
    assert x[:, 3] == pytest.approx(50_000, abs=500)


@pytest.mark.parametrize("odd", [0, 5, 11])
def test_pictures_of_other_depths_in_one_folder_are_named(odd: int, tmp_path: Path) -> None:
    folder(tmp_path, ".png")
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / f"{odd:02d}.png")
    with pytest.raises(UserError, match=rf"has more than 8 bits, and {odd:02d}\.png has 8; save all"):
        load(tmp_path)


def test_a_deep_picture_among_many_others_is_named(tmp_path: Path) -> None:
    for i in range(80):
        Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / f"{i:02d}.png")
    Image.fromarray(GREYS[0]).save(tmp_path / "01.png")
    with pytest.raises(UserError, match=r"01\.png has more than 8 bits, and 00\.png has 8"):
        load(tmp_path)


def test_further_pages_of_a_tiff_are_said(tmp_path: Path) -> None:
    pages = [Image.fromarray(picture) for picture in GREYS[:3]]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match="TIFF files have several pages, and the first alone is read"):
        np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "x.tif", None)), GREYS[0])


def test_colours_of_16_bits_are_cut_and_said(tmp_path: Path) -> None:
    """A PNG of 16 bits a channel, made by hand: Pillow writes none."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + struct.pack(">6H", *[256 * v + 7 for v in range(6)]) for _ in range(2))
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(data)
    with pytest.warns(UserWarning, match="colours of 16 bits are read as 8 bits"):
        picture = open_image(tmp_path / "x.png", None)
    assert picture.mode == "RGB" and np.asarray(picture)[0].ravel().tolist() == [0, 1, 2, 3, 4, 5]
