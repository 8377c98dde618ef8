"""New examples from a trained model: near given ones, by class, between two, or across a classifier's boundary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.errors import UserError

Decode = Callable[[Tensor], Tensor]
"""Codes (B, F) → the mean of p(x|z), (B, ...)."""


def near(z: Tensor, n: int, radius: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return n codes z_i + radius · ε around given ones (N, F), taken in turn, and whose they are: (n, F), (n,).

    >>> codes, of = near(torch.zeros(2, 3), 5, 0.1, torch.Generator().manual_seed(0))
    >>> codes.shape, of.tolist()
    (torch.Size([5, 3]), [0, 1, 0, 1, 0])
    """
    of = torch.arange(n) % len(z)
    return z[of] + radius * torch.randn(n, *z.shape[1:], generator=generator).to(z), of


def by_class(z: Tensor, y: Tensor, n: int, generator: torch.Generator, shrink: float = 0.1) -> tuple[Tensor, Tensor]:
    """Return n codes from a normal fitted to each class's codes, the classes in turn: (n, F) and labels (n,).

    Each covariance is shrunk towards its own mean variance by `shrink`, so that few examples suffice.
    """
    classes = y.unique()
    labels = classes[torch.arange(n) % len(classes)]
    out = z.new_empty(n, z.shape[1])
    for label in classes.tolist():
        own, rows = z[y == label].double(), labels == label
        covariance = torch.atleast_2d(torch.cov(own.T, correction=min(len(own) - 1, 1)))
        spread = covariance.diagonal().mean().clamp(min=1e-8)
        covariance = (1 - shrink) * covariance + shrink * spread * torch.eye(len(covariance)).to(own)
        noise = torch.randn(int(rows.sum()), len(covariance), generator=generator, dtype=own.dtype).to(own)
        out[rows] = (own.mean(0) + noise @ torch.linalg.cholesky(covariance).T).to(out)
    return out, labels


def between(z: Tensor, y: Tensor | None, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return n codes on straight lines between two examples of one class (of any, without labels), and their index.

    The place on the line is uniform; a class of one example gives that example's own code.
    """
    of = torch.arange(n) % len(z)
    other = torch.empty_like(of)
    for i, a in enumerate(of.tolist()):
        mates = torch.arange(len(z)) if y is None else (y == y[a]).nonzero().flatten()
        mates = mates[mates != a]
        other[i] = a if not len(mates) else mates[torch.randint(len(mates), (), generator=generator)]
    t = torch.rand(n, 1, generator=generator).to(z)
    return torch.lerp(z[of], z[other], t), of


def adversarial(
    z: Tensor, y: Tensor, decode: Decode, logits: Decode, radius: float, steps: int = 5
) -> tuple[Tensor, Tensor]:
    """Return codes moved by up to `radius` so that a given classifier's loss on the decoded x grows, and its gains.

    Steps of radius / steps along the gradient of -log p(y | decode(z)) with respect to z, each example's own direction
    normalised: the examples a classifier of x finds hardest nearby. Gains (N,) are nats of loss; where the loss did not
    grow, the code stays. Source: Stutz et al. 2019, arXiv:1812.00740 (on-manifold adversarial examples).
    """
    if radius < 0 or steps < 1:
        raise UserError("an adversarial direction needs a radius of at least 0 and at least one step")

    def loss(code: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(logits(decode(code)), y, reduction="none")

    with torch.no_grad():
        before = loss(z)
    moved = z.detach().clone()
    for _ in range(steps):
        moved.requires_grad_(True)
        total = loss(moved).sum()
        if not total.requires_grad:
            raise UserError("an adversarial direction needs a decoder's mean with a gradient; use near or interpolate")
        (gradient,) = torch.autograd.grad(total, [moved])
        moved = (moved + radius / steps * torch.nn.functional.normalize(gradient, dim=1)).detach()
    with torch.no_grad():
        gain = loss(moved) - before
        return torch.where((gain > 0).unsqueeze(1), moved, z), gain.clamp(min=0)


def moved_codes(
    z: NDArray[np.float64], y: NDArray[Any] | None, n: int, method: str, radius: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return n new codes by "near", "interpolate" or "class", and which example each one's label comes from."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.from_numpy(np.asarray(z, dtype=np.float64)).float()
    _, first, index = np.unique([] if y is None else y, return_index=True, return_inverse=True)
    number = None if y is None else torch.from_numpy(index.reshape(len(y)))
    if method == "near":
        moved, of = near(codes, n, radius, generator)
    elif method == "interpolate":
        moved, of = between(codes, number, n, generator)
    elif method == "class" and number is not None:
        moved, label = by_class(codes, number, n, generator)
        of = torch.from_numpy(first)[label]
    elif method == "class":
        raise UserError("augmenting by class needs labels, and the data have none; use near or interpolate")
    else:
        raise UserError(f"there is no way to augment '{method}'; there are near, class, interpolate and adversarial")
    return moved.double().numpy(), of.numpy()


def pixel_classifier(x: Tensor, y: Tensor, seed: int = 0, most: int = 2000) -> tuple[Any, float]:
    """Return a differentiable logistic regression on x, fitted to labelled examples, and its accuracy on them."""
    from sklearn.linear_model import LogisticRegression

    count = int(y.max()) + 1
    some = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:most]
    x, y = x[some].float().flatten(1), y[some]

    if not bool(torch.isfinite(x).all()):
        raise UserError("an adversarial direction needs a classifier of x, and these examples have gaps; use near")
    if len(y.unique()) < 2:
        raise UserError("an adversarial direction needs examples of at least two classes")
    model: Any = LogisticRegression(C=0.05, max_iter=500).fit(x.numpy(), y.numpy())
    weight, bias = torch.zeros(count, x.shape[1]), torch.full((count,), -1e3)
    rows = torch.from_numpy(model.classes_)
    coefficients, intercept = torch.from_numpy(model.coef_).float(), torch.from_numpy(model.intercept_).float()
    if len(rows) == 2:  # scikit-learn keeps one row for two classes
        coefficients, intercept = torch.cat([-coefficients, coefficients]) / 2, torch.cat([-intercept, intercept]) / 2
    weight[rows], bias[rows] = coefficients, intercept

    def logits(images: Tensor) -> Tensor:
        return images.flatten(1) @ weight.T.to(images) + bias.to(images)

    return logits, float((logits(x).argmax(1) == y).float().mean())
