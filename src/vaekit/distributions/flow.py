"""Normalising flows: a normal base pushed through invertible steps, with the log-density known at every sample.

Planar steps are here; autoregressive and coupling steps are zuko's (`pip install 'vaekit[flows]'`).
"""

from __future__ import annotations

import math
from copy import deepcopy
from functools import cache, partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import softplus
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, detached
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError

MEAN_POINTS = 16
BINS = 8
DEPTH = 1 - 1e-3
"""How near a planar step may come to folding space: w·û > -DEPTH."""


class Step(Protocol):
    """An invertible map z → y with the log of its Jacobian's determinant; `inv` is the map back."""

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (y, log |det ∂y/∂x|), the second without the event's axis."""
        ...

    @property
    def inv(self) -> Step:
        """The inverse map."""
        ...


@cache
def mean_points(shape: tuple[int, ...]) -> Tensor:
    """Return the fixed points that a flow's mean is estimated from, (MEAN_POINTS, *shape), each with its opposite."""
    half = torch.randn(MEAN_POINTS // 2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.cat([half, -half])


class Flow(Family):
    """z = f_T(… f_1(z₀; h) …; h) with z₀ ~ base: log q(z) = log base(z₀) - Σ_t log |det ∂f_t|, nats/example.

    `steps` is a module that makes the map f of a context h (or None). Sampling gives the density for nothing
    (`rsample_and_log_prob`); scoring any other z inverts f. The mean has no closed form: it is that of 16 fixed
    antithetic points of the base, the same for every example.

    Source: Rezende & Mohamed 2015, arXiv:1505.05770.
    """

    def __init__(self, base: DiagonalNormalFamily, steps: nn.Module, context: Tensor | None = None) -> None:
        self.base = base
        self.steps = steps
        self.context = context
        super().__init__(base.batch_shape, base.event_shape)

    @property
    def map(self) -> Step:
        """The map from the base to z, made anew: one kept from a call without gradients would have none later."""
        return self.steps(self.context)

    def rsample_and_log_prob(self, sample_shape: _size = SCALAR) -> tuple[Tensor, Tensor]:
        """Draw z and return it with its log-density."""
        return self.pushed(self.base.rsample(sample_shape))

    def pushed(self, start: Tensor) -> tuple[Tensor, Tensor]:
        """Return the z of samples of the base, and its log-density."""
        z, ladj = self.map.call_and_ladj(start)
        return z, self.base.log_prob(start) - ladj

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw z."""
        return self.rsample_and_log_prob(sample_shape)[0]

    def at(self, noise: Tensor) -> Tensor:
        """Return z for a given standard normal `noise`."""
        return self.map.call_and_ladj(self.base.at(noise))[0]

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats/example, by inverting the map."""
        value = value.expand(torch.broadcast_shapes(value.shape, self._extended_shape()))
        start, ladj = self.map.inv.call_and_ladj(value)
        return self.base.log_prob(start) + ladj

    @property
    def mean(self) -> Tensor:
        """The mean, estimated from fixed points."""
        noise = mean_points(tuple(self.event_shape)).to(self.base.loc)
        return self.at(noise.view(len(noise), *[1] * len(self.batch_shape), *self.event_shape)).mean(0)

    def tempered(self, temperature: float) -> Flow:
        """Return the flow with its base's spread multiplied by `temperature`."""
        return Flow(self.base.tempered(temperature), self.steps, self.context)

    def detached(self) -> Flow:
        """Return the flow with its parameters held fixed, the networks' among them."""
        context = None if self.context is None else self.context.detach()
        return Flow(detached(self.base), deepcopy(self.steps).requires_grad_(False), context)


class PlanarStep:
    """y = z + û tanh(w·z + b), with û = u + (m(w·u) - w·u) w/‖w‖², so that w·û > -1 and the map is invertible.

    m(a) = softplus(a + c) - DEPTH, and c such that m(0) = 0: u = 0 is the identity. The log-determinant is
    log(1 + w·û (1 - tanh²)). Parameters u and w are (..., D), b is (...).

    Source: Rezende & Mohamed 2015, arXiv:1505.05770, §4.1 and App. A.
    """

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        along = (w * u).sum(-1)
        self.gain = softplus(along + math.log(math.expm1(DEPTH))) - DEPTH
        self.w, self.b = w, b
        self.u = u + ((self.gain - along) / w.square().sum(-1).clamp(min=1e-12)).unsqueeze(-1) * w

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and the log-determinant."""
        bend = torch.tanh((x * self.w).sum(-1) + self.b)
        return x + self.u * bend.unsqueeze(-1), torch.log1p(self.gain * (1 - bend * bend))

    @property
    def inv(self) -> PlanarInverse:
        """The map back."""
        return PlanarInverse(self)


class PlanarInverse:
    """z of y: s = w·z solves s + g tanh(s + b) = w·y, a rising function of s with its root within |g| of w·y."""

    def __init__(self, step: PlanarStep) -> None:
        self.inv = step

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z and the log-determinant of the map back."""
        step = self.inv
        target = (x * step.w).sum(-1)
        with torch.no_grad():
            low, high = target - step.gain.abs(), target + step.gain.abs()
            for _ in range(60):
                middle = 0.5 * (low + high)
                above = middle + step.gain * torch.tanh(middle + step.b) > target
                low, high = torch.where(above, low, middle), torch.where(above, middle, high)
            root = 0.5 * (low + high)
        # One Newton step from the root: the value stays, and its gradient is that of the implicit function.
        bend = torch.tanh(root + step.b)
        slope = (1 + step.gain * (1 - bend * bend)).detach()
        s = root - (root + step.gain * bend - target) / slope if torch.is_grad_enabled() else root
        bend = torch.tanh(s + step.b)
        return x - step.u * bend.unsqueeze(-1), -torch.log1p(step.gain * (1 - bend * bend))


class Composed:
    """Steps one after another."""

    def __init__(self, steps: list[Any]) -> None:
        self.steps = steps

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last value and the sum of the log-determinants."""
        total: Tensor | float = 0.0
        for step in self.steps:
            x, ladj = step.call_and_ladj(x)
            total = total + ladj
        assert isinstance(total, Tensor)
        return x, total

    @property
    def inv(self) -> Composed:
        """The inverses in reverse."""
        return Composed([step.inv for step in reversed(self.steps)])


class Planar(nn.Module):
    """Planar steps whose u, w and centre c (3 values a step and dimension, b = w·c) come with the context."""

    def forward(self, context: Tensor) -> Composed:
        """Take the context (..., 3 T, D) apart."""
        # Squashed, so that extreme outputs of a network bend space no more than they overflow.
        rows = (7 * torch.tanh(context / 7)).unflatten(-2, (-1, 3)).unbind(-3)
        return Composed(
            [PlanarStep(u, w, (w * c).sum(-1)) for u, w, c in (row.unbind(-2) for row in rows)],
        )


class Steps(nn.Module):
    """zuko's steps, each made of the same context; `reverse` composes their inverses."""

    def __init__(self, steps: list[nn.Module], reverse: bool = False) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.reverse = reverse

    def forward(self, context: Tensor | None) -> Composed:
        """Make the map; a context (..., n, D) is squashed and flattened to (..., n D)."""
        if context is not None:
            context = (7 * torch.tanh(context / 7)).flatten(-2)
        made = Composed([_Summed(step(context)) for step in self.steps])
        return made.inv if self.reverse else made


class _Summed:
    """A step of zuko's; its autoregressive inverse gives its log-determinant through the forward map."""

    def __init__(self, step: Any) -> None:
        self.step = step

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.step.call_and_ladj(x)

    @property
    def inv(self) -> _Summed:
        return _Summed(self.step.inv)


def _zuko() -> Any:
    """Import zuko, and undo what it does to all of torch's distributions: it turns their argument checks off."""
    checks = Distribution._validate_args
    try:
        import zuko.flows
    except ImportError:
        raise UserError("flows need the package zuko: pip install 'vaekit[flows]'") from None
    finally:
        Distribution._validate_args = checks
    return zuko


def _near_identity(step: nn.Module) -> nn.Module:
    """Shrink what a step's parameters depend on, so that training starts close to the base."""
    with torch.no_grad():
        linear = [m for m in step.modules() if isinstance(m, nn.Linear)]
        for parameter in linear[-1].parameters() if linear else step.parameters():
            parameter.mul_(0.1)
    return step


def autoregressive(features: int, context: int, transforms: int, hidden: int = 64) -> Steps:
    """Inverse autoregressive steps (Kingma et al. 2016, arXiv:1606.04934), the order reversed from one to the next.

    z_i is affine in its own noise, with shift and scale from the noise before it: one pass samples, D passes invert.
    """
    make = _zuko().flows.MaskedAutoregressiveTransform
    order = torch.arange(features)
    return Steps(
        [
            _near_identity(make(features, context, order=o, hidden_features=(hidden, hidden)))
            for o in (order if t % 2 == 0 else order.flip(0) for t in range(transforms))
        ]
    )


def coupling(features: int, context: int, transforms: int, spline: bool, reverse: bool, hidden: int = 64) -> Steps:
    """Coupling steps over alternating halves: affine (Dinh et al. 2017, arXiv:1605.08803), or splines.

    The splines are rational-quadratic (Durkan et al. 2019, arXiv:1906.04032), within [-5, 5], the identity beyond.
    """
    zuko = _zuko()
    options: dict[str, Any] = {"hidden_features": (hidden, hidden)}
    if spline:
        options["univariate"] = partial(zuko.transforms.MonotonicRQSTransform, slope=1e-3)
        options["shapes"] = [(BINS,), (BINS,), (BINS - 1,)]
    halves = [torch.arange(features) % 2 == t % 2 for t in range(transforms)]
    made = [zuko.flows.GeneralCouplingTransform(features, context, mask=half, **options) for half in halves]
    return Steps([_near_identity(step) for step in made], reverse)
