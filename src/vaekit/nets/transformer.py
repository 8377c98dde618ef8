"""A causal transformer over tokens, with a key/value cache for drawing."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Cache = list[tuple[Tensor, Tensor]]


class Block(nn.Module):
    """x + attention(norm x), then x + MLP(norm x); a place attends to itself and those before it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def _join(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, width) → (N, T, width)."""
        q, k, v = self._split(x)
        p = self.dropout if self.training else 0.0
        return self._join(x, F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True))

    def step(self, x: Tensor, t: int, keys: Tensor, values: Tensor) -> Tensor:
        """Take place t alone, (N, 1, width); keys and values (N, heads, T, d) hold those before and are written to."""
        q, k, v = self._split(x)
        keys[:, :, t], values[:, :, t] = k[:, :, 0], v[:, :, 0]
        return self._join(x, F.scaled_dot_product_attention(q, keys[:, :, : t + 1], values[:, :, : t + 1]))


class CausalTransformer(nn.Module):
    """Tokens (N, T) int64 [, context (N, D) or (N, T, D)] → logits (N, T, tokens) of each token given those before it.

    The input is shifted by one place, a learned start token first; positions are learned; the norm comes first in a
    block. A context is added at every place. `generate` draws with a cache of keys and values: T² steps of attention in
    all instead of T³.

    Source: Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019.

    >>> net = CausalTransformer(tokens=10, length=6, width=16, layers=2, heads=2)
    >>> net(torch.zeros(3, 6, dtype=torch.long)).shape
    torch.Size([3, 6, 10])
    >>> net.generate(3).shape
    torch.Size([3, 6])
    """

    def __init__(
        self,
        tokens: int,
        length: int,
        *,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        context: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} cannot be split among {heads} heads")
        self.tokens, self.length, self.heads = tokens, length, heads
        self.embedding = nn.Embedding(tokens + 1, width)
        self.position = nn.Parameter(torch.zeros(length, width))
        self.context = nn.Linear(context, width) if context else None
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens)
        with torch.no_grad():  # all logits near zero at the start
            self.embedding.weight.mul_(0.1)
            self.position.normal_(0.0, 0.02)
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()
            for block in self.blocks:
                assert isinstance(block, Block)
                block.project.weight.mul_(layers**-0.5)

    def _inputs(self, previous: Tensor, first: int, context: Tensor | None) -> Tensor:
        """Embed the tokens before places first, first + 1, …, (N, t)."""
        x = self.embedding(previous) + self.position[first : first + previous.shape[1]]
        if self.context is not None and context is not None:
            here = context.unsqueeze(1) if context.dim() == 2 else context[:, first : first + previous.shape[1]]
            x = x + self.context(here)
        return x

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the logits of every place."""
        start = tokens.new_full((len(tokens), 1), self.tokens)
        x = self._inputs(torch.cat([start, tokens[:, :-1]], 1), 0, context)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def cache(self, n: int) -> Cache:
        """Return empty keys and values for `n` sequences."""
        width = self.position.shape[1]
        shape = (n, self.heads, self.length, width // self.heads)
        return [(self.position.new_zeros(shape), self.position.new_zeros(shape)) for _ in self.blocks]

    def step(self, previous: Tensor, t: int, cache: Cache, context: Tensor | None = None) -> Tensor:
        """Return the logits (N, tokens) of place t, given the token before it (N,); the cache takes it in."""
        x = self._inputs(previous[:, None], t, context)
        for block, (keys, values) in zip(self.blocks, cache):
            assert isinstance(block, Block)
            x = block.step(x, t, keys, values)
        return self.head(self.norm(x))[:, 0]

    @torch.no_grad()
    def generate(
        self,
        n: int,
        context: Tensor | None = None,
        pick: Callable[[Tensor, int], Tensor] | None = None,
    ) -> Tensor:
        """Draw `n` sequences, (n, T); `pick(logits (n, tokens), t)` chooses a token, at random by default."""
        cache = self.cache(n)
        out = torch.full((n, self.length + 1), self.tokens, dtype=torch.long, device=self.position.device)
        for t in range(self.length):
            logits = self.step(out[:, t], t, cache, context)
            out[:, t + 1] = draw_token(logits) if pick is None else pick(logits, t)
        return out[:, 1:]


def draw_token(logits: Tensor) -> Tensor:
    """Draw an index (n,) in proportion to exp(logits) (n, tokens)."""
    return (logits - torch.empty_like(logits).exponential_().log()).argmax(-1)
