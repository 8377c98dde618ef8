"""Model and data meet on the model's device: parts, recipes and methods of a run on the make-believe device.

What is planted here is the device alone: a run on it is refused nothing that a CPU run is not, its results are CPU
tensors and arrays, and its numbers are the CPU's. `device_sweep.py` runs every recipe through the same uses.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import device_sweep
import far_device
import vaekit
from recipes import examples
from vaekit import devices
from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES
from vaekit.runs.run import Run
from vaekit.training.loop import Fit

SWEPT = (
    *("vae", "cvae", "vq-vae", "hierarchical-vae", "semi-supervised-vae"),
    *("tabular-vae", "series-vae", "graph-vae", "molecule-vae"),
)
"""Recipes whose every use is tried here: each kind of model, of latent and of data. The others: device_sweep.py."""
WAITLESS = ("vae", "iwae", "ladder-vae", "vq-vae", "vae-gan", "flow-vae")


@pytest.fixture(autouse=True)
def opened() -> Iterator[None]:
    with far_device.opened():
        yield


def train(device: str, **more: Any) -> Run:
    settings = {"train.batch_size": 32, "model.hidden": [32], "data.limit": 200} | more.pop("set", {})
    return vaekit.train("vae", "digits", device=device, pictures=False, **{"steps": 6, **more}, set=settings)


def weights(run: Run) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in run.model.state_dict().items()}


# -- the sweep ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", device_sweep.cases(), ids=lambda c: c.id)
def test_a_part_computes_the_numbers_of_the_cpu(case: Any) -> None:
    assert device_sweep.use_part(case, "far").failures == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEPT)
def test_every_use_of_a_recipe(name: str) -> None:
    outcome = device_sweep.work(name, "far")
    assert outcome.failures == []
    assert outcome.passed > 30


@pytest.mark.parametrize("name", [name for name in RECIPES.names if name not in SWEPT])
def test_a_recipe_trains_and_offers_what_every_model_does(name: str) -> None:
    assert device_sweep.use_recipe(name, "far", whole=False).failures == []


def test_the_sweep_uses_every_method_of_a_run() -> None:
    source = inspect.getsource(device_sweep)
    methods = {n for n, v in inspect.getmembers(Run, inspect.isfunction) if not n.startswith("_")}
    apart = {"explore", "to", "draw_tokens", "impute_table", "labels", "codec", "subject", "evaluation", "values"}
    apart |= {"split", "training", "prepared", "class_number", "class_names", "lines", "drawn"}  # used by the others
    apart |= {"anomaly_scores", "posterior_samples", "attribute_direction", "give_data"}
    assert {name for name in methods - apart if f"run.{name}" not in source} == set()


# -- runs from one device to another -----------------------------------------------------------------------------------


def test_training_gives_the_weights_of_the_cpu() -> None:
    here, there = weights(train("cpu")), weights(train("far"))
    for name, value in here.items():
        torch.testing.assert_close(there[name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize(("trained", "used"), [("far", "cpu"), ("cpu", "far")])
def test_a_run_trained_on_one_device_is_used_on_another(trained: str, used: str, tmp_path: Path) -> None:
    run = train(trained, out=tmp_path / "run")
    other = vaekit.load(tmp_path / "run", device=used)
    assert (run.device.type, other.device.type) == (trained, used)
    for name, value in weights(run).items():
        assert torch.equal(weights(other)[name], value), name
    torch.testing.assert_close(other.encode(), run.encode(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(other.sample(4, seed=3), run.sample(4, seed=3), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(other.detect(k=3).scores, run.detect(k=3).scores, rtol=1e-5)
    first, second = (r.evaluate(("likelihood", "reconstruction"), k=5, limit=40) for r in (run, other))
    assert first.keys() == second.keys()
    for name, result in first.items():
        assert second[name].value == pytest.approx(result.value, rel=1e-4), name
    back = other.to(trained)
    assert back is other and back.device.type == trained
    assert torch.equal(back.encode(), run.encode())


@pytest.mark.parametrize("later", ["far", "cpu"])
def test_a_run_is_taken_up_on_either_device(later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the same device it ends in the same bits: its generator's state is in the checkpoint."""
    settings = {"train.checkpoint_steps": 2}
    whole = weights(train("far", set=settings))
    step = Fit._step

    def stopped(self: Fit, x: Any, y: Tensor | None) -> None:
        if self.at.step == 4:
            raise KeyboardInterrupt
        step(self, x, y)

    monkeypatch.setattr(Fit, "_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        train("far", out=tmp_path, set=settings)
    monkeypatch.undo()
    resumed = weights(train(later, out=tmp_path, set=settings, resume=True))
    for name, value in whole.items():
        if later == "far":
            assert torch.equal(resumed[name], value), name
        assert bool(torch.isfinite(resumed[name]).all())


# -- what a device is --------------------------------------------------------------------------------------------------


def test_a_device_is_chosen_by_name() -> None:
    assert devices.choose_device("far").type == "far"
    assert devices.choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match="there is no device 'nonsense' here"):
        devices.choose_device("nonsense")
    with far_device.auto():
        assert devices.choose_device("auto").type == "far"


def test_noise_is_seeded_on_the_device_and_its_state_comes_back() -> None:
    far = torch.device("far", 0)
    before = devices.rng_state(far)
    with devices.seeded(3, far):
        first = torch.randn(2, device=far), torch.randn(2)
    assert all(torch.equal(devices.rng_state(far)[name], state) for name, state in before.items())
    with devices.seeded(3, far):
        assert torch.equal(torch.randn(2, device=far).cpu(), first[0].cpu()) and torch.equal(torch.randn(2), first[1])


def test_threads_that_draw_from_a_seed_do_not_disturb_each_other() -> None:
    def draws(seed: int) -> list[float]:
        with devices.seeded(seed):
            return [float(torch.randn(())) for _ in range(200)]

    alone = [draws(seed) for seed in range(4)]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draws, [0, 1, 2, 3] * 10)) == alone * 10
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_without_tensors_is_on_the_cpu() -> None:
    assert devices.device_of(nn.Identity()) == torch.device("cpu")
    assert devices.device_of(nn.BatchNorm1d(2, affine=False).to("far")).type == "far"


@pytest.mark.parametrize("name", WAITLESS)
def test_a_training_step_does_not_wait_for_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing reads a number back between log records, so that a GPU is never idle for the CPU's sake."""
    step = Fit._step
    found: list[str] = []

    def watched(self: Fit, x: Any, y: Tensor | None) -> None:
        with far_device.waits() as waits:
            step(self, x, y)
        if self.at.step > 1:  # the first step may look at the data
            found.extend(waits)

    monkeypatch.setattr(Fit, "_step", watched)
    settings = {"train.batch_size": 16} | dict(examples.SETTINGS.get(name, {}))
    vaekit.train(name, "digits", steps=4, set=settings, device="far", pictures=False)
    assert found == []


def test_a_wait_is_seen() -> None:
    x = torch.arange(3.0, device="far")
    with far_device.waits() as waits:
        assert x.sum().item() + len(x.cpu()) + len(x[x > 1]) == 7
    assert len(waits) == 3
