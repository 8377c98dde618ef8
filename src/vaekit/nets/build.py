"""Kinds of networks by name, an encoder and its mirror each, their sizes chosen from the data's shape.

Sizes are given in the encoder's order; the decoder mirrors them. The kinds are in `NETS`; "auto" takes "conv" for
images and volumes of more than 28 × 28 = 784 numbers and for latents that are maps (D, h, w), and "mlp" for everything
else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from vaekit.errors import UserError
from vaekit.nets.base import ACTIVATIONS, Activation, Net, Widths, size
from vaekit.nets.conv import ConvDecoder, ConvEncoder, grids, image_shape
from vaekit.nets.mlp import Shape, as_shape, mlp
from vaekit.nets.resnet import ResNetDecoder, ResNetEncoder
from vaekit.nets.volume import VolumeDecoder, VolumeEncoder
from vaekit.registry import Registry


class Network(Protocol):
    """A kind of network with its options: it makes an encoder, and a decoder that mirrors it.

    Both take a label of `context` numbers beside their input, 0 for none.
    """

    def encoder(self, in_shape: Shape, out_shape: Shape, context: int = 0) -> Net:
        """Return a network from data to a latent."""
        ...

    def decoder(self, latent_shape: Shape, out_shape: Shape, context: int = 0) -> Net:
        """Return a network from a latent to data."""
        ...


NETS: Registry[type[Network]] = Registry("network", "vaekit.nets")

ACT = {"act": "activation"}
LAYERS = {"hidden": "hidden widths of the encoder; the decoder mirrors them"}
DENSE = LAYERS | ACT | {"skip": "feed z to every decoder layer, against collapse"}
STAGES = DENSE | {"channels": "channels of the convolutional encoder's stages"}


def network(kind: str, **options: Any) -> Network:
    """Return the kind of network with these options; None leaves an option to the network.

    Raises:
        UserError: an unknown kind, or an option that it does not have or that cannot be.

    >>> net = network("conv", channels=(32, 64), skip=True)
    >>> net.encoder((3, 32, 32), 20).out_shape, net.decoder(20, (3, 32, 32)).out_shape
    ((20,), (3, 32, 32))
    >>> network("conv").encoder(13, 2)
    Traceback (most recent call last):
    vaekit.errors.UserError: model.net is 'conv', which needs images (channels, height, width), but the data have shape
    (13,); set model.net to 'mlp'
    """
    entry: Any = NETS[kind]
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if name not in entry.options:
            raise UserError(f"model.{name} is not an option of model.net={kind}; leave it out")
        if name in ("hidden", "channels") and any(n < 1 for n in value):
            raise UserError(f"model.{name} takes sizes of at least 1, not {list(value)}")
    if given.get("act", "relu") not in ACTIVATIONS:
        raise UserError(f"model.act is '{given['act']}'; use one of {', '.join(ACTIVATIONS)}")
    return entry.part(**given)


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


def volume_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the channels of the stages for volumes of this shape: 32, 64, 128, … to a grid of 4 to 8.

    >>> volume_channels((1, 32, 32, 20))
    (32, 64)
    """
    return tuple(min(32 * 2**i, 128) for i in range(max(1, int(math.log2(min(shape[1:]) / 4)))))


def is_volume(shape: Shape) -> bool:
    """Return whether a shape is that of a volume (C, D, H, W) that convolutions can halve."""
    shape = as_shape(shape)
    return len(shape) == 4 and min(shape[1:]) >= 4


def _images(kind: str, shape: Shape) -> tuple[int, ...]:
    """Return the shape of images of at least 4 × 4, or refuse it."""
    shape = as_shape(shape)
    if len(shape) != 3:
        other = "conv" if is_volume(shape) and kind != "conv" else "mlp"
        raise UserError(
            f"model.net is '{kind}', which needs images (channels, height, width), but the data have shape {shape}; "
            f"set model.net to '{other}'"
        )
    if min(shape[1:]) < 4:
        raise UserError(
            f"model.net is '{kind}', which needs images of at least 4 × 4, but the data have {shape[1]} × {shape[2]}; "
            "set model.net to 'mlp'"
        )
    return shape


