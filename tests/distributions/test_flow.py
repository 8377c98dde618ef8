"""Flows: densities by quadrature in two dimensions, inverses, and densities known at samples."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from vaekit.distributions.base import detached
from vaekit.distributions.flow import DEPTH, Flow, PlanarStep
from vaekit.distributions.normal import StandardNormalFamily
from vaekit.nets.mlp import mlp
from vaekit.posteriors.flow import FlowPosterior
from vaekit.priors.flow import FlowPrior
from vaekit.trace import Latent

KINDS = ("planar", "iaf", "nsf")


def posterior(kind: Any, size: int = 2, bend: float | None = None) -> Flow:
    """Return q for two examples in float64, its parameters enlarged so that it is far from a normal."""
    bend = bend or {"planar": 2.5, "iaf": 2.5, "nsf": 6.0}[kind]
    torch.manual_seed(3)
    part: Any = FlowPosterior(mlp(3, size, (16,)), flow=kind, transforms=3)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.mul_(bend if parameter.dim() > 1 else 1.0)
    return part.double()(torch.randn(2, 3, dtype=torch.float64))


def grid(half: float, n: int) -> tuple[Tensor, float]:
    """Return the points (n², 1, 2) of a square and the area each stands for."""
    line = torch.linspace(-half, half, n, dtype=torch.float64)
    points = torch.cartesian_prod(line, line).unsqueeze(1)
    return points, float(line[1] - line[0]) ** 2


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_posterior_densities_integrate_to_one(kind: str) -> None:
    q = posterior(kind, bend=2.0)
    points, area = grid(10.0, 161)
    total = (q.log_prob(points).exp() * area).sum(0)
    torch.testing.assert_close(total, torch.ones(2, dtype=torch.float64), rtol=0, atol=2e-3)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["realnvp", "nsf"])
def test_prior_densities_integrate_to_one(kind: Any) -> None:
    torch.manual_seed(0)
    prior: Any = FlowPrior(2, prior_flow=kind).double()
    for parameter in prior.parameters():
        parameter.mul_(1.7)
    points, area = grid(9.0, 161)
    total = (prior().log_prob(points).exp() * area).sum(0)
    torch.testing.assert_close(total, torch.ones(1, dtype=torch.float64), rtol=0, atol=2e-3)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_they_invert_and_know_their_density_at_samples(kind: str) -> None:
    q = posterior(kind, size=5)
    start = q.base.rsample((50,))
    z, ladj = q.map.call_and_ladj(start)
    assert float((z - start).abs().max()) > 0.3, "the flow does nothing, so this would prove nothing"
    back, down = q.map.inv.call_and_ladj(z)
    torch.testing.assert_close(back, start, rtol=0, atol=1e-5)
    torch.testing.assert_close(down, -ladj, rtol=0, atol=1e-5)
    code, log_q = q.rsample_and_log_prob((50,))
    torch.testing.assert_close(q.log_prob(code), log_q, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_determinant_is_that_of_the_jacobian(kind: str) -> None:
    q = posterior(kind, size=4)
    start = q.base.sample()
    jacobian: Any = torch.autograd.functional.jacobian(lambda s: q.map.call_and_ladj(s)[0].sum(0), start)
    each = jacobian.permute(1, 0, 2)
    torch.testing.assert_close(q.map.call_and_ladj(start)[1], torch.linalg.slogdet(each)[1], rtol=0, atol=1e-8)


def test_planar_steps_stay_invertible_at_their_limit() -> None:
    w = torch.tensor([[7.0, 7.0]], dtype=torch.float64)
    step = PlanarStep(-w, w, torch.zeros(1, dtype=torch.float64))
    assert float(step.gain) == pytest.approx(-DEPTH)
    torch.testing.assert_close((step.u * w).sum(-1), step.gain)
    identity = PlanarStep(torch.zeros_like(w), w, torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(identity.call_and_ladj(2 * w)[0], 2 * w)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_the_density_through_the_inverse(kind: str) -> None:
    """Checked by finite differences: the planar inverse finds a root, whose gradient is implicit."""
    q = posterior(kind, size=3)
    z = q.sample().requires_grad_()
    torch.autograd.gradcheck(q.log_prob, (z,), atol=1e-6)


def test_detached_reaches_the_argument_alone() -> None:
    part: Any = FlowPosterior(mlp(3, 4, (8,)), flow="iaf")
    q = part(torch.randn(2, 3))
    z, _ = q.rsample_and_log_prob()
    fixed = detached(q)
    alone = fixed.log_prob(z.detach()).sum() + 0 * z.sum()
    score = torch.autograd.grad(alone, list(part.parameters()), allow_unused=True, retain_graph=True)
    assert all(g is None or float(g.abs().max()) == 0 for g in score)
    torch.testing.assert_close(fixed.log_prob(z), q.log_prob(z))
    path = torch.autograd.grad(fixed.log_prob(z).sum(), list(part.parameters()), allow_unused=True)
    assert any(g is not None and float(g.abs().max()) > 0 for g in path)


def test_a_sample_drawn_without_gradients_takes_none_away() -> None:
    part: Any = FlowPosterior(mlp(3, 4, (8,)), flow="iaf")
    q = part(torch.randn(2, 3))
    q.sample((3,))
    assert q.rsample_and_log_prob()[1].requires_grad


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("bend", "share"), [(None, None), (0.1, 0.2)])
def test_the_kl_is_that_of_the_samples_and_of_a_flow_near_its_base_varies_less(
    kind: str, bend: float | None, share: float | None
) -> None:
    """The oracle is log q - log p at the same samples, in the mean; near the base the noise goes."""
    q, p = posterior(kind, bend=bend), StandardNormalFamily(torch.zeros(2, dtype=torch.float64))
    start = q.base.rsample((4000,))
    code, log_q = q.pushed(start)
    plain, steady = log_q - p.log_prob(code), Latent(q, p, code, code, log_q, start).kl
    off = plain - steady
    assert float((off.mean(0).abs() / (off.std(0) / 4000**0.5)).max()) < 4
    if share is not None:
        assert float((steady.std(0) / plain.std(0)).max()) < share
    assert torch.equal(Latent(q, p, code, code, log_q).kl, plain)


def test_zuko_leaves_torchs_checks_as_they_were() -> None:
    code = (
        "import torch; before = torch.distributions.Distribution._validate_args\n"
        "from vaekit.priors.flow import FlowPrior; FlowPrior(2)\n"
        "assert torch.distributions.Distribution._validate_args is before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_mean_is_the_same_whatever_the_batch() -> None:
    part: Any = FlowPosterior(mlp(3, 4, (8,)), flow="nsf").double()
    x = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(part(x).mean[2:3], part(x[2:3]).mean)
    torch.testing.assert_close(part(x).mean, part(x).sample((2000,)).mean(0), rtol=0, atol=0.6)
