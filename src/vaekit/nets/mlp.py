"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from vaekit.nets.base import Dense, Net, activation, size

Shape = int | Sequence[int]


def as_shape(shape: Shape) -> tuple[int, ...]:
    """Return a shape as a tuple: 784 → (784,)."""
    return (shape,) if isinstance(shape, int) else tuple(shape)


class MLP(Net):
    """Linear layers with an activation between; inputs and outputs of any shape are flattened.

    With `skip`, the input is fed to every layer again (generative skip connections, Dieng et al. 2019): each hidden
    layer adds a linear map of z, which keeps a decoder from ignoring it.
    """

    bf16_measured = ("mlp",)

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        hidden: Sequence[int] = (512, 256),
        *,
        context: int = 0,
        act: str = "relu",
        skip: bool = False,
    ) -> None:
        super().__init__(in_shape, out_shape, context)
        start = size(in_shape) + context
        widths = [start, *hidden]
        self.layers = nn.ModuleList(Dense(a, b) for a, b in pairwise(widths))
        self.skips = nn.ModuleList(Dense(start, b, bias=False) for b in widths[2:]) if skip else None
        self.act = activation(act)
        self.width = widths[-1] + (start if skip else 0)
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the last linear layer."""
        return Dense(self.width, values * size(self.out_shape))

    def features(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the last hidden layer (with the input beside it under `skip`)."""
        first = x.flatten(1)
        if context is not None:
            first = torch.cat([first, context], 1)
        h = first
        for i, layer in enumerate(self.layers):
            h = layer(h)
            if self.skips is not None and i > 0:
                h = h + self.skips[i - 1](first)
            h = self.act(h)
        return torch.cat([h, first], 1) if self.skips is not None else h


def mlp(
    in_shape: Shape,
    out_shape: Shape,
    hidden: Sequence[int] = (512, 256),
    *,
    context: int = 0,
    act: str = "relu",
    skip: bool = False,
) -> MLP:
    """Return a multi-layer perceptron from `in_shape` to `out_shape`.

    >>> net = mlp(784, 20)
    >>> net(torch.zeros(3, 784)).shape
    torch.Size([3, 1, 20])
    >>> mlp(20, (1, 28, 28), (256, 512)).widen(2)(torch.zeros(3, 20)).shape
    torch.Size([3, 2, 1, 28, 28])
    """
    return MLP(as_shape(in_shape), as_shape(out_shape), tuple(hidden), context=context, act=act, skip=skip)
