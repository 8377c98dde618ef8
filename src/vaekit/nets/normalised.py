"""Dense layers normalised over the batch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vaekit import distributed
from vaekit.nets.mlp import MLP, Shape, as_shape


class BatchNorm(distributed.BatchNorm1d):
    """Batch normalisation that takes a batch of one, while training too: by the running averages, as in evaluation.

    In training the output for an example depends on the others of its batch; in evaluation it does not.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167.

    >>> import torch
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


class NormalisedMLP(MLP):
    """A multi-layer perceptron whose hidden layers are normalised over the batch before their activation."""

    def __init__(
        self, in_shape: tuple[int, ...], out_shape: tuple[int, ...], hidden: tuple[int, ...], *, act: str = "relu"
    ) -> None:
        super().__init__(in_shape, out_shape, hidden, act=act)
        self.norms = nn.ModuleList(BatchNorm(width) for width in hidden)

    def features(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the last hidden layer."""
        h = x.flatten(1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = self.act(norm(layer(h)))
        return h


def normalised_mlp(in_shape: Shape, out_shape: Shape, hidden: tuple[int, ...], *, act: str = "relu") -> NormalisedMLP:
    """Return a multi-layer perceptron with batch normalisation from `in_shape` to `out_shape`.

    >>> import torch
    >>> normalised_mlp(16, 8, (20,)).widen(2)(torch.zeros(3, 16)).shape
    torch.Size([3, 2, 8])
    """
    return NormalisedMLP(as_shape(in_shape), as_shape(out_shape), hidden, act=act)
