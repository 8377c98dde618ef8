"""What every registered posterior, prior and likelihood must hold, and how each is built for it.

`cases()` enumerates the registries, so a new part is checked as soon as it registers. It is built from its facts:

- nothing: the constructor's first parameter is called `net` (given `mlp(3, shape, (8,))`) or `shape`;
- `examples=({"scale": 0.5}, {"scale": "pixel"})`: options for that constructor, one case for each;
- `example=build`: any other constructor; `build(shape)` gives the module and the tuple of its context. A shape it
  cannot take is refused with `ValueError` or `UserError`, and the checks that need that shape are skipped;
- `no_contract="why"`: no checks at all, for the reason given.

The checks take a case and raise AssertionError. A check that does not apply says so by `skip` with one of `Skip`'s
reasons, which follow from what the part is; test_contracts.py lists the parts to which the serious ones apply.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from vaekit.conditional import Conditional, Likelihood, Posterior, Prior
from vaekit.distributions.base import in_support, is_point_mass, is_relaxed, measure_of
from vaekit.distributions.kl import closed_form_kl
from vaekit.distributions.spike import SpikeSlabFamily
from vaekit.distributions.von_mises_fisher import unit_sphere
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.nets.mlp import mlp
from vaekit.posteriors.base import POSTERIORS
from vaekit.priors.base import PRIORS
from vaekit.registry import Entry, Registry

B, K, INPUT = 5, 3, 3
SHAPE = (4,)
Built = tuple[Conditional, tuple[Any, ...]]


class Skip(Enum):
    """Why a check does not apply to a part."""

    NO_CONTRACT = "its registration gives a reason to be checked elsewhere"
    NO_DENSITY = "a point mass has no density"
    NO_LOG_PROB = "not normalised by its own account: a score, a relaxation or a point mass"
    NO_NETWORK = "no network over a tensor"
    NO_PARAMETERS = "no parameters"
    NO_ELEMENTS = "no elementwise log-probability"
    NO_MOMENTS = "no mean or variance in closed form"
    NO_CLOSED_FORM = "no closed-form KL"


def skip(why: Skip) -> NoReturn:
    """Skip a check."""
    pytest.skip(why.value)


@dataclass(frozen=True)
class Case:
    """A registered part with one set of options."""

    registry: Registry[Any]
    entry: Entry[Any]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Kind, name and options."""
        extra = ",".join(f"{k}={v}" for k, v in self.options.items())
        return f"{self.registry.kind}:{self.entry.name}" + (f"[{extra}]" if extra else "")

    def build(self, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> Built:
        """Return the part with an event of `shape`, and a context of B examples (or none)."""
        if "no_contract" in self.entry.facts:
            skip(Skip.NO_CONTRACT)
        torch.manual_seed(seed)
        if "example" in self.entry.facts:
            module, context = self.entry.facts["example"](shape)
            return module, tuple(context)
        first = next(iter(inspect.signature(self.entry.part).parameters), None)
        if first == "net":
            module = self.entry.part(mlp(INPUT, shape, (8,)), **self.options)
            return module, (torch.randn(B, INPUT),)
        if first == "shape":
            return self.entry.part(shape, **self.options), ()
        raise AssertionError(f"{self.id}: say how it is built with an `example` fact (see tests/contracts.py)")

    def distribution(self, shape: tuple[int, ...] = SHAPE) -> Distribution:
        """Return the distribution in eval mode and float64."""
        module, context = self.build(shape)
        return module.double().eval()(*(c.double() if is_float(c) else c for c in context))


def cases(*registries: Registry[Any]) -> Iterator[Case]:
    """Yield a case for each registered part and each of its example options."""
    for registry in registries or (POSTERIORS, PRIORS, LIKELIHOODS):
        for entry in registry:
            for options in entry.facts.get("examples", ({},)):
                yield Case(registry, entry, dict(options))


def is_float(x: Any) -> bool:
    """Whether x is a tensor of floats."""
    return isinstance(x, Tensor) and x.dtype.is_floating_point


def scored(case: Case) -> Built:
    """Build the case, or skip where its distribution has no log-probability."""
    module, context = case.build()
    with torch.no_grad():
        d = module.eval()(*context)
    if is_point_mass(d):
        skip(Skip.NO_DENSITY)
    return module, context


def draw(d: Distribution, *shape: int) -> Tensor:
    """Sample without gradients, seeded."""
    torch.manual_seed(7)
    with torch.no_grad():
        return d.sample(torch.Size(shape))


def data_for(module: Conditional, context: tuple[Any, ...]) -> Tensor:
    """Return one value an example (B, *event) that the distribution can give."""
    with torch.no_grad():
        d = module(*context)
    x = draw(d)
    return x if d.batch_shape else draw(d, B)


# --- normalisation -----------------------------------------------------------------------------------------------


def element_support(d: Distribution) -> Any:
    """Return the support of one element: of `Independent` and of vectors, that of what they are made of."""
    support = d.support
    while isinstance(support, type(constraints.real_vector)):
        support = support.base_constraint
    return support


def support_points(d: Distribution) -> Tensor | None:
    """Return all values of a one-element discrete event, (N, 1, *event), or None if they cannot be listed."""
    support, ones = element_support(d), [1] * len(d.event_shape)
    if support is constraints.one_hot:
        assert d.event_shape[:-1].numel() == 1, "one label"
        return torch.eye(d.event_shape[-1], dtype=torch.float64).view(-1, 1, *d.event_shape)
    codes = getattr(d, "codes", getattr(d, "tokens", None))
    if codes is not None:
        return torch.arange(codes).view(-1, 1, *ones)
    levels = getattr(d, "levels", 2 if support is constraints.boolean else None)
    if levels is not None:
        return torch.linspace(0, 1, levels, dtype=torch.float64).view(-1, 1, *ones)
    if isinstance(support, type(constraints.nonnegative_integer)) and support.lower_bound == 0:
        top = int((d.mean + 60 * d.variance.sqrt()).max()) + 50
        return torch.arange(top, dtype=torch.float64).view(-1, 1, 1)
    return None


def quadrature(d: Distribution) -> tuple[Tensor, Tensor] | None:
    """Return nodes (N, 1, *event) and weights (N, 1) for a density, or None where its support is not known here.

    The event has one element, on the line, above a bound or between two; on the unit sphere it has two. Nodes crowd at
    ends (tanh-sinh, exp), so that a density may be singular there.
    """
    support = element_support(d)
    if support is unit_sphere:
        angle = torch.arange(1000, dtype=torch.float64) * (2 * math.pi / 1000)
        return torch.stack([angle.cos(), angle.sin()], -1).unsqueeze(1), torch.full((1000, 1), 2 * math.pi / 1000)
    low, high = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    if support is constraints.real:
        t = torch.linspace(-25, 25, 200_001, dtype=torch.float64)
        nodes, slope = 0.3 * torch.sinh(t), 0.3 * torch.cosh(t)
    elif low is not None and high is not None:
        t = torch.linspace(-3, 3, 20_001, dtype=torch.float64)
        inner = math.pi / 2 * torch.sinh(t)
        nodes = low + (high - low) * torch.sigmoid(2 * inner)
        slope = (high - low) * math.pi / 4 * torch.cosh(t) / torch.cosh(inner).square()
    elif low is not None:
        t = torch.linspace(-40, 40, 200_001, dtype=torch.float64)
        nodes, slope = low + t.exp(), t.exp()
    else:
        return None
    return nodes.view(-1, 1, 1), (slope * (t[1] - t[0])).view(-1, 1)


def total_mass(d: Distribution) -> Tensor:
    """Return the sum of the masses, or the integral of the density, of an event as small as `smallest` gives."""
    with torch.no_grad():
        if measure_of(d) == "mass":
            points = support_points(d)
            assert points is not None, f"say here how the values of {d.support} are listed"
            return torch.logsumexp(d.log_prob(points), 0).exp()
        rule = quadrature(d)
        assert rule is not None, f"say here how a density on {d.support} is integrated"
        total = (d.log_prob(rule[0]).exp() * rule[1]).sum(0)
        if isinstance(d, SpikeSlabFamily):  # a unit mass at 0 beside Lebesgue measure
            total = total + d.log_prob(torch.zeros(d.event_shape)).exp()
        return total


def smallest(case: Case) -> Distribution:
    """Return the distribution of one element, or of two where it takes no fewer (a direction)."""
    try:
        return case.distribution((1,))
    except (ValueError, UserError):
        return case.distribution((2,))


def check_normalised(case: Case) -> None:
    """The masses of a small event sum to 1, or its density integrates to 1."""
    d = smallest(case)
    if measure_of(d) == "none" or is_point_mass(d) or is_relaxed(d):
        skip(Skip.NO_LOG_PROB)
    total = total_mass(d)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-6)


