"""Simulation-based calibration: uniform for an exact posterior, and what it says of one that is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest
from torch import Tensor

from linear_gaussian import LinearGaussian
from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.metrics.base import Result, Subject, evaluate
from vaekit.metrics.calibration import chi_square, histogram, ranks, simulate, spread
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.delta import Delta
from vaekit.priors.normal import StandardNormal


def toy(latent: int = 1, *, wider: float = 1.0, shift: float = 0.0) -> LinearGaussian:
    """A linear-Gaussian model whose q is the exact posterior, its σ times `wider` and its mean moved by `shift` σ."""
    made = LinearGaussian.make(features=4, latent=latent)
    made.model.eval()
    head: Any = made.model.posterior
    with torch.no_grad():
        bias = head.net.head.bias
        sd = (7 * torch.tanh(bias[latent : 2 * latent] / 7)).exp()
        bias[:latent] += shift * sd
        bias[latent : 2 * latent] = 7 * torch.atanh((sd * wider).log() / 7)
    return made


def measured(made: LinearGaussian, **options: Any) -> dict[str, Result]:
    x = made.sample(4)
    info = DataInfo("toy", tuple(x.shape[1:]), "real", None, 1, 1, len(x))
    options = {f"sbc_{name}": value for name, value in options.items()}
    return evaluate(Subject(made.model, info, x, options=options), ["sbc"])


def test_simulated_codes_have_the_joint_distribution_of_the_model() -> None:
    made = toy(2)
    z, x = simulate(made.model, 20_000)
    assert (x.mean(0) - made.mean).abs().max() < 0.06
    torch.testing.assert_close(x.T.cov(), made.marginal().covariance_matrix, rtol=0.06, atol=0.06)
    slope = torch.linalg.lstsq(z.double(), x - made.mean).solution.T
    torch.testing.assert_close(slope, made.weight, rtol=0, atol=0.03)


def test_of_the_exact_posterior_the_p_value_is_uniform_and_the_spread_1() -> None:
    made, found, spreads = toy(), list[float](), list[Tensor]()
    for _ in range(300):
        each = ranks(made.model, 100, draws=19)
        found.append(float(chi_square(histogram(each, 19))[0]))
        spreads.append(spread(each, 19))
    assert kstest(found, "uniform").pvalue > 0.01
    every = torch.cat(spreads)
    assert abs(float(every.mean()) - 1) < 4 * float(every.std()) / len(every) ** 0.5


def test_the_level_of_the_worst_of_several_dimensions_is_not_above_its_name() -> None:
    made = toy(3)
    each = [chi_square(histogram(ranks(made.model, 100, draws=19), 19)) for _ in range(150)]
    worst = torch.stack([(3 * p.min()).clamp(max=1) for p in each])
    assert float((worst < 0.05).double().mean()) < 0.10


@pytest.mark.parametrize(
    ("wider", "shift", "words", "low", "high"),
    [
        (0.5, 0.0, "z1 is the worst of 1: it is too narrow", 1.2, 3.0),
        (2.0, 0.0, "it is too wide", 0.2, 0.8),
        (1.0, 0.5, "its mean is too high", 1.0, 1.6),
        (1.0, -0.5, "its mean is too low", 1.0, 1.6),
    ],
)
def test_what_is_wrong_with_a_posterior_is_flagged(
    wider: float, shift: float, words: str, low: float, high: float
) -> None:
    found = measured(toy(wider=wider, shift=shift))
    p, wide = found["sbc_p_value"], found["sbc_spread"]
    assert p.value is not None and p.value < 1e-4 and words in p.facts["caution"]
    assert wide.value is not None and low < wide.value < high
    assert wide.stderr is not None and abs(wide.value - 1) > 3 * wide.stderr


def test_the_spread_of_a_known_posterior_is_its_formula() -> None:
    """With q's σ times s, u = Φ(t/s) of a standard normal t: 12 E(u - ½)², here by quadrature."""
    for wider in (0.5, 2.0):
        t = torch.linspace(-8, 8, 4001, dtype=torch.float64)
        u = torch.special.ndtr(t / wider)
        expected = float(torch.trapezoid(12 * (u - 0.5).square() * torch.exp(-0.5 * t * t), t)) / (2 * np.pi) ** 0.5
        found = spread(ranks(toy(wider=wider).model, 4000, draws=999), 999)
        error = float(found.std()) / len(found) ** 0.5
        assert abs(float(found.mean()) - expected) < 4 * error + 0.003 and error < 0.03


def test_the_worst_dimension_is_named_and_multiplied_by_their_number() -> None:
    made = toy(3)
    bad = made.model.posterior.net
    with torch.no_grad():
        head: Any = bad
        head.head.bias[1] += 0.3  # the mean of the second
    found = measured(made, simulated=500)["sbc_p_value"]
    facts = found.facts
    assert facts["worst"] == "z2" and facts["dimensions"][0] == 2 and len(facts["counts"]) == 3
    assert found.value == pytest.approx(min(1.0, 3 * min(facts["p_values"])))
    assert [sum(counts) for counts in facts["counts"]] == [500] * 3


def test_the_test_is_pearsons() -> None:
    counts = torch.tensor([[48, 52, 61, 39], [50, 50, 50, 50]])
    expected = [chisquare(row).pvalue for row in counts.numpy()]
    np.testing.assert_allclose(chi_square(counts), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("n", "draws", "bars"), [(1000, 99, 20), (100, 99, 10), (1000, 19, 20), (1000, 9, 10), (1000, 38, 13)]
)
def test_bars_hold_as_many_ranks_each(n: int, draws: int, bars: int) -> None:
    every = torch.arange(draws + 1).repeat(n // (draws + 1) + 1)[:n].unsqueeze(1)
    assert histogram(every, draws).shape == (1, bars)
    whole = torch.arange(draws + 1).repeat(10).unsqueeze(1)
    counts = histogram(whole, draws)
    assert len(counts[0].unique()) == 1 and int(counts.sum()) == len(whole)


def test_what_it_does_not_apply_to_says_why() -> None:
    model = VAE(Delta(mlp(4, 2)), StandardNormal(2), Bernoulli(mlp(2, 4))).eval()
    info = DataInfo("toy", (4,), "binary", 2, 1, 1, 4)
    found = evaluate(Subject(model, info, torch.ones(4, 4)), ["sbc_spread"])
    assert all("point mass" in result.facts["refused"] for result in found.values())
    assert "at least 20 simulated" in measured(toy(), simulated=5)["sbc_spread"].facts["refused"]
    with pytest.raises(UserError, match="101 ranks"):
        histogram(torch.zeros(100, 1, dtype=torch.int64), 100)


@pytest.mark.parametrize("draws", [1, 4, 99])
def test_uniform_ranks_have_a_spread_of_one(draws: int) -> None:
    every = torch.arange(draws + 1).unsqueeze(1)
    found = spread(every, draws)
    assert float(found.mean()) == pytest.approx(1)
    torch.testing.assert_close(found, found.flip(0))
