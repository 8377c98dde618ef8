"""Traversals: one latent dimension moves, the others stay."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def traverse(z: Tensor, dimensions: int | Sequence[int], values: Tensor | Sequence[float]) -> Tensor:
    """Return codes with one dimension at a time set to each of `values`: (L, S, D) for z (D,), L dimensions, S values.

    `row[l, s, j] = values[s]` where j = dimensions[l], else z[j]. Raises ValueError for a dimension that z lacks.

    >>> traverse(torch.tensor([5.0, 6.0]), [1], [-1.0, 0.0, 1.0])[0].tolist()
    [[5.0, -1.0], [5.0, 0.0], [5.0, 1.0]]
    """
    if z.dim() != 1:
        raise ValueError(f"a traversal starts from one code (D,), not from {tuple(z.shape)}")
    chosen = [dimensions] if isinstance(dimensions, int) else list(dimensions)
    bad = next((d for d in chosen if not 0 <= d < len(z)), None)
    if bad is not None:
        raise ValueError(f"there is no latent dimension {bad}; they go from 0 to {len(z) - 1}")
    at = torch.as_tensor(values, dtype=z.dtype, device=z.device)
    rows = z.repeat(len(chosen), len(at), 1)
    for row, dimension in zip(rows, chosen, strict=True):
        row[:, dimension] = at
    return rows


def by_information(kl: Tensor | Sequence[float]) -> list[int]:
    """Return the dimensions, most informative first: by mean KL (D,), ties in their own order.

    >>> by_information([0.1, 2.0, 0.1])
    [1, 0, 2]
    """
    return torch.argsort(torch.as_tensor(kl), descending=True, stable=True).tolist()
