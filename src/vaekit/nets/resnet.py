"""Residual encoders and decoders for images: pre-activation blocks (He et al. 2016), no batch normalisation.

Group normalisation works within one example (Wu & He 2018), so that an example's output never depends on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit.errors import UserError
from vaekit.nets.base import Net, activation
from vaekit.nets.conv import Down, ImageDecoder, ImageEncoder, TransposedConv, Up, Upsample, grids
from vaekit.nets.mlp import Shape

Norm = Literal["group", "none"]
Init = Literal["scaled", "zero"]


def group_norm(channels: int, norm: Norm) -> nn.GroupNorm | nn.Identity:
    """Return group normalisation with at most eight groups of four channels or more, or nothing.

    >>> group_norm(12, "group").num_groups
    3
    """
    if norm not in get_args(Norm):
        raise UserError(f"norm is one of {', '.join(get_args(Norm))}, not '{norm}'")
    if norm == "none":
        return nn.Identity()
    most = max(1, min(8, channels // 4))
    return nn.GroupNorm(max(g for g in range(1, most + 1) if channels % g == 0), channels)


class ResidualBlock(nn.Module):
    """x + f(x) with f = [norm, activation, 3 × 3 convolution] twice.

    The last convolution starts at zero ("zero"), or 1/√depth as large as usual ("scaled", Child 2021), so that the sum
    of `depth` blocks starts with the variance of one.
    """

    def __init__(self, channels: int, *, act: str, norm: Norm, depth: int, init: Init) -> None:
        super().__init__()
        if init not in get_args(Init):
            raise UserError(f"init is one of {', '.join(get_args(Init))}, not '{init}'")
        last = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(0.0 if init == "zero" else depth**-0.5)
        self.branch = nn.Sequential(
            group_norm(channels, norm),
            activation(act),
            nn.Conv2d(channels, channels, 3, padding=1),
            group_norm(channels, norm),
            activation(act),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        return x + self.branch(x)


class PoolDown(nn.Module):
    """Halve an image: a 3 × 3 convolution, then the mean of each 2 × 2 patch (its part inside at an odd edge)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', ⌈H/2⌉, ⌈W/2⌉)."""
        return F.avg_pool2d(self.conv(x), 2, ceil_mode=True, count_include_pad=False)


@dataclass(frozen=True)
class Residual:
    """How the stages of a residual network are made: `blocks` blocks each, with `norm` and `init` as in a block.

    `down` halves by a strided convolution ("conv") or a convolution and a mean ("pool"), `upsample` doubles as in `Up`.

    Raises:
        UserError: `down` is another name.
    """

    blocks: int = 1
    norm: Norm = "group"
    init: Init = "scaled"
    down: Literal["conv", "pool"] = "conv"
    upsample: Upsample = "nearest"

    def __post_init__(self) -> None:
        if self.down not in ("conv", "pool"):
            raise UserError(f"down is one of conv, pool, not '{self.down}'")

    def stage(self, channels: int, stages: int, act: str) -> list[nn.Module]:
        """Return the blocks of one of `stages` stages."""
        depth = max(1, self.blocks * stages)
        more: dict[str, Any] = {"act": act, "norm": self.norm, "depth": depth, "init": self.init}
        return [ResidualBlock(channels, **more) for _ in range(self.blocks)]


def he_start(net: nn.Module) -> None:
    """Start layers outside the residual branches and the head at variance 2/fan-in, biases at zero (He et al. 2015).

    At the library's smaller start, the signal of z fades on its way through the stream and the first hundred steps
    leave the posterior at the prior (binary MNIST, 100 steps: ELBO −129 nats an image with this, −214 without).
    """
    for name, module in net.named_modules():
        if "branch" in name or not name.startswith(("trunk", "layers", "stem", "stages")):
            continue
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if not isinstance(weight, nn.Parameter) or isinstance(module, nn.GroupNorm):
            continue
        # a transposed convolution's weight is (in, out, 4, 4), and four of its 16 places meet at an output
        fan = 4 * len(weight) if isinstance(module, TransposedConv) else weight[0].numel()
        with torch.no_grad():
            weight.normal_(0.0, (2 / fan) ** 0.5)
            if isinstance(bias, nn.Parameter):
                bias.zero_()


class ResNetEncoder(ImageEncoder):
    """Halvings with residual blocks after each, then dense layers and a head.

    Raises:
        UserError: `in_shape` is not an image of at least 4 × 4, or too small for so many stages.

    >>> ResNetEncoder((3, 32, 32), 20, residual=Residual(down="pool")).widen(2)(torch.zeros(4, 3, 32, 32)).shape
    torch.Size([4, 2, 20])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Shape,
        channels: Sequence[int] = (32, 64),
        residual: Residual = Residual(),
        *,
        dense: Sequence[int] = (256,),
        context: int = 0,
        act: str = "relu",
    ) -> None:
        layers: list[nn.Module] = []
        for a, b in pairwise([in_shape[0], *channels]):
            layers.append(Down(a, b) if residual.down == "conv" else PoolDown(a, b))
            layers += residual.stage(b, len(channels), act)
        trunk = nn.Sequential(*layers, group_norm(channels[-1], residual.norm))
        super().__init__(in_shape, out_shape, channels, trunk, dense=dense, context=context, act=act)
        he_start(self)


class ResNetDecoder(ImageDecoder):
    """Dense layers to a grid of channels[0], then residual blocks and a doubling for each of `channels`.

    Raises:
        UserError: `out_shape` is not an image of at least 4 × 4, or too small for so many stages.

    >>> ResNetDecoder(20, (1, 45, 37), residual=Residual(blocks=2), skip=True)(torch.zeros(4, 20)).shape
    torch.Size([4, 1, 1, 45, 37])
    """

    def __init__(
        self,
        in_shape: Shape,
        out_shape: Sequence[int],
        channels: Sequence[int] = (64, 32),
        residual: Residual = Residual(),
        *,
        dense: Sequence[int] = (256,),
        context: int = 0,
        act: str = "relu",
        skip: bool = False,
    ) -> None:
        self.upsample = residual.upsample
        sizes = grids(tuple(out_shape), len(channels))[-2::-1]
        stages = [
            nn.Sequential(*residual.stage(a, len(channels), act), Up(a, b, target, residual.upsample))
            for (a, b), target in zip(pairwise(channels), sizes)
        ]
        last = residual.stage(channels[-1], len(channels), act)
        stages.append(nn.Sequential(*last, group_norm(channels[-1], residual.norm), activation(act)))
        super().__init__(in_shape, out_shape, channels, stages, dense=dense, context=context, act=act, skip=skip)
        he_start(self)


class GridNet(Net):
    """(N, C, h, w) → (N, values, D, h, w): a 1 × 1 convolution, residual blocks, and a 1 × 1 head.

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
        self.blocks = nn.Sequential(*Residual(blocks).stage(width, 1, act), group_norm(width, "group"), activation(act))
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the 1 × 1 convolution to `values` maps of D channels."""
        return nn.Conv2d(self.width, values * self.out_shape[0], 1)

    def features(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the last hidden maps."""
        return self.blocks(self.stem(x))
