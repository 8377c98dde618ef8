"""A decoder in two levels: a conductor goes from bar to bar, and each bar's tokens are decoded under it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaekit.nets.sequence import TokenDecoder
from vaekit.nets.transformer import small_head
from vaekit.tokens import PAD

State = tuple[Tensor, Tensor]


class ConductorDecoder(TokenDecoder):
    """z → one vector c_u for each bar u by a GRU; bar u's `bar` tokens by a GRU that starts from tanh(W c_u).

    c_u is fed beside every token before. Within a bar the lower GRU knows the tokens before it, from the bar before
    only its last token: what lasts longer has to go through the conductor, and so through z.

    Source: Roberts et al. 2018, "A hierarchical latent vector model for learning long-term structure in music",
    arXiv:1803.05428, §3.2.

    >>> net = ConductorDecoder((9, 30), latent=8, bar=4, width=16)
    >>> net(torch.tensor([[5, 6, 7, 8, 9, 2], [4, 2, 0, 0, 0, 0]]), torch.zeros(2, 8)).shape
    torch.Size([2, 6, 30])
    """

    def __init__(
        self,
        rows: tuple[int, int],
        latent: int,
        *,
        bar: int,
        width: int = 256,
        embedding: int = 64,
        conductor: int = 128,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__(rows, latent, word_dropout)
        if bar < 1:
            raise ValueError(f"a bar of {bar} tokens is too short; it takes 1 or more")
        self.bar, self.bars = bar, -(-self.length // bar)
        self.opening = nn.Linear(latent, conductor)
        self.conductor = nn.GRU(latent, conductor, batch_first=True)
        self.beginning = nn.Linear(conductor, width)
        self.embedding = nn.Embedding(self.tokens, embedding)
        self.lower = nn.GRU(embedding + conductor, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = small_head(width, self.tokens)

    def conduct(self, context: Tensor, bars: int) -> Tensor:
        """Return c_1 … c_bars, (N, bars, conductor)."""
        first = torch.tanh(self.opening(context)).unsqueeze(0)
        return self.conductor(context.unsqueeze(1).expand(-1, bars, -1).contiguous(), first)[0]

    def hidden(self, previous: Tensor, keep: Tensor, context: Tensor) -> Tensor:
        """Run all bars at once that have a kept place, each from its own c_u."""
        n, width = previous.shape
        last = keep.any(0).nonzero()
        bars = -(-(int(last[-1]) + 1 if len(last) else 1) // self.bar)
        room = bars * self.bar
        grow = (0, max(0, room - width))
        tokens = nn.functional.pad(previous, grow, value=PAD)[:, :room].reshape(n * bars, self.bar)
        live = nn.functional.pad(keep, grow)[:, :room].reshape(n * bars, self.bar).any(1)
        c = self.conduct(context, bars).flatten(0, 1)[live]
        x = torch.cat([self.dropout(self.embedding(tokens[live])), c.unsqueeze(1).expand(-1, self.bar, -1)], -1)
        h = self.dropout(self.lower(x, torch.tanh(self.beginning(c)).unsqueeze(0))[0])
        out = h.new_zeros(n * bars, self.bar, h.shape[-1])
        out[live] = h
        out = out.view(n, room, -1)[:, :width]
        return nn.functional.pad(out, (0, 0, 0, width - out.shape[1]))

    def start(self, context: Tensor) -> State:
        """Return every bar's vector, and a state that the first bar replaces."""
        c = self.conduct(context, self.bars)
        return c, c.new_zeros(1, len(c), self.lower.hidden_size)

    def advance(self, previous: Tensor, t: int, state: State) -> tuple[Tensor, State]:
        """Take one place; at a bar's first the lower GRU starts anew."""
        c, h = state
        now = c[:, t // self.bar]
        if t % self.bar == 0:
            h = torch.tanh(self.beginning(now)).unsqueeze(0)
        x = torch.cat([self.dropout(self.embedding(previous)), now], -1).unsqueeze(1)
        out, h = self.lower(x, h)
        return self.dropout(out[:, 0]), (c, h)
