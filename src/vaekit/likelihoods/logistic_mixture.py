"""Likelihoods of grey and colour levels by mixtures of discretised logistics: of z alone, and pixel after pixel."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from vaekit.distributions.autoregressive import AutoregressivePixels
from vaekit.distributions.logistic_mixture import DiscretisedLogisticMixture
from vaekit.distributions.normal import bounded_log_scale
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.likelihoods.categorical import check_levels
from vaekit.nets.mlp import mlp
from vaekit.nets.own import adapted
from vaekit.nets.pixelcnn import PixelCNN

MIXTURES = "logistics in each pixel's mixture"
CENTRE = -2.0
"""log s at the start: scales of 0.14 of the range."""


def values_needed(mixtures: int, channels: int) -> int:
    """Return how many values an element a mixture takes: weights, means, scales, and coefficients of channels."""
    return mixtures * (2 + channels)


def mixture(params: Tensor, mixtures: int, levels: int, dims: int) -> DiscretisedLogisticMixture:
    """Return the family from (..., values, *event), an event of (C, *places), or (*places) with `dims` 1.

    Means are in the data's units, around 1/2; log s is bounded to (-9, 5); the channels' coefficients to (-1, 1). A
    pixel's log-weights are the sums over its channels' values.

    >>> mixture(torch.zeros(7, 25, 3, 8, 8), 5, 256, 3).event_shape
    torch.Size([3, 8, 8])
    """
    flat = dims == 1
    if flat:
        params = params.unsqueeze(-2)
    places = 1 if flat else dims - 1
    axis = params.dim() - places - 2
    channels = params.shape[axis + 1]
    weights, loc, raw, rest = params.split([mixtures] * 3 + [params.shape[axis] - 3 * mixtures], axis)
    coefficients = rest.tanh().unflatten(axis, (mixtures, channels - 1)) if channels > 1 else None
    return DiscretisedLogisticMixture(
        weights.sum(axis + 1),
        loc + 0.5,
        bounded_log_scale(raw) + CENTRE,
        coefficients,
        levels=levels,
        dims=places,
        flat=flat,
    )


def spread(mixtures: int) -> Tensor:
    """Return where the components' means start around the middle: apart, so that they differ."""
    return torch.linspace(-0.4, 0.4, mixtures) if mixtures > 1 else torch.zeros(1)


@LIKELIHOODS.register(
    "logistic-mixture",
    reference="Salimans et al. 2017, arXiv:1701.05517, §2.1-2.2",
    options={"mixtures": MIXTURES},
    needs_levels=True,
    examples=({"levels": 2}, {"levels": 7, "mixtures": 1}, {"levels": 256}),
)
class LogisticMixture(Likelihood):
    """p(x|z): each pixel a mixture of discretised logistics; in colour, a channel's means depend on those before it.

    >>> from vaekit.nets.mlp import mlp
    >>> px = LogisticMixture(mlp(20, (3, 8, 8)), levels=256)
    >>> px(torch.zeros(5, 20)).log_prob(torch.zeros(5, 3, 8, 8)).shape
    torch.Size([5])
    """

    wants = "levels"
    measure = "mass"

    def __init__(self, net: nn.Module, *, levels: int, mixtures: PositiveInt = 5) -> None:
        net = adapted(net, self)
        self_dims = len(net.out_shape)
        if self_dims not in (1, 3):
            raise UserError(f"the likelihood 'logistic-mixture' takes vectors or images, not shape {net.out_shape}")
        super().__init__(net, params=values_needed(mixtures, net.out_shape[0] if self_dims == 3 else 1))
        self.levels, self.mixtures, self.event_dims = check_levels(levels), mixtures, self_dims
        self._start(torch.full(net.out_shape, 0.5))

    def family(self, params: Tensor) -> DiscretisedLogisticMixture:
        """Split weights, means, scales and coefficients."""
        return mixture(params, self.mixtures, self.levels, self.event_dims)

    def start_from(self, mean: Tensor) -> None:
        """Start the components around the training mean."""
        self._start(mean)

    def _start(self, mean: Tensor) -> None:
        assert self.net is not None
        for m, off in enumerate(spread(self.mixtures).tolist()):
            self.net.set_bias(self.mixtures + m, mean - 0.5 + off)


