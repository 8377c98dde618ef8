"""Probes, clusters and holes on codes whose answers are known; similarity of images against torchmetrics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.intervals import wilson
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.metrics.base import METRICS, Result, Subject, evaluate
from vaekit.metrics.distances import nearest
from vaekit.metrics.probes import hole_share, matched_accuracy
from vaekit.metrics.similarity import ms_ssim, smallest_for_scales, ssim, ssim_reflect
from vaekit.metrics.uncertainty import bootstrap, over_folds, share
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal


def theirs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Similarity and contrast as torchmetrics has them, where the window fits whole (it also reflects the border)."""
    image = pytest.importorskip("torchmetrics.functional.image")
    measure = image.structural_similarity_index_measure
    _, full = measure(a, b, data_range=1.0, reduction="none", return_full_image=True)
    _, contrast = measure(a, b, data_range=1.0, reduction="none", return_contrast_sensitivity=True)
    return full[..., 5:-5, 5:-5].flatten(1).mean(1), contrast


@pytest.mark.parametrize("side", [32, 45])
@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_equals_torchmetrics(side: int, channels: int) -> None:
    a = torch.rand(4, channels, side, side)
    b = (a + 0.2 * torch.randn_like(a)).clamp(0, 1)
    torch.testing.assert_close(ssim(a, b), theirs(a, b)[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ssim(a, a), torch.ones(4))


@pytest.mark.parametrize("side", [8, 28])
def test_ssim_with_reflected_borders_is_torchmetrics_whole(side: int) -> None:
    image = pytest.importorskip("torchmetrics.functional.image")
    a = torch.rand(4, 3, side, side + 1)
    b = (a + 0.2 * torch.randn_like(a)).clamp(0, 1)
    expected = image.structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")
    torch.testing.assert_close(ssim_reflect(a, b), expected, rtol=1e-4, atol=1e-5)
    assert bool((ssim_reflect(a, b) - ssim(a, b)).abs().max() > 1e-3)
    with pytest.raises(UserError, match="6 × 6"):
        ssim_reflect(a[..., :5, :], b[..., :5, :])


def test_ms_ssim_is_made_of_torchmetrics_scales() -> None:
    a = torch.rand(2, 1, 208, 176)
    b = (a + 0.4 * torch.randn_like(a)).clamp(0, 1)
    scales = [(a, b)]
    for _ in range(4):
        scales.append(
            (torch.nn.functional.avg_pool2d(scales[-1][0], 2), torch.nn.functional.avg_pool2d(scales[-1][1], 2))
        )
    parts = [theirs(*scale)[1] for scale in scales[:4]] + [theirs(*scales[4])[0]]
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    expected = torch.stack([part**weight for part, weight in zip(parts, weights)]).prod(0)
    torch.testing.assert_close(ms_ssim(a, b), expected, rtol=1e-4, atol=1e-5)
    assert smallest_for_scales() == 161


def test_ssim_of_constant_pictures_is_the_luminance_term() -> None:
    a, b = torch.full((1, 1, 8, 8), 0.2), torch.full((1, 1, 8, 8), 0.6)
    assert float(ssim(a, b)) == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4), rel=1e-3)


def test_similarity_refuses_what_it_cannot_do() -> None:
    x = torch.rand(1, 1, 64, 64)
    with pytest.raises(UserError, match="at least 161"):
        ms_ssim(x, x)
    with pytest.raises(UserError, match="two batches"):
        ssim(x, x[..., 1:])
    with pytest.raises(UserError, match="3 × 3"):
        ssim(x[..., :2, :2], x[..., :2, :2])


def test_wilson_covers_as_it_says() -> None:
    generator = np.random.default_rng(0)
    for p, n in ((0.5, 30), (0.97, 100)):
        inside = [low <= p <= high for low, high in (wilson(k / n, n) for k in generator.binomial(n, p, 3000))]
        assert 0.92 < np.mean(inside) < 0.98
    assert wilson(0, 10)[0] == 0 and wilson(1, 10)[1] == 1
    assert share([True, False]).interval == wilson(0.5, 2)


def test_bootstrap_and_folds_estimate_the_spread() -> None:
    x = np.random.default_rng(0).normal(size=1000)
    stderr = bootstrap(lambda rows: x[rows].mean(), 1000, times=300)
    assert stderr == pytest.approx(x.std() / math.sqrt(1000), rel=0.15)
    assert over_folds([1.0, 2.0, 3.0]) == (2.0, pytest.approx(1 / math.sqrt(3)))
    assert over_folds([1.0]) == (1.0, None)


@pytest.mark.parametrize(
    ("clusters", "labels", "best"),
    [("001122", "220011", 1.0), ("000111", "012012", 1 / 3), ("012345", "000111", 1 / 3)],
)
def test_matched_accuracy(clusters: str, labels: str, best: float) -> None:
    assert matched_accuracy(np.array(list(clusters)), np.array(list(labels))) == pytest.approx(best)


