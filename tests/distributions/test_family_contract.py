"""Every family against quadrature or enumeration: mass, moments, entropy, mode and draws are those of its density."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vaekit.distributions.autoregressive as autoregressive
from vaekit.distributions.base import Family, Unit, detached, in_support, in_unit, measure_of, tempered
from vaekit.distributions.bernoulli import BernoulliFamily
from vaekit.distributions.categorical import CategoricalFamily, OneHot
from vaekit.distributions.chain import Chain
from vaekit.distributions.codes import UniformCodes
from vaekit.distributions.continuous_bernoulli import ContinuousBernoulliFamily
from vaekit.distributions.counts import NegativeBinomialFamily, PoissonFamily
from vaekit.distributions.curves import CurvedColumns, Curves
from vaekit.distributions.discretised_logistic import DiscretisedLogisticFamily
from vaekit.distributions.experts import MixtureOfNormals, product
from vaekit.distributions.kl import closed_form_kl
from vaekit.distributions.laplace import LaplaceFamily
from vaekit.distributions.logistic_mixture import DiscretisedLogisticMixture
from vaekit.distributions.mixture import Mixture
from vaekit.distributions.normal import DiagonalNormalFamily, FullNormalFamily, StandardNormalFamily
from vaekit.distributions.observed import ObservedCells
from vaekit.distributions.own import Unfolded, as_family
from vaekit.distributions.point import PointMass
from vaekit.distributions.relaxed import coupled_bits
from vaekit.distributions.student import StudentTFamily
from vaekit.distributions.von_mises_fisher import SphereUniform, VonMisesFisherFamily
from vaekit.nets.made import MADE

A = torch.tensor([[0.4, -1.1], [1.6, 0.2]], dtype=torch.float64)
B = torch.tensor([[-0.3, 0.5], [0.1, -0.9]], dtype=torch.float64)
Rule = tuple[Tensor, Tensor]


def box(low: float, high: float, n: int = 601) -> Rule:
    """Trapezoids on [low, high]²: points (n², 2) and weights."""
    x = torch.linspace(low, high, n, dtype=torch.float64)
    w = torch.full((n,), (high - low) / (n - 1), dtype=torch.float64)
    w[0] = w[-1] = w[0] / 2
    return torch.cartesian_prod(x, x), torch.outer(w, w).flatten()


def middles(n: int = 400) -> Rule:
    """Midpoints on [0, 1]²."""
    x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.cartesian_prod(x, x), torch.full((n * n,), n**-2.0, dtype=torch.float64)


def every(values: Sequence[float], places: int = 2) -> Rule:
    """All tuples of some values, of weight one."""
    points = torch.tensor(list(itertools.product(values, repeat=places)), dtype=torch.float64)
    return points, torch.ones(len(points), dtype=torch.float64)


def sphere(n: int = 400) -> Rule:
    """The unit sphere in three dimensions, by heights and angles."""
    h, turn = torch.meshgrid(
        (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1,
        torch.arange(n, dtype=torch.float64) / n * 2 * math.pi,
        indexing="ij",
    )
    r = (1 - h * h).sqrt()
    points = torch.stack([r * turn.cos(), r * turn.sin(), h], -1).flatten(0, 1)
    return points, torch.full((n * n,), 4 * math.pi / n**2, dtype=torch.float64)


def one_hot_pairs() -> Rule:
    """Two one-hot vectors of three."""
    eye = torch.eye(3, dtype=torch.float64)
    points = torch.stack([torch.stack([eye[i], eye[j]]) for i in range(3) for j in range(3)])
    return points, torch.ones(9, dtype=torch.float64)


class Codes:
    """A causal network over three places of two codes each: a place's logits turn with the code before it."""

    def __call__(self, codes: Tensor, context: Tensor | None = None) -> Tensor:
        """Return logits (N, 2, places)."""
        assert context is not None
        before = torch.cat([torch.zeros_like(codes[:, :1]), codes[:, :-1]], 1).double()
        turn = context[:, :1] * (1 - 2 * before) + 0.3
        return torch.stack([turn, -turn], 1)

    def generate(self, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw codes one after another."""
        out = torch.zeros(n, 3, dtype=torch.int64)
        for i in range(3):
            logits = self(out, context)[:, :, i] / temperature
            out[:, i] = torch.multinomial(logits.softmax(1), 1)[:, 0]
        return out


def chain() -> Chain:
    torch.manual_seed(0)
    net = MADE(2, 6, hidden=(8, 8), context=2).double()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(1.2)
    return Chain(net.requires_grad_(False), A)


def curved() -> CurvedColumns:
    curves = [
        {"u": [-9.0, -0.5, 0.4, 9.0], "v": [0.0, 2.0, 2.0, 30.0], "low": -9.0, "high": 9.0},  # 2 has mass
        {"u": [-9.0, 9.0], "v": [-9.0, 9.0], "step": True, "low": -9.0, "high": 9.0},
    ]
    return CurvedColumns(Curves.of([{"type": "numeric", "curve": one} for one in curves]), A, B - 0.5)


TILT = torch.tensor([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]], dtype=torch.float64)
GREYS = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
MIXED = (GREYS[:, 2:, None], GREYS[:, :2, None] - 1)
LOWER = torch.tensor([[[0.0, 0.0], [0.7, 0.0]], [[0.0, 0.0], [-1.2, 0.0]]], dtype=torch.float64)
DOUBLE = torch.zeros(2, dtype=torch.float64)
LINE = [i / 3 for i in range(4)]
CASES: dict[str, tuple[Callable[[], Any], Callable[[], Rule]]] = {
    "normal": (lambda: DiagonalNormalFamily(A, B), lambda: box(-14, 14)),
    "full normal": (lambda: FullNormalFamily(A, B, LOWER), lambda: box(-16, 16)),
    "standard normal": (lambda: StandardNormalFamily(DOUBLE), lambda: box(-9, 9)),
    "laplace": (lambda: LaplaceFamily(A, B), lambda: box(-20, 20, 1201)),
    "student": (lambda: StudentTFamily(A, B - 0.5, torch.tensor(9.0).double()), lambda: box(-30, 30, 1201)),
    "mixture": (lambda: Mixture(DiagonalNormalFamily(2 * A, B), B[0]), lambda: box(-14, 14)),
    "mixture of laplaces": (lambda: Mixture(LaplaceFamily(2 * A, B), B[0]), lambda: box(-20, 20, 1201)),
    "mixture for each": (
        lambda: MixtureOfNormals(torch.stack([A, -A, 2 * B], 1), torch.stack([B, A - 1, B - 0.5], 1), GREYS[:, :3, 0]),
        lambda: box(-14, 14),
    ),
    "product of experts": (
        lambda: product(torch.stack([A, -A], 1), torch.stack([B, B - 0.5], 1), torch.tensor([[1.0, 1.0], [0.0, 1.0]])),
        lambda: box(-14, 14),
    ),
    "chain": (chain, lambda: box(-12, 12, 301)),
    "continuous bernoulli": (lambda: ContinuousBernoulliFamily(6 * A), middles),
    "nearly flat continuous bernoulli": (lambda: ContinuousBernoulliFamily(A), middles),
    "bernoulli": (lambda: BernoulliFamily(A), lambda: every([0.0, 1.0])),
    "categorical": (lambda: CategoricalFamily(GREYS), lambda: every(LINE)),
    "one-hot": (lambda: OneHot(torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(1)).double(), 2),
                one_hot_pairs),
    "poisson": (lambda: PoissonFamily(A), lambda: every([float(n) for n in range(60)])),
    "negative binomial": (lambda: NegativeBinomialFamily(A, B - 0.5), lambda: every([float(n) for n in range(400)])),
    "discretised logistic": (lambda: DiscretisedLogisticFamily(0.5 + 0.4 * A, B - 1, 4), lambda: every(LINE)),
    "logistic mixture": (
        lambda: DiscretisedLogisticMixture(GREYS[:, :2], *MIXED, levels=4, dims=1, flat=True),
        lambda: every(LINE),
    ),
    "uniform codes": (lambda: UniformCodes(3, (2,), DOUBLE), lambda: every([0.0, 1.0, 2.0])),
    "codes one after another": (
        lambda: autoregressive.AutoregressiveCodes(Codes(), 2, (3,), A, 1), lambda: every([0.0, 1.0], 3),
    ),
    "sphere": (lambda: SphereUniform(torch.zeros(3).double()), sphere),
    "von Mises-Fisher": (lambda: VonMisesFisherFamily(TILT, torch.tensor([0.7, 9.0]).double()), sphere),
    "series without gaps": (lambda: ObservedCells(LaplaceFamily(A, B), DOUBLE), lambda: box(-20, 20, 1201)),
    "own": (lambda: Unfolded(torch.distributions.Laplace(A, B.exp()), (2,)), lambda: box(-20, 20, 1201)),
}  # fmt: skip
ELSEWHERE = {
    "CurvedColumns": "below, since its scores have no plain measure; test_curves.py",
    "MixedColumns": "test_mixed.py, cell by cell",
    "EdgesFamily": "test_edges.py, over all graphs",
    "TokenSequences": "test_tokens.py, over all sequences",
    "AutoregressivePixels": "tests/likelihoods: over all images",
    "NodeNormal": "test_nodes.py, as torch's normals",
    "Flow": "test_flow.py",
    "SideBySide": "tests/models/test_views.py: over all examples",
    "LinearChain": "tests/models/test_states.py, as one normal",
    "RecurrentChain": "tests/models/test_states.py, over a grid of three states",
    "SpikeSlabFamily": "test_spike.py, with a mass at 0 beside its density",
    "FittedNormal": "test_real.py: its density is of a batch",
    "SoftBernoulliFamily": "not a density",
    "PointMass": "no density",
    "Quantised": "no density",
    "RelaxedBernoulli": "scored as what it relaxes; tests/models/test_discrete.py",
    "RelaxedOneHot": "scored as what it relaxes; tests/models/test_discrete.py",
}


def subclasses(of: type) -> set[type]:
    """Return every class made from one, and from those."""
    return {found for one in of.__subclasses__() for found in (one, *subclasses(one))}


def test_every_family_is_here_or_elsewhere() -> None:
    here = {type(make()).__name__ for make, _ in CASES.values()}
    names = {one.__name__ for one in subclasses(Family) if one.__module__.startswith("vaekit.distributions")}
    assert {name for name in names - here - set(ELSEWHERE) if not name.startswith("_")} == set()
    assert not here & set(ELSEWHERE)


def masses(d: Any, rule: Rule) -> tuple[Tensor, Tensor]:
    """Return log p, (N, *batch), at the points of a rule, and p times their weights."""
    points, weights = rule
    batch, event = len(d.batch_shape), points.dim() - 1
    x = points.view(len(points), *[1] * batch, *points.shape[1:])
    log_p = d.log_prob(x.expand(-1, *d.batch_shape, *[-1] * event))
    return log_p, log_p.exp() * weights.view(-1, *[1] * batch)


def averaged(values: Tensor, mass: Tensor) -> Tensor:
    """Return Σ mass · values, values (N, …) of the points alone."""
    event = values.dim() - 1
    lead = [1] * (mass.dim() - 1)
    return (mass.view(*mass.shape, *[1] * event) * values.view(len(values), *lead, *values.shape[1:])).sum(0)


@pytest.mark.parametrize("name", CASES)
def test_moments_entropy_and_mode_are_those_of_the_density(name: str) -> None:
    make, rule_of = CASES[name]
    d, rule = make(), rule_of()
    log_p, mass = masses(d, rule)
    tolerance = {"rtol": 0, "atol": 1e-9} if measure_of(d) == "mass" else {"rtol": 0, "atol": 2e-3}
    torch.testing.assert_close(mass.sum(0), torch.ones_like(mass[0]), **tolerance)
    points = rule[0]
    mean = averaged(points, mass)
    if known(d, "mean"):
        torch.testing.assert_close(d.mean.expand_as(mean), mean, **tolerance)
    if known(d, "variance"):
        variance = averaged(points.square(), mass) - mean.square()
        torch.testing.assert_close(d.variance.expand_as(mean), variance, rtol=5e-3, atol=1e-9)
    if known(d, "stddev"):
        torch.testing.assert_close(d.stddev.square(), d.variance)
    if "entropy" in dir(type(d)) and type(d).entropy is not torch.distributions.Distribution.entropy:
        torch.testing.assert_close(d.entropy(), -(mass * log_p.clamp(min=-1e4)).sum(0), rtol=0, atol=5e-3)
    if known(d, "mode"):
        assert bool((d.log_prob(d.mode) >= log_p.max(0).values - 1e-9).all())
        assert bool(in_support(d, d.mode).all())
    elements = getattr(d, "log_prob_elements", None)
    if elements is not None:
        x = points[:: max(1, len(points) // 50)].unsqueeze(1)
        each = elements(x.expand(-1, *d.batch_shape, -1) if d.batch_shape else x)
        torch.testing.assert_close(each.flatten(1 + len(d.batch_shape) if d.batch_shape else 2).sum(-1),
                                   d.log_prob(x.expand(-1, *d.batch_shape, -1) if d.batch_shape else x))  # fmt: skip


def known(d: Any, name: str) -> bool:
    """Whether a family knows a number of itself."""
    try:
        return bool(torch.isfinite(getattr(d, name)).all())
    except (NotImplementedError, AttributeError):
        return False


@pytest.mark.parametrize("name", CASES)
def test_draws_are_of_the_density(name: str) -> None:
    """Three functions' means over draws are their means under the density, and every draw is in the support."""
    make, rule_of = CASES[name]
    d, rule = make(), rule_of()
    torch.manual_seed(0)
    x = d.sample((8_000,)).double()
    assert x.shape == (8_000, *d.batch_shape, *d.event_shape)
    assert bool(in_support(d, x).all())
    _, mass = masses(d, rule)
    turn = torch.linspace(0.6, 1.4, rule[0][0].numel(), dtype=torch.float64).view(rule[0].shape[1:])
    dims = tuple(range(-(rule[0].dim() - 1), 0))
    for function in (
        lambda v: torch.cos((turn * v).sum(dims)),
        lambda v: torch.sin((turn * v * torch.sign(turn - 1)).sum(dims)),
        lambda v: torch.tanh(v.flatten(-len(dims))[..., 0]),
    ):
        drawn, wanted = function(x), averaged(function(rule[0]), mass)
        off = (drawn.mean(0) - wanted).abs() / (drawn.std(0) / math.sqrt(len(drawn)) + 1e-3)
        assert float(off.max()) < 4.5
    assert d.sample().shape == (*d.batch_shape, *d.event_shape)


@pytest.mark.parametrize("name", ["bernoulli", "one-hot", "codes one after another"])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_logits_at_a_temperature(name: str, temperature: float) -> None:
    """p^(1/T), normalised: of each number given those before it."""
    make, rule_of = CASES[name]
    d, rule = make(), rule_of()
    cold = tempered(d, temperature)
    _, mass = masses(cold, rule)
    torch.testing.assert_close(mass.sum(0), torch.ones_like(mass[0]))
    if name != "codes one after another":
        log_p, _ = masses(d, rule)
        torch.testing.assert_close(mass, (log_p / temperature).softmax(0))
    torch.manual_seed(1)
    drawn = cold.sample((8_000,)).double()
    wanted = averaged(rule[0], mass)
    assert float((drawn.mean(0) - wanted).abs().max()) < 4.5 * 0.5 / math.sqrt(8_000)


@pytest.mark.parametrize("name", ["normal", "full normal", "mixture", "mixture of laplaces", "chain"])
def test_spreads_at_a_temperature(name: str) -> None:
    """At T → 0 draws lie in the centres; at T = 2 the density is whole and draws are of it."""
    d = CASES[name][0]()
    if name == "mixture of laplaces":
        with pytest.raises(Exception, match="no temperature"):
            tempered(d, 0.5)
        return
    torch.manual_seed(0)
    rule = box(-40, 40, 801)
    wide = tempered(d, 2.0)
    _, mass = masses(wide, rule)
    torch.testing.assert_close(mass.sum(0), torch.ones_like(mass[0]), rtol=0, atol=2e-3)
    x = wide.sample((8_000,)).double()
    mean = averaged(rule[0], mass)
    sd = (averaged(rule[0].square(), mass) - mean.square()).sqrt()
    assert float(((x.mean(0) - mean).abs() / (sd / math.sqrt(len(x)))).max()) < 4.5
    assert float((x.std(0) / sd - 1).abs().max()) < 0.05
    if name in ("normal", "full normal"):
        torch.testing.assert_close(wide.mean, d.mean)
        torch.testing.assert_close(wide.variance, 4 * d.variance)
        still = tempered(d, 0.0).sample((5,))
        torch.testing.assert_close(still, d.mean.expand_as(still), rtol=0, atol=1e-6)
    assert tempered(d, 1) is d


PAIRS: dict[str, Callable[[], Any]] = {
    "normal": lambda: DiagonalNormalFamily(B, A / 2),
    "full normal": lambda: StandardNormalFamily(DOUBLE),
    "laplace": lambda: LaplaceFamily(B, A / 2),
    "bernoulli": lambda: BernoulliFamily(B),
    "categorical": lambda: CategoricalFamily(GREYS.flip(1)),
    "one-hot": lambda: OneHot(torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(2)).double(), 2),
    "von Mises-Fisher": lambda: SphereUniform(torch.zeros(3).double()),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_closed_kl_is_that_of_the_densities(name: str) -> None:
    make, rule_of = CASES[name]
    q, p, rule = make(), PAIRS[name](), rule_of()
    found = closed_form_kl(q, p)
    assert found is not None
    log_q, mass = masses(q, rule)
    log_p, _ = masses(p, rule)
    apart = (log_q - (log_p if log_p.dim() == log_q.dim() else log_p.unsqueeze(1))).clamp(min=-1e4, max=1e4)
    torch.testing.assert_close(found, (mass * apart).sum(0), rtol=2e-3, atol=2e-3)
    own = closed_form_kl(q, q)
    assert own is None or float(own.abs().max()) < 1e-9


def test_a_curve_s_scores_have_the_probabilities_of_its_values() -> None:
    """2 has the mass of the scores that stand for it, whole numbers sum to one, and draws are of both."""
    d = curved()
    torch.manual_seed(0)
    x = d.sample((20_000,))
    logistic = [torch.sigmoid((u - d.loc[:, 0]) / d.log_scale[:, 0].exp()) for u in (-0.5, 0.4)]
    spike = logistic[1] - logistic[0]
    values = d.curves.value(x)
    share = (values[..., 0] == 2.0).double().mean(0)
    assert float((share - spike).abs().max()) < 4.5 * 0.5 / math.sqrt(20_000)
    level = d.curves.score(torch.tensor([[2.0, 0.0]]).double()).expand(2, -1)
    torch.testing.assert_close(d.log_prob_elements(level)[:, 0].exp(), spike)
    error = values.std(0) / math.sqrt(20_000)
    off = (d.expectation - values.mean(0)).abs()
    assert float((off / error)[:, 0].max()) < 4.5 and float(off[:, 1].max()) < 0.05  # the second's before rounding
    whole = torch.arange(-12.0, 13.0).double()
    scores = d.curves.score(torch.stack([torch.full_like(whole, 2.0), whole], -1)).unsqueeze(1).expand(-1, 2, -1)
    mass = d.log_prob_elements(scores)[..., 1].exp()
    torch.testing.assert_close(mass.sum(0), torch.ones(2).double(), rtol=0, atol=1e-4)
    drawn = torch.stack([(values[..., 1].round() == n).double().mean(0) for n in whole])
    assert float((drawn - mass).abs().max()) < 4.5 * 0.5 / math.sqrt(20_000)


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_finite_or_not_a_value_is_outside(name: str) -> None:
    make, rule_of = CASES[name]
    d, (points, _) = make(), rule_of()
    inside = points[len(points) // 3].expand(2, *d.event_shape).clone()
    assert in_support(d, inside).tolist() == [True, True]
    if name != "series without gaps":  # there NaN is a gap
        inside[1].view(-1)[0] = math.nan
        assert in_support(d, inside).tolist() == [True, False]
    if measure_of(d) == "mass":
        for off in (0.5, -70.0, math.inf):
            outside = points[0].expand(2, *d.event_shape).clone()
            outside[0].view(-1)[-1] += off
            assert in_support(d, outside).tolist() == [False, True]


@pytest.mark.parametrize("name", ["normal", "laplace", "student"])
def test_a_unit_is_taken_off(name: str) -> None:
    d, x = CASES[name][0](), torch.randn(5, 2, 2, dtype=torch.float64)
    plain, each = d.log_prob(x), d.log_prob_elements(x)
    logs = torch.tensor([0.3, -2.0], dtype=torch.float64)
    own = in_unit(CASES[name][0](), Unit(logs, logs.sum()))
    assert isinstance(own, Family)
    torch.testing.assert_close(own.log_prob(x), plain - logs.sum())
    torch.testing.assert_close(own.log_prob_elements(x), each - logs)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("uniform codes", "sphere", "standard normal", "own")])
