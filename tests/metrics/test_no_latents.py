"""The baseline without latents is the model's own output distribution with constants, in the same units."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import vaekit
from recipes import examples
from vaekit.data.info import DataInfo
from vaekit.data.modality import MODALITIES
from vaekit.data.tables.modality import TableSettings
from vaekit.distributions.curves import Curves
from vaekit.distributions.edges import EdgesFamily
from vaekit.distributions.mixed import Layout, MixedColumns
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.distributions.observed import ObservedCells
from vaekit.metrics import no_latents as baseline
from vaekit.metrics.base import Subject

torch.manual_seed(0)


def info(shape: tuple[int, ...], kind: Any, levels: int | None = None, **more: Any) -> DataInfo:
    return DataInfo("toy", shape, kind, levels, 1, 1, 1, **more)


def test_independent_bits_cost_their_entropy() -> None:
    p = torch.tensor([0.1, 0.5, 0.9, 0.0])
    x = (torch.rand(20000, 4) < p).float()
    entropy = -(p * p.clamp(min=1e-9).log() + (1 - p) * (1 - p).clamp(min=1e-9).log()).sum()
    assert -float(baseline._levels(x, 2)(x).mean()) == pytest.approx(float(entropy), abs=0.02)


def test_a_level_is_a_mass_that_sums_to_one_and_a_density_that_integrates_to_it() -> None:
    levels = torch.randint(0, 5, (300, 1)).float()
    log_p = baseline._levels(levels / 4, 5)
    assert float(log_p(torch.arange(5.0)[:, None] / 4).exp().sum()) == pytest.approx(1.0, abs=1e-6)
    dense = baseline._levels((levels + torch.rand(300, 1)) / 5, 5, dequantised=True)
    grid = (torch.arange(1000)[:, None] + 0.5) / 1000
    assert float(dense(grid).exp().mean()) == pytest.approx(1.0, abs=1e-6)


def test_pixels_of_large_pictures_share_their_channels_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randint(0, 4, (50, 2, 3, 3)).float() / 3
    monkeypatch.setattr(baseline, "MOST_COUNTS", 10)
    shares = baseline._shares(
        torch.stack([torch.bincount((x[:, c] * 3).long().flatten(), minlength=4) for c in (0, 1)]).double()
    )
    expected = shares.log()[torch.arange(2).view(2, 1, 1), (x * 3).long()].flatten(1).sum(1)
    torch.testing.assert_close(baseline._levels(x, 4)(x), expected)


@pytest.mark.parametrize("scale", ["shared", "channel", "dimension", 0.7])
def test_real_values_cost_what_a_normal_with_constants_does_in_the_datas_units(scale: Any) -> None:
    raw = torch.randn(400, 3) * torch.tensor([1.0, 20.0, 0.05]) + 5
    mean, sd = raw.mean(0), raw.std(0, correction=0)
    whole = info((3,), "real", mean=tuple(mean.tolist()), deviation=tuple(sd.tolist()), standardised=True)
    made = baseline._real((raw - mean) / sd, whole, scale)((raw - mean) / sd)
    own = torch.full_like(sd, scale) if isinstance(scale, float) else sd
    expected = DiagonalNormalFamily(mean, own.log()).log_prob(raw)
    torch.testing.assert_close(made.float(), expected, rtol=1e-4, atol=1e-3)


def test_the_unit_of_the_data_is_that_of_the_nats() -> None:
    x = torch.randn(300, 2)
    a, b = (
        float(baseline._real(c * x, info((2,), "real", mean=(0.0,) * 2, deviation=(c, c)), "dimension")(c * x).mean())
        for c in (1.0, 8.0)
    )
    assert a - b == pytest.approx(2 * torch.tensor(8.0).log().item(), abs=1e-5)


def test_rows_of_a_table_cost_what_mixed_columns_with_constants_do() -> None:
    columns = [
        {"type": "numeric", "sd": 3.0, "mean": 1.0},
        {"type": "positive", "sd": 0.5, "mean": 2.0},
        {"type": "categorical", "levels": ["a", "b", "c"]},
    ]
    x = torch.cat([torch.randn(500, 2), torch.randint(0, 3, (500, 1)).float()], 1)
    x[torch.rand(500, 3) < 0.2] = torch.nan
    seen = [column[~column.isnan()] for column in x.unbind(1)]
    loc, sd = (torch.stack([f(v) for v in seen[:2]]) for f in (torch.mean, lambda v: v.std(correction=0)))
    logits = baseline._shares(torch.bincount(seen[2].long(), minlength=3).double()[None]).log().float()
    px = MixedColumns(Layout.of(columns), DiagonalNormalFamily(loc, sd.log()), None, logits)
    made = baseline._table(x, info((3,), "table", facts={"columns": columns}))(x)
    torch.testing.assert_close(made.float(), px.log_prob(x), rtol=1e-4, atol=1e-4)


LAWS = {"normal": stats.norm(5, 1), "lognormal": stats.lognorm(1), "counts": stats.poisson(300)}


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("law", LAWS)
def test_columns_as_they_are_read_cost_their_entropy_in_their_own_units(law: str, scale: float) -> None:
    rng = np.random.default_rng(0)
    unit = 1.0 if law == "counts" else scale
    table = {"a": LAWS[law].rvs(20_000, random_state=rng) * unit, "other": rng.normal(size=20_000)}
    data = MODALITIES["tables"].part.load(table, TableSettings(valid=0.0, test=0.5))
    assert data.info.facts["columns"][0]["curve"]
    made = baseline._table(data.train.x, data.info)(data.test.x)
    expected = -LAWS[law].entropy() - math.log(unit) - stats.norm.entropy()
    # Nothing predicts the other half better than the law itself; a curve of some fifty pieces a little worse.
    error = float(made.std()) / len(made) ** 0.5
    assert expected - 0.04 - 3 * error < float(made.mean()) < expected + 3 * error


def test_the_marginals_of_curves_are_normalised() -> None:
    spiked = {"u": [-9.0, -1.0, 0.5, 9.0], "v": [-4.0, 0.0, 0.0, 6.0]}
    steps = {"u": [-9.0, 0.0, 9.0], "v": [-20.0, 1.0, 40.0], "step": True, "floor": -3.0}
    curves = Curves.of([{"type": "numeric", "curve": spiked}])
    u = torch.linspace(-9, 9, 200_001, dtype=torch.float64)[:, None]
    log_p, cells = curves.log_marginal(u), curves.cells(u)
    # ∫ p(v) dv = ∫ p(v) dQ/du du where Q rises, and the mass of the value on which it is level
    density = torch.where(cells.mass, 0.0, (log_p + cells.log_slope).exp())
    assert float(torch.trapezoid(density[:, 0], u[:, 0])) + float(log_p[cells.mass].exp()[0]) == pytest.approx(
        1, abs=1e-4
    )
    whole = Curves.of([{"type": "numeric", "curve": steps}])
    values = torch.arange(-3.0, 40.0, dtype=torch.float64)[:, None]
    assert float(whole.log_marginal(whole.score(values)).exp().sum()) == pytest.approx(1, abs=1e-9)


def test_a_series_costs_what_observed_cells_with_constants_do() -> None:
    x = torch.randn(50, 2, 7)
    x[torch.rand(x.shape) < 0.2] = torch.nan
    x[:10, :, 5:] = torch.inf
    seen = [c[torch.isfinite(c)] for c in x.unbind(1)]
    loc, sd = (
        torch.stack([f(v) for v in seen]).view(1, 2, 1).expand(1, 2, 7)
        for f in (torch.mean, lambda v: v.std(correction=0))
    )
    px = ObservedCells(DiagonalNormalFamily(loc, sd.log(), 2), torch.tensor([[2.0], [3.0]]).log())
    made = baseline._series(x, info((2, 7), "series", facts={"sd": [2.0, 3.0]}))(x)
    torch.testing.assert_close(made.float(), px.log_prob(x), rtol=1e-4, atol=1e-4)


def test_tokens_cost_their_shares_and_padding_nothing() -> None:
    x = torch.tensor([[4, 5, 2, 0], [4, 4, 4, 2], [5, 2, 0, 0]])
    made = baseline._tokens(x, info((4,), "tokens", 6))
    counts = torch.tensor([0, 0, 2, 0, 4, 2]).double()  # the END at the last place is certain
    log_p = baseline._shares(counts[None]).log()[0]
    torch.testing.assert_close(
        made(x), torch.stack([log_p[4] + log_p[5] + log_p[2], 3 * log_p[4], log_p[5] + log_p[2]])
    )
    torch.testing.assert_close(made(x[2:, :2]), made(x)[2:])


def test_graphs_cost_one_probability_for_every_pair() -> None:
    run = vaekit.train("graph-vae", examples.source("graph-vae"), steps=1, pictures=False)
    train, test = run.training().x, run.test.x
    pairs = float((train.sizes * (train.sizes - 1) / 2).sum())
    bias = torch.logit(torch.tensor(len(train.edges) / pairs))
    zero = torch.zeros(len(test), test.pad, 1)
    expected = EdgesFamily(zero, zero, bias, test.sizes).log_prob(test)
    torch.testing.assert_close(baseline._links(train)(test).float(), expected, rtol=1e-4, atol=1e-4)


def test_a_class_that_is_given_has_its_own_distribution() -> None:
    run = vaekit.train("cvae", "digits", steps=1, set={"model.latent": 2, "model.hidden": [8]}, pictures=False)
    subject: Subject = run.subject()
    made = baseline.no_latents(subject)["no_latents"]
    train, y = run.training().inputs, run.training().y
    assert y is not None and subject.y is not None and made.values is not None
    own: Tensor = baseline._levels(train[y == 3], 2)(subject.x[subject.y == 3])
    torch.testing.assert_close(made.values[subject.y == 3], own.float())
