"""A masked network: outputs for each of D numbers from those before it, in one pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MADE(nn.Module):
    """z (N, D) [, context (N, W)] → (N, D, n): n outputs for each number, of the context and the numbers before it.

    Hidden units have a degree each, and see inputs of lower degree and units of no higher one; hidden layers are
    residual. Source: Germain et al. 2015, arXiv:1502.03509.

    >>> net = MADE(3, 2, hidden=(16, 16))
    >>> near, far = net(torch.zeros(1, 3)), net(torch.tensor([[0.0, 0.0, 5.0]]))
    >>> near.shape, bool((near == far).all())
    (torch.Size([1, 3, 2]), True)
    """

    into: Tensor
    between: Tensor
    out: Tensor

    def __init__(self, features: int, values: int, hidden: tuple[int, ...] = (192, 192, 192), context: int = 0) -> None:
        super().__init__()
        if len(set(hidden)) != 1:
            raise ValueError(f"hidden layers of a MADE are of one width, not {hidden}")
        width = hidden[0]
        self.features, self.values = features, values
        order = torch.arange(1, features + 1)
        degree = torch.arange(width) % max(features - 1, 1) + 1
        self.register_buffer("into", (degree[:, None] >= order).float(), persistent=False)
        self.register_buffer("between", (degree[:, None] >= degree).float(), persistent=False)
        out = (order[:, None] > degree).float().repeat_interleave(values, 0)
        self.register_buffer("out", out, persistent=False)
        self.first = nn.Linear(features, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in hidden[1:])
        self.last = nn.Linear(width, features * values)
        self.given = nn.Linear(context, width, bias=False) if context else None
        self.given_out = nn.Linear(context, features * values, bias=False) if context else None
        with torch.no_grad():
            self.last.weight.mul_(0.3)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the outputs."""
        h = F.linear(z, self.first.weight * self.into, self.first.bias)
        if context is not None and self.given is not None:
            h = h + self.given(context)
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            h = h + F.linear(F.silu(h), layer.weight * self.between, layer.bias)
        out = F.linear(F.silu(h), self.last.weight * self.out, self.last.bias)
        if context is not None and self.given_out is not None:
            out = out + self.given_out(context)
        return out.unflatten(-1, (self.features, self.values))
