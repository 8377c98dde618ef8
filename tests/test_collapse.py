"""Posterior collapse: training and the report give the same answer for the same numbers."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from vaekit.collapse import ACTIVE, LatentWatch, Usage, warning
from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.runs.report import gather
from vaekit.runs.run import Run
from vaekit.runs.train import train
from vaekit.trace import Latent, Trace


def usage(means: Tensor, log_scale: float) -> list[Usage]:
    """Return what the watch says of posteriors N(means, exp(log_scale)²) under a standard normal prior."""
    q = DiagonalNormalFamily(means, torch.full_like(means, log_scale))
    watch = LatentWatch()
    watch.add(Trace(None, None, {"z": Latent(q, StandardNormalFamily(means[0]), means[None], means[None])}, q))
    return watch.usage()


def test_usage_is_the_mean_kl_and_the_units_whose_means_vary() -> None:
    torch.manual_seed(0)
    means = torch.randn(400, 3) * torch.tensor([1.0, 0.9 * ACTIVE**0.5, 1.1 * ACTIVE**0.5])
    (latent,) = usage(means, 0.0)
    assert (latent.name, latent.active, latent.units) == ("z", int((means.var(0) > ACTIVE).sum()), 3)
    assert latent.kl == pytest.approx(0.5 * float(means.double().square().sum(1).mean()), rel=1e-5)
    assert not latent.collapsed


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(
        "vae", "digits", steps=1, out=tmp_path_factory.mktemp("runs") / "one", pictures=False, set={"model.latent": 1}
    )


@pytest.mark.parametrize(
    ("kl", "active", "collapsed"), [(0.0715, 1, False), (0.04, 1, True), (2.0, 0, True), (2.0, 1, False)]
)
def test_training_and_the_report_agree(run: Run, kl: float, active: int, collapsed: bool) -> None:
    assert (warning([Usage("z", kl, active, 1)]) is not None) == collapsed
    assert run.path is not None
    record = {"step": 1, "epoch": 1, "valid.loss": 1.0, "kl_elements.z": [kl], "active.z": active, "units.z": 1}
    (run.path / "log.jsonl").write_text(json.dumps(record) + "\n")
    titles = [one.title for one in gather(run).warnings]
    assert ("The posterior has collapsed" in titles) == collapsed
    assert not any("latent dimensions are active" in title for title in titles)


def test_one_of_several_collapsed_latents_is_named_by_both(run: Run) -> None:
    latents = [Usage("top", 0.01, 2, 2), Usage("bottom", 5.0, 3, 4)]
    sentence = warning(latents)
    assert sentence is not None and "posterior of top has collapsed" in sentence
    assert run.path is not None
    record = {"step": 1, "epoch": 1, "valid.loss": 1.0}
    for one in latents:
        record |= {
            f"kl_elements.{one.name}": [one.kl],
            f"active.{one.name}": one.active,
            f"units.{one.name}": one.units,
        }
    (run.path / "log.jsonl").write_text(json.dumps(record) + "\n")
    (told,) = [one for one in gather(run).warnings if "collapsed" in one.title]
    assert told.title == "Some latents have collapsed" and "top" in told.detail and "bottom" not in told.detail
