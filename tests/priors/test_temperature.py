"""Sampling at a temperature: every prior has it, correctly, or refuses it in one sentence."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

import contracts
from contracts import Case, cases
from vaekit.distributions.base import in_support, tempered
from vaekit.distributions.categorical import OneHot
from vaekit.distributions.mixture import Mixture
from vaekit.distributions.normal import DiagonalNormalFamily, FullNormalFamily
from vaekit.distributions.von_mises_fisher import VonMisesFisherFamily
from vaekit.errors import Unsupported, UserError
from vaekit.priors.base import PRIORS
from vaekit.priors.codes import TransformerPrior
from vaekit.priors.flow import FlowPrior
from vaekit.priors.mixture import GaussianMixture

REFUSE = {"uniform-sphere"}
HALF, TWICE = 0.5, 2.0


@pytest.mark.parametrize("temperature", [0.0, HALF, 1.0, TWICE])
@pytest.mark.parametrize("case", list(cases(PRIORS)), ids=lambda c: c.id)
def test_every_prior_is_sampled_at_a_temperature_or_refuses_it(case: Case, temperature: float) -> None:
    p = case.distribution()
    if case.entry.name in REFUSE and temperature != 1:
        with pytest.raises(Unsupported, match=r"^SphereUniform has no temperature"):
            tempered(p, temperature)
        return
    hot = tempered(p, temperature)
    x = contracts.draw(hot, 7)
    assert x.shape == (7, *p.batch_shape, *p.event_shape)
    assert bool(in_support(hot, x).all()) and bool(in_support(p, x).all())
    if temperature == 1:
        assert hot is p


@pytest.mark.parametrize("temperature", [HALF, TWICE])
@pytest.mark.parametrize("case", [c for c in cases(PRIORS) if c.entry.name not in REFUSE], ids=lambda c: c.id)
def test_a_tempered_prior_is_normalised(case: Case, temperature: float) -> None:
    total = contracts.total_mass(tempered(contracts.smallest(case), temperature))
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-6)


# -- what it is, by hand ----------------------------------------------------------------------------------------------


def _moved(p: Distribution, x: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """log-density of centre + T (y - centre), y ~ p, at x."""
    return p.log_prob(centre + (x - centre) / temperature) - centre.shape[-1] * math.log(temperature)


@pytest.mark.parametrize("temperature", [HALF, TWICE])
def test_normals_have_their_standard_deviations_multiplied(temperature: float) -> None:
    loc, lower = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, 3, dtype=torch.float64)
    x = torch.randn(4, 3, dtype=torch.float64)
    for p in (DiagonalNormalFamily(loc, 0.3 * loc), FullNormalFamily(loc, 0.3 * loc, lower)):
        torch.testing.assert_close(tempered(p, temperature).log_prob(x), _moved(p, x, loc, temperature))
    full = FullNormalFamily(loc, 0.3 * loc, lower)
    hot = tempered(full, temperature)
    assert isinstance(hot, FullNormalFamily)
    torch.testing.assert_close(hot.covariance, full.covariance * temperature**2)


@pytest.mark.parametrize("temperature", [HALF, TWICE])
def test_a_mixture_keeps_its_centres_and_shares(temperature: float) -> None:
    p = GaussianMixture(3, components=4).double()()
    x, parts = torch.randn(5, 3, dtype=torch.float64), p.components
    assert isinstance(parts, DiagonalNormalFamily)
    each = _moved(parts, x.unsqueeze(1), parts.loc, temperature) + p.logits.log_softmax(0)
    torch.testing.assert_close(tempered(p, temperature).log_prob(x), each.logsumexp(1))


@pytest.mark.parametrize("temperature", [HALF, TWICE])
def test_a_flow_is_pushed_from_a_tempered_base(temperature: float) -> None:
    torch.manual_seed(0)
    p = FlowPrior(3).double()()
    hot, noise = p.tempered(temperature), torch.randn(6, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(hot.at(noise), p.at(temperature * noise))
        z, log_p = hot.rsample_and_log_prob((6,))
        torch.testing.assert_close(hot.log_prob(z), log_p)


@pytest.mark.parametrize("temperature", [HALF, TWICE])
def test_logits_are_divided(temperature: float) -> None:
    p = OneHot(torch.randn(4, 5, dtype=torch.float64), 2)
    power = p.probs ** (1 / temperature)
    hot = tempered(p, temperature)
    assert isinstance(hot, OneHot)
    torch.testing.assert_close(hot.probs, power / power.sum(-1, keepdim=True))
    codes = TransformerPrior((2,), codes=4, prior_width=8, prior_layers=1, prior_heads=2).double()()
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    with torch.no_grad():
        plain, warm = codes.log_prob_elements(pairs), codes.tempered(temperature).log_prob_elements(pairs)
    first, then = (slice(None), 0), slice(None)  # p(c_1) stands once for each c_2; p(c_2 | c_1) is a row for each c_1
    for place, rows in ((0, first), (1, then)):
        by_hand = (plain[:, place].view(4, 4)[rows] / temperature).log_softmax(-1)
        torch.testing.assert_close(warm[:, place].view(4, 4)[rows], by_hand)


def test_what_has_no_temperature_says_so() -> None:
    vmf = VonMisesFisherFamily(torch.eye(3)[:2], torch.ones(2, 1))
    for p in (vmf, Mixture(vmf, torch.zeros(2)), torch.distributions.Normal(0.0, 1.0)):
        with pytest.raises(Unsupported, match="has no temperature; sample at temperature 1"):
            tempered(p, HALF)
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(UserError, match="temperature must be at least 0 and finite"):
            tempered(OneHot(torch.zeros(3)), wrong)
