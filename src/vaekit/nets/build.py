"""Encoders and decoders by name, their sizes chosen from the data's shape.

Sizes are given in the encoder's order; the decoder mirrors them. The kinds are in `NETS`; "auto" takes "conv" for
images of more than 28 × 28 = 784 numbers and for latents that are maps (D, h, w), and "mlp" for everything else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from vaekit.errors import UserError
from vaekit.nets.base import Net, activation, size
from vaekit.nets.conv import ConvDecoder, ConvEncoder, grids, image_shape
from vaekit.nets.mlp import Shape, as_shape, mlp
from vaekit.nets.resnet import ResNetDecoder, ResNetEncoder
from vaekit.registry import Registry


@dataclass(frozen=True)
class Sizes:
    """What the user may set: `hidden` (dense layers) and `channels` in the encoder's order, None for the default."""

    hidden: tuple[int, ...] | None = None
    channels: tuple[int, ...] | None = None
    context: int = 0
    act: str = "relu"
    skip: bool = False


class Kind(Protocol):
    """A kind of network: how to make its encoder and its decoder."""

    def encoder(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return the network from data to latent."""
        ...

    def decoder(self, latent_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return the network from latent to data."""
        ...


NETS: Registry[type[Kind]] = Registry("network", "vaekit.nets")


def default_hidden(data_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the hidden layers of an MLP for data of this shape.

    >>> default_hidden((1, 28, 28)), default_hidden((1, 8, 8)), default_hidden((13,))
    ((512, 512), (256, 128), (128, 64))
    """
    n = size(data_shape)
    return (512, 512) if n >= 256 else (256, 128) if n >= 32 else (128, 64)


def default_channels(data_shape: tuple[int, ...], latent_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the channels of the stages for images of this shape: 32, 64, 128, 128, … to a grid of 4 to 8.

    A latent (D, h, w) that lies on one of the image's halvings decides the number of stages.

    Raises:
        UserError: the data are no images of at least 4 × 4, or no halving of theirs has the latent's grid.

    >>> default_channels((1, 28, 28), (20,)), default_channels((3, 64, 64), (20,))
    ((32, 64), (32, 64, 128, 128))
    >>> default_channels((3, 64, 64), (8, 16, 16))
    (32, 64)
    """
    _, height, width = image_shape(data_shape)
    stages = max(1, int(math.log2(min(height, width) / 4)))
    if len(latent_shape) == 3:
        every = grids(data_shape, int(math.log2(min(height, width))))
        at = [i for i, grid in enumerate(every) if i > 0 and grid == tuple(latent_shape[1:])]
        if not at:
            known = ", ".join(f"{h} × {w}" for h, w in every[1:])
            raise UserError(
                f"model.latent: a map of {latent_shape[1]} × {latent_shape[2]} is no halving of images of "
                f"{height} × {width}; use one of {known}"
            )
        stages = at[0]
    return tuple(min(32 * 2**i, 128) for i in range(stages))


def _need_images(kind: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        raise UserError(
            f"model.net is '{kind}', which needs images (channels, height, width), but the data have shape {shape}; "
            "set model.net to 'mlp'"
        )
    if min(shape[1:]) < 4:
        raise UserError(
            f"model.net is '{kind}', which needs images of at least 4 × 4, but the data have {shape[1]} × {shape[2]}; "
            "set model.net to 'mlp'"
        )


def _no_channels(kind: str, sizes: Sizes) -> None:
    if sizes.channels is not None:
        raise UserError(
            f"model.channels means nothing to model.net '{kind}'; leave it out, or set model.net to 'conv' or 'resnet'"
        )


def _check(sizes: Sizes) -> None:
    for name, numbers in (("hidden", sizes.hidden), ("channels", sizes.channels)):
        if numbers is not None and any(n < 1 for n in numbers):
            raise UserError(f"model.{name} takes sizes of at least 1, not {list(numbers)}")
    try:
        activation(sizes.act)
    except KeyError:
        raise UserError(f"model.act is '{sizes.act}'; use one of relu, silu, gelu, tanh, elu, softplus") from None


@NETS.register("mlp")
class Mlp:
    """Dense layers: any shape, flattened."""

    def encoder(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return dense layers, by default as many as the data's size asks for."""
        _no_channels("mlp", sizes)
        hidden = default_hidden(in_shape) if sizes.hidden is None else sizes.hidden
        return mlp(in_shape, out_shape, hidden, context=sizes.context, act=sizes.act, skip=sizes.skip)

    def decoder(self, latent_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return the encoder's layers in reverse."""
        _no_channels("mlp", sizes)
        hidden = (default_hidden(out_shape) if sizes.hidden is None else sizes.hidden)[::-1]
        return mlp(latent_shape, out_shape, hidden, context=sizes.context, act=sizes.act, skip=sizes.skip)


@NETS.register("linear")
class Linear:
    """One linear layer, as in probabilistic principal components."""

    def encoder(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return one linear layer."""
        _no_channels("linear", sizes)
        if sizes.hidden:
            raise UserError("model.hidden means nothing to model.net 'linear'; leave it out, or set model.net to 'mlp'")
        return mlp(in_shape, out_shape, (), context=sizes.context)

    def decoder(self, latent_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return one linear layer."""
        return self.encoder(latent_shape, out_shape, sizes)


@NETS.register("conv")
class Conv:
    """Strided and transposed convolutions: images from 4 × 4."""

    def encoder(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return strided convolutions, then dense layers."""
        _need_images("conv", in_shape)
        channels = sizes.channels or default_channels(in_shape, out_shape)
        dense = (256,) if sizes.hidden is None else sizes.hidden
        return ConvEncoder(in_shape, out_shape, channels, dense=dense, context=sizes.context, act=sizes.act)

    def decoder(self, latent_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return dense layers, then transposed convolutions."""
        _need_images("conv", out_shape)
        channels = (sizes.channels or default_channels(out_shape, latent_shape))[::-1]
        dense = ((256,) if sizes.hidden is None else sizes.hidden)[::-1]
        return ConvDecoder(
            latent_shape, out_shape, channels, dense=dense, context=sizes.context, act=sizes.act, skip=sizes.skip
        )


@NETS.register("resnet", reference="He et al. 2016, arXiv:1603.05027")
class ResNet:
    """Residual blocks between halvings: images from 4 × 4."""

    def encoder(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return halvings with a residual block after each, then dense layers."""
        _need_images("resnet", in_shape)
        channels = sizes.channels or default_channels(in_shape, out_shape)
        dense = (256,) if sizes.hidden is None else sizes.hidden
        return ResNetEncoder(in_shape, out_shape, channels, dense=dense, context=sizes.context, act=sizes.act)

    def decoder(self, latent_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return dense layers, then residual blocks with a doubling after each."""
        _need_images("resnet", out_shape)
        channels = (sizes.channels or default_channels(out_shape, latent_shape))[::-1]
        dense = ((256,) if sizes.hidden is None else sizes.hidden)[::-1]
        return ResNetDecoder(
            latent_shape, out_shape, channels, dense=dense, context=sizes.context, act=sizes.act, skip=sizes.skip
        )


def resolve(kind: str, data_shape: Shape, latent_shape: Shape) -> str:
    """Return the kind that "auto" stands for; other kinds stay.

    >>> resolve("auto", (1, 28, 28), 20), resolve("auto", (3, 32, 32), 20), resolve("auto", 13, 2)
    ('mlp', 'conv', 'mlp')
    """
    if kind != "auto":
        return kind
    data, latent = as_shape(data_shape), as_shape(latent_shape)
    image = len(data) == 3 and min(data[1:]) >= 4
    return "conv" if image and (size(data) > 28 * 28 or len(latent) == 3) else "mlp"


@NETS.register("auto")
class Auto:
    """Convolutions for images of more than 28 × 28 numbers and for latent maps, dense layers for the rest."""

    def encoder(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return the encoder of the kind that fits."""
        return NETS[resolve("auto", in_shape, out_shape)].part().encoder(in_shape, out_shape, sizes)

    def decoder(self, latent_shape: tuple[int, ...], out_shape: tuple[int, ...], sizes: Sizes) -> Net:
        """Return the decoder of the kind that fits."""
        return NETS[resolve("auto", out_shape, latent_shape)].part().decoder(latent_shape, out_shape, sizes)


def encoder(
    kind: str,
    in_shape: Shape,
    out_shape: Shape,
    *,
    hidden: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    context: int = 0,
    act: str = "relu",
) -> Net:
    """Return a network from data of `in_shape` (and a label of `context` numbers) to a latent of `out_shape`.

    `hidden` are the dense layers, `channels` the stages of convolutions; None takes sizes that suit the data.

    Raises:
        UserError: an unknown kind, or one that cannot take such data or settings.

    >>> encoder("auto", (1, 28, 28), 20).out_shape
    (20,)
    >>> encoder("conv", 13, 2)
    Traceback (most recent call last):
    vaekit.errors.UserError: model.net is 'conv', which needs images (channels, height, width), but the data have shape
    (13,); set model.net to 'mlp'
    """
    sizes = _sizes(hidden, channels, context, act)
    return NETS[kind].part().encoder(as_shape(in_shape), as_shape(out_shape), sizes)


def decoder(
    kind: str,
    latent_shape: Shape,
    out_shape: Shape,
    *,
    hidden: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    context: int = 0,
    act: str = "relu",
    skip: bool = False,
) -> Net:
    """Return the mirror of `encoder`: sizes are given in the encoder's order. `skip` feeds z to every layer.

    Raises:
        UserError: an unknown kind, or one that cannot make such data or has no use for such settings.

    >>> import torch
    >>> decoder("conv", 20, (3, 32, 32), channels=(32, 64), skip=True).widen(2)(torch.zeros(5, 20)).shape
    torch.Size([5, 2, 3, 32, 32])
    """
    sizes = replace(_sizes(hidden, channels, context, act), skip=skip)
    return NETS[kind].part().decoder(as_shape(latent_shape), as_shape(out_shape), sizes)


def _sizes(hidden: Sequence[int] | None, channels: Sequence[int] | None, context: int, act: str) -> Sizes:
    sizes = Sizes(
        None if hidden is None else tuple(hidden), None if channels is None else tuple(channels), context, act
    )
    _check(sizes)
    return sizes
