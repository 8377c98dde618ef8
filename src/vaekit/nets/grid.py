"""Residual networks that keep a grid's size: from one map of features to another."""

from __future__ import annotations

from torch import Tensor, nn

from vaekit.nets.base import Net, activation
from vaekit.nets.resnet import ResidualBlock, group_norm


class GridNet(Net):
    """(N, C, h, w) → (N, values, D, h, w): a 1 × 1 convolution, residual blocks, and a 1 × 1 head.

    >>> import torch
    >>> GridNet((6, 4, 4), (3, 4, 4), width=16)(torch.zeros(2, 6, 4, 4)).shape
    torch.Size([2, 1, 3, 4, 4])
    """

    def __init__(
        self,
        in_shape: tuple[int, int, int],
        out_shape: tuple[int, int, int],
        *,
        width: int = 64,
        blocks: int = 1,
        act: str = "silu",
    ) -> None:
        if in_shape[1:] != out_shape[1:]:
            raise ValueError(f"a grid's size is kept: {in_shape[1:]} is not {out_shape[1:]}")
        super().__init__(in_shape, out_shape)
        self.width = width
        self.stem = nn.Conv2d(in_shape[0], width, 1)
        self.blocks = nn.Sequential(
            *(ResidualBlock(width, act=act, norm="group", depth=max(1, blocks), init="scaled") for _ in range(blocks)),
            group_norm(width, "group"),
            activation(act),
        )
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the 1 × 1 convolution to `values` maps of D channels."""
        return nn.Conv2d(self.width, values * self.out_shape[0], 1)

    def features(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the last hidden maps."""
        return self.blocks(self.stem(x))
