"""Mixed columns against scipy, cell by cell; missing cells; answers and draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from vaekit.distributions.base import in_support, measure_of
from vaekit.distributions.counts import NegativeBinomialFamily
from vaekit.distributions.mixed import NEVER, Layout, MixedColumns, ordered_logits
from vaekit.distributions.normal import DiagonalNormalFamily

# In the row's order: a choice, a real column, a count, a positive column, an ordered choice.
COLUMNS: list[dict[str, Any]] = [
    {"type": "categorical", "levels": ["a", "b"]},
    {"type": "numeric", "mean": 10.0, "sd": 4.0},
    {"type": "count"},
    {"type": "positive", "mean": 2.0, "sd": 0.5},
    {"type": "ordinal", "levels": ["low", "mid", "high"]},
]
LAYOUT = Layout.of(COLUMNS)
MISS = math.nan


def make(batch: int = 4, seed: int = 0) -> MixedColumns:
    noise = torch.Generator().manual_seed(seed)
    normal = DiagonalNormalFamily(torch.randn(batch, 2, generator=noise).double(), torch.tensor([0.3, -0.4]).double())
    count = NegativeBinomialFamily(torch.randn(batch, 1, generator=noise).double(), torch.tensor([-0.5]).double())
    logits = torch.randn(batch, 2, 3, generator=noise).double()
    logits[:, 0, 2] = NEVER
    return MixedColumns(LAYOUT, normal, count, logits)


def by_hand(d: MixedColumns, row: int, value: list[float]) -> list[float]:
    """Each cell's log-density by scipy, `value` being stored ones."""
    real, count, probs = d.real, d.count, d.probs[row].numpy()
    assert isinstance(real, DiagonalNormalFamily) and isinstance(count, NegativeBinomialFamily)
    loc, sd = real.loc[row].numpy(), real.log_scale.exp().numpy()
    mean, alpha = float(count.log_mean[row, 0].exp()), float(count.log_dispersion[0].exp())
    raw = 10.0 + 4.0 * value[1]
    positive = math.exp(2.0 + 0.5 * value[3])
    lognormal: Any = stats.lognorm(s=0.5 * sd[1], scale=math.exp(2.0 + 0.5 * loc[1]))
    return [
        math.log(probs[0, int(value[0])]),
        float(stats.norm.logpdf(raw, 10.0 + 4.0 * loc[0], 4.0 * sd[0])),
        float(stats.nbinom.logpmf(value[2], 1 / alpha, 1 / (1 + alpha * mean))),
        lognormal.logpdf(positive),
        math.log(probs[1, int(value[4])]),
    ]


ROWS = [[1.0, 0.3, 2.0, -0.7, 2.0], [0.0, -1.5, 0.0, 1.2, 0.0], [1.0, 2.0, 7.0, 0.1, 1.0], [0.0, 0.0, 1.0, 0.0, 2.0]]


