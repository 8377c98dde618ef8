"""Volumes (N, C, D, H, W) through training, use, pictures of their middle slice, and every recipe for arrays."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import far_device
from recipes import examples
from vaekit import figures
from vaekit.commands.main import run as command
from vaekit.data.save import image_grid
from vaekit.errors import UserError
from vaekit.explorer.session import Session
from vaekit.nets.volume import VolumeDecoder, VolumeEncoder
from vaekit.recipes.base import RECIPES
from vaekit.runs.loading import load
from vaekit.runs.run import Run
from vaekit.runs.train import train

SMALL = {"model.channels": "8", "model.hidden": "32", "model.latent": 3}
SIDES = (12, 8, 9)


def blobs(n: int = 120) -> np.ndarray:
    """Balls at random places, greys: (N, 1, D, H, W) uint8."""
    rng = np.random.default_rng(0)
    at = np.stack(np.meshgrid(*(np.arange(side) for side in SIDES), indexing="ij"), -1)
    centre = rng.uniform(2, 6, (n, 1, 1, 1, 3))
    return (255 * np.exp(-((at - centre) ** 2).sum(-1) / 6)).astype(np.uint8)[:, None]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("volumes") / "run"
    return train("vae", blobs(), out=out, steps=100, lr=5e-3, set=SMALL, device="cpu")


def test_they_train_with_3d_convolutions_and_reconstruct(run: Run) -> None:
    model: Any = run.model
    assert isinstance(model.posterior.net, VolumeEncoder) and isinstance(model.likelihood.net, VolumeDecoder)
    assert run.info.is_volume and not run.info.is_image and run.info.shape == (1, *SIDES)
    x = run.test.inputs
    error = (run.reconstruct(x) - x).square().mean()
    assert error < 0.5 * (x - run.training().inputs.mean(0)).square().mean()
    assert run.sample(3).shape == (3, 1, *SIDES)
    assert run.path is not None and {"samples.png", "reconstructions.png", "traversals.png"} <= {
        path.name for path in (run.path / "figures").iterdir()
    }
    assert (run.path / "report.html").read_text().count("data:image/png") >= 5


def test_pictures_are_the_middle_slice_and_arrays_are_whole(run: Run, tmp_path: Path) -> None:
    x = torch.rand(4, 1, 6, 5, 7)
    assert np.array_equal(image_grid(x), image_grid(x[:, :, 3]))
    assert figures.png(figures.samples(x.numpy())) == figures.png(figures.samples(x[:, :, 3].numpy()))
    for name in ("a.png", "a.npz"):
        with pytest.raises(SystemExit) as end:
            command(["sample", str(run.path), "-n", "4", "--out", str(tmp_path / name)])
        assert end.value.code == 0
    whole = np.load(tmp_path / "a.npz")["x"]
    assert whole.shape == (4, 1, *SIDES)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), image_grid(torch.from_numpy(whole)))
    session = Session(run)
    drawn = session.decode(session.code([session.encode(0)["z"]]), None)
    assert drawn.shape == (1, *SIDES[1:], 1) and (session.facts["height"], session.facts["width"]) == SIDES[1:]


def test_channels_come_first_and_faults_name_the_voxel() -> None:
    last = np.moveaxis(np.repeat(blobs(30), 3, 1), 1, -1)
    made = train("vae", last, steps=1, set=SMALL | {"model.net": "conv"}, pictures=False)
    assert made.info.shape == (3, *SIDES)
    bad = blobs(30).astype(np.float32)
    bad[4, 0, 1, 2, 3] = np.nan
    with pytest.raises(UserError, match=r"row 4, channel 0, voxel \(1, 2, 3\)"):
        train("vae", bad, steps=1)


def test_the_far_device_gives_the_cpus_numbers(run: Run) -> None:
    assert run.path is not None
    x = blobs(5)
    here = run.encode(run.prepared(x)), run.detect(run.prepared(x), k=3, threshold="data").scores
    with far_device.opened():
        other = load(run.path, "far")
        torch.testing.assert_close(other.encode(other.prepared(x)), here[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(other.detect(other.prepared(x), k=3, threshold="data").scores, here[1], rtol=1e-4)
        assert (
            train("vae", x, steps=2, device="far", set=SMALL | {"data.valid": 1, "data.test": 1}).device.type == "far"
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in RECIPES if entry.part.takes == "array"])
def test_every_recipe_for_arrays_takes_them_or_says_why_not(name: str) -> None:
    settings = {key: value for key, value in examples.SETTINGS.get(name, {}).items() if key != "train.steps"}
    y = np.arange(160) % 3
    refusals = {"pixel-vae": "needs images", "very-deep-vae": "images", "vq-vae-2": "needs images"}
    refusals |= {"causal-vae": "needs numbers as labels"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if name in refusals:
            with pytest.raises(UserError, match=refusals[name]):
                train(name, (blobs(160), y), steps=2, set=settings, device="cpu", pictures=False)
            return
        made = train(name, (blobs(160), y), steps=2, set=settings, device="cpu", pictures=False)
    assert made.sample(2).shape == (2, 1, *SIDES) and made.reconstruct(made.test).shape[1:] == (1, *SIDES)
