"""Recurrent networks over rows of tokens."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from vaekit.nets.sequence import TokenDecoder, TokenEncoder
from vaekit.nets.transformer import small_head


class GRUEncoder(TokenEncoder):
    """A bidirectional GRU over each row's used places alone; its two last states are read.

    Source: Cho et al. 2014, arXiv:1406.1078.

    >>> GRUEncoder(tokens=30, latent=8, width=16)(torch.tensor([[5, 6, 2], [4, 2, 0]])).shape
    torch.Size([2, 1, 8])
    """

    no_program: ClassVar = {"encoder": "its recurrent network stops at each row's own end; use the run from Python"}

    def __init__(
        self,
        tokens: int,
        latent: int | tuple[int, ...],
        *,
        width: int = 256,
        embedding: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(tokens, latent, 2 * width, embedding, dropout)
        between = dropout if layers > 1 else 0.0
        self.gru = nn.GRU(embedding, width, layers, batch_first=True, bidirectional=True, dropout=between)
        self.head = self.make_head(1)

    def read(self, ids: Tensor, keep: Tensor) -> Tensor:
        """Return the last layer's last state of both directions, (N, 2 width)."""
        embedded = self.dropout(self.embedding(ids))
        packed = pack_padded_sequence(embedded, keep.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        last = self.gru(packed)[1]
        return self.dropout(torch.cat([last[-2], last[-1]], 1))


class GRUDecoder(TokenDecoder):
    """GRU layers that start from tanh(W z); with `skip`, z is also fed to every layer at every step.

    Source: Bowman et al. 2016, arXiv:1511.06349; the skips: Dieng et al. 2019, arXiv:1807.04863.

    >>> GRUDecoder((12, 30), latent=8)(torch.tensor([[5, 6, 2], [4, 2, 0]]), torch.zeros(2, 8)).shape
    torch.Size([2, 3, 30])
    """

    def __init__(
        self,
        rows: tuple[int, int],
        latent: int,
        *,
        width: int = 256,
        embedding: int = 128,
        layers: int = 1,
        skip: bool = True,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__(rows, latent, word_dropout)
        self.skip = skip
        self.embedding = nn.Embedding(self.tokens, embedding)
        self.first = nn.Linear(latent, layers * width)
        self.layers = nn.ModuleList(
            nn.GRU((width if i else embedding) + (latent if skip else 0), width, batch_first=True)
            for i in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = small_head(width, self.tokens)

    def start(self, context: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return each layer's first state, (1, N, width), and z."""
        states = torch.tanh(self.first(context)).chunk(len(self.layers), -1)
        return [state.unsqueeze(0).contiguous() for state in states], context

    def _with(self, x: Tensor, context: Tensor) -> Tensor:
        """Put z beside every place of x (N, T, W)."""
        return torch.cat([x, context.unsqueeze(1).expand(-1, x.shape[1], -1)], -1) if self.skip else x

    def hidden(self, previous: Tensor, keep: Tensor, context: Tensor) -> Tensor:
        """Run the used places alone."""
        states, _ = self.start(context)
        counts = keep.sum(1).clamp(min=1).cpu()
        x = self.dropout(self.embedding(previous))
        for layer, state in zip(self.layers, states):
            packed = pack_padded_sequence(self._with(x, context), counts, batch_first=True, enforce_sorted=False)
            x, _ = pad_packed_sequence(layer(packed, state)[0], batch_first=True, total_length=previous.shape[1])
            x = self.dropout(x)
        return x

    def advance(
        self, previous: Tensor, t: int, state: tuple[list[Tensor], Tensor]
    ) -> tuple[Tensor, tuple[list[Tensor], Tensor]]:
        """Take one place."""
        states, context = state
        x = self.dropout(self.embedding(previous.unsqueeze(1)))
        after = []
        for layer, h in zip(self.layers, states):
            x, h = layer(self._with(x, context), h)
            x = self.dropout(x)
            after.append(h)
        return x[:, 0], (after, context)