def check_ends(case: Case) -> None:
    """A likelihood's log-probability is finite wherever its support says so: at 0 and 1, where data often lie, too.

    An example with -inf there would make the bound of all data -inf; outside the support, it is refused and counted.
    """
    module, context = scored(case)
    if not isinstance(module, Likelihood):
        return
    with torch.no_grad():
        d, x = module(*context), data_for(module, context)
        for value in (-2.0, 0.0, 0.5, 1.0, 3.0):
            some = torch.full_like(x, value)
            if bool(in_support(d, some).all()):
                log_p = d.log_prob(some)
                assert bool(torch.isfinite(log_p).all()), f"log p is {log_p.tolist()} at {value}, in its support"


# --- shapes and values -------------------------------------------------------------------------------------------


def check_shapes(case: Case) -> None:
    """log_prob is (B,) for one value an example and (K, B) for K of them; samples are (K, B, *event)."""
    module, context = scored(case)
    with torch.no_grad():
        d = module(*context)
        one, many = data_for(module, context), draw(d, K) if d.batch_shape else draw(d, K, B)
        assert d.batch_shape in (torch.Size((B,)), torch.Size())
        assert many.shape == (K, B, *d.event_shape)
        assert d.log_prob(one).shape == (B,)
        assert d.log_prob(many).shape == (K, B)
        torch.testing.assert_close(d.log_prob(many)[1], d.log_prob(many[1]), rtol=1e-5, atol=1e-4)


