"""Metrics of time series against counting by hand, and against an exact predictive distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaekit.data.info import DataInfo
from vaekit.distributions.observed import ObservedCells
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.likelihoods.series import OfSeries
from vaekit.metrics.base import Subject, evaluate
from vaekit.metrics.series import Predicted, hidden_cells, interpolated, judged, last_cells
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.nets.series import series_nets
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal

INF, NAN = torch.inf, torch.nan
FACTS: dict[str, Any] = {"values": "real", "mean": [0.0], "sd": [2.0], "lengths": [[5, 3], [10, 3]]}


def subject(x: Tensor, sigma: float = 1.0, **more: Any) -> Subject:
    """A model whose decoder says 0 ± sigma whatever z is."""
    torch.manual_seed(0)
    net = mlp(2, (1, x.shape[-1]), ())
    part = OfSeries(Gaussian(net, scale=sigma), FACTS)
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    encoder = series_nets("conv", (1, x.shape[-1]), 2, width=4, layers=1)[0]
    model = VAE(DiagonalNormal(encoder), StandardNormal(2), part).eval()
    info = DataInfo("toy", (1, x.shape[-1]), "series", None, 9, 0, len(x), modality="series", facts=FACTS)
    return Subject(model, info, x, k=8, **more)


def noise(n: int = 600, steps: int = 10, seed: int = 11) -> Tensor:
    x = torch.randn(n, 1, steps, generator=torch.Generator().manual_seed(seed))
    x[: n // 2, :, 5:] = INF
    x[::7, :, 2] = NAN
    return x


def test_white_noise_is_predicted_at_its_entropy_with_the_right_coverage() -> None:
    """Cells are N(0, 1) as stored, units of 2: nats ½ log 2πe + log 2, error 1, coverage 0.9."""
    found = evaluate(subject(noise()), ["series"])
    for name in ("gap", "forecast"):
        nll, rmse, cover = (found[f"{name}_{one}"] for one in ("nll", "rmse", "coverage"))
        assert nll.value is not None and rmse.value is not None and cover.value is not None
        assert nll.value == pytest.approx(0.5 * math.log(2 * math.pi * math.e) + math.log(2), abs=5 * (nll.stderr or 0))
        assert rmse.value == pytest.approx(1, abs=5 * (rmse.stderr or 0))
        assert cover.value == pytest.approx(0.9, abs=5 * (cover.stderr or 0) + 0.02)
    assert found["gap_rmse_line"].value == pytest.approx(1.2, abs=0.15), (
        "the mean of two neighbours has half their noise"
    )
    assert found["forecast_rmse_last"].value == pytest.approx(2**0.5, abs=0.15)
    assert found["cell_mse"].value == pytest.approx(1, abs=0.1)


def test_a_model_too_sure_covers_less() -> None:
    found = evaluate(subject(noise(), sigma=0.5), ["gap_prediction"])
    assert 0.5 < (found["gap_coverage"].value or 0) < 0.7  # P(|N(0, 1)| < 1.645 / 2) = 0.589


def test_hidden_cells_are_observed_and_the_last_ones_follow_the_end() -> None:
    x = noise()
    for choose in (hidden_cells, last_cells):
        cells = choose(x, 0)
        assert bool(torch.isfinite(x[cells]).all()) and torch.equal(cells, choose(x, 0))
    assert last_cells(x, 0)[1].nonzero()[:, 1].tolist() == [4]
    assert last_cells(x, 0)[-1].nonzero()[:, 1].tolist() == [8, 9]
    assert 0.15 < float(hidden_cells(x, 0).sum() / torch.isfinite(x).sum()) < 0.25


def test_straight_lines() -> None:
    x = torch.tensor([[[NAN, 2.0, NAN, NAN, 8.0, 9.0, INF]], [[NAN, NAN, NAN, NAN, NAN, NAN, NAN]]])
    made = interpolated(x, torch.isinf(x) & False)
    torch.testing.assert_close(made[0, 0], torch.tensor([2.0, 2, 4, 6, 8, 9, 9]))
    assert bool(made[1].isnan().all())
    t = np.arange(12.0)
    seen = np.array([1, 4, 5, 9])
    rows = torch.full((1, 1, 12), NAN)
    rows[0, 0, seen] = torch.tensor(np.sin(seen)).float()
    made = interpolated(rows, torch.zeros_like(rows, dtype=torch.bool))[0, 0].numpy()
    np.testing.assert_allclose(made, np.interp(t, seen, np.sin(seen)), rtol=1e-5)


def test_numbers_of_a_prediction_by_hand() -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, NAN, INF]]])
    cells = torch.tensor([[[True, False, True]], [[True, False, False]]])
    one = Predicted(cells, torch.full_like(x, -2.0), torch.tensor([[[0.0, 9, 3]], [[2.0, 9, 9]]]), x - 1, x + 1)
    one = Predicted(
        one.cells, one.log_p, one.mean, torch.tensor([[[1.5, 0, 0]], [[0.0, 0, 0]]]), torch.full_like(x, 5.0)
    )
    found = judged(subject(x), one, torch.tensor([[[1.0, 0, NAN]], [[0.0, 0, 0]]]), "gap", "line")
    assert found["gap_nll"].value == 2 and found["gap_coverage"].value == pytest.approx(2 / 3)
    assert found["gap_rmse"].value == pytest.approx(((1 + 0 + 4) / 3) ** 0.5)
    assert found["gap_rmse_line"].value == pytest.approx((16 / 2) ** 0.5) and found["gap_rmse_line"].n == 2
    assert isinstance(subject(x).model.decode(torch.zeros(1, 2)), ObservedCells)