class PixelMixtures(nn.Module):
    """A PixelCNN whose outputs are each pixel's mixture of discretised logistics."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        levels: int,
        mixtures: int,
        *,
        context: int,
        width: int,
        layers: int,
        radius: int,
    ) -> None:
        super().__init__()
        self.shape, self.levels, self.mixtures = shape, levels, mixtures
        values = values_needed(mixtures, shape[0])
        self.net = PixelCNN(shape[0], values * shape[0], width=width, layers=layers, radius=radius, context=context)
        with torch.no_grad():
            bias = self.net.last.bias
            assert bias is not None
            bias.view(values, shape[0])[mixtures : 2 * mixtures] = spread(mixtures).unsqueeze(1)

    def _mixture(self, out: Tensor) -> DiscretisedLogisticMixture:
        return mixture(out.unflatten(1, (-1, self.shape[0])), self.mixtures, self.levels, 3)

    def mixture(self, x: Tensor, context: Tensor) -> DiscretisedLogisticMixture:
        """Return the mixture of every pixel given those before it and the context (N, D, H, W)."""
        return self._mixture(self.net(2 * x - 1, context))

    @torch.no_grad()
    def generate(self, context: Tensor, greedy: bool = False) -> Tensor:
        """Draw images (N, C, H, W), or take each pixel's mean on the grid given those before it."""
        out = context.new_zeros(len(context), *self.shape)

        def pick(params: Tensor, i: int, j: int) -> Tensor:
            d = self._mixture(params[:, :, None, None])
            n = self.levels - 1
            out[:, :, i, j] = ((d.mean * n).round() / n if greedy else d.sample())[:, :, 0, 0]
            return 2 * out[:, :, i, j] - 1

        self.net.generate(len(context), self.shape[1:], pick, context)
        return out


def _example(shape: tuple[int, ...]) -> tuple[Likelihood, tuple[Tensor]]:
    side = math.isqrt(shape[0])
    if side * side != shape[0]:
        raise UserError(f"no image of {shape}")
    net = mlp(3, (1, side, side), (8,))
    return PixelCNNLikelihood(net, levels=7, pixel_width=8, pixel_layers=2), (torch.randn(5, 3),)


@LIKELIHOODS.register(
    "pixelcnn",
    reference="Gulrajani et al. 2017, arXiv:1611.05013; Chen et al. 2017, arXiv:1611.02731",
    options={
        "mixtures": MIXTURES,
        "pixel_width": "width of the pixelcnn",
        "pixel_layers": "layers of the pixelcnn",
        "pixel_radius": "how far a layer sees: the sight is layers × radius",
        "pixel_context": "maps that z gives the pixelcnn",
    },
    needs_levels=True,
    example=_example,
)
class PixelCNNLikelihood(Likelihood):
    """p(x|z) = Π_i p(x_i | x_<i, z): a PixelCNN that sees `pixel_context` maps made of z beside the pixels before.

    It sees no further than layers × radius pixels: what lies beyond has to come through z, which keeps the posterior
    from collapsing (Chen et al. 2017). E[x|z] has no closed form; see `AutoregressivePixels.mean`.

    >>> from vaekit.nets.mlp import mlp
    >>> px = PixelCNNLikelihood(mlp(20, (1, 8, 8)), levels=17)
    >>> px(torch.zeros(5, 20)).sample().shape
    torch.Size([5, 1, 8, 8])
    """

    wants = "levels"
    measure = "mass"
    no_program: ClassVar = {"decoder": "it draws a picture pixel after pixel; use the run from Python"}

    def __init__(
        self,
        net: nn.Module,
        *,
        levels: int,
        mixtures: PositiveInt = 5,
        pixel_width: PositiveInt = 32,
        pixel_layers: PositiveInt = 3,
        pixel_radius: PositiveInt = 1,
        pixel_context: PositiveInt = 8,
    ) -> None:
        net = adapted(net, self)
        if len(net.out_shape) != 3:
            raise UserError(f"the likelihood 'pixelcnn' needs images, not data of shape {net.out_shape}")
        shape = (net.out_shape[0], net.out_shape[1], net.out_shape[2])
        super().__init__(net, params=pixel_context)
        self.levels = check_levels(levels)
        self.pixels = PixelMixtures(
            shape,
            levels,
            mixtures,
            context=pixel_context * shape[0],
            width=pixel_width,
            layers=pixel_layers,
            radius=pixel_radius,
        )

    def family(self, params: Tensor) -> AutoregressivePixels:
        """Take the maps as the PixelCNN's context."""
        return AutoregressivePixels(self.pixels, params.flatten(-4, -3), self.pixels.shape, self.levels)