def test_a_detached_family_has_the_density_and_no_gradient(name: str) -> None:
    d = CASES[name][0]()
    x = d.sample()
    for one in vars(d).values():
        if isinstance(one, Tensor) and one.is_floating_point():
            one.requires_grad_()
        if isinstance(one, nn.Module):
            one.requires_grad_()
    assert not detached(d).log_prob(x).requires_grad
    torch.testing.assert_close(detached(d).log_prob(x), d.log_prob(x))
    for shared in (A, B, GREYS, TILT):
        shared.requires_grad_(False)


class Bare(torch.distributions.MultivariateNormal):
    """A torch distribution that names no support."""

    support = None  # type: ignore[assignment]


def test_without_a_named_support_all_finite_examples_are_inside() -> None:
    d = Bare(torch.zeros(2, 3), torch.eye(3))
    x = torch.zeros(5, 2, 3)
    x[1, 0, 2], x[4, 1, 0] = math.nan, math.inf
    outside = torch.ones(5, 2, dtype=torch.bool)
    outside[1, 0] = outside[4, 1] = False
    assert torch.equal(in_support(d, x), outside)


def test_a_family_of_another_batch_shape_is_folded() -> None:
    made = DiagonalNormalFamily(torch.randn(6, 4), torch.zeros(6, 4))
    assert as_family(made, (6,)) is made
    folded = as_family(made, (2, 3))
    x = torch.randn(2, 3, 4)
    assert folded.batch_shape == (2, 3) and folded.event_shape == (4,)
    torch.testing.assert_close(folded.log_prob(x).flatten(), made.log_prob(x.flatten(0, 1)))


