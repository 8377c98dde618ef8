"""Numbers of tables as they are: curves there and back, and probabilities that sum to 1 in the columns' own units."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data.tables.columns import restore, store
from vaekit.data.tables.quantiles import fit_curve, to_scores, to_values
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
