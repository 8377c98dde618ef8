"""Distances between two samples of feature vectors, as pure functions: Fréchet and kernel distance, Inception Score,
precision and recall, density and coverage."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vaekit.errors import UserError


def frechet(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """Return ‖μ_a - μ_b‖² + tr(C_a + C_b - 2 (C_a C_b)^½), the squared Fréchet distance of two Gaussians.

    The trace of the root is the sum of the singular values of C_a^½ C_b^½, which needs no complex square root.
    Source: Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500.

    >>> one = torch.ones(1), torch.eye(1)
    >>> frechet(*one, torch.tensor([3.0]), 4 * torch.eye(1))
    5.0
    """
    a, b = mean_a.double() - mean_b.double(), _root(cov_a.double()) @ _root(cov_b.double())
    cross = torch.linalg.svdvals(b).sum()
    return max(0.0, float(a @ a + cov_a.double().trace() + cov_b.double().trace() - 2 * cross))


def _root(cov: Tensor) -> Tensor:
    """Return the symmetric square root of a covariance."""
    values, vectors = torch.linalg.eigh(cov)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def fid(a: Tensor, b: Tensor) -> float:
    """Fréchet distance between Gaussians fitted to two samples of features (N, F): biased upward for small N."""
    if min(len(a), len(b)) < 2:
        raise UserError("a Fréchet distance needs at least 2 examples on each side")
    moments = [(x.mean(0), torch.cov(x.T).reshape(x.shape[1], -1)) for x in (a.double(), b.double())]
    return frechet(*moments[0], *moments[1])


Kernel = Callable[[Tensor, Tensor], Tensor]


def mmd(a: Tensor, b: Tensor, kernel: Kernel) -> float:
    """Unbiased squared MMD of two samples (N, F), (M, F); it can be negative.

    mean of k over pairs in a, plus over pairs in b (both without i = j), minus twice the mean over a × b.
    Source: Gretton et al. 2012, JMLR 13, lemma 6.
    """
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise UserError("a kernel distance needs at least 2 examples on each side")
    a, b = a.double(), b.double()
    aa, bb = kernel(a, a), kernel(b, b)
    within = (aa.sum() - aa.trace()) / (n * (n - 1)) + (bb.sum() - bb.trace()) / (m * (m - 1))
    return float(within - 2 * kernel(a, b).mean())


def mmd_error(a: Tensor, b: Tensor, kernel: Kernel) -> float:
    """Return the standard error of `mmd` of two samples of the same size (N, F), N at least 3.

    It is a U-statistic of the pairs (a_i, b_i), whose jackknife variance is 4 Var(h_i) (N − 1)²/(N (N − 2)²), h_i the
    mean over j of k(a_i, a_j) + k(b_i, b_j) − k(a_i, b_j) − k(b_i, a_j). Source: Arvesen 1969, Ann. Math. Stat. 40.
    """
    n, a, b = len(a), a.double(), b.double()
    cross = kernel(a, b)
    each = (kernel(a, a) + kernel(b, b) - cross - cross.T).fill_diagonal_(0).sum(1) / (n - 1)
    return float(2 * each.std() / math.sqrt(n)) * (n - 1) / (n - 2)


def cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return (x·y / F + 1)³ of rows (N, F), (M, F): KID's. Source: Bińkowski et al. 2018, arXiv:1801.01401."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def gaussian_kernel(x: Tensor, y: Tensor, sigma: float = 10.0) -> Tensor:
    """Return exp(−|x − y|² / 2σ²) of rows (N, F), (M, F): CMMD's. Source: Jayasumana et al. 2024, arXiv:2401.09603."""
    return torch.exp(-torch.cdist(x, y).square() / (2 * sigma**2))


def kid(a: Tensor, b: Tensor) -> float:
    """Return `mmd` with the cubic kernel, as in Bińkowski et al. 2018, arXiv:1801.01401.

    >>> abs(kid(torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [1.0]]))) > 1
    True
    """
    return mmd(a, b, cubic_kernel)


def inception_score(logits: Tensor) -> float:
    """Return exp of the mean KL(p(y|x) ‖ p(y)) over samples with logits (N, K).

    Source: Salimans et al. 2016, arXiv:1606.03498.

    >>> round(inception_score(100 * torch.eye(4)), 6), round(inception_score(torch.zeros(4, 4)), 6)
    (4.0, 1.0)
    """
    log_p = logits.double().log_softmax(1)
    log_mean = log_p.logsumexp(0) - math.log(len(log_p))
    return float((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())


def nearest(points: Tensor, reference: Tensor, k: int = 1, block: int = 1024) -> Tensor:
    """Return the distance of each point (P, F) to its k-th nearest reference (R, F): (P,), a block at a time.

    >>> nearest(torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0], [5.0]])).tolist()
    [1.0, 2.0]
    """
    points, reference = _centred(points, reference)
    return torch.cat([torch.cdist(part, reference).kthvalue(k, dim=1).values for part in points.split(block)])


def _centred(points: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return both about the reference's mean in double precision: products far from the origin lose the digits."""
    middle = reference.double().mean(0)
    return points.double() - middle, reference.double() - middle


def radii(x: Tensor, k: int) -> Tensor:
    """Return the distance of each point (N, F) to its k-th nearest other: (N,), just short of it."""
    if len(x) <= k:
        raise UserError(f"{len(x)} examples have no {k} neighbours each; use more examples")
    return nearest(x, x, k + 1) * (1 - 1e-9)  # an open ball, whichever way the distance is rounded


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[Tensor, Tensor]:
    """Return which fakes lie within the real manifold (M,), and which reals within the fake one (N,): bool.

    A sample's manifold is the union of the open balls around its points that reach to their k-th nearest neighbour.
    Source: Kynkäänniemi et al. 2019, arXiv:1904.06991.
    """
    return _covered(fake, real, radii(real, k)), _covered(real, fake, radii(fake, k))


def _covered(points: Tensor, centres: Tensor, reach: Tensor, block: int = 1024) -> Tensor:
    points, centres = _centred(points, centres)
    return torch.cat([(torch.cdist(part, centres) < reach).any(1) for part in points.split(block)])


def density_coverage(real: Tensor, fake: Tensor, k: int = 5, block: int = 1024) -> tuple[Tensor, Tensor]:
    """Return how many real balls each fake lies in, over k (M,), and which real balls hold a fake (N,).

    The mean of the first is the density (1 in expectation where the two agree, and unbounded), of the second the
    coverage. Balls are open, as in the authors' code: of fakes that are the reals, both are 1.
    Source: Naeem et al. 2020, arXiv:2002.09797.

    >>> x = torch.randn(50, 3)
    >>> [round(float(part.double().mean()), 6) for part in density_coverage(x, x)]
    [1.0, 1.0]
    """
    reach = radii(real, k)
    fake, real = _centred(fake, real)
    counts, held = [], torch.zeros(len(real), dtype=torch.bool)
    for part in fake.split(block):
        inside = torch.cdist(part, real) < reach
        counts.append(inside.sum(1).double() / k)
        held |= inside.any(0)
    return torch.cat(counts), held