def check_sample_axis(case: Case) -> None:
    """A context of (K, B, ...) gives (K, B) log-probabilities of x (B, ...), each as if asked for alone."""
    module, context = scored(case)
    if module.net is None or not context or not is_float(context[0]):
        skip(Skip.NO_NETWORK)
    x = data_for(module, context)
    first = torch.randn(K, *context[0].shape)
    with torch.no_grad():
        together = module(first, *context[1:]).log_prob(x)
        alone = torch.stack([module(f, *context[1:]).log_prob(x) for f in first])
    assert together.shape == (K, B)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-4)


def check_elements(case: Case) -> None:
    """log_prob is the sum of log_prob_elements over the event, where a family has them."""
    module, context = scored(case)
    with torch.no_grad():
        d: Any = module(*context)
        if not hasattr(d, "log_prob_elements"):
            skip(Skip.NO_ELEMENTS)
        x = data_for(module, context)
        elements = d.log_prob_elements(x)
    assert elements.shape == (B, *d.event_shape)
    torch.testing.assert_close(elements.flatten(1).sum(1), d.log_prob(x), rtol=1e-5, atol=1e-5)


def check_support(case: Case) -> None:
    """Samples are in the support, and NaN (or the code -1) is not."""
    module, context = case.build()
    with torch.no_grad():
        d = module.eval()(*context)
    x = data_for(module, context)
    assert in_support(d, x).shape == (B,)
    assert bool(in_support(d, x).all())
    x[0] = torch.nan if is_float(x) else -1
    assert in_support(d, x).tolist() == [False] + [True] * (B - 1)


