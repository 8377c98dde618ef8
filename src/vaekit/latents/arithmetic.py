"""Arithmetic with codes: a - b + c, and directions that an attribute lies along."""

from __future__ import annotations

from torch import Tensor


def combine(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Return a - b + c, "as a is to b, so the answer is to c"; any one shape.

    Source: Mikolov et al. 2013 for words; Radford et al. 2016, arXiv:1511.06434, for images.

    >>> import torch
    >>> combine(torch.tensor([2.0]), torch.tensor([1.0]), torch.tensor([5.0])).item()
    6.0
    """
    if not a.shape == b.shape == c.shape:
        raise ValueError(f"a, b and c must have one shape, not {tuple(a.shape)}, {tuple(b.shape)}, {tuple(c.shape)}")
    return a - b + c


def direction(z: Tensor, has: Tensor) -> Tensor:
    """Return an attribute's direction: mean code of those that have it less that of the rest; z (N, D), has (N,) bool.

    Source: Larsen et al. 2016, arXiv:1512.09300, section 3.2. Raises ValueError if all or none have it.

    >>> import torch
    >>> direction(torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 4.0]]), torch.tensor([True, True, False])).tolist()
    [2.0, -4.0]
    """
    has = has.bool()
    if has.shape != z.shape[:1]:
        raise ValueError(f"there are {len(z)} codes but the attribute has shape {tuple(has.shape)}")
    if bool(has.all()) or not bool(has.any()):
        raise ValueError("an attribute has no direction where all examples have it, or none does")
    return z[has].mean(0) - z[~has].mean(0)


def shift(z: Tensor, towards: Tensor, amounts: Tensor) -> Tensor:
    """Return each code moved along a direction: (N, S, D) for z (N, D), towards (D,), amounts (S,).

    >>> import torch
    >>> shift(torch.zeros(1, 2), torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.5])).tolist()
    [[[0.0, 0.0], [0.5, 1.0]]]
    """
    return z[:, None] + amounts[:, None] * towards
