"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit import distributed
from vaekit.nets.base import Dense, Net, activation, size

Shape = int | Sequence[int]


def as_shape(shape: Shape) -> tuple[int, ...]:
    """Return a shape as a tuple: 784 → (784,)."""
    return (shape,) if isinstance(shape, int) else tuple(shape)


class BatchNorm(distributed.BatchNorm1d):
    """Batch normalisation that takes a batch of one, while training too: by the running averages, as in evaluation.

    In training the output for an example depends on the others of its batch; in evaluation it does not.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167.

    >>> BatchNorm(2)(torch.tensor([[1.0, 5.0]])).round(decimals=3)
    tensor([[1., 5.]], grad_fn=<RoundBackward1>)
    >>> rows = BatchNorm(2)(torch.tensor([[1.0, 5.0], [3.0, 6.0]]))
    >>> rows.round(decimals=2).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, F) feature by feature."""
        if not self.training or distributed.total_rows(len(input)) > 1:
            return super().forward(input)
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class MLP(Net):
    """Linear layers with an activation between; inputs and outputs of any shape are flattened.

    With `skip`, the input is fed to every layer again (generative skip connections, Dieng et al. 2019): each hidden
    layer adds a linear map of z, which keeps a decoder from ignoring it. With `normalise`, hidden layers are normalised
    over the batch before their activation.

    >>> net = mlp(784, 20)
    >>> net(torch.zeros(3, 784)).shape
    torch.Size([3, 1, 20])
    >>> mlp(20, (1, 28, 28), (256, 512)).widen(2)(torch.zeros(3, 20)).shape
    torch.Size([3, 2, 1, 28, 28])
    """

    bf16_measured = ("mlp",)

    def __init__(
        self,
        in_shape: Shape,
        out_shape: Shape,
        hidden: Sequence[int] = (512, 256),
        *,
        context: int = 0,
        act: str = "relu",
        skip: bool = False,
        normalise: bool = False,
    ) -> None:
        super().__init__(as_shape(in_shape), as_shape(out_shape), context)
        start = size(as_shape(in_shape)) + context
        widths = [start, *hidden]
        self.layers = nn.ModuleList(Dense(a, b) for a, b in pairwise(widths))
        self.skips = nn.ModuleList(Dense(start, b, bias=False) for b in widths[2:]) if skip else None
        self.act = activation(act)
        self.width = widths[-1] + (start if skip else 0)
        self.head = self.make_head(1)
        self.norms = nn.ModuleList(BatchNorm(b) for b in hidden) if normalise else None

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
            h = self.act(h if self.norms is None else self.norms[i](h))
        return torch.cat([h, first], 1) if self.skips is not None else h


mlp = MLP
"""The name that models are written with."""
