"""Semi-supervised training sees the labels it may and no others; evaluation has them all; resuming changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vaekit.data import load
from vaekit.errors import UserError
from vaekit.runs.loading import load as load_run
from vaekit.runs.train import train
from vaekit.training.labelled_source import LabelledSource

SMALL = {"model.labelled": 20, "model.hidden": 16, "model.latent": 4, "model.trunk": 8}


def test_batches_hide_all_labels_but_the_shown_ones() -> None:
    data = load("digits", wants="binary")
    source = LabelledSource.of(data, 20, seed=0)
    assert data.train.y is not None and source.shown is not None
    shown = {x.numpy().tobytes() for x in source.shown.x}
    for x, y in source.train(100, seed=0, epoch=0, skip=0):
        assert y is not None
        assert bool((y[:-20] == -1).all()) and bool((y[-20:] >= 0).all()) and len(x) == len(y)
    assert len(shown) == 20
    assert all(bool((y == -1).all()) for _, y in source.valid(50) if y is not None)
    assert bool((data.train.y >= 0).all())  # the data set itself keeps its labels


def test_a_step_is_the_same_wherever_the_epoch_is_taken_up() -> None:
    source = LabelledSource.of(load("digits", wants="binary"), 20, seed=0)
    whole = list(source.train(64, seed=3, epoch=2, skip=0))
    for (a, ya), (b, yb) in zip(whole[5:], source.train(64, seed=3, epoch=2, skip=5), strict=True):
        assert torch.equal(a, b) and ya is not None and yb is not None and torch.equal(ya, yb)


@pytest.mark.parametrize("stack", [False, True])
def test_a_run_evaluates_samples_by_label_and_loads(tmp_path: Path, stack: bool) -> None:
    torch.set_num_threads(1)
    settings = {**SMALL, "model.stack": stack}
    run = train("semi-supervised-vae", "digits", steps=30, out=tmp_path / "run", set=settings, pictures=False)
    found = run.evaluate(["classification", "likelihood"], k=3)
    assert found["accuracy"].n == 174 and found["accuracy"].value is not None
    assert found["elbo"].value is not None and found["iw_bound"].value is not None
    assert found["iw_bound"].value > found["elbo"].value
    assert run.sample(3, label="7").shape == (3, 1, 8, 8) and run.sample(3).shape == (3, 1, 8, 8)
    again = load_run(tmp_path / "run")
    assert torch.equal(again.encode(run.test.first(4)), run.encode(run.test.first(4)))


def test_a_model_that_does_not_classify_says_so() -> None:
    run = train("vae", "digits", steps=2)
    assert "accuracy" not in run.evaluate(["classification"])
    with pytest.raises(UserError, match="does not classify"):
        run.evaluate(["accuracy"])
