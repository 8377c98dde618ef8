"""Numbers of tables as they are: curves there and back, and probabilities that sum to 1 in the columns' own units."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data.tables.columns import restore, store
from vaekit.data.tables.quantiles import fit_curve, fit_cycle, to_scores, to_values, unwarped, warped
from vaekit.distributions.curves import CurvedColumns, Curves

RNG = np.random.default_rng(0)
SPIKED = np.concatenate([np.zeros(300), RNG.exponential(5.0, 500), np.full(100, 7.5)])
VALUES: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "normal": (RNG.normal(3.0, 2.0, 800), {}),
    "heavy": (RNG.standard_t(1.5, 800), {}),
    "spiked": (SPIKED, {}),
    "long": (RNG.lognormal(8.0, 2.0, 800), {"log": True}),
    "counts": (RNG.poisson(2.0, 800).astype(float), {"whole": True, "floor": 0.0}),
    "codes": (RNG.integers(10_000, 99_999, 800).astype(float), {"whole": True}),
    "bursts": (
        np.where(RNG.random(800) < 0.7, 0.0, RNG.poisson(400, 800)).astype(float),
        {"whole": True, "floor": 0.0},
    ),
    "wages": (np.ceil(RNG.lognormal(3.0, 1.0, 800)), {"log": True, "whole": True, "floor": 1.0}),
    "two": (np.array([1.5, 3.5]), {}),
}


WORKDAYS = np.array([day for day in range(18_993, 19_393) if day % 7 not in (2, 3)], dtype=float)  # 2022-01-01 on
DAYS = RNG.choice(WORKDAYS, 800)
TIMES = DAYS + RNG.integers(9 * 3600, 17 * 3600, 800) / 86400
VALUES["workdays"] = (DAYS, {"whole": True, "cycle": fit_cycle(DAYS, timed=False)})
VALUES["office"] = (TIMES, {"cycle": fit_cycle(TIMES, timed=True)})
VALUES["stamps"] = (np.where(RNG.random(800) < 0.2, TIMES[0], TIMES), {"cycle": fit_cycle(TIMES, timed=True)})


def column(name: str) -> dict[str, Any]:
    values, how = VALUES[name]
    kind = "positive" if how.get("log") else "numeric"
    return {"name": name, "type": kind, "curve": fit_curve(values, **how)}


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_and_torch_agrees(name: str) -> None:
    values, facts = VALUES[name][0], column(name)
    stored = store(values, facts)
    back = restore(stored, facts)
    if VALUES[name][1].get("whole"):
        np.testing.assert_array_equal(back, values)
    else:
        np.testing.assert_allclose(back, values, rtol=1e-5, atol=1e-5 * np.abs(values).std())
    curves, x = Curves.of([facts]), torch.from_numpy(stored).unsqueeze(1)
    np.testing.assert_allclose(
        curves.value(x)[:, 0].numpy(), to_values(stored.astype(float), facts["curve"]), rtol=1e-12
    )
    torch.testing.assert_close(curves.settled(x), x)


def test_scores_are_nearly_normal() -> None:
    for name in ("normal", "heavy", "long"):
        scores = store(VALUES[name][0], column(name))
        assert abs(scores.mean()) < 0.05 and abs(scores.std() - 1) < 0.05


@pytest.mark.parametrize("name", ["counts", "bursts", "wages"])
def test_masses_of_whole_numbers_sum_to_1(name: str) -> None:
    facts = column(name)
    curves = Curves.of([facts])
    numbers = np.arange(facts["curve"]["floor"], 60_000.0)
    every = torch.from_numpy(to_scores(np.log(numbers) if facts["type"] == "positive" else numbers, facts["curve"]))
    for loc, scale in ((0.0, -1.0), (-1.5, -2.0), (1.0, -3.0)):
        p = CurvedColumns(curves, torch.tensor([loc]).double(), torch.tensor([scale]).double())
        assert float(p.log_prob(every.unsqueeze(1)).exp().sum()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("name", ["normal", "spiked", "long"])
def test_density_and_spikes_together_are_1_in_the_columns_units(name: str) -> None:
    facts = column(name)
    curve, curves = facts["curve"], Curves.of([facts])
    p = CurvedColumns(curves, torch.tensor([0.3]).double(), torch.tensor([-1.0]).double())
    spikes = sorted({a for a, b in pairwise(curve["v"]) if a == b})
    total = 0.0
    for spike in spikes:
        score = torch.from_numpy(to_scores(np.array([spike]), curve)).unsqueeze(1)
        total += float(p.log_prob(score).exp())
    edges = np.unique(curve["v"])
    for low, high in pairwise(edges):  # the density is smooth within each piece
        middle = low + (high - low) * (np.arange(400) + 0.5) / 400
        score = torch.from_numpy(to_scores(middle, curve)).unsqueeze(1)
        step = (high - low) / 400 * (np.exp(middle) if facts["type"] == "positive" else 1.0)
        total += float((p.log_prob(score).exp() * torch.from_numpy(np.broadcast_to(step, middle.shape).copy())).sum())
    assert spikes == ([0.0, 7.5] if name == "spiked" else [])
    assert total == pytest.approx(1.0, abs=2e-3)


def test_draws_have_the_shares_and_bounds_of_the_rows() -> None:
    torch.manual_seed(0)
    facts = column("spiked")
    score = torch.randn(20_000, 1)
    values = restore(CurvedColumns(Curves.of([facts]), score, torch.tensor([-9.0])).sample()[:, 0].numpy(), facts)
    assert values.min() == 0.0 and values.max() == pytest.approx(SPIKED.max())
    assert (values == 0).mean() == pytest.approx(300 / 900, abs=0.02)
    assert (values == 7.5).mean() == pytest.approx(100 / 900, abs=0.02)


def test_a_value_beyond_the_training_rows_has_a_density() -> None:
    for name in VALUES:
        facts = column(name)
        beyond = store(np.array([3.0 * VALUES[name][0].max() + 7]), facts)
        p = CurvedColumns(Curves.of([facts]), torch.zeros(1), torch.zeros(1))
        assert bool(torch.isfinite(p.log_prob(torch.from_numpy(beyond).unsqueeze(1))).all())


def test_gradients_are_finite_far_from_a_value() -> None:
    curves = Curves.of([column("counts"), column("spiked")])
    loc, scale = torch.tensor([30.0, -30.0], requires_grad=True), torch.tensor([-5.0, -5.0], requires_grad=True)
    x = torch.tensor([[store(np.array([0.0]), column("counts"))[0], store(np.array([7.5]), column("spiked"))[0]]])
    CurvedColumns(curves, loc, scale).log_prob(x).sum().backward()
    assert loc.grad is not None and scale.grad is not None
    assert bool(torch.isfinite(loc.grad).all() and torch.isfinite(scale.grad).all())


# -- cycles of dates ---------------------------------------------------------------------------------------------------


def drawn(name: str, n: int = 40_000) -> np.ndarray:
    """Return draws of standard normal scores, as those of training rows are."""
    torch.manual_seed(0)
    d = CurvedColumns(Curves.of([column(name)]), torch.randn(n, 1), torch.full((n, 1), -9.0))
    return restore(d.sample()[:, 0].numpy(), column(name))


def test_draws_keep_weekends_and_nights_free() -> None:
    days, times = drawn("workdays"), drawn("office")
    assert not np.isin(days % 7, (2, 3)).mean() > 0.002 and set(days) <= set(range(18_993, 19_393))
    hours = (times % 1) * 24
    assert np.isin(np.floor(times) % 7, (2, 3)).mean() < 0.002
    assert ((hours < 9) | (hours >= 17)).mean() < 0.01
    for day in (4, 5, 6, 0, 1):  # and the others as often
        expected = float(np.mean(np.equal(DAYS % 7, day)))
        assert np.equal(np.floor(days) % 7, day).mean() == pytest.approx(expected, abs=0.01)


def test_without_a_cycle_they_were_not_free() -> None:
    curve = fit_curve(TIMES)
    torch.manual_seed(0)
    score = torch.randn(20_000, 1)
    facts = {"type": "numeric", "curve": curve}
    made = restore(CurvedColumns(Curves.of([facts]), score, torch.tensor([-9.0])).sample()[:, 0].numpy(), facts)
    assert np.isin(np.floor(made) % 7, (2, 3)).mean() > 0.1


@pytest.mark.parametrize("name", ["workdays", "office"])
def test_probabilities_of_dates_with_a_cycle_sum_to_1(name: str) -> None:
    facts = column(name)
    for loc, scale in ((0.0, -1.0), (0.7, -2.0)):
        p = CurvedColumns(Curves.of([facts]), torch.tensor([loc]).double(), torch.tensor([scale]).double())
        if name == "workdays":
            days = np.arange(18_000.0, 20_500.0)
            score = torch.from_numpy(to_scores(days, facts["curve"])).unsqueeze(1)
            total = float(p.log_prob(score).exp().sum())
        else:  # by the middle of each quarter of an hour
            days = np.arange(18_500, 20_000, 1 / 96) + 1 / 192
            score = torch.from_numpy(to_scores(days, facts["curve"])).unsqueeze(1)
            total = float(p.log_prob(score).exp().sum()) / 96
        assert total == pytest.approx(1.0, abs=2e-3)


def test_a_density_is_the_slope_of_its_distribution_function() -> None:
    facts = column("office")
    p = CurvedColumns(Curves.of([facts]), torch.tensor([0.2]).double(), torch.tensor([-1.0]).double())
    days = TIMES[:200] + 0.0123
    below, above = (torch.from_numpy(to_scores(days + end, facts["curve"])) for end in (-1e-5, 1e-5))
    rate = np.exp(1.0)
    slope = (torch.sigmoid((above - 0.2) * rate) - torch.sigmoid((below - 0.2) * rate)) / 2e-5
    found = p.log_prob(torch.from_numpy(to_scores(days, facts["curve"])).unsqueeze(1)).exp()
    near = torch.isclose(found, slope, rtol=1e-3)
    assert near.double().mean() > 0.98  # but where a piece ends within the difference


def test_even_dates_and_few_have_no_cycle() -> None:
    even = RNG.integers(18_000, 19_000, 800).astype(float)
    assert fit_cycle(even, timed=False) is None and fit_cycle(even + RNG.random(800), timed=True) is None
    assert fit_cycle(WORKDAYS[:9], timed=False) is None and fit_cycle(np.repeat(WORKDAYS[:9], 20), timed=False) is None
    hours = fit_cycle(even + RNG.uniform(0.3, 0.6, 800), timed=True)
    assert hours is not None and np.allclose(np.sum(np.reshape(hours["shares"], (7, 24)), 1), 1 / 7)


def test_time_goes_forth_and_back() -> None:
    cycle = fit_cycle(TIMES, timed=True)
    days = RNG.uniform(-1000, 30_000, 1000)
    np.testing.assert_allclose(unwarped(warped(days, cycle), cycle), days, rtol=0, atol=1e-5)
    weeks = np.arange(-5.0, 5.0) * 7
    np.testing.assert_allclose(warped(weeks, cycle), weeks, atol=1e-9)


# -- expectations of whole numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["counts", "grades", "pay"])
def test_the_expectation_of_whole_numbers_is_that_of_what_is_drawn(name: str) -> None:
    """Σ_n v_n p(n), with what is beyond the training rows' range at its ends, as draws are."""
    own = {
        "counts": VALUES["counts"],
        "grades": (RNG.integers(1, 6, 800).astype(float), {"whole": True}),
        "pay": (np.ceil(RNG.lognormal(1.0, 0.5, 800)), {"log": True, "whole": True, "floor": 1.0}),
    }
    values, how = own[name]
    facts = {"name": name, "type": "positive" if how.get("log") else "numeric", "curve": fit_curve(values, **how)}
    numbers = np.arange(values.min() - 50, values.max() + 5000)
    numbers = numbers[numbers >= how.get("floor", -np.inf)]
    every = torch.from_numpy(to_scores(np.log(numbers) if how.get("log") else numbers, facts["curve"])).unsqueeze(1)
    within = np.clip(numbers, values.min(), values.max())
    for loc, scale in ((0.0, -1.0), (-1.3, -0.5), (1.0, 0.0), (2.5, -2.0)):
        d = CurvedColumns(Curves.of([facts]), torch.tensor([loc]).double(), torch.tensor([scale]).double())
        p = d.log_prob(every).exp().numpy()
        exact = float((p * (np.log(within) if how.get("log") else within)).sum() / p.sum())
        assert p.sum() == pytest.approx(1, abs=1e-4)
        assert float(d.expectation) == pytest.approx(exact, abs=2e-4), (loc, scale)


def test_columns_of_many_and_of_few_numbers_stand_side_by_side() -> None:
    columns = [column("codes"), column("counts"), column("normal")]
    loc = torch.randn(7, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    d = CurvedColumns(Curves.of(columns), loc, torch.full((7, 3), -1.0).double())
    scale = torch.full((7, 1), -1.0).double()
    alone = [CurvedColumns(Curves.of([one]), loc[:, [j]], scale).expectation for j, one in enumerate(columns)]
    torch.testing.assert_close(d.expectation, torch.cat(alone, 1))