def test_every_cell_in_its_own_units() -> None:
    d, x = make(), torch.tensor(ROWS, dtype=torch.float64)
    expected = np.array([by_hand(d, i, row) for i, row in enumerate(ROWS)])
    np.testing.assert_allclose(d.log_prob_elements(x).numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(d.log_prob(x).numpy(), expected.sum(1), rtol=1e-9)


def test_missing_cells_have_no_factor_and_no_gradient() -> None:
    d, x = make(), torch.tensor(ROWS, dtype=torch.float64)
    gaps = torch.tensor([[1, 0, 0, 1, 0], [0, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]).bool()
    expected = np.array([by_hand(d, i, row) for i, row in enumerate(ROWS)])
    expected[gaps.numpy()] = 0
    loc = d.real.loc.requires_grad_()  # type: ignore[union-attr]
    found = d.log_prob(torch.where(gaps, MISS, x))
    np.testing.assert_allclose(found.detach().numpy(), expected.sum(1), rtol=1e-9)
    assert found[2] == 0
    found.sum().backward()
    assert loc.grad is not None and bool(torch.isfinite(loc.grad).all())
    assert bool((loc.grad[gaps[:, [1, 3]]] == 0).all()) and bool((loc.grad[~gaps[:, [1, 3]]] != 0).all())


def test_samples_lead_the_batch() -> None:
    d = make(3 * 4)
    many = MixedColumns(
        LAYOUT,
        DiagonalNormalFamily(d.real.loc.view(3, 4, 2), d.real.log_scale),  # type: ignore[union-attr]
        NegativeBinomialFamily(d.count.log_mean.view(3, 4, 1), d.count.log_dispersion),  # type: ignore[union-attr]
        d.logits.view(3, 4, 2, 3),  # type: ignore[union-attr]
    )
    x = torch.tensor(ROWS, dtype=torch.float64)
    x[0, 1] = MISS
    assert many.batch_shape == (3, 4) and many.event_shape == (5,)
    torch.testing.assert_close(many.log_prob(x).flatten(), d.log_prob(x.repeat(3, 1)))
    assert many.sample().shape == many.mean.shape == many.mode.shape == (3, 4, 5)


def test_order_of_columns_does_not_matter() -> None:
    d, x = make(), torch.tensor(ROWS, dtype=torch.float64)
    turn = [3, 0, 4, 2, 1]  # the real columns and the choices swap their places too
    layout = Layout.of([COLUMNS[i] for i in turn])
    real, count, logits = d.real, d.count, d.logits
    assert isinstance(real, DiagonalNormalFamily) and count is not None and logits is not None
    swapped = DiagonalNormalFamily(real.loc.flip(-1), real.log_scale.flip(-1))
    other = MixedColumns(layout, swapped, count, logits)
    torch.testing.assert_close(other.log_prob(x[:, turn]), d.log_prob(x))
    torch.testing.assert_close(other.mean, d.mean[:, turn])


def test_support() -> None:
    d, x = make(), torch.tensor(ROWS, dtype=torch.float64)
    assert in_support(d, x).tolist() == [True] * 4
    assert in_support(d, torch.full_like(x, MISS)).tolist() == [True] * 4
    for place, wrong in ((0, 2.0), (0, 0.5), (1, math.inf), (2, -1.0), (2, 1.5), (4, 3.0)):
        bad = x.clone()
        bad[1, place] = wrong
        assert in_support(d, bad).tolist() == [True, False, True, True], (place, wrong)
    assert measure_of(d) == "density"
    assert measure_of(MixedColumns(Layout.of(COLUMNS[:1]), None, None, torch.zeros(1, 1, 2))) == "mass"


def test_answers() -> None:
    d = make()
    mean = d.mean
    assert d.real is not None and d.count is not None
    torch.testing.assert_close(mean[:, [1, 3]], d.real.mean)
    torch.testing.assert_close(mean[:, 2], d.count.mean[:, 0])
    assert mean[:, 0].tolist() == d.probs[:, 0].argmax(-1).tolist()
    for row, probs in zip(mean, d.probs[:, 1].numpy()):
        assert int(row[4]) == int(np.searchsorted(probs.cumsum(), 0.5))
    # Where a level has most, but less than half, the median of ordered levels is another.
    logits = torch.tensor([[0.4, 0.25, 0.35]]).log()
    one = MixedColumns(Layout.of(COLUMNS[4:]), None, None, logits.unsqueeze(0))
    assert one.mean.item() == 1.0 and one.mode.item() == 0.0


def test_draws_follow_the_densities() -> None:
    torch.manual_seed(0)
    d = make(2)
    x = d.sample(torch.Size((20_000,)))
    assert x.shape == (20_000, 2, 5) and bool(in_support(d, x).all())
    assert d.real is not None
    torch.testing.assert_close(x[..., [1, 3]].mean(0), d.real.mean, atol=0.05, rtol=0)
    for place, row in ((0, 0), (4, 1)):
        shares = torch.stack([(x[..., place] == level).double().mean(0) for level in range(3)], -1)
        torch.testing.assert_close(shares, d.probs[:, row], atol=0.02, rtol=0)


def test_ordered_levels_are_cumulative_logits() -> None:
    score = torch.linspace(-3, 3, 7).double().view(7, 1)
    cuts = np.array([-1.0, 0.5, 0.7])
    log_gaps = torch.tensor(np.log(np.diff(cuts)))[None]
    found = ordered_logits(score, torch.tensor(cuts[:1]), log_gaps, [4]).exp().squeeze(1).numpy()
    cumulative = 1 / (1 + np.exp(-(cuts - score.numpy())))
    expected = np.diff(cumulative, axis=1, prepend=0.0, append=1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_ordered_levels_of_unlike_number() -> None:
    score = torch.zeros(1, 2).double()
    first, gaps = torch.tensor([0.0, -1.0]).double(), torch.zeros(2, 2).double()
    found = ordered_logits(score, first, gaps, [2, 4]).exp()
    torch.testing.assert_close(found.sum(-1), torch.ones(1, 2).double())
    torch.testing.assert_close(found[0, 0], torch.tensor([0.5, 0.5, 0.0, 0.0]).double())


@pytest.mark.parametrize("score", [1e4, -1e4])
def test_ordered_levels_far_out_stay_finite(score: float) -> None:
    at = torch.full((1, 1), score, requires_grad=True)
    gaps = torch.full((1, 2), -7.0, requires_grad=True)
    found = ordered_logits(at, torch.zeros(1), gaps, [4])
    found[0, 0, 1].backward()
    assert bool(torch.isfinite(found).all())
    assert at.grad is not None and gaps.grad is not None
    assert bool(torch.isfinite(at.grad).all() & torch.isfinite(gaps.grad).all())
