"""Writing pictures and arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaekit.data import write_images, write_npz
from vaekit.errors import UserError


@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_stands_in_its_cell(channels: int, tmp_path: Path) -> None:
    x = torch.rand(5, channels, 4, 6)
    write_images(tmp_path / "a.png", x, columns=3)
    grid = np.asarray(Image.open(tmp_path / "a.png")).reshape(1 + 2 * 5, 1 + 3 * 7, channels)
    for i in range(5):
        top, left = 1 + (i // 3) * 5, 1 + (i % 3) * 7
        cell = grid[top : top + 4, left : left + 6]
        assert np.abs(cell / 255 - x[i].permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_values_beyond_the_scale_are_clipped(tmp_path: Path) -> None:
    write_images(tmp_path / "a.png", torch.tensor([-1.0, 2.0, float("nan")]).view(3, 1, 1, 1), columns=3)
    assert np.asarray(Image.open(tmp_path / "a.png"))[1, 1::2].tolist() == [0, 255, 0]


def test_npz_round_trip_without_pickle(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", z=torch.eye(3), names=np.array(["a", "b"]))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as saved:
        assert (saved["z"] == np.eye(3)).all() and saved["names"].tolist() == ["a", "b"]
    with pytest.raises(UserError, match="array 'bad' holds objects"):
        write_npz(tmp_path / "b.npz", bad=np.array([{}, 1], dtype=object))
    assert not (tmp_path / "b.npz").exists()


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pictures are"):
        write_images(tmp_path / "a.png", torch.rand(3, 5))
    with pytest.raises(UserError, match="no pictures"):
        write_images(tmp_path / "a.png", torch.rand(0, 1, 2, 2))
    with pytest.raises(UserError, match="there is no folder"):
        write_images(tmp_path / "none" / "a.png", torch.rand(1, 1, 2, 2))
