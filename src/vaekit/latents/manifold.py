"""A plane in latent space: principal components, the way there and back, and grids of codes in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Plane:
    """The plane centre + u a₁ + v a₂, with orthonormal axes (2, D) and centre (D,).

    `share` is the part of the codes' variance along each axis. In two dimensions the plane is the space itself.
    """

    centre: Tensor
    axes: Tensor
    share: tuple[float, float]

    def project(self, z: Tensor) -> Tensor:
        """Return the coordinates (..., 2) of the point of the plane nearest to each code z (..., D)."""
        return (z - self.centre) @ self.axes.T

    def lift(self, uv: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return a code (..., D) that projects to uv (..., 2): in the plane itself, or beside it as far as `keep` is.

        With `keep` (..., D) all that the plane does not show of that code stays: keep + (uv - project(keep)) A.
        """
        if keep is None:
            return self.centre + uv @ self.axes
        return keep + (uv - self.project(keep)) @ self.axes


def principal_plane(z: Tensor) -> Plane:
    """Return the plane of the two directions along which codes z (N, D) vary most (principal component analysis).

    Signs are fixed (each axis's largest entry is positive), so the same codes give the same picture. D = 2 keeps the
    codes' own axes; with D = 1 the second axis is empty. Computed in float64 from the D × D covariance.

    >>> z = torch.randn(500, 5) * torch.tensor([3.0, 0.1, 2.0, 0.1, 0.1])
    >>> plane = principal_plane(z)
    >>> plane.axes.abs().argmax(1).tolist()
    [0, 2]
    >>> torch.allclose(plane.project(plane.lift(torch.tensor([1.0, -2.0]), keep=z[0])), torch.tensor([1.0, -2.0]))
    True
    """
    n, d = z.shape
    points = z.double()
    if d <= 2:
        axes = torch.zeros(2, d, dtype=torch.float64)
        axes[:d, :d] = torch.eye(d, dtype=torch.float64)
        variance = points.var(0, correction=0)
        centre = torch.zeros(d, dtype=torch.float64)
    else:
        centre = points.mean(0)
        off = points - centre
        # The smaller of the two matrices that share these eigenvalues.
        if d <= n:
            values, vectors = torch.linalg.eigh(off.T @ off / n)
            axes = vectors.T.flip(0)[:2]
            variance = values.flip(0).clamp(min=0)
        else:
            _, s, vh = torch.linalg.svd(off, full_matrices=False)
            axes, variance = vh[:2], s.square() / n
        signs = torch.sign(axes.gather(1, axes.abs().argmax(1, keepdim=True)))
        axes = axes * torch.where(signs == 0, torch.ones_like(signs), signs)
    share = (variance / variance.sum().clamp(min=1e-12))[:2].tolist()
    return Plane(centre.float(), axes.float(), (share[0], share[1] if len(share) > 1 else 0.0))


def quantiles(n: int) -> Tensor:
    """Return n values at equal steps of a standard normal's probability: Φ⁻¹((i + ½)/n), (n,).

    A grid of them shows a two-dimensional latent with equal prior mass a cell (Kingma & Welling 2014, appendix A).

    >>> quantiles(3)
    tensor([-0.9674,  0.0000,  0.9674])
    """
    p = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.special.ndtri(p).float()


def grid(xs: Tensor, ys: Tensor) -> Tensor:
    """Return the codes of a two-dimensional grid: (len(ys), len(xs), 2), `grid[i, j] = (xs[j], ys[i])`.

    >>> grid(torch.tensor([1.0, 2.0]), torch.tensor([5.0]))[0].tolist()
    [[1.0, 5.0], [2.0, 5.0]]
    """
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y], -1)
