"""The autoregressive likelihood of token sequences."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from vaekit.distributions.tokens import Sampling, TokenSequences
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.nets.recurrent import GRUDecoder
from vaekit.nets.sequence import TokenDecoder


def _example(shape: tuple[int, ...]) -> tuple[Likelihood, tuple[Tensor]]:
    if len(shape) != 1:
        raise ValueError(f"sequences have one axis, not {shape}")
    net = GRUDecoder((shape[0], 7), latent=3, width=8, embedding=4, word_dropout=0.2)
    return Tokens(net, truncated=True), (torch.randn(5, 3),)


@LIKELIHOODS.register("tokens", reference="Bowman et al. 2016, arXiv:1511.06349", of="tokens", example=_example)
class Tokens(Likelihood):
    """p(x|z) = Π_t p(x_t | x_<t, z) up to and including END: `net` sees the tokens before and z.

    `truncated` says that data may be cut at the network's length without END; see `TokenSequences`. How sequences are
    drawn may be set at any time (`draw_with`).

    >>> px = Tokens(GRUDecoder((12, 30), latent=8))(torch.zeros(3, 8))
    >>> px.sample().shape, px.log_prob(torch.tensor([[5, 6, 2], [4, 2, 0], [2, 0, 0]])).shape
    (torch.Size([3, 12]), torch.Size([3]))
    """

    wants = "any"
    measure = "mass"
    no_program: ClassVar = {"decoder": "it writes token after token until the end; use the run from Python"}

    def __init__(self, net: TokenDecoder, *, truncated: bool = False) -> None:
        super().__init__(net)
        self.truncated = truncated
        self.sampling = Sampling()

    @property
    def decoder(self) -> TokenDecoder:
        """The network."""
        assert isinstance(self.net, TokenDecoder)
        return self.net

    def draw_with(self, sampling: Sampling) -> None:
        """Draw sequences so from now on; it changes no log-probability."""
        self.sampling = sampling

    def forward(self, z: Tensor) -> TokenSequences:
        """Return p(x|z), batch shape that of z without its last axis."""
        return TokenSequences(self.decoder, z, truncated=self.truncated, sampling=self.sampling)
