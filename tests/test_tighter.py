"""Estimates of log p(x) beside the importance-weighted bound: the thermodynamic sums and SUMO, against exact values."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import toys
from linear_gaussian import LinearGaussian
from objectives.test_scores import at, bits, every, gradient, joint
from vaekit import bounds
from vaekit.errors import NotALikelihood, UserError
from vaekit.metrics.base import Subject
from vaekit.metrics.unbiased import caution, largest_share, sumo
from vaekit.objectives.samples import own_slopes
from vaekit.objectives.thermodynamic import Thermodynamic, partition

ALL = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64)


def log_p(model: Any, x: Tensor) -> Tensor:
    """log p(x) of the model of bits, every code summed out."""
    z = every()[:, None].expand(-1, len(x), -1)
    return (model.decode(z).log_prob(x) + model.prior_of().log_prob(z)).logsumexp(0)


def summed(model: Any, x: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    """The thermodynamic sums with every code in its place, no sampling."""
    z = every()[:, None].expand(-1, len(x), -1)
    log_q = model.encode(x).log_prob(z)
    log_w = model.decode(z).log_prob(x) + model.prior_of().log_prob(z) - log_q
    means = torch.stack([((log_q + beta * log_w).softmax(0) * log_w).sum(0) for beta in betas])
    steps = betas.diff().double()
    return steps @ means[:-1], steps @ means[1:]


# -- the thermodynamic sums -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [1, 2, 5, 20])
@torch.no_grad()
def test_the_sums_bracket_log_p_and_close_in_on_it(points: int) -> None:
    model, betas = bits(), partition(points, 0.05)
    exact = log_p(model, ALL)
    lower, upper = summed(model, ALL, betas)
    assert bool((lower <= exact).all() & (exact <= upper).all())
    assert float(lower.exp().sum()) <= 1 <= float(upper.exp().sum())  # Σ_x p(x) = 1
    torch.manual_seed(0)
    found = bounds.thermodynamic(model.trace(ALL, k=20_000, hard=True), betas)
    for one, other in zip(found, (lower, upper)):
        torch.testing.assert_close(one, other, rtol=0, atol=0.05)
    if points == 1:
        torch.testing.assert_close(found[0], bounds.elbo(model.trace(ALL, k=20_000, hard=True)), rtol=0, atol=0.05)
    if points == 20:
        assert float((upper - lower).mean()) < 0.2


@torch.no_grad()
def test_of_a_linear_gaussian_model_they_bracket_the_exact_value() -> None:
    toy = LinearGaussian.make(off=0.3)
    torch.manual_seed(1)
    x = toy.sample(30)
    exact = toy.marginal().log_prob(x)
    lower, upper = bounds.thermodynamic(toy.model.trace(x, k=20_000), partition(5, 0.05))
    elbo = exact - toy.gap(x)
    assert bool((lower < exact + 0.01).all() & (exact < upper + 0.01).all()) and bool((lower > elbo).all())
    still = LinearGaussian.make()  # the exact posterior: every w is p(x), and the sums are it
    for one in bounds.thermodynamic(still.model.trace(x, k=3), partition(5, 0.05)):
        torch.testing.assert_close(one, still.marginal().log_prob(x))


@torch.no_grad()
def test_of_a_plane_of_latents_they_bracket_the_quadrature() -> None:
    torch.manual_seed(0)
    model = toys.gaussian_model()
    x = torch.randn(6, toys.FEATURES)
    lower, upper = bounds.thermodynamic(model.trace(x, k=20_000), partition(30, 0.02))
    exact = toys.flat_exact(model, x)
    assert bool((lower <= exact + 0.02).all() & (exact <= upper + 0.02).all())


def test_its_gradient_is_that_of_the_sum() -> None:
    """q's chances are made whole quarters, so that 64 codes are q exactly: their covariances are then exact too."""
    model: Any = bits()
    chance = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    with torch.no_grad():
        model.posterior.net.head.weight.zero_()
        model.posterior.net.head.bias.copy_(torch.logit(chance))
    x = torch.tensor([[0.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    counts = (64 * model.encode(x).log_prob(every()[:, None]).exp()).round().long().flatten()
    assert int(counts.sum()) == 64
    many = every().repeat_interleave(100 * counts, 0)[:, None]  # a hundred times, for the correction of 1/K
    term = Thermodynamic(3, 0.1, k=len(many))
    exact, _ = summed(model, x, term.betas)
    torch.testing.assert_close(term(at(model, many)), -exact.detach())
    expected = gradient(model, -exact.sum())
    assert float((gradient(model, term(at(model, many)).sum()) - expected).norm()) < 2e-3 * float(expected.norm())


def test_of_one_point_its_gradient_is_unbiased_for_the_elbo() -> None:
    """The covariance by two samples, all sets of them enumerated."""
    from objectives.test_scores import chances, exact_elbo, sets

    model = bits()
    trace = at(model, sets(2))
    mean = gradient(model, (chances(trace).detach() * Thermodynamic(1, k=2)(trace)).sum())
    torch.testing.assert_close(mean, -gradient(model, exact_elbo(trace)), rtol=1e-9, atol=1e-11)


def test_partitions() -> None:
    assert partition(1, 0.1).tolist() == [0.0, 1.0]
    torch.testing.assert_close(partition(2, 0.1), torch.tensor([0.0, 0.1, 1.0]))
    for points, first in ((0, 0.1), (3, 0.0), (3, 1.0)):
        with pytest.raises(UserError, match="are no partition"):
            partition(points, first)


def test_flows_that_score_their_own_samples_alone_are_refused() -> None:
    with pytest.raises(UserError, match="a flow, knows its own alone"):
        Thermodynamic()(toys.flow_model().trace(toys.bits(3), k=4))


# -- SUMO -------------------------------------------------------------------------------------------------------------


def test_the_number_of_terms_survives_as_it_says() -> None:
    u = (torch.arange(2_000_000, dtype=torch.float64) + 0.5) / 2_000_000
    drawn = bounds.terms_of(u)
    for k in (1, 2, 3, 10, 79, 80, 81, 90, 110):
        found, said = float((drawn >= k).double().mean()), float(bounds.terms_survive(torch.tensor(k)))
        assert found == pytest.approx(said, rel=1e-3), k


@pytest.mark.parametrize("first", [1, 4])
def test_over_its_terms_it_is_the_bound_of_all_samples(first: int) -> None:
    """Σ_t P(𝒦 = t) SUMO_t over the truncations of 12 weights is the bound of all 12, whatever the weights."""
    log_w = 3 * torch.randn(12, 5, dtype=torch.float64)
    total, most = torch.zeros(5, dtype=torch.float64), 12 - first
    for t in range(1, most + 1):
        beyond = float(bounds.terms_survive(torch.tensor(t + 1))) if t < most else 0.0
        chance = float(bounds.terms_survive(torch.tensor(t))) - beyond
        total = total + chance * bounds.debiased(log_w, torch.full((5,), t), first)
    torch.testing.assert_close(total, bounds.log_mean_exp(log_w), rtol=1e-6, atol=1e-6)


def test_it_is_unbiased_and_sums_to_one() -> None:
    """Of an enumerable model E[SUMO] = log p(x) for each x and Σ_x exp E[SUMO] = 1, within their errors."""
    model = bits().eval()
    exact = log_p(model, ALL).detach()
    torch.manual_seed(5)
    draws = torch.stack([bounds.sumo(model, ALL, first=20, repeats=20) for _ in range(40)])
    error = draws.std(0) / math.sqrt(len(draws))
    assert float(((draws.mean(0) - exact) / error).abs().max()) < 4
    assert abs(float(draws.mean(0).exp().sum()) - 1) < 4 * float((exact.exp() * error).square().sum().sqrt())


def test_of_a_linear_gaussian_model_it_is_the_exact_value() -> None:
    toy = LinearGaussian.make(off=0.3)
    torch.manual_seed(6)
    x = toy.sample(3)
    draws = torch.stack([bounds.sumo(toy.model, x, repeats=20) for _ in range(40)])
    error = draws.std(0) / math.sqrt(len(draws))
    assert float(((draws.mean(0) - toy.marginal().log_prob(x)) / error).abs().max()) < 4
    still = LinearGaussian.make()
    torch.testing.assert_close(bounds.sumo(still.model, x), still.marginal().log_prob(x), rtol=0, atol=1e-6)


def test_a_model_that_bounds_nothing_has_none() -> None:
    with pytest.raises(NotALikelihood, match="point mass"):
        bounds.sumo(toys.plain_model(), torch.randn(4, toys.FEATURES))


def test_the_metric_says_what_it_is() -> None:
    toy = LinearGaussian.make(off=0.3, dtype=torch.float32)
    torch.manual_seed(7)
    x = toy.sample(100)
    subject = Subject(toy.model.eval(), _info(x), x)
    found = sumo(subject)["sumo"]
    assert found.value is not None and found.stderr is not None
    assert found.values is not None and "no bound" in found.facts["caution"]
    off = found.values - toy.marginal().log_prob(x)
    assert abs(float(off.mean())) < 4 * float(off.std()) / 10
    assert largest_share(torch.tensor([0.0, 0.0, 1.0, -3.0])) == pytest.approx(0.9)
    assert "not to be trusted" in caution(0.9) and "not to be trusted" not in caution(0.1)
    refused = sumo(Subject(toys.plain_model().eval(), _info(x), torch.randn(4, toys.FEATURES)))["sumo"]
    assert refused.value is None and "point mass" in refused.facts["refused"]


def _info(x: Tensor) -> Any:
    from vaekit.data.info import DataInfo

    return DataInfo("toy", tuple(x.shape[1:]), "real", None, len(x), 1, 1, ())


# -- slopes -----------------------------------------------------------------------------------------------------------


def test_own_slopes_leave_out_what_samples_hand_on() -> None:
    """c = f(a, b), b = g(a): ∂/∂a, ∂/∂b, ∂/∂c with the others held, whatever their order."""
    a = torch.tensor([[[1.5]]], requires_grad=True)
    b = a.square() + 0.0
    c = a * b
    value = (a + 2 * b * c).sum(2)
    for order in ([a, b, c], [c, a, b]):
        found = dict(zip(map(id, order), own_slopes(value, order)))
        assert [float(found[id(one)]) for one in (a, b, c)] == pytest.approx([1.0, 2 * 1.5**3, 2 * 1.5**2])


def test_bounds_of_mixed_latents_sum_to_one() -> None:
    """Σ_x E[ŵ] = 1 of hard bits and of a category beside a normal, by the weights that VIMCO and wake-sleep train."""
    for model in (bits(), joint()):
        torch.manual_seed(8)
        log_w = model.trace(ALL, k=20_000, hard=True).log_w.detach()
        each = log_w.exp()
        error = float((each.var(0) / len(each)).sum().sqrt())
        assert error < 0.02 and abs(float(each.mean(0).sum()) - 1) < 4 * error
