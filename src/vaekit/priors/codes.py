"""Priors of discrete codes: uniform, masked convolutions over a map, and a causal transformer over a sequence."""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from vaekit.distributions.autoregressive import AutoregressiveCodes
from vaekit.distributions.codes import UniformCodes, code_space
from vaekit.errors import UserError
from vaekit.nets.mlp import Shape, as_shape
from vaekit.nets.pixelcnn import PixelCNN
from vaekit.nets.transformer import CausalTransformer, draw_token
from vaekit.priors.base import PRIORS, Prior

WIDTH_AND_LAYERS = {"prior_width": "width of the prior's network", "prior_layers": "layers of the prior's network"}


def _grid(shape: tuple[int, ...]) -> tuple[int, int]:
    """The contract's shapes as a map: 4 places as 2 × 2."""
    if len(shape) != 1 or math.isqrt(shape[0]) ** 2 != shape[0]:
        raise UserError(f"no map of {shape}")
    return math.isqrt(shape[0]), math.isqrt(shape[0])


@PRIORS.register("uniform-codes", reference="van den Oord et al. 2017, arXiv:1711.00937, §3.1", of_codes=True)
class UniformCodesPrior(Prior):
    """p(c) = K^-n: each of n places takes each of K codes alike, log K nats a place.

    >>> UniformCodesPrior((7, 7), codes=64)().log_prob(torch.zeros(1, 7, 7, dtype=torch.long))
    tensor([-203.7853])
    """

    measure = "mass"
    like: Tensor

    def __init__(self, shape: Shape, codes: int = 256) -> None:
        super().__init__()
        self.shape, self.codes = as_shape(shape), codes
        self.space = code_space(codes)
        self.register_buffer("like", torch.zeros(()), persistent=False)

    def forward(self) -> UniformCodes:
        """Return the uniform distribution."""
        return UniformCodes(self.codes, self.shape, self.like)