def check_moments(case: Case, n: int = 20_000) -> None:
    """The mean and variance of samples are the distribution's, within 5 and 6 standard errors.

    The 10 / n allows for values too rare to be in the sample.
    """
    d = case.distribution()
    try:
        mean, variance = d.mean.detach(), d.variance.detach()
    except (NotImplementedError, AttributeError):
        skip(Skip.NO_MOMENTS)
    assert mean.shape == variance.shape == d.batch_shape + d.event_shape
    x = draw(d, n)
    off = (x - mean).square()
    assert bool(((x.mean(0) - mean).abs() <= 5 * (variance / n).sqrt() + 10 / n).all())
    assert bool(((off.mean(0) - variance).abs() <= 6 * off.std(0) / n**0.5 + 10 / n).all())


# --- gradients ---------------------------------------------------------------------------------------------------


def loss_of(module: Conditional, context: tuple[Any, ...], x: Tensor | None) -> Tensor:
    """Return a scalar that uses everything the part gives: log_prob for all, samples too for posteriors."""
    d = module(*context)
    if isinstance(module, Posterior):
        drawn = module.draw(d, 2)
        loss = drawn.z.square().mean() + sum(extra.mean() for extra in drawn.costs.values())
        if not is_point_mass(d):
            log_q = drawn.log_q if drawn.log_q is not None else d.log_prob(drawn.code)
            loss = loss + log_q.mean() / 1e3
        return loss
    assert x is not None
    return -d.log_prob(x).mean()


def check_gradients(case: Case) -> None:
    """Every parameter gets a finite gradient that is not all zero."""
    module, context = case.build()
    if not list(module.parameters()):
        skip(Skip.NO_PARAMETERS)
    module.eval()
    x = None if isinstance(module, Posterior) else data_for(module, context)
    module.train()
    torch.manual_seed(1)
    loss_of(module, context, x).backward()
    for name, p in module.named_parameters():
        assert p.grad is not None, f"{name} has no gradient"
        assert bool(torch.isfinite(p.grad).all()), f"{name} has a gradient that is not finite"
        assert bool((p.grad != 0).any()), f"{name} has a gradient of zeros"


