"""Convolutional encoders and decoders for volumes (C, D, H, W) of any size from 4 × 4 × 4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit.errors import UserError
from vaekit.nets.base import Dense, Net, activation, size
from vaekit.nets.conv import BiasByPosition
from vaekit.nets.mlp import Shape, as_shape


def volume_grids(shape: Sequence[int], stages: int) -> list[tuple[int, ...]]:
    """Return the sides before each halving and after the last; odd sides round up.

    Raises:
        UserError: the volume is too small to be halved that often, or there is nothing to halve it.

    >>> volume_grids((1, 16, 20, 9), 2)
    [(16, 20, 9), (8, 10, 5), (4, 5, 3)]
    """
    sides = tuple(shape[1:])
    most = int(math.log2(min(sides)))
    if not 1 <= stages <= most:
        known = " × ".join(map(str, sides))
        raise UserError(f"model.channels: a volume of {known} takes 1 to {most} stages, not {stages}")
    return [tuple(-(-side // 2**i) for side in sides) for i in range(stages + 1)]


class Down3d(nn.Module):
    """Halve a volume by a convolution (kernel 4, stride 2, padding 1); an odd side gets one more layer of zeros."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, D, H, W) → (N, C', ⌈D/2⌉, ⌈H/2⌉, ⌈W/2⌉)."""
        odd = [n % 2 for n in x.shape[:1:-1]]
        return self.conv(F.pad(x, [n for one in odd for n in (0, one)]) if any(odd) else x)


class Up3d(nn.Module):
    """Double a volume by a transposed convolution (kernel 4, stride 2, padding 1) and crop it to `target`."""

    def __init__(self, channels_in: int, channels_out: int, target: tuple[int, ...], bias: bool = True) -> None:
        super().__init__()
        self.target = target
        self.conv = nn.ConvTranspose3d(channels_in, channels_out, 4, stride=2, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, d, h, w) → (N, C', *target)."""
        depth, height, width = self.target
        return self.conv(x)[..., :depth, :height, :width]


class VolumeHead(BiasByPosition):
    """The last layer of a volume's decoder: a doubling to `values`·C channels, then the biases."""

    def __init__(self, channels: int, values: int, out_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.up = Up3d(channels, values * out_shape[0], out_shape[1:], bias=False)
        self.make_biases(values, out_shape)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, d, h, w) → (N, values·C, D, H, W)."""
        return self.biased(self.up(x))


class VolumeEncoder(Net):
    """Strided 3-D convolutions, one a number in `channels`, then dense layers and a head; the label joins the features.

    >>> VolumeEncoder((1, 16, 20, 9), 20)(torch.zeros(2, 1, 16, 20, 9)).shape
    torch.Size([2, 1, 20])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Shape,
        channels: Sequence[int] = (32, 64),
        *,
        dense: Sequence[int] = (256,),
        context: int = 0,
        act: str = "relu",
    ) -> None:
        super().__init__(tuple(in_shape), as_shape(out_shape), context)
        grid = (channels[-1], *volume_grids(in_shape, len(channels))[-1])
        self.stages = nn.ModuleList(Down3d(a, b) for a, b in pairwise([in_shape[0], *channels]))
        self.act = activation(act)
        widths = [size(grid) + context, *dense]
        self.layers = nn.ModuleList(Dense(a, b) for a, b in pairwise(widths))
        self.width = widths[-1]
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the last linear layer."""
        return Dense(self.width, values * size(self.out_shape))

    def features(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the last hidden layer."""
        for stage in self.stages:
            x = self.act(stage(x))
        h = x.flatten(1) if context is None else torch.cat([x.flatten(1), context], 1)
        for layer in self.layers:
            h = self.act(layer(h))
        return h


class VolumeDecoder(Net):
    """Dense layers from z (and a label beside it) to a small grid, and as many doublings as there are `channels`.

    With `skip`, a linear map of z is added to every channel after every stage, as in `ImageDecoder`.

    >>> VolumeDecoder(20, (1, 16, 20, 9)).widen(2)(torch.zeros(2, 20)).shape
    torch.Size([2, 2, 1, 16, 20, 9])
    """

    def __init__(
        self,
        in_shape: Shape,
        out_shape: Sequence[int],
        channels: Sequence[int] = (64, 32),
        *,
        dense: Sequence[int] = (256,),
        context: int = 0,
        act: str = "relu",
        skip: bool = False,
    ) -> None:
        super().__init__(as_shape(in_shape), tuple(out_shape), context)
        sizes = volume_grids(self.out_shape, len(channels))
        self.grid = (channels[0], *sizes[-1])
        self.act = activation(act)
        start = size(self.in_shape or ()) + context
        self.layers = nn.ModuleList(Dense(a, b) for a, b in pairwise([start, *dense, size(self.grid)]))
        self.stages = nn.ModuleList(Up3d(a, b, target) for (a, b), target in zip(pairwise(channels), sizes[-2::-1]))
        self.skips = nn.ModuleList(Dense(start, c, bias=False) for c in channels[1:]) if skip else None
        self.channels = channels[-1]
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the last doubling, to `values` times the volume's channels."""
        return VolumeHead(self.channels, values, self.out_shape)

    def features(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the features at half the volume's size."""
        first = x.flatten(1) if context is None else torch.cat([x.flatten(1), context], 1)
        h = first
        for layer in self.layers:
            h = self.act(layer(h))
        h = h.unflatten(1, self.grid)
        for i, stage in enumerate(self.stages):
            h = stage(h)
            if self.skips is not None:
                h = h + self.skips[i](first)[:, :, None, None, None]
            h = self.act(h)
        return h