def test_holes_of_a_prior_that_agrees_or_does_not() -> None:
    torch.manual_seed(0)
    same, _ = hole_share(torch.randn(4000, 2), torch.randn(4000, 2))
    assert 0.002 < same.mean() < 0.03
    angle = 2 * math.pi * torch.rand(4000, 1)
    ring = 2 * torch.cat([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(4000, 2)
    holes, _ = hole_share(torch.randn(4000, 2), ring)
    assert holes.mean() > 0.7
    a, b = torch.randn(70, 3), torch.randn(50, 3)
    torch.testing.assert_close(nearest(a, b, block=16), torch.cdist(a.double(), b.double()).min(1).values)


def subject(model: Any, n: int = 200, separated: bool = True) -> Subject:
    """Three classes as three far corners of a plane, or labels that have nothing to do with x."""
    info = DataInfo("corners", (2,), "real", None, 300, 0, n, ("a", "b", "c"))

    def make(size: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        y = torch.randint(3, (size,), generator=generator)
        centre = torch.tensor([[6.0, 0.0], [-6.0, 6.0], [-6.0, -6.0]])
        x = centre[y] + torch.randn(size, 2, generator=generator)
        return x, y if separated else torch.randint(3, (size,), generator=generator)

    x, y = make(n, 0)
    return Subject(model, info, x, y, train=lambda: make(300, 1))


def model(posterior: Any = DiagonalNormal) -> VAE:
    return VAE(posterior(mlp(2, 2)), StandardNormal(2), Gaussian(mlp(2, 2))).eval()


NAMES = ("linear_probe", "knn_accuracy", "cluster_nmi", "cluster_ari", "cluster_accuracy")


def test_probes_and_clusters_find_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model()
    monkeypatch.setattr(made, "features", lambda x, y=None: x)
    found = evaluate(subject(made), ["linear_probe", "knn_accuracy", "clustering"])
    assert all((found[name].value or 0) > 0.95 for name in NAMES)
    nothing = evaluate(subject(made, separated=False), ["linear_probe", "knn_accuracy", "clustering"])
    for name in NAMES:
        result = nothing[name]
        assert result.value is not None and (result.interval is not None or result.stderr is not None)
        expected = 0.0 if name in ("cluster_nmi", "cluster_ari") else 1 / 3
        assert result.value == pytest.approx(expected, abs=0.12), name


def test_holes_of_a_plain_autoencoder_and_of_what_has_no_prior() -> None:
    """An autoencoder has no prior to keep to; the share says so, and needs no density."""
    found = evaluate(subject(model(Delta)), ["holes"])["holes"]
    assert found.value is not None and found.interval is not None and found.facts["expected"] == 0.01
    few = subject(model(), n=10)
    assert "fewer than 20" in evaluate(few, ["holes"])["holes"].facts["refused"]


def test_structural_similarity_of_reconstructions(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (1, 12, 12)
    made = VAE(DiagonalNormal(mlp(shape, 2)), StandardNormal(2), Gaussian(mlp(2, shape))).eval()
    info = DataInfo("pictures", shape, "unit", None, 0, 0, 20)
    x = torch.rand(20, *shape)
    monkeypatch.setattr(made, "reconstruct", lambda x, y=None: x.flip(-1))
    found = evaluate(Subject(made, info, x, batch_size=7), ["ssim", "ms_ssim"])
    assert found["ssim"].value == pytest.approx(float(ssim(x, x.flip(-1)).mean()), rel=1e-5)
    assert found["ssim"].to_dict()["n"] == 20
    assert "too small" in found["ms_ssim"].facts["refused"]
    assert "ms_ssim" not in evaluate(Subject(made, info, x), ["reconstruction"])  # said to those who ask only


def test_all_leaves_slow_metrics_out_and_names_bring_them_in(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for entry in METRICS:
        fake = type(entry)(
            entry.name,
            lambda s, name=entry.name: called.append(name) or {name: Result(0.0, "", 1)},
            "",
            "",
            entry.facts,
        )
        monkeypatch.setitem(METRICS._entries, entry.name, fake)
    evaluate(subject(model()), ["all"])
    slow = {entry.name for entry in METRICS if entry.facts["slow"]}
    assert slow == {
        *("ais", "ais_gap", "columns", "rate_distortion", "gaps"),
        *("synthetic_c2st", "synthetic_shapes", "synthetic_utility", "synthetic_privacy", "synthetic_validity"),
        *("upper_bounds", "sbc", "dci_boosted", "code_paths", "encoder_snr", "sumo", "few_shot", "sets"),
    }
    assert not slow & set(called) and "elbo" in called
    called.clear()
    evaluate(subject(model()), ["ais"])
    assert set(called) == {"ais", "ais_gap", "rate_distortion"}


def test_every_number_says_what_it_means() -> None:
    for entry in METRICS:
        assert entry.summary and entry.facts["gives"], entry.name
        for meaning, better in entry.facts["gives"].values():
            assert meaning and better in (True, False, None)
