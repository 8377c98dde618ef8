"""The trace: what one forward pass of a latent variable model leaves behind, unreduced, in nats per example.

Objectives, bounds and metrics read traces and nothing else. Shapes: B examples, K posterior samples an example; sample
axes lead, so log p(x|z) is (K, B). A trace never looks inside x: likelihoods and networks do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from inspect import Parameter, signature
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.distributions.base import is_point_mass, measure_of
from vaekit.distributions.kl import closed_form_kl, kl_elements
from vaekit.errors import UserError


@dataclass(frozen=True)
class Latent:
    """One latent variable: its posterior and prior, and the K samples that were drawn.

    `z` (K, B, ...) feeds the decoder. `code` (K, B, ...) is what q and p score: it differs from z where z is an
    embedding of a discrete code, say. `log_q` is kept where sampling already knows log q(code|x) (an inverse
    autoregressive flow cannot score an arbitrary code cheaply); else q is asked. `start` (K, B, ...) are the samples of
    a flow's base that it made the code of.
    """

    q: Distribution
    p: Distribution
    z: Tensor
    code: Tensor
    log_q: Tensor | None = None
    start: Tensor | None = None

    @cached_property
    def log_q_code(self) -> Tensor:
        """log q(code|x), (K, B); 0 for a point mass on a discrete code."""
        if self.log_q is not None:
            return self.log_q
        if is_point_mass(self.q) and measure_of(self.p) == "mass":
            return torch.zeros_like(self.log_p_code)
        return self.q.log_prob(self.code)

    @cached_property
    def log_p_code(self) -> Tensor:
        """log p(code), (K, B)."""
        return self.p.log_prob(self.code)

    @cached_property
    def kl(self) -> Tensor:
        """KL(q ‖ p): in closed form, (B,) or (K, B); else log q(code) - log p(code) at the samples, (K, B).

        Of a flow the same with its base's KL as a control variate, KL(base ‖ p) less its own estimate from the samples
        `start`: the expectation stays, and what varies is only what the steps change.
        """
        if self.log_q is None:
            exact = closed_form_kl(self.q, self.p)
            return self.log_q_code - self.log_p_code if exact is None else exact
        sampled = self.log_q_code - self.log_p_code
        base = getattr(self.q, "base", None)
        if base is None or self.start is None:
            return sampled
        exact = closed_form_kl(base, self.p)
        if exact is None:
            return sampled
        return sampled + (exact - (base.log_prob(self.start) - self.p.log_prob(self.start)))

    @cached_property
    def kl_elements(self) -> Tensor | None:
        """KL of each latent dimension, (B, *event) or (K, B, *event), where q and p factorise; else None."""
        return kl_elements(self.q, self.p) if self.log_q is None else None


@dataclass(frozen=True)
class Trace:
    """One forward pass: the data, the latents by name (top first), and p(x|z).

    `log_w_extra` (B,) or (K, B) is what a weight has beside likelihood, priors and posteriors, e.g. the log-ratio of a
    label, log p(y) - log q(y|x): every bound adds it. `refusal` says why the trace bounds no log p(x), where the model
    knows a reason that its parts do not show. `costs` (B,) are a quantiser's own losses by name, in no bound.
    A model whose objective needs more returns a subclass with fields for it.

    >>> from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
    >>> q = DiagonalNormalFamily(torch.zeros(4, 2), torch.zeros(4, 2))
    >>> z = q.rsample((3,))
    >>> px = DiagonalNormalFamily(z, torch.zeros_like(z))
    >>> trace = Trace(torch.zeros(4, 2), None, {"z": Latent(q, StandardNormalFamily(torch.zeros(2)), z, z)}, px)
    >>> trace.log_px.shape, trace.kl["z"].shape, trace.log_w.shape
    (torch.Size([3, 4]), torch.Size([4]), torch.Size([3, 4]))
    """

    x: Any
    y: Any
    latents: Mapping[str, Latent]
    px: Distribution
    log_w_extra: Tensor | None = None
    refusal: str | None = None
    costs: Mapping[str, Tensor] = field(default_factory=dict)

    @cached_property
    def log_px(self) -> Tensor:
        """log p(x|z), (K, B) nats."""
        return self.px.log_prob(self.x)

    @cached_property
    def kl(self) -> dict[str, Tensor]:
        """KL(q ‖ p) of each latent, by name: (B,) where a closed form needs no samples, else (K, B)."""
        return {name: latent.kl for name, latent in self.latents.items()}

    @cached_property
    def log_w(self) -> Tensor:
        """log p(x, z) - log q(z|x) at each sample, and `log_w_extra`, (K, B): never with a closed-form KL inside."""
        total = self.log_px
        for latent in self.latents.values():
            total = total + (latent.log_p_code - latent.log_q_code)
        return total if self.log_w_extra is None else total + self.log_w_extra


@dataclass(frozen=True)
class SemiSupervisedTrace(Trace):
    """A trace of a model with a latent label: `hidden` (B,) bool where y is not shown, `log_qy` (B, C) = log q(y|x)."""

    hidden: Tensor = field(kw_only=True)
    log_qy: Tensor = field(kw_only=True)


@dataclass(frozen=True)
class GeneratingTrace(Trace):
    """A trace that holds what the decoder made with no gradient to the encoder, for a discriminator to judge.

    `generated` (2B, *event) are means of p(x|z) at prior draws and at detached codes.
    """

    generated: Tensor = field(kw_only=True)


@dataclass(frozen=True)
class PredictiveTrace(Trace):
    """A trace of a model that predicts targets t from z: `log_pt` (K, B) = log p(t|z), None where there are none."""

    log_pt: Tensor | None = field(kw_only=True)


@dataclass(frozen=True)
class ConceptTrace(Trace):
    """A trace of a model with concepts: log q(u = y|x) of those labelled, and their log p under every mechanism, (B,).

    `shown` (B,) says which examples have a label, `whole` which have one of every concept.
    """

    log_qy: Tensor = field(kw_only=True)
    log_py: Tensor = field(kw_only=True)
    shown: Tensor = field(kw_only=True)
    whole: Tensor = field(kw_only=True)


@dataclass(frozen=True)
class CoupledTrace(Trace):
    """A trace at hard codes, with p(x|z) at relaxed codes that are coupled to them: see `Posterior.coupled`.

    `soft` and `given` are (relaxed code, p(x|z) there): the one that the hard code comes of, and one drawn given it.
    """

    soft: tuple[Tensor, Distribution] = field(kw_only=True)
    given: tuple[Tensor, Distribution] = field(kw_only=True)


def measured(function: Callable[..., Any], model: Any, trace: Trace) -> Tensor:
    """Return a user's function of a trace, or of (model, x) or (model, x, y), by how many arguments it needs.

    It gives one value an example, (B,), or one of the whole batch; samples (K, B) are averaged over.

    >>> trace = Trace(torch.ones(4, 2), None, {}, None)
    >>> measured(lambda model, x: x.sum(1), None, trace).tolist(), measured(lambda trace: 3.0, None, trace).item()
    ([2.0, 2.0, 2.0, 2.0], 3.0)
    """
    arguments = (model, trace.x, trace.y)
    count = _needed(function)
    value = function(trace) if count < 2 else function(*arguments[:count])
    value = torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float32).detach()
    value = value.mean(0) if value.dim() == 2 else value
    if value.dim() > 1 or (value.dim() == 1 and len(value) != len(trace.x)):
        raise UserError(
            f"the metric '{getattr(function, '__name__', function)}' gives a tensor of shape {tuple(value.shape)} for "
            f"{len(trace.x)} examples; return one value an example, or one number"
        )
    return value


def _needed(function: Callable[..., Any]) -> int:
    """Return how many arguments a function cannot do without, at most three."""
    try:
        parameters = signature(function).parameters.values()
    except ValueError:  # a function of C that does not say
        return 1
    places = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return min(3, sum(one.kind in places and one.default is Parameter.empty for one in parameters))


T = TypeVar("T", bound=Trace)


def extended(trace: Trace, kind: Callable[..., T], **more: Any) -> T:
    """Return the trace as one of a subclass: its fields, and `more` (which may replace some of them)."""
    return kind(**{one.name: getattr(trace, one.name) for one in fields(trace)} | more)


def require_trace(trace: Trace, kind: type[T], what: str) -> T:
    """Return the trace as one of `kind`, or raise a UserError: this model's traces lack what `what` needs of them.

    >>> require_trace(Trace(None, None, {}, None), PredictiveTrace, "the term 'prediction'")
    Traceback (most recent call last):
    vaekit.errors.UserError: the term 'prediction' needs a model whose traces are PredictiveTrace, not Trace
    """
    if not isinstance(trace, kind):
        raise UserError(f"{what} needs a model whose traces are {kind.__name__}, not {type(trace).__name__}")
    return trace
