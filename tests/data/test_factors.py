"""Sets with known factors: exact drawing, seeded parts, and the published files' formats read without pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vaekit.data import DataInfo, DataSettings, load
from vaekit.data.datasets.dsprites import FILE, read_dsprites
from vaekit.data.datasets.shapes3d import read_shapes3d
from vaekit.data.datasets.sprites import SIZES, TOTAL, render
from vaekit.data.download import cache_folder
from vaekit.data.factors import choose, factors_of
from vaekit.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def number(*factors: int) -> int:
    return int(np.ravel_multi_index(factors, SIZES))


def test_index_and_factors_are_one_to_one() -> None:
    index = np.random.default_rng(0).integers(0, TOTAL, 500)
    assert (np.ravel_multi_index(tuple(factors_of(index, SIZES).T), SIZES) == index).all()


def test_moving_a_sprite_moves_its_pixels() -> None:
    """Each factor does to the picture what its name says."""
    many = np.array([number(2, 3, 7, x, 16) for x in range(32)] + [number(2, 3, 7, 16, y) for y in range(32)])
    pictures = render(many).astype(float)
    rows, columns = np.mgrid[:64, :64]
    centre_x = (pictures * columns).sum((1, 2)) / pictures.sum((1, 2))
    centre_y = (pictures * rows).sum((1, 2)) / pictures.sum((1, 2))
    assert (np.diff(centre_x[:32]) > 0.5).all() and np.ptp(centre_y[:32]) < 1
    assert (np.diff(centre_y[32:]) > 0.5).all() and np.ptp(centre_x[32:]) < 1


@pytest.mark.parametrize(("shape", "area"), [(0, 2.0), (1, np.pi / 2), (2, None)])
def test_scale_and_orientation(shape: int, area: float | None) -> None:
    """Areas grow as the square of the scale, and turning changes none; those of square and ellipse are known."""
    pictures = render(np.array([number(shape, s, o, 15, 15) for s in range(6) for o in range(40)]))
    areas = pictures.reshape(6, 40, -1).sum(-1).astype(float)
    expected = (np.arange(5, 11) / 10) ** 2
    # digitisation moves the boundary by up to half a pixel, which counts most for the smallest
    assert np.allclose(areas.mean(1) / areas[5].mean(), expected, rtol=0.06)
    assert (areas.std(1) / areas.mean(1) < 0.06).all()
    if area is not None:
        assert areas[5].mean() == pytest.approx(area * (0.36 * 32) ** 2, rel=0.02)


def test_symmetries_are_those_of_the_shapes() -> None:
    quarter = [render(np.array([number(shape, 5, o, 9, 20) for o in (3, 13)])).astype(int) for shape in (0, 1, 2)]
    differ = [int(np.abs(pair[0] - pair[1]).sum()) for pair in quarter]
    assert differ[0] == 0 and differ[1] > 50 and differ[2] > 50
    half = render(np.array([number(1, 5, o, 9, 20) for o in (3, 23)])).astype(int)
    assert np.abs(half[0] - half[1]).sum() == 0


def test_every_sprite_lies_within_the_picture() -> None:
    """At the corners of the grid a sprite has the area it has in the middle."""
    corner = render(
        np.array([number(k, 5, o, x, y) for k in range(3) for o in (0, 5, 11) for x in (0, 31) for y in (0, 31)])
    )
    middle = render(np.array([number(k, 5, o, 15, 15) for k in range(3) for o in (0, 5, 11)]))
    ratio = corner.reshape(9, 4, -1).sum(-1) / middle.reshape(9, 1, -1).sum(-1)
    assert (ratio > 0.95).all()


def test_loading_keeps_factors_beside_their_examples() -> None:
    data = load("sprites", DataSettings(limit=160, valid=20, test=20), wants="binary")
    assert (data.info.n_train, data.info.n_valid, data.info.n_test) == (160, 20, 20)
    assert data.info.factor_sizes == SIZES and data.info.kind == "binary" and data.info.shape == (1, 64, 64)
    assert DataInfo.from_dict(data.info.to_dict()) == data.info
    prepared = data.prepare.fixed(data.test).first(10)
    for split in (data.train, data.valid, prepared):
        assert split.factors is not None and split.y is not None
        index = np.asarray(np.ravel_multi_index(tuple(split.factors.numpy().T), SIZES))
        assert torch.equal(split.x[:, 0].long(), torch.from_numpy(render(index)).long())
        assert torch.equal(split.y, split.factors[:, 0])


def test_a_part_is_seeded_and_cached_as_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = DataSettings(limit=30, valid=0, test=0)
    first = load("sprites", settings)
    (cached,) = (cache_folder() / "sprites").iterdir()
    assert cached.stat().st_size < 30 * 64 * 64 / 8 + 200
    monkeypatch.setattr("vaekit.data.datasets.sprites.render", lambda index: pytest.fail("drawn again"))
    again = load("sprites", settings)
    assert torch.equal(first.train.x, again.train.x)
    monkeypatch.undo()
    cached.write_bytes(b"damaged")
    assert torch.equal(first.train.x, load("sprites", settings).train.x)


def test_old_records_without_factors_are_read() -> None:
    info = DataInfo("a", (1,), "real", None, 1, 1, 1)
    old = {name: value for name, value in info.to_dict().items() if not name.startswith("factor")}
    assert DataInfo.from_dict(old) == info


def _dsprites_file(path: Path, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 2, (n, 64, 64)).astype(np.uint8)
    classes = np.concatenate([np.zeros((n, 1), int), generator.integers(0, 3, (n, 5))], 1)
    metadata = np.array({"author": "x"}, dtype=object)
    np.savez_compressed(path, metadata=metadata, imgs=images, latents_classes=classes, latents_values=classes * 1.0)
    return images, classes


def test_the_real_file_is_read_in_blocks_and_without_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaekit.data.datasets.dsprites._BLOCK", 16)
    monkeypatch.setattr("pickle.load", lambda *a, **k: pytest.fail("a pickle was loaded"))
    images, classes = _dsprites_file(tmp_path / FILE)
    for count in (None, 20):
        found, latents = read_dsprites(tmp_path / FILE, count)
        index = choose(50, count)
        assert (found == images[index]).all() and (latents == classes[index]).all()


@pytest.mark.parametrize("damage", ["empty", "cut", "names", "shape"])
def test_damaged_files_of_dsprites_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / FILE
    _dsprites_file(path)
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-2000])
    elif damage == "names":
        np.savez(path, images=np.zeros(3))
    else:
        np.savez(path, imgs=np.zeros((3, 4)), latents_classes=np.zeros((3, 6)))
    with pytest.raises(UserError, match="is not dSprites' file"):
        read_dsprites(path)


def test_shapes3d_in_its_own_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py")
    monkeypatch.setattr("vaekit.data.datasets.shapes3d._BLOCK", 16)
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3)).astype(np.uint8)
    with h5py.File(tmp_path / "3dshapes.h5", "w") as file:
        file["images"] = images
        file["labels"] = np.zeros((40, 6))
    for count in (None, 12):
        found, index = read_shapes3d(tmp_path / "3dshapes.h5", count)
        assert (index == choose(40, count)).all()
        assert (found == np.moveaxis(images[index], 3, 1)).all()
    (tmp_path / "3dshapes.h5").write_bytes(b"no")
    with pytest.raises(UserError, match="is not 3D Shapes' file"):
        read_shapes3d(tmp_path / "3dshapes.h5")


def test_shapes3d_without_h5py_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(UserError, match=r"vaekit\[hdf5\]"):
        read_shapes3d(tmp_path / "3dshapes.h5")
