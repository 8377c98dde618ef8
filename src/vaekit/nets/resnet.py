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
from vaekit.nets.base import activation
from vaekit.nets.conv import Down, ImageDecoder, ImageEncoder, TransposedConv, Up, Upsample, grids
from vaekit.nets.mlp import Shape, as_shape

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
        UserError: a name that is none of these.
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
    """Residual blocks between halvings; see `resnet_encoder`."""

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        channels: Sequence[int] = (32, 64),
        residual: Residual = Residual(),
        *,
        dense: Sequence[int] = (256,),
        context: int = 0,
        act: str = "relu",
    ) -> None:
        grid = grids(in_shape, len(channels))[-1]
        layers: list[nn.Module] = []
        for a, b in pairwise([in_shape[0], *channels]):
            layers.append(Down(a, b) if residual.down == "conv" else PoolDown(a, b))
            layers += residual.stage(b, len(channels), act)
        layers.append(group_norm(channels[-1], residual.norm))
        trunk = nn.Sequential(*layers)
        super().__init__(
            in_shape, out_shape, trunk, (channels[-1], *grid), dense=tuple(dense), context=context, act=act
        )
        he_start(self)


class ResNetDecoder(ImageDecoder):
    """Residual blocks between doublings; see `resnet_decoder`."""

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        channels: Sequence[int] = (64, 32),
        residual: Residual = Residual(),
        *,
        dense: Sequence[int] = (256,),
        context: int = 0,
        act: str = "relu",
        skip: bool = False,
    ) -> None:
        sizes = grids(out_shape, len(channels))[::-1]
        stages = [
            nn.Sequential(*residual.stage(a, len(channels), act), Up(a, b, target, residual.upsample))
            for (a, b), target in zip(pairwise(channels), sizes[1:])
        ]
        last = residual.stage(channels[-1], len(channels), act)
        stages.append(nn.Sequential(*last, group_norm(channels[-1], residual.norm), activation(act)))
        super().__init__(
            in_shape, out_shape, tuple(channels), stages, dense=tuple(dense), context=context, act=act, skip=skip
        )
        self.end(residual.upsample)
        he_start(self)


def resnet_encoder(
    in_shape: Sequence[int],
    out_shape: Shape,
    channels: Sequence[int] = (32, 64),
    residual: Residual = Residual(),
    *,
    dense: Sequence[int] = (256,),
    context: int = 0,
    act: str = "relu",
) -> ResNetEncoder:
    """Return halvings with residual blocks after each, then dense layers and a head.

    Raises:
        UserError: `in_shape` is not an image of at least 4 × 4, or too small for so many stages.

    >>> resnet_encoder((3, 32, 32), 20, residual=Residual(down="pool")).widen(2)(torch.zeros(4, 3, 32, 32)).shape
    torch.Size([4, 2, 20])
    """
    return ResNetEncoder(
        tuple(in_shape), as_shape(out_shape), channels, residual, dense=dense, context=context, act=act
    )


def resnet_decoder(
    latent_shape: Shape,
    out_shape: Sequence[int],
    channels: Sequence[int] = (64, 32),
    residual: Residual = Residual(),
    *,
    dense: Sequence[int] = (256,),
    context: int = 0,
    act: str = "relu",
    skip: bool = False,
) -> ResNetDecoder:
    """Return dense layers to a grid of channels[0], then residual blocks and a doubling for each of `channels`.

    Raises:
        UserError: `out_shape` is not an image of at least 4 × 4, or too small for so many stages.

    >>> resnet_decoder(20, (1, 45, 37), residual=Residual(blocks=2), skip=True)(torch.zeros(4, 20)).shape
    torch.Size([4, 1, 1, 45, 37])
    """
    return ResNetDecoder(
        as_shape(latent_shape),
        tuple(out_shape),
        channels,
        residual,
        dense=dense,
        context=context,
        act=act,
        skip=skip,
    )
