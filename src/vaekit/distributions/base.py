"""What every family says of itself: its measure, whether it is a point mass or relaxed, and its support."""

from __future__ import annotations

import math
from copy import copy
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, TransformedDistribution, constraints

from vaekit.errors import Unsupported, UserError

SCALAR = torch.Size()
D = TypeVar("D", bound=Distribution)
Measure = Literal["mass", "density", "none"]


class Unit(NamedTuple):
    """What standardised values were divided by: log sd of each element (broadcasts), and their sum over an event."""

    elements: Tensor
    total: Tensor


class Family(Distribution):
    """Base of vaekit's own families: batch shape (B,) or (K, B), one event an example, log-densities summed over it.

    Subclasses set `measure` ("mass": probabilities of a discrete event, "density": with respect to Lebesgue measure,
    "none": the value is a score, not a log-probability), and may set `point_mass` (all mass on one value) or `relaxed`
    (a continuous stand-in for a discrete variable; its density is not the discrete variable's).
    Arguments are not validated on construction, since distributions are built every step.

    `unit` is None, or what values were divided by before they are scored: the density is then that of the values
    before. Families that `has_unit` subtract its logarithm.
    """

    measure: Measure = "density"
    point_mass: bool = False
    relaxed: bool = False
    has_rsample = True
    has_unit: bool = False
    unit: Unit | None = None
    domain: constraints.Constraint = constraints.real_vector

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """None: arguments are not validated."""
        return {}

    @property
    def support(self) -> constraints.Constraint:
        """The values the family can give, as torch names them."""
        return self.domain

    def __init__(self, batch_shape: torch.Size, event_shape: torch.Size) -> None:
        # What Distribution.__init__ does where nothing is validated: several are made a step, and each call counts.
        self._batch_shape, self._event_shape, self._validate_args = batch_shape, event_shape, False

    def in_support(self, x: Tensor) -> Tensor:
        """Return, for each example of `x` (..., *event), whether the family can give it: (...,) bool."""
        return sum_event(torch.isfinite(x).to(torch.float32) - 1, len(self.event_shape)) == 0

    def tempered(self, temperature: float) -> Distribution:
        """Return the family with its spread multiplied by `temperature`; see the function of that name."""
        raise Unsupported(f"{name_of(self)} has no temperature; sample at temperature 1")


def in_unit(d: Distribution, unit: Unit) -> Distribution:
    """Return `d`, a distribution of standardised values, with its log-density that of the values before.

    log p(x) = log p((x - m) / s) - Σ log s. The values it takes and gives stay standardised.

    Raises:
        Unsupported: the family does not know units.
    """
    if not isinstance(d, Family) or not d.has_unit:
        raise Unsupported(f"{name_of(d)} scores values without a unit; set data.standardise=false")
    d.unit = unit
    return d


def name_of(d: Distribution) -> str:
    """Return a distribution's name as users know it.

    >>> name_of(torch.distributions.Normal(0.0, 1.0))
    'Normal'
    """
    while isinstance(d, Independent):
        d = d.base_dist
    return type(d).__name__.removesuffix("Family")


def tempered(p: Distribution, temperature: float) -> Distribution:
    """Return `p` at a temperature T ≥ 0: normal parts have their standard deviation times T, logits are divided by T.

    So T = 1 is p itself, and T → 0 its mode (a mixture's or flow's: that of each component, or of its base).

    Raises:
        Unsupported: a family without that notion, e.g. a uniform distribution on a sphere.
        UserError: a temperature below 0 or not finite.
    """
    if not 0 <= temperature < math.inf:
        raise UserError(f"a temperature must be at least 0 and finite, not {temperature:g}")
    if temperature == 1:
        return p
    if not isinstance(p, Family):
        raise Unsupported(f"{name_of(p)} has no temperature; sample at temperature 1")
    return p.tempered(max(temperature, 1e-12))


def sum_event(x: Tensor, dims: int) -> Tensor:
    """Sum over the last `dims` axes: from elementwise values to one value an example.

    >>> sum_event(torch.ones(2, 3, 4), 2)
    tensor([12., 12.])
    """
    if dims > 1:
        x = x.flatten(-dims)
    return x.sum(-1) if dims else x


def _innermost(d: Distribution) -> Distribution:
    while isinstance(d, Independent | TransformedDistribution):
        d = d.base_dist
    return d


def measure_of(d: Distribution) -> Measure:
    """Return what `d.log_prob` is the logarithm of: a probability mass, a density, or neither.

    >>> from torch.distributions import Poisson, Normal
    >>> measure_of(Poisson(1.0)), measure_of(Normal(0.0, 1.0))
    ('mass', 'density')
    """
    own = getattr(d, "measure", None)
    if own is not None:
        return own
    inner = _innermost(d)
    own = getattr(inner, "measure", None)
    if own is not None:
        return own
    support = getattr(inner, "support", None)
    return "mass" if support is not None and support.is_discrete else "density"


def is_point_mass(d: Distribution) -> bool:
    """Return whether all of `d`'s mass is on one value."""
    return bool(getattr(_innermost(d), "point_mass", False))


def is_relaxed(d: Distribution) -> bool:
    """Return whether `d` is a continuous stand-in for a discrete variable."""
    return bool(getattr(_innermost(d), "relaxed", False))


def in_support(d: Distribution, x: Tensor) -> Tensor:
    """Return, for each example of `x`, whether `d` can give it: bool of shape x.shape without the event axes."""
    if isinstance(d, Family):
        return d.in_support(x)
    if isinstance(d, Independent):
        inside = in_support(d.base_dist, x)
        return inside.flatten(inside.dim() - d.reinterpreted_batch_ndims).all(-1)
    support = d.support
    ok = support.check(x) if support is not None else torch.isfinite(x)
    missing = ok.dim() - (x.dim() - len(d.event_shape))
    return ok.flatten(-missing).all(-1) if missing > 0 else ok


def detached(d: D) -> D:
    """Return `d` with its parameters held fixed: gradients of its log-density reach its argument alone.

    Every tensor that it holds, and every distribution inside it, is detached; a family whose parameters lie elsewhere
    (in a network that it calls) has a method `detached` of its own.

    >>> from torch.distributions import Normal
    >>> mean, z = torch.zeros(1, requires_grad=True), torch.ones(1, requires_grad=True)
    >>> detached(Normal(mean, 1.0)).log_prob(z).backward()
    >>> mean.grad, z.grad
    (None, tensor([-1.]))
    """
    own = getattr(d, "detached", None)
    if own is not None:
        return own()
    twin = copy(d)
    for name, value in vars(d).items():
        if isinstance(value, Tensor):
            vars(twin)[name] = value.detach()
        elif isinstance(value, Distribution):
            vars(twin)[name] = detached(value)
    return twin
