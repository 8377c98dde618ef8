"""Convolutional encoders and decoders for images of any size from 4 × 4.

Memory format: channels_last was measured as no gain on CPU (1-32-64 convolutions, 28 × 28 images), so tensors stay in
the usual order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit.errors import UserError
from vaekit.nets.base import Dense, Net, activation, size
from vaekit.nets.mlp import Shape, as_shape

Upsample = Literal["transposed", "shuffle", "nearest"]

# Up to this many output channels, a transposed convolution on CPU is quicker as one matrix product and a fold.
FOLD_CHANNELS = 1


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (C, H, W) of an image of at least 4 × 4.

    Raises:
        UserError: the shape is not an image's.

    >>> image_shape((1, 28, 28))
    (1, 28, 28)
    """
    if len(shape) != 3:
        raise UserError(f"model.net: convolutions need images (channels, height, width), not shape {shape}; use 'mlp'")
    if min(shape[1:]) < 4 or shape[0] < 1:
        raise UserError(
            f"model.net: convolutions need images of at least 4 × 4, not {shape[1]} × {shape[2]}; use 'mlp'"
        )
    return shape[0], shape[1], shape[2]


def grids(shape: tuple[int, ...], stages: int) -> list[tuple[int, int]]:
    """Return the heights and widths before each halving and after the last; odd sizes round up.

    Raises:
        UserError: the image is too small to be halved that often, or there is nothing to halve it.

    >>> grids((1, 45, 37), 2)
    [(45, 37), (23, 19), (12, 10)]
    """
    _, height, width = image_shape(shape)
    most = int(math.log2(min(height, width)))
    if not 1 <= stages <= most:
        raise UserError(f"model.channels: an image of {height} × {width} takes 1 to {most} stages, not {stages}")
    return [(-(-height // 2**i), -(-width // 2**i)) for i in range(stages + 1)]


def is_map(shape: tuple[int, ...], grid: tuple[int, int]) -> bool:
    """Return whether a latent's shape (D, h, w) is a map on the coarsest grid."""
    return len(shape) == 3 and tuple(shape[1:]) == grid


def spread(vector: Tensor) -> Tensor:
    """Return (N, C) as (N, C, 1, 1), to be added at every position."""
    return vector[:, :, None, None]


class Down(nn.Module):
    """Halve an image by a convolution (kernel 4, stride 2, padding 1); an odd side gets one more row of zeros."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', ⌈H/2⌉, ⌈W/2⌉)."""
        odd_height, odd_width = x.shape[-2] % 2, x.shape[-1] % 2
        if odd_height or odd_width:
            x = F.pad(x, (0, odd_width, 0, odd_height))
        return self.conv(x)


def double(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Transposed convolution (kernel 4, stride 2, padding 1) by (C, C', 4, 4): (N, C, H, W) → (N, C', 2H, 2W).

    With one output channel the library's kernel is slow on CPU, and the same sum is one matrix product a position
    (C → 16 values) whose overlapping 4 × 4 patches are added up by a fold: y = fold(Wᵀ x).
    """
    if weight.shape[1] > FOLD_CHANNELS or x.device.type != "cpu":
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)
    height, width = x.shape[-2:]
    patches = F.conv2d(x, weight.flatten(1).t()[:, :, None, None])
    out = F.fold(patches.flatten(2), (2 * height, 2 * width), kernel_size=4, stride=2, padding=1)
    return out if bias is None else out + bias[:, None, None]


class TransposedConv(nn.Module):
    """Double an image: a transposed convolution, equal to `nn.ConvTranspose2d(…, 4, stride=2, padding=1)`."""

    def __init__(self, channels_in: int, channels_out: int, bias: bool = True) -> None:
        super().__init__()
        like = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1, bias=bias)
        self.weight = like.weight
        self.bias = like.bias

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', 2H, 2W)."""
        return double(x, self.weight, self.bias)


class NearestConv(nn.Module):
    """Double an image: every pixel repeated 2 × 2, then a 3 × 3 convolution w.

    A pixel's two copies meet neighbouring weights, so along each axis the two steps are one transposed convolution with
    the kernel (w₂, w₁ + w₂, w₀ + w₁, w₀): the same numbers from 4 products an output instead of 9.
    """

    copies: Tensor

    def __init__(self, channels_in: int, channels_out: int, bias: bool = True) -> None:
        super().__init__()
        like = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=bias)
        self.weight = like.weight
        self.bias = like.bias
        copies = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
        self.register_buffer("copies", copies, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', 2H, 2W)."""
        kernel = (self.copies @ self.weight @ self.copies.t()).transpose(0, 1)
        return double(x, kernel, self.bias)


class Up(nn.Module):
    """Double an image and crop it to `target`, one less where the target is odd.

    `transposed`: a transposed convolution; `shuffle`: a 3 × 3 convolution to four times the channels, which are then
    the four sub-pixels; `nearest`: pixels repeated, then a 3 × 3 convolution.
    """

    def __init__(
        self, channels_in: int, channels_out: int, target: tuple[int, int], upsample: Upsample, bias: bool = True
    ) -> None:
        super().__init__()
        if upsample not in get_args(Upsample):
            raise UserError(f"upsample is one of {', '.join(get_args(Upsample))}, not '{upsample}'")
        self.target = target
        if upsample == "transposed":
            self.body: nn.Module = TransposedConv(channels_in, channels_out, bias)
        elif upsample == "shuffle":
            conv = nn.Conv2d(channels_in, 4 * channels_out, 3, padding=1, bias=bias)
            self.body = nn.Sequential(conv, nn.PixelShuffle(2))
        else:
            self.body = NearestConv(channels_in, channels_out, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, C', *target)."""
        return self.body(x)[..., : self.target[0], : self.target[1]]


class BiasByPosition(nn.Module):
    """A bias a channel for maps (N, values·C, H, W) or volumes, the channels of one value beside one another.

    The first value has one a position besides, (C, H, W), so that a decoder can start at the training images' mean
    exactly. Subclasses call `make_biases` when the layer before it is made.
    """

    bias: nn.Parameter
    position: nn.Parameter

    def make_biases(self, values: int, out_shape: tuple[int, ...]) -> None:
        """Add the parameters, all zero."""
        self.bias = nn.Parameter(torch.zeros(values * out_shape[0]))
        self.position = nn.Parameter(torch.zeros(*out_shape))

    def biased(self, x: Tensor) -> Tensor:
        """(N, values·C, H, W) → the same with the biases added."""
        first, rest = self.bias.split([len(self.position), len(self.bias) - len(self.position)])
        ones = (1,) * (self.position.dim() - 1)
        bias = self.position + first.view(-1, *ones)
        if len(rest):
            bias = torch.cat([bias, rest.view(-1, *ones).expand(-1, *bias.shape[1:])])
        return x + bias


class ImageHead(BiasByPosition):
    """The last layer of an image decoder: a doubling to `values`·C channels, then the biases."""

    def __init__(self, channels: int, values: int, out_shape: tuple[int, ...], upsample: Upsample) -> None:
        super().__init__()
        self.up = Up(channels, values * out_shape[0], (out_shape[1], out_shape[2]), upsample, bias=False)
        self.make_biases(values, out_shape)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) → (N, values·C, H, W)."""
        return self.biased(self.up(x))


class ImageEncoder(Net):
    """A trunk of layers from (C, H, W) to a small grid, then dense layers and a linear head.

    The trunk halves the image once for each of `channels`. The label joins the flattened features. If `out_shape` is
    (D, h, w) on the trunk's own grid, the output is a map: the dense layers are left out, the head is a 1 × 1
    convolution, and the label is added at every position.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Shape,
        channels: Sequence[int],
        trunk: nn.Module,
        *,
        dense: Sequence[int],
        context: int,
        act: str,
    ) -> None:
        super().__init__(tuple(in_shape), as_shape(out_shape), context)
        grid = (channels[-1], *grids(tuple(in_shape), len(channels))[-1])
        self.trunk = trunk
        self.act = activation(act)
        self.map = is_map(self.out_shape, grid[1:])
        self.label = Dense(context, grid[0], bias=False) if self.map and context else None
        widths = [size(grid) + context, *dense]
        self.layers = nn.ModuleList(Dense(a, b) for a, b in pairwise(widths) if not self.map)
        self.width = grid[0] if self.map else widths[-1]
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the last linear layer, or the 1 × 1 convolution of a map."""
        if self.map:
            return nn.Conv2d(self.width, values * self.out_shape[0], 1)
        return Dense(self.width, values * size(self.out_shape))

    def features(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the last hidden layer: (N, width), or (N, width, h, w) for a map."""
        h = self.trunk(x)
        if self.map:
            return self.act(h if context is None or self.label is None else h + spread(self.label(context)))
        h = self.act(h).flatten(1)
        if context is not None:
            h = torch.cat([h, context], 1)
        for layer in self.layers:
            h = self.act(layer(h))
        return h


class ImageDecoder(Net):
    """Dense layers from z (and a label beside it) to a small grid, stages that double it, and a head to (C, H, W).

    There is a stage for each of `channels`, and the last one doubles nothing: the head does. With `skip`, a linear map
    of z is added to every channel after every stage (generative skip connections, Dieng et al. 2019), which keeps a
    deep decoder from ignoring z. If the latent is a map on the grid itself, a 3 × 3 convolution takes the place of the
    dense layers. Subclasses set `upsample`, how the head doubles.
    """

    upsample: Upsample

    def __init__(
        self,
        in_shape: Shape,
        out_shape: Sequence[int],
        channels: Sequence[int],
        stages: Sequence[nn.Module],
        *,
        dense: Sequence[int],
        context: int,
        act: str,
        skip: bool,
    ) -> None:
        latent = as_shape(in_shape)
        super().__init__(latent, tuple(out_shape), context)
        grid = grids(self.out_shape, len(channels))[-1]
        self.act = activation(act)
        self.map = is_map(latent, grid)
        self.grid = (channels[0], *grid)
        start = size(latent) + context
        widths = [start, *dense, size(self.grid)]
        self.layers = nn.ModuleList(Dense(a, b) for a, b in pairwise(widths) if not self.map)
        self.stem = nn.Conv2d(latent[0], channels[0], 3, padding=1) if self.map else None
        self.label = Dense(context, channels[0], bias=False) if self.map and context else None
        self.stages = nn.ModuleList(stages[:-1])
        self.last = stages[-1]
        ends = [*channels[1:], channels[-1]]
        self.skips = nn.ModuleList(Dense(start, c, bias=False) for c in ends) if skip else None
        self.channels = channels[-1]
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the last doubling, to `values` times the image's channels."""
        return ImageHead(self.channels, values, self.out_shape, self.upsample)

    def features(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the features at half the image's size."""
        first = x.flatten(1) if context is None else torch.cat([x.flatten(1), context], 1)
        h = self._start(x, first, context)
        for i, stage in enumerate([*self.stages, self.last]):
            h = stage(h)
            if self.skips is not None:
                h = h + spread(self.skips[i](first))
        return h

    def _start(self, x: Tensor, first: Tensor, context: Tensor | None) -> Tensor:
        """Return the features on the coarsest grid."""
        if self.stem is not None:
            h = self.stem(x)
            return h if context is None or self.label is None else h + spread(self.label(context))
        h = first
        for i, layer in enumerate(self.layers):
            h = layer(h if i == 0 else self.act(h))
        return h.unflatten(1, self.grid)


class ConvEncoder(ImageEncoder):
    """Strided convolutions (kernel 4, stride 2), one a number in `channels`, then dense layers and a head.

    Raises:
        UserError: `in_shape` is not an image of at least 4 × 4, or too small for so many stages.

    >>> ConvEncoder((1, 28, 28), 20)(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 1, 20])
    >>> ConvEncoder((3, 45, 37), (8, 12, 10)).widen(2)(torch.zeros(3, 3, 45, 37)).shape  # a map of codes
    torch.Size([3, 2, 8, 12, 10])
    """

    bf16_measured = ("conv",)

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
        stages = [nn.Sequential(Down(a, b), activation(act)) for a, b in pairwise([in_shape[0], *channels])]
        trunk = nn.Sequential(*chain(*stages))[:-1]  # the label may come before the last activation
        super().__init__(in_shape, out_shape, channels, trunk, dense=dense, context=context, act=act)


class ConvDecoder(ImageDecoder):
    """Dense layers to a grid of channels[0], and as many doublings as there are `channels`; cropped to odd sizes.

    Raises:
        UserError: `out_shape` is not an image of at least 4 × 4, or too small for so many stages.

    >>> ConvDecoder(20, (1, 45, 37), upsample="shuffle").widen(2)(torch.zeros(3, 20)).shape
    torch.Size([3, 2, 1, 45, 37])
    """

    bf16_measured = ("conv",)

    def __init__(
        self,
        in_shape: Shape,
        out_shape: Sequence[int],
        channels: Sequence[int] = (64, 32),
        *,
        upsample: Upsample = "transposed",
        dense: Sequence[int] = (256,),
        context: int = 0,
        act: str = "relu",
        skip: bool = False,
    ) -> None:
        self.upsample = upsample
        sizes = grids(tuple(out_shape), len(channels))[-2::-1]
        stages: list[nn.Module] = [
            nn.Sequential(activation(act), Up(a, b, target, upsample))
            for (a, b), target in zip(pairwise(channels), sizes)
        ]
        stages.append(activation(act))
        super().__init__(in_shape, out_shape, channels, stages, dense=dense, context=context, act=act, skip=skip)
