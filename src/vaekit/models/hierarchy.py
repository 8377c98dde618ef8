"""Hierarchies of normal latents: what they have in common, and the one whose inference goes bottom-up."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.conditional import Likelihood
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.models.base import Model, point, shown
from vaekit.nets.base import size
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import ConditionalNormal, StandardNormal
from vaekit.trace import Latent, Trace

Choose = Callable[[int, DiagonalNormalFamily], Tensor]
"""Given a level's number (0 is the top) and its prior there, return its z."""


@dataclass(frozen=True)
class Visit:
    """What one pass of inference met at a level: q, p and the z that was taken."""

    q: DiagonalNormalFamily
    p: DiagonalNormalFamily
    z: Tensor


@dataclass(frozen=True)
class SampledLatent(Latent):
    """A latent z whose prior depends on z itself, through what was inferred from it: p(z | z'), z' ~ q(z' | z).

    Then E_q[log q(z) - log p(z|z')] is no mean of KL(q ‖ p(·|z')), which would take z' as independent of z: the ratio
    is taken at the samples. Of one level it may be negative; the sum over levels is not.
    """

    @cached_property
    def kl(self) -> Tensor:
        """log q(z) - log p(z|z') at the samples, (K, B) nats."""
        return self.log_q_code - self.log_p_code

    @cached_property
    def kl_elements(self) -> Tensor | None:
        """The same for each dimension, (K, B, *event)."""
        assert isinstance(self.q, DiagonalNormalFamily) and isinstance(self.p, DiagonalNormalFamily)
        return self.q.log_prob_elements(self.code) - self.p.log_prob_elements(self.code)


