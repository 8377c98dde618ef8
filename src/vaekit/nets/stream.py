"""Networks of the very deep VAE: bottleneck blocks, an encoder that keeps every grid, and an image's last layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit.nets.base import Centre, Net, activation
from vaekit.nets.conv import BiasByPosition, Up

Grid = tuple[int, int]


class Bottleneck(nn.Module):
    """f(x) or, if `residual`, x + f(x), with f = 1 × 1, two 3 × 3 and a 1 × 1 convolution, an activation before each.

    On grids of up to 2 × 2 all four are 1 × 1. The last one starts `gain` times as large as usual: 1/√depth keeps the
    sum of `depth` residual blocks at the variance of one, 0 starts f at zero.

    Source: Child 2021, arXiv:2011.10650, §3.2 and App. B.

    >>> Bottleneck(8, 4, 6, (7, 7))(torch.zeros(2, 8, 7, 7)).shape
    torch.Size([2, 6, 7, 7])
    """

    def __init__(
        self,
        channels_in: int,
        middle: int,
        channels_out: int,
        grid: Grid,
        *,
        residual: bool = False,
        gain: float = 1.0,
        act: str = "silu",
    ) -> None:
        super().__init__()
        kernel = 3 if min(grid) > 2 else 1
        self.residual = residual
        sizes = [(channels_in, middle, 1), *[(middle, middle, kernel)] * 2, (middle, channels_out, 1)]
        convs = [nn.Conv2d(a, b, size, padding=size // 2) for a, b, size in sizes]
        self.f = nn.Sequential(*(layer for conv in convs for layer in (activation(act), conv)))
        for conv in convs:
            start(conv, gain if conv is convs[-1] else 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, C', h, w)."""
        out = self.f(x)
        return x + out if self.residual else out


def start(layer: nn.Conv2d, gain: float = 1.0) -> nn.Conv2d:
    """Start a convolution at variance gain²/fan-in, its bias at zero, and return it."""
    with torch.no_grad():
        layer.weight.normal_(0.0, gain * layer.weight[0].numel() ** -0.5)
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def unpool(x: Tensor, grid: Grid) -> Tensor:
    """Return maps on a finer grid by repeating their nearest entries.

    >>> unpool(torch.tensor([[[[1.0, 2.0]]]]), (2, 4)).tolist()
    [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]
    """
    return F.interpolate(x, grid, mode="nearest")


class EveryResolution(nn.Module):
    """An image (B, C, H, W) → its features on each of the `sizes`, finest last in, coarsest first out.

    A 3 × 3 convolution, and `blocks` residual bottlenecks on every grid, means over patches between them.

    >>> [f.shape[-1] for f in EveryResolution((1, 28, 28), [(1, 1), (7, 7), (14, 14)], 8, 4)(torch.zeros(2, 1, 28, 28))]
    [1, 7, 14]
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        sizes: Sequence[Grid],
        width: int,
        middle: int,
        *,
        blocks: int = 2,
        act: str = "silu",
    ) -> None:
        super().__init__()
        self.centre = Centre()
        self.sizes = list(sizes)[::-1]
        self.image: Grid = (in_shape[1], in_shape[2])
        # With latents on half the image's grid the first convolution halves it: a quarter of the work.
        self.halves = self.sizes[0] != self.image
        self.stem = start(nn.Conv2d(in_shape[0], width, 4 if self.halves else 3, 2 if self.halves else 1, padding=1))
        gain = 1 / math.sqrt(blocks * len(self.sizes))
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(Bottleneck(width, middle, width, g, residual=True, gain=gain, act=act) for _ in range(blocks))
            )
            for g in self.sizes
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features, coarsest first."""
        x = self.centre(x)
        if self.halves:
            x = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))
        x = self.stem(x)
        out: list[Tensor] = []
        for grid, stage in zip(self.sizes, self.stages):
            x = stage(F.adaptive_avg_pool2d(x, grid) if tuple(x.shape[-2:]) != grid else x)
            out.append(x)
        return out[::-1]


class StreamHead(Net):
    """The last layer: maps (C, h, w) on the image's grid or half of it → the likelihood's values for every pixel.

    A gain and a bias a channel, an activation, then a 3 × 3 convolution (after repeating pixels where the grid is half
    the image's), with one bias a channel and, for the first value, one a position, so that predictions can start at the
    training images' mean.

    >>> StreamHead((8, 14, 14), (1, 28, 28)).widen(2)(torch.zeros(3, 8, 14, 14)).shape
    torch.Size([3, 2, 1, 28, 28])
    """

    def __init__(self, in_shape: tuple[int, int, int], out_shape: tuple[int, ...], act: str = "silu") -> None:
        super().__init__(in_shape, out_shape)
        self.gain = nn.Parameter(torch.ones(in_shape[0], 1, 1))
        self.shift = nn.Parameter(torch.zeros(in_shape[0], 1, 1))
        self.act = activation(act)
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the last convolution."""
        assert self.in_shape is not None
        return PixelValues(self.in_shape, values, self.out_shape)

    def features(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Scale, shift, activate."""
        return self.act(x * self.gain + self.shift)


class PixelValues(BiasByPosition):
    """A convolution to `values`·C channels at the image's size, then the biases."""

    def __init__(self, in_shape: tuple[int, ...], values: int, out_shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, target = values * out_shape[0], (out_shape[1], out_shape[2])
        self.conv: nn.Module = (
            nn.Conv2d(in_shape[0], channels, 3, padding=1, bias=False)
            if tuple(in_shape[1:]) == target
            else Up(in_shape[0], channels, target, "nearest", bias=False)
        )
        self.make_biases(values, out_shape)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, values·C, H, W)."""
        return self.biased(self.conv(x))