@pytest.mark.parametrize("dims", [1, 2])
def test_a_point_mass_has_the_shapes_of_its_value(dims: int) -> None:
    d = PointMass(torch.zeros(5, 4, 3, 2), dims)
    assert d.batch_shape == (5, 4, 3, 2)[: 4 - dims] and d.event_shape == (5, 4, 3, 2)[4 - dims :]


def test_coupled_draws_have_one_distribution() -> None:
    """ζ and the ζ̃ drawn given the bit that ζ rounds to: two moments of both, for several logits."""
    torch.manual_seed(0)
    logits = torch.tensor([[-3.0, -0.5, 0.0, 2.0]], dtype=torch.float64)
    b, soft, given = coupled_bits(BernoulliFamily(logits), torch.tensor(0.7), 40_000)
    assert float((b.mean(0) - logits.sigmoid()).abs().max()) < 4.5 * 0.5 / 200
    for power in (1, 2):
        off = soft.pow(power).mean(0) - given.pow(power).mean(0)
        error = (soft.pow(power).var(0) + given.pow(power).var(0)).sqrt() / 200
        assert float((off / error).abs().max()) < 4.5


def test_a_series_without_known_lengths_does_not_end() -> None:
    base, unit = LaplaceFamily(torch.zeros(3, 1, 4), torch.zeros(3, 1, 4), 2), torch.zeros(1, 1)
    x = torch.randn(3, 1, 4)
    lengths, shares = torch.tensor([2, 4]), torch.tensor([0.5, 0.5])
    for given in ((None, None), (lengths, None), (None, shares), (lengths[:1], shares[:1])):
        assert ObservedCells(base, unit, *given).ended(x) is x
    torch.manual_seed(0)
    ended = ObservedCells(base, unit, lengths, shares).ended(x.expand(500, 3, 1, 4))
    assert torch.isinf(ended).sum(-1).unique().tolist() == [0, 2]
    assert float(torch.isinf(ended).any(-1).double().mean()) == pytest.approx(0.5, abs=0.06)
    assert torch.equal(ObservedCells(base, unit).ended(x, torch.tensor([[[0.0, 1.0, 1.0, math.inf]]])).isinf(),
                       torch.tensor([False, False, False, True]).expand(3, 1, 4))  # fmt: skip