def check_extremes(case: Case) -> None:
    """Network outputs of ±10⁴ give finite losses and finite gradients; so do the closed-form KLs, never negative."""
    module, context = case.build()
    if module.net is None:
        skip(Skip.NO_NETWORK)
    x = None if isinstance(module, Posterior) else data_for(module.eval(), context)
    module.train()
    bias = [p for name, p in module.net.named_parameters() if name.endswith("bias")][-1]
    signs = torch.tensor([1.0, -1.0])
    for pattern in (signs[:1], signs[1:], signs, signs.repeat_interleave(SHAPE[0]), -signs.repeat_interleave(SHAPE[0])):
        module.zero_grad()
        with torch.no_grad():
            bias.copy_(1e4 * pattern.repeat(bias.numel() // len(pattern) + 1)[: bias.numel()])
        torch.manual_seed(1)
        loss = loss_of(module, context, x)
        assert bool(torch.isfinite(loss)), f"loss {loss} at outputs of {pattern.tolist()} × 1e4"
        if isinstance(module, Posterior):
            for _, divergence in closed_forms(module(*context)):
                assert bool(torch.isfinite(divergence).all() & (divergence >= -1e-6).all())
                loss = loss + divergence.mean()
        loss.backward()
        for name, p in module.named_parameters():
            assert p.grad is None or bool(torch.isfinite(p.grad).all()), f"{name} at {pattern.tolist()} × 1e4"


# --- KL ----------------------------------------------------------------------------------------------------------


def closed_forms(q: Distribution) -> Iterator[tuple[Distribution, Tensor]]:
    """Yield every registered unconditional prior that q has a closed-form KL to, with it."""
    dtype = q.mean.dtype
    for case in cases(PRIORS):
        try:
            module, context = case.build(tuple(q.event_shape))
        except (ValueError, UserError, pytest.skip.Exception):
            continue
        if not context:
            p = module.to(dtype)()
            exact = closed_form_kl(q, p) if p.event_shape == q.event_shape else None
            if exact is not None:
                yield p, exact


def check_kl(case: Case, n: int = 20_000) -> None:
    """Closed-form KLs equal log q - log p averaged over samples, within 4 standard errors, and are not negative."""
    q = case.distribution()
    if is_point_mass(q):
        skip(Skip.NO_DENSITY)
    found = False
    with torch.no_grad():
        for p, exact in closed_forms(q):
            found = True
            compare_kl(q, p, exact, n)
    if not found:
        skip(Skip.NO_CLOSED_FORM)


def compare_kl(q: Distribution, p: Distribution, exact: Tensor, n: int = 20_000) -> None:
    """Assert that `exact` is KL(q ‖ p) to within 4 standard errors of n samples, and not negative."""
    z = draw(q, n)
    ratio = q.log_prob(z) - p.log_prob(z)
    assert exact.shape == q.batch_shape
    assert bool((exact >= -1e-9).all())
    assert bool(((ratio.mean(0) - exact).abs() <= 4 * ratio.std(0) / n**0.5 + 1e-9).all()), (ratio.mean(0), exact)


# --- modules -----------------------------------------------------------------------------------------------------


def outputs(module: Conditional, context: tuple[Any, ...], x: Tensor) -> Tensor:
    """Return what identifies the distribution: its log-probabilities of x, or its mean where it has none."""
    with torch.no_grad():
        d = module.eval()(*context)
        return d.mean if is_point_mass(d) else d.log_prob(x)


def check_state(case: Case) -> None:
    """A second part with the first's state gives the same numbers."""
    module, context = case.build()
    x = data_for(module.eval(), context)
    other, _ = case.build(seed=1)
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(outputs(other, context, x), outputs(module, context, x), rtol=0, atol=0)


def check_copy(case: Case) -> None:
    """A deep copy gives the same numbers, keys and independence."""
    from copy import deepcopy

    module, context = case.build()
    x = data_for(module.eval(), context)
    before = outputs(module, context, x)
    twin = deepcopy(module)
    assert list(twin.state_dict()) == list(module.state_dict())
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1)
    torch.testing.assert_close(outputs(twin, context, x), before, rtol=0, atol=0)


def check_float64(case: Case) -> None:
    """In float64 the numbers are float64's, near float32's."""
    module, context = case.build()
    x = data_for(module.eval(), context)
    single = outputs(module, context, x)
    double = outputs(module.double(), tuple(c.double() if is_float(c) else c for c in context), x.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-3)


def check_batch(case: Case) -> None:
    """In eval mode an example's log-probability does not depend on the rest of its batch."""
    module, context = case.build()
    x = data_for(module.eval(), context)
    together = outputs(module, context, x)
    if not context:
        alone = torch.cat([outputs(module, (), x[i : i + 1]) for i in range(B)])
    else:
        parts = [tuple(c[i : i + 1] if isinstance(c, Tensor) else c for c in context) for i in range(B)]
        alone = torch.cat([outputs(module, parts[i], x[i : i + 1]) for i in range(B)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-4)


def check_kind(case: Case) -> None:
    """The part is of its registry's kind, says what it wants, and has a summary and a reference."""
    module, context = case.build()
    kinds = {"posterior": Posterior, "prior": Prior, "likelihood": Likelihood}
    assert isinstance(module, kinds[case.registry.kind])
    assert case.entry.summary
    assert case.entry.reference
    if isinstance(module, Likelihood):
        assert module.wants in ("binary", "unit", "levels", "counts", "real", "any")
        assert module.measure == measure_of(module.eval()(*context))
        assert measure_of(module.train()(*context)) == module.measure


CHECKS = (
    check_kind,
    check_normalised,
    check_ends,
    check_shapes,
    check_sample_axis,
    check_elements,
    check_support,
    check_moments,
    check_gradients,
    check_extremes,
    check_state,
    check_copy,
    check_float64,
    check_batch,
)