class CodePixelCNN(nn.Module):
    """Codes (N, h, w) [, context (N, D, h, w)] → logits (N, K, h, w), by an embedding and a PixelCNN.

    Learned maps tell the PixelCNN where it is, which convolutions cannot: 8 × 8 digits' codes took 55 nats without.
    """

    positions = 16

    def __init__(
        self, shape: tuple[int, int], codes: int, *, width: int, layers: int, radius: int, context: int
    ) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(codes, width)
        self.position = nn.Parameter(torch.randn(1, self.positions, *shape))
        self.net = PixelCNN(width, codes, width=width, layers=layers, radius=radius, context=context + self.positions)

    def _context(self, context: Tensor | None) -> Tensor:
        if context is None:
            return self.position
        return torch.cat([self.position.expand(len(context), -1, -1, -1), context], 1)

    def forward(self, codes: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the logits at every place."""
        return self.net(self.embedding(codes).movedim(-1, 1), self._context(context))

    @torch.no_grad()
    def generate(self, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw codes (n, h, w)."""
        out = torch.zeros(n, *self.shape, dtype=torch.long, device=self.embedding.weight.device)

        def pick(logits: Tensor, i: int, j: int) -> Tensor:
            out[:, i, j] = draw_token(logits / temperature)
            return self.embedding(out[:, i, j])

        self.net.generate(n, self.shape, pick, self._context(context))
        return out


class CodeTransformer(nn.Module):
    """Codes (N, *places) [, context (N, D, *places)] → logits (N, K, *places), the places read in order."""

    def __init__(
        self, shape: tuple[int, ...], codes: int, *, width: int, layers: int, heads: int, context: int
    ) -> None:
        super().__init__()
        self.shape = shape
        self.net = CausalTransformer(
            codes, max(1, math.prod(shape)), width=width, layers=layers, heads=heads, context=context
        )

    def _context(self, context: Tensor | None) -> Tensor | None:
        return None if context is None else context.flatten(2).transpose(1, 2)

    def forward(self, codes: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the logits at every place."""
        logits = self.net(codes.reshape(len(codes), -1), self._context(context))
        return logits.movedim(-1, 1).reshape(len(codes), -1, *self.shape)

    @torch.no_grad()
    def generate(self, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw codes (n, *places), with a cache of keys and values."""
        drawn = self.net.generate(n, self._context(context), lambda logits, t: draw_token(logits / temperature))
        return drawn.view(n, *self.shape)


class AutoregressivePrior(Prior):
    """p(c) = Π_i p(c_i | c_<i), or p(c | context) where the network takes one."""

    measure = "mass"

    def __init__(self, shape: tuple[int, ...], codes: int, causal: CodePixelCNN | CodeTransformer) -> None:
        super().__init__()
        self.shape, self.codes, self.causal = shape, codes, causal
        self.space = code_space(codes)

    def forward(self, context: Tensor | None = None) -> AutoregressiveCodes:
        """Return the distribution, given the context (..., D, *places) if any."""
        return AutoregressiveCodes(self.causal, self.codes, self.shape, context, 1 + len(self.shape))


def _pixelcnn_example(shape: tuple[int, ...]) -> tuple[AutoregressivePrior, tuple[()]]:
    return PixelCNNPrior(_grid(shape), codes=5, prior_width=8, prior_layers=2), ()


@PRIORS.register(
    "pixelcnn",
    reference="van den Oord et al. 2016, arXiv:1606.05328; 2017, arXiv:1711.00937, §3.3",
    of_codes=True,
    options=WIDTH_AND_LAYERS | {"prior_radius": "how far a layer of the prior's network sees"},
    example=_pixelcnn_example,
)
class PixelCNNPrior(AutoregressivePrior):
    """p(c) = Π_i p(c_i | c_<i) over a map of codes in reading order, by gated masked convolutions.

    >>> prior = PixelCNNPrior((4, 4), codes=10)
    >>> prior().log_prob(prior().sample((3,))).shape
    torch.Size([3])
    """

    def __init__(
        self,
        shape: Shape,
        codes: int = 256,
        prior_width: PositiveInt = 64,
        prior_layers: PositiveInt = 5,
        prior_radius: PositiveInt = 1,
        context: int = 0,
    ) -> None:
        places = as_shape(shape)
        if len(places) != 2:
            raise UserError(f"the prior 'pixelcnn' needs codes on a map, not of shape {places}; use causal-transformer")
        net = CodePixelCNN(
            (places[0], places[1]),
            codes,
            width=prior_width,
            layers=prior_layers,
            radius=prior_radius,
            context=context,
        )
        super().__init__(places, codes, net)


def _transformer_example(shape: tuple[int, ...]) -> tuple[Any, tuple[()]]:
    return TransformerPrior(shape, codes=5, prior_width=8, prior_layers=2, prior_heads=2), ()


@PRIORS.register(
    "causal-transformer",
    reference="Vaswani et al. 2017, arXiv:1706.03762; Esser et al. 2021, arXiv:2012.09841",
    of_codes=True,
    options=WIDTH_AND_LAYERS | {"prior_heads": "attention heads of the prior's network"},
    example=_transformer_example,
)
class TransformerPrior(AutoregressivePrior):
    """p(c) = Π_i p(c_i | c_<i) over codes of any shape, by causal attention.

    >>> prior = TransformerPrior((4, 4), codes=10, prior_width=16, prior_layers=2)
    >>> prior().log_prob(prior().sample((3,))).shape
    torch.Size([3])
    """

    def __init__(
        self,
        shape: Shape,
        codes: int = 256,
        prior_width: PositiveInt = 64,
        prior_layers: PositiveInt = 4,
        prior_heads: PositiveInt = 4,
        context: int = 0,
    ) -> None:
        if prior_width % prior_heads:
            raise UserError(f"model.prior_width={prior_width} cannot be split among {prior_heads} heads")
        places = as_shape(shape)
        net = CodeTransformer(places, codes, width=prior_width, layers=prior_layers, heads=prior_heads, context=context)
        super().__init__(places, codes, net)