class Hierarchy(Model):
    """p(x, z_L, …, z_1) = p(z_L) Π p(z_l | z_>l) p(x|z), every prior and posterior a diagonal normal.

    ELBO = E_q[log p(x|z)] - Σ_l E_q[log q_l(z_l) - log p_l(z_l)], reported level by level. The posterior may factorise
    in either direction; a pass of inference is `visits`, one down the prior is `descend`.

    A code outside of traces (features, `posterior_mean`, `decode`, `sample_latent`) is in the prior's own units,

        u_l = (z_l - μ_p(z_>l)) / σ_p(z_>l),    all levels side by side, the top first: (B, F),

    so that p(u) = N(0, I), p(x) is the same, moving any entry of u moves the levels below it and x, and the levels can
    be drawn at temperatures of their own. The posterior mean's u is taken along the path of means. A trace has z_l.

    Subclasses give `visits` and `descend`, and `names` and `shapes` of the levels, the top first.
    """

    names: list[str]
    shapes: list[tuple[int, ...]]
    likelihood: Likelihood

    @abstractmethod
    def visits(self, x: Any, take: Callable[[DiagonalNormalFamily], Tensor]) -> tuple[list[Visit], Tensor]:
        """Infer all levels of x, `take` making a z of each q; return them top first, and the decoder's input."""

    @abstractmethod
    def descend(self, choose: Choose) -> Tensor:
        """Go down the prior, `choose` giving each z; return the decoder's input."""

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass with `k` posterior samples an example."""

        def take(q: DiagonalNormalFamily) -> Tensor:
            # The first q met is (B,), and gives k samples; those after it are (K, B) already.
            return q.rsample(torch.Size((k,) if len(q.batch_shape) < 2 else ()))

        visits, at = self.visits(x, take)
        latents = {name: self.latent(i, v) for i, (name, v) in enumerate(zip(self.names, visits))}
        return Trace(x, y, latents, self.likelihood(at))

    def latent(self, level: int, visit: Visit) -> Latent:
        """Return what a trace keeps of a level; its KL is in closed form where p does not depend on its own z."""
        return Latent(visit.q, visit.p, visit.z, visit.z)

    def encode_all(self, x: Any) -> dict[str, DiagonalNormalFamily]:
        """Return q of each level by name, top first, (B,), each given the means of those inferred before it."""
        visits, _ = self.visits(x, lambda q: q.mean)
        return {name: v.q for name, v in zip(self.names, visits)}

    def posterior_mean(self, x: Any, y: Tensor | None = None) -> Tensor:
        """Return the posterior means in the prior's units, all levels side by side, (B, F)."""
        return self._units(self.visits(x, lambda q: q.mean)[0])

    def _units(self, visits: Sequence[Visit]) -> Tensor:
        rows = [(v.z - v.p.loc) * torch.exp(-v.p.log_scale) for v in visits]
        return torch.cat([u.flatten(1) for u in rows], -1)

    def place(self, u: Tensor) -> dict[str, Tensor]:
        """Return z of each level by name, for a code u (..., F) in the prior's units."""
        return self._placed(u)[0]

    def _placed(self, u: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        parts = u.split([size(shape) for shape in self.shapes], -1)
        placed: dict[str, Tensor] = {}

        def choose(level: int, p: DiagonalNormalFamily) -> Tensor:
            z = p.at(parts[level].unflatten(-1, self.shapes[level]))
            placed[self.names[level]] = z
            return z

        return placed, self.descend(choose)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        """Return p(x|z) for a code in the prior's units, (..., F)."""
        return self.likelihood(self._placed(z)[1])

    def prior_of(self, y: Tensor | None = None) -> Distribution:
        """Return the prior of a code in its own units, N(0, I)."""
        like = self._like.new_zeros(sum(size(shape) for shape in self.shapes))
        return DiagonalNormalFamily(like, like)

    def log_joint(self, x: Any, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x, u) for codes u (K, B, F) in the prior's units, (K, B) nats; ∫ du of it is log p(x)."""
        return self.decode(z).log_prob(x) + self.prior_of().log_prob(z)

    def reconstruct(self, x: Any, y: Tensor | None = None, sample: bool = False) -> Tensor:
        """Return the mean of p(x|z) along the posterior means, or along a posterior sample if `sample`."""
        _, at = self.visits(x, lambda q: q.rsample() if sample else q.mean)
        return point(self.likelihood(at))

    def temperatures(self, temperature: float | Sequence[float]) -> list[float]:
        """Return one temperature a level, the top first; a single number goes for all."""
        if isinstance(temperature, int | float):
            return [float(temperature)] * len(self.names)
        if len(temperature) != len(self.names):
            raise UserError(
                f"there are {len(temperature)} temperatures for {len(self.names)} levels; give one number, or one for "
                f"each of {', '.join(self.names)}"
            )
        return [float(t) for t in temperature]

    def sample_latent(self, n: int, y: Tensor | None = None, temperature: float | Sequence[float] = 1.0) -> Tensor:
        """Draw `n` codes from the prior, in its units: (n, F)."""
        spread = self._spread(temperature)
        return torch.randn(n, len(spread), device=spread.device, dtype=spread.dtype) * spread

    def _spread(self, temperature: float | Sequence[float]) -> Tensor:
        rows = [torch.full((size(s),), t) for s, t in zip(self.shapes, self.temperatures(temperature))]
        return torch.cat(rows).to(self._like)

    @property
    def _like(self) -> Tensor:
        return next(self.parameters())

    def sample(
        self, n: int, y: Tensor | None = None, temperature: float | Sequence[float] = 1.0, draw: bool = False
    ) -> Tensor:
        """Return `n` samples: the levels from their priors, then the mean of p(x|z), or a draw from it if `draw`.

        `temperature` multiplies the priors' standard deviations: one number, or one for each level, the top first.
        """
        return shown(self.decode(self.sample_latent(n, None, temperature)), draw)

    def sample_given_top(
        self,
        x: Any,
        k: int,
        n: int = 1,
        temperature: float | Sequence[float] = 1.0,
        draw: bool = False,
        sample: bool = False,
    ) -> Tensor:
        """Return `n` new examples (n, B, ...) that share the top `k` levels with each of x; the others are drawn anew.

        The kept levels are at their posterior means, or at a posterior sample if `sample`. With k = 0 nothing is kept;
        with all levels, p(x|z) alone is left.
        """
        if not 0 <= k <= len(self.names):
            raise UserError(f"k={k} levels cannot be kept: this model has {len(self.names)} ({', '.join(self.names)})")
        visits, _ = self.visits(x, lambda q: q.rsample() if sample else q.mean)
        kept = self._units(visits)
        drawn = torch.randn(n, *kept.shape, device=kept.device, dtype=kept.dtype) * self._spread(temperature)
        width = sum(size(shape) for shape in self.shapes[:k])
        return shown(self.decode(torch.cat([kept[:, :width].expand(n, -1, -1), drawn[..., width:]], -1)), draw)


def level_names(count: int) -> list[str]:
    """Return the names of the levels, the top first.

    >>> level_names(3)
    ['z3', 'z2', 'z1']
    """
    return [f"z{i}" for i in range(count, 0, -1)]


class BottomUp(Hierarchy):
    """q(z_1|x) q(z_2|z_1) … q(z_L|z_{L-1}), and p(z_L) p(z_{L-1}|z_L) … p(z_1|z_2) p(x|z_1): chains both ways.

    `posteriors` and `priors` are given bottom first: posteriors[l] takes x or the latent below, priors[l] the latent
    above; the top's prior is N(0, I). Below the top the rate is sampled, not in closed form (see `SampledLatent`).

    Source: Burda et al. 2016, arXiv:1509.00519, §3; Rezende et al. 2014, arXiv:1401.4082.

    >>> from vaekit.likelihoods.bernoulli import Bernoulli
    >>> from vaekit.nets.mlp import mlp
    >>> model = BottomUp(
    ...     [DiagonalNormal(mlp(64, 8)), DiagonalNormal(mlp(8, 3))],
    ...     [ConditionalNormal(mlp(3, 8))],
    ...     Bernoulli(mlp(8, 64)),
    ... )
    >>> {name: kl.shape for name, kl in model.trace(torch.zeros(5, 64), k=4).kl.items()}
    {'z2': torch.Size([4, 5]), 'z1': torch.Size([4, 5])}
    >>> model.sample_given_top(torch.zeros(5, 64), k=1, n=3).shape
    torch.Size([3, 5, 64])
    """

    def __init__(
        self, posteriors: Sequence[DiagonalNormal], priors: Sequence[ConditionalNormal], likelihood: Likelihood
    ) -> None:
        super().__init__()
        if len(posteriors) != len(priors) + 1:
            raise UserError(
                f"{len(posteriors)} posteriors need {len(posteriors) - 1} conditional priors, not {len(priors)}: the "
                "top's is N(0, I)"
            )
        self.posteriors = nn.ModuleList(posteriors)
        self.priors = nn.ModuleList(priors)
        self.top = StandardNormal(posteriors[-1].latent_shape)
        self.likelihood = likelihood
        self.names = level_names(len(posteriors))
        self.shapes = [q.latent_shape for q in posteriors][::-1]

    def visits(self, x: Any, take: Callable[[DiagonalNormalFamily], Tensor]) -> tuple[list[Visit], Tensor]:
        """Go up from x; then the priors are those at the z that were taken."""
        qs: list[DiagonalNormalFamily] = []
        zs: list[Tensor] = []
        for part in self.posteriors:
            qs.append(part(zs[-1] if zs else x))
            zs.append(take(qs[-1]))
        ps: list[DiagonalNormalFamily] = []

        def choose(level: int, p: DiagonalNormalFamily) -> Tensor:
            ps.append(p)
            return zs[-1 - level]

        at = self.descend(choose)
        return [Visit(q, p, z) for q, p, z in zip(qs[::-1], ps, zs[::-1])], at

    def descend(self, choose: Choose) -> Tensor:
        """Go down the chain of priors."""
        z = choose(0, self.top())
        for level, part in enumerate(reversed(cast(Sequence[nn.Module], self.priors)), 1):
            z = choose(level, part(z))
        return z

    def latent(self, level: int, visit: Visit) -> Latent:
        """Return what a trace keeps of a level: below the top, p(z_l | z_{l+1}) depends on z_l through z_{l+1}."""
        return (SampledLatent if level else Latent)(visit.q, visit.p, visit.z, visit.z)

    def encode(self, x: Any, y: Tensor | None = None) -> Distribution:
        """Return q(z_1|x) of the bottom level, (B,)."""
        return self.posteriors[0](x)
