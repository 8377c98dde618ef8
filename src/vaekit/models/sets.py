"""The neural statistician: examples that come in sets, with a context that the members of a set share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from vaekit.conditional import Likelihood, apply_net
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.models.base import Model
from vaekit.models.hierarchy import Choose, Hierarchy, Visit
from vaekit.nets.base import Net
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import ConditionalNormal, StandardNormal
from vaekit.trace import Latent, Trace, extended


@dataclass(frozen=True)
class MemberLatent(Latent):
    """A latent of a set, its log-probabilities and KL divided by the number of members: nats an example."""

    members: int = field(kw_only=True)

    @property
    def _whole(self) -> Latent:
        return Latent(self.q, self.p, self.z, self.code)

    @cached_property
    def log_q_code(self) -> Tensor:
        """log q(code|X) / N, (K, B)."""
        return self._whole.log_q_code / self.members

    @cached_property
    def log_p_code(self) -> Tensor:
        """log p(code) / N, (K, B)."""
        return self._whole.log_p_code / self.members

    @cached_property
    def kl(self) -> Tensor:
        """KL(q ‖ p) / N, (B,) or (K, B)."""
        return self._whole.kl / self.members

    @cached_property
    def kl_elements(self) -> Tensor | None:
        """None: sets of other sizes have other dimensions."""
        return None


@dataclass(frozen=True)
class MemberTrace(Trace):
    """A trace of sets whose numbers are those of a set divided by its size N: nats an example.

    Its ELBO is ELBO(X) / N ≤ log p(X) / N, and its weights are w^{1/N}, whose mean bounds log p(X) / N from below too.
    """

    members: int = field(kw_only=True)

    @cached_property
    def log_px(self) -> Tensor:
        """Σ_i log p(x_i|z_i, c) / N, (K, B) nats."""
        return self.px.log_prob(self.x) / self.members


class SetVAE(Hierarchy):
    """p(X) = ∫ p(c) Π_i ∫ p(z_i|c) p(x_i|z_i, c) dz_i dc of a set X, with q(c|X) Π_i q(z_i|x_i, c).

    The context c is what the members of a set have in common; z_i is each member's own. x is either B sets of N
    members, (B, N, *shape), of which a trace bounds log p(X), nats a set; or plain examples (B, *shape), each a set of
    one, of which it bounds log p(x), nats an example. p(X) does not depend on the members' order, and sets of all sizes
    share one model. q(c|∅) is the prior.

    `trunk` turns an example into W features once; `context` takes those of all members, (B, N, W); `posterior` those
    of one, with c as its network's context; `prior` is p(z|c); `likelihood` takes c and z side by side.

    Source: Edwards & Storkey 2017, arXiv:1606.02185 (one layer z); the statistic network here is attention.

    >>> from vaekit.likelihoods.bernoulli import Bernoulli
    >>> from vaekit.nets.mlp import mlp
    >>> from vaekit.nets.pool import AttentionPool
    >>> model = SetVAE(
    ...     mlp(64, 16, ()),
    ...     DiagonalNormal(AttentionPool(16, 3)),
    ...     DiagonalNormal(mlp(16, 2, context=3)),
    ...     ConditionalNormal(mlp(3, 2)),
    ...     Bernoulli(mlp(5, 64)),
    ... )
    >>> {name: kl.shape for name, kl in model.trace(torch.zeros(5, 7, 64), k=4).kl.items()}  # 5 sets of 7
    {'c': torch.Size([5]), 'z': torch.Size([4, 5])}
    >>> model.trace(torch.zeros(6, 64), k=4).log_w.shape, model.sample_like(torch.zeros(1, 5, 64), 3).shape
    (torch.Size([4, 6]), torch.Size([3, 1, 64]))
    """

    encoder_parts = ("trunk", "context", "posterior")

    def __init__(
        self,
        trunk: Net,
        context: DiagonalNormal,
        posterior: DiagonalNormal,
        prior: ConditionalNormal,
        likelihood: Likelihood,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.context = context
        self.posterior = posterior
        self.prior = prior
        self.top = StandardNormal(context.latent_shape)
        self.likelihood = likelihood
        self.names = ["c", "z"]
        self.shapes = [context.latent_shape, posterior.latent_shape]

    # -- inference -----------------------------------------------------------------------------------------------------

    def encode(self, x: Any, y: Tensor | None = None) -> DiagonalNormalFamily:
        """Return q(c|X), (B,), of sets (B, N, *shape), N from 0, or of examples (B, *shape)."""
        h, sets = self._members(x)
        return self.context(h if sets else h.unsqueeze(1))

    def visits(self, x: Any, take: Callable[[DiagonalNormalFamily], Tensor]) -> tuple[list[Visit], Tensor]:
        """Infer c from all members, then each member's z given it."""
        h, sets = self._members(x)
        q = self.context(h if sets else h.unsqueeze(1))
        c = take(q)
        below, at = self.visit_members(h, c, take)
        return [Visit(q, self.top(), c), below], at

    def visit_members(
        self, h: Tensor, c: Tensor, take: Callable[[DiagonalNormalFamily], Tensor]
    ) -> tuple[Visit, Tensor]:
        """Infer the members' z at a context c (..., B, C), from features h (B, W), or (B, N, W) of sets."""
        sets = h.dim() == 3
        each = c.unsqueeze(-2).expand(*c.shape[:-1], h.shape[1], -1) if sets else c
        q, p = self.posterior(h.expand(*each.shape[:-1], -1), each), self.prior(each)
        if sets:
            q, p = (DiagonalNormalFamily(one.loc, one.log_scale, 2) for one in (q, p))
        z = take(q)
        return Visit(q, p, z), torch.cat([each, z], -1)

    def descend(self, choose: Choose) -> Tensor:
        """Draw c, then one z given it."""
        c = choose(0, self.top())
        return torch.cat([c, choose(1, self.prior(c))], -1)

    def _members(self, x: Tensor) -> tuple[Tensor, bool]:
        """Return the features of examples (B, W), or of sets (B, N, W), and whether they are sets."""
        assert self.trunk.in_shape is not None
        sets = x.dim() > len(self.trunk.in_shape) + 1
        if sets and not x.shape[1]:
            return x.new_zeros(len(x), 0, *self.trunk.out_shape), True
        return apply_net(self.trunk, x).squeeze(1 + sets), sets

    # -- traces --------------------------------------------------------------------------------------------------------

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass with `k` posterior samples a set; plain examples are sets of one."""
        made = super().trace(x, y, k, hard)
        sets = len(made.latents["z"].q.event_shape) == 2
        return replace(made, px=Independent(made.px, 1, validate_args=False)) if sets else made

    def trace_members(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Trace sets in nats an example, so that batches of large and of small sets weigh the same."""
        made, n = self.trace(x, y, k, hard), x.shape[1]
        if len(made.latents["z"].q.event_shape) == 1:
            return made
        latents = {name: MemberLatent(one.q, one.p, one.z, one.code, members=n) for name, one in made.latents.items()}
        return extended(made, MemberTrace, latents=latents, members=n)

    # -- given a set ---------------------------------------------------------------------------------------------------

    def sample_like(self, sets: Tensor, n: int, temperature: float = 1.0, draw: bool = False) -> Tensor:
        """Return `n` new examples of each set (B, N, *shape): c ~ q(c|X), z ~ p(z|c); (n, B, *shape).

        They are means of p(x|z, c), or draws from it. `temperature` multiplies z's standard deviation, c's too.
        """
        c = self.encode(sets).tempered(temperature).sample(torch.Size((n,)))
        z = self.prior(c).tempered(temperature).sample()
        px = self.likelihood(torch.cat([c, z], -1))
        return px.sample() if draw or getattr(px, "draws_only", False) else px.mean

    def log_given(self, x: Tensor, sets: Tensor, k: int = 100) -> Tensor:
        """Return log p(x|X) of examples (B, *shape) given each of S sets (S, N, *shape), (B, S) nats, from k samples.

        log (1/K) Σ_k p(x, z_k|c_k) / q(z_k|x, c_k) with c_k ~ q(c|X), z_k ~ q(z|x, c_k): an estimate from below of
        log ∫ q(c|X) p(x|c) dc, which is the predictive density where q(c|X) is the posterior.
        """
        c = self.encode(sets).sample(torch.Size((k,)))  # (K, S, C)
        h, rows = self._members(x)[0], x.shape[0]
        c = c.unsqueeze(2).expand(k, len(sets), rows, -1)
        visit, at = self.visit_members(h.expand(len(sets), rows, -1).flatten(0, 1), c.flatten(1, 2), _drawn)
        px = self.likelihood(at)
        log_w = px.log_prob(x.expand(len(sets), *x.shape).flatten(0, 1))
        log_w = log_w + visit.p.log_prob(visit.z) - visit.q.log_prob(visit.z)
        return (log_w.logsumexp(0) - torch.tensor(float(k)).log()).view(len(sets), rows).T

    def of_context(self) -> GivenContext:
        """Return the model of a set's context alone, as `metrics.gaps.fit_posteriors` refines a latent."""
        return GivenContext(self)


def _drawn(q: DiagonalNormalFamily) -> Tensor:
    return q.rsample()


class GivenContext(Model):
    """A set's context alone: q(c|X) and E_q(z|x,c) [log p(X, z, c) - log q(z|X, c)].

    `log_joint` has one draw of the members' z an example and sample, so what it estimates is the set's ELBO at c.
    """

    def __init__(self, model: SetVAE) -> None:
        super().__init__()
        self.model = model

    def encode(self, x: Any, y: Tensor | None = None) -> Distribution:
        """Return q(c|X), (B,)."""
        return self.model.encode(x)

    def log_joint(self, x: Any, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(c) + Σ_i [log p(x_i, z_i|c) - log q(z_i|x_i, c)] at contexts (K, B, C), (K, B) nats."""
        visit, at = self.model.visit_members(self.model._members(x)[0], z, _drawn)
        log_px = Independent(self.model.likelihood(at), 1, validate_args=False).log_prob(x)
        ratio = visit.p.log_prob(visit.z) - visit.q.log_prob(visit.z)
        return log_px + ratio + self.model.top().log_prob(z)