@NETS.register("mlp", reference="Rumelhart et al. 1986, doi:10.1038/323533a0", options=DENSE)
@dataclass(frozen=True)
class Mlp:
    """Dense layers: any shape, flattened; by default as many as the data's size asks for."""

    hidden: Widths | None = None
    act: Activation = "relu"
    skip: bool = False

    def encoder(self, in_shape: Shape, out_shape: Shape, context: int = 0) -> Net:
        """Return dense layers."""
        hidden = default_hidden(as_shape(in_shape)) if self.hidden is None else self.hidden
        return mlp(in_shape, out_shape, hidden, context=context, act=self.act)

    def decoder(self, latent_shape: Shape, out_shape: Shape, context: int = 0) -> Net:
        """Return the encoder's layers in reverse."""
        hidden = default_hidden(as_shape(out_shape)) if self.hidden is None else self.hidden
        return mlp(latent_shape, out_shape, hidden[::-1], context=context, act=self.act, skip=self.skip)


@NETS.register("linear", reference="Lucas et al. 2019, arXiv:1911.02469")
class Linear:
    """One linear layer, as in probabilistic principal components."""

    def encoder(self, in_shape: Shape, out_shape: Shape, context: int = 0) -> Net:
        """Return one linear layer."""
        return mlp(in_shape, out_shape, (), context=context)

    decoder = encoder


@NETS.register("conv", reference="LeCun et al. 1998, doi:10.1109/5.726791", options=STAGES)
@dataclass(frozen=True)
class Conv:
    """Strided and transposed convolutions, dense layers between them and the latent: images from 4 × 4, volumes."""

    hidden: Widths | None = None
    channels: Widths | None = None
    act: Activation = "relu"
    skip: bool = False

    kind: ClassVar[str] = "conv"
    halving: ClassVar[Callable[..., Net]] = ConvEncoder
    doubling: ClassVar[Callable[..., Net]] = ConvDecoder

    def encoder(self, in_shape: Shape, out_shape: Shape, context: int = 0) -> Net:
        """Return stages that halve the image, then dense layers."""
        if is_volume(in_shape) and self.kind == "conv":
            channels = self.channels or volume_channels(as_shape(in_shape))
            more: dict[str, Any] = {"dense": self._dense, "context": context, "act": self.act}
            return VolumeEncoder(as_shape(in_shape), out_shape, channels, **more)
        shape = _images(self.kind, in_shape)
        channels = self.channels or default_channels(shape, as_shape(out_shape))
        return self.halving(shape, out_shape, channels, dense=self._dense, context=context, act=self.act)

    def decoder(self, latent_shape: Shape, out_shape: Shape, context: int = 0) -> Net:
        """Return dense layers, then stages that double the image."""
        more: dict[str, Any] = {"context": context, "act": self.act, "skip": self.skip}
        if is_volume(out_shape) and self.kind == "conv":
            channels = (self.channels or volume_channels(as_shape(out_shape)))[::-1]
            return VolumeDecoder(latent_shape, as_shape(out_shape), channels, dense=self._dense[::-1], **more)
        shape = _images(self.kind, out_shape)
        channels = (self.channels or default_channels(shape, as_shape(latent_shape)))[::-1]
        return self.doubling(latent_shape, shape, channels, dense=self._dense[::-1], **more)

    @property
    def _dense(self) -> tuple[int, ...]:
        return (256,) if self.hidden is None else self.hidden


@NETS.register("resnet", reference="He et al. 2016, arXiv:1603.05027", options=STAGES)
class ResNet(Conv):
    """Residual blocks between halvings and doublings: images from 4 × 4."""

    kind = "resnet"
    halving = ResNetEncoder
    doubling = ResNetDecoder


@NETS.register("auto", options=STAGES)
class Auto(Conv):
    """Convolutions for images of more than 28 × 28 numbers and for latent maps, dense layers for the rest."""

    def encoder(self, in_shape: Shape, out_shape: Shape, context: int = 0) -> Net:
        """Return the encoder of the kind that suits the data."""
        return network(resolve(in_shape, out_shape), **vars(self)).encoder(in_shape, out_shape, context)

    def decoder(self, latent_shape: Shape, out_shape: Shape, context: int = 0) -> Net:
        """Return the decoder of the kind that suits the data."""
        return network(resolve(out_shape, latent_shape), **vars(self)).decoder(latent_shape, out_shape, context)


def resolve(data_shape: Shape, latent_shape: Shape) -> str:
    """Return the kind that "auto" stands for.

    >>> resolve((1, 28, 28), 20), resolve((3, 32, 32), 20), resolve(13, 2)
    ('mlp', 'conv', 'mlp')
    """
    data, latent = as_shape(data_shape), as_shape(latent_shape)
    if is_volume(data):
        return "conv" if size(data) > 28 * 28 else "mlp"
    image = len(data) == 3 and min(data[1:]) >= 4
    return "conv" if image and (size(data) > 28 * 28 or len(latent) == 3) else "mlp"
