"""The posterior of several modalities: an expert for each, whatever is missing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.conditional import Draw
from vaekit.distributions.experts import NEVER, MixtureOfNormals, product
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.nets.mlp import mlp
from vaekit.posteriors.base import POSTERIORS, Posterior
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.views import View, views_of

Fusion = Literal["product", "mixture", "mixture-of-products"]
MOST = 8
"""Modalities of which every subset can have a component."""


def _example(shape: tuple[int, ...]) -> tuple[Posterior, tuple[Tensor]]:
    """Two vectors, of which the first row lacks one, and the second both."""
    if len(shape) != 1:
        raise ValueError("the latent of several modalities has one axis")
    views = views_of([{"name": name, "kind": "numbers", "shape": [3]} for name in "ab"])
    rows = torch.randn(5, 6)
    rows[0, :3] = torch.nan
    rows[1] = torch.nan
    return Experts([DiagonalNormal(mlp(3, shape, (8,))) for _ in views], views), (rows,)


@POSTERIORS.register(
    "experts",
    reference="Wu & Goodman 2018, arXiv:1802.05335; Shi et al. 2019, arXiv:1911.03393; Sutter et al. 2021, "
    "arXiv:2105.02470",
    options={"fusion": "how the modalities' experts become one posterior"},
    of="several modalities",
    example=_example,
)
class Experts(Posterior):
    """q(z|x) of the modalities x_1 … x_M that an example has, from a normal expert e_m(z) = N(z; μ_m, σ_m²) of each.

    With q_S(z) ∝ N(z; 0, I) Π_{m ∈ S} e_m(z), the product of a set of experts:

    - "product": q_S of the modalities that are there;
    - "mixture": the mean of q_{m} over them;
    - "mixture-of-products": the mean of q_S over all sets S of them but the empty one.

    A missing modality has no expert; where none is there, q is N(0, I). Where p(z) = N(0, I) and the modalities are
    independent given z, the product has the form of the exact posterior, whichever of them are given. A mixture's
    samples are shared out among its components (`MixtureOfNormals.stratified`).

    >>> part, (rows,) = _example((2,))
    >>> q = part(rows)
    >>> type(q).__name__, q.mean.shape, q.mean[1].tolist()
    ('MixtureOfNormals', torch.Size([5, 2]), [0.0, 0.0])
    """

    sets: Tensor

    def __init__(
        self, experts: Sequence[Posterior], views: Sequence[View], *, fusion: Fusion = "mixture-of-products"
    ) -> None:
        super().__init__()
        if fusion == "mixture-of-products" and len(views) > MOST:
            raise UserError(
                f"model.fusion=mixture-of-products has a component for every set of modalities, and there are "
                f"{len(views)}; use product or mixture"
            )
        self.experts = nn.ModuleList(experts)
        self.views = tuple(views)
        self.fusion = fusion
        self.latent_shape = experts[0].latent_shape
        self.register_buffer("sets", sets_of(len(views), fusion), persistent=False)

    def each(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the experts' means and log deviations, (B, M, D), and which modalities are there, (B, M)."""
        made = [cast(DiagonalNormalFamily, e(view.whole(x))) for e, view in zip(self.experts, self.views)]
        seen = torch.stack([view.seen(x) for view in self.views], -1)
        return torch.stack([e.loc for e in made], -2), torch.stack([e.log_scale for e in made], -2), seen

    def forward(self, x: Tensor) -> Distribution:
        """Return q(z | the modalities of x that are there)."""
        loc, log_scale, seen = self.each(x)
        if self.fusion == "product":
            return product(loc, log_scale, seen.to(loc))
        sets = torch.nn.functional.pad(self.sets, (0, 0, 0, 1))  # and the empty one
        there = ((sets > 0) <= seen.unsqueeze(-2)).all(-1)
        there[..., -1] = ~seen.any(-1)
        taken = (sets * seen.unsqueeze(-2)).to(loc)
        each = product(loc.unsqueeze(-3), log_scale.unsqueeze(-3), taken)
        return MixtureOfNormals(each.loc, each.log_scale, torch.where(there, 0.0, NEVER).to(loc))

    def draw(self, q: Distribution, k: int, hard: bool = False) -> Draw:
        """Draw `k` samples of each example's latent, a mixture's shared out among its components."""
        if not isinstance(q, MixtureOfNormals):
            return super().draw(q, k, hard)
        z = q.stratified(k)
        return Draw(z, z)


def sets_of(count: int, fusion: Fusion) -> Tensor:
    """Return the sets of modalities that have a component each, (C, M) of 0 and 1.

    >>> sets_of(2, "mixture-of-products").tolist()
    [[1, 0], [0, 1], [1, 1]]
    """
    if fusion == "product":
        return torch.ones(1, count, dtype=torch.long)
    sizes = (1,) if fusion == "mixture" else range(1, count + 1)
    chosen = [some for size in sizes for some in itertools.combinations(range(count), size)]
    return torch.tensor([[int(m in some) for m in range(count)] for some in chosen])
