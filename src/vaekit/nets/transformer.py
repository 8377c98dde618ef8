"""A causal transformer over tokens, with a key/value cache for drawing."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Cache = list[tuple[Tensor, Tensor]]


class Block(nn.Module):
    """x + attention(norm x), then x + MLP(norm x); a place attends to itself and those before it.

    With a mask (N, T) a place attends to all those marked in its row instead, before and after.
    """

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

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, T, width) → (N, T, width)."""
        q, k, v = self._split(x)
        p = self.dropout if self.training else 0.0
        seen = None if mask is None else mask[:, None, None, :]
        return self._join(x, F.scaled_dot_product_attention(q, k, v, seen, dropout_p=p, is_causal=mask is None))

    def step(self, x: Tensor, t: int, keys: Tensor, values: Tensor) -> Tensor:
        """Take place t alone, (N, 1, width); keys and values (N, heads, T, d) hold those before and are written to."""
        q, k, v = self._split(x)
        keys[:, :, t], values[:, :, t] = k[:, :, 0], v[:, :, 0]
        return self._join(x, F.scaled_dot_product_attention(q, keys[:, :, : t + 1], values[:, :, : t + 1]))


def small_head(width: int, tokens: int) -> nn.Linear:
    """Return a last layer whose logits are near zero at the start."""
    head = nn.Linear(width, tokens)
    with torch.no_grad():
        head.weight.mul_(0.1)
        head.bias.zero_()
    return head


class CausalTransformer(nn.Module):
    """Tokens (N, T) int64 [, context (N, D) or (N, T, D)] → logits (N, T, tokens) of each token given those before it.

    The input is shifted by one place, a learned start token first; positions are learned; the norm comes first in a
    block. A context is added at every place, with `skip` before every block. `generate` draws with a cache of keys and
    values: T² steps of attention in all instead of T³.

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
        skip: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} cannot be split among {heads} heads")
        self.tokens, self.length, self.heads = tokens, length, heads
        self.embedding = nn.Embedding(tokens + 1, width)
        self.position = nn.Parameter(torch.zeros(length, width))
        self.context = nn.Linear(context, width) if context else None
        more = layers - 1 if context and skip else 0
        self.again = nn.ModuleList(nn.Linear(context, width) for _ in range(more))
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = small_head(width, tokens)
        with torch.no_grad():
            self.embedding.weight.mul_(0.1)
            self.position.normal_(0.0, 0.02)
            for block in self.blocks:
                assert isinstance(block, Block)
                block.project.weight.mul_(layers**-0.5)

    def _places(self, previous: Tensor, first: int, context: Tensor | None, cache: Cache | None = None) -> Tensor:
        """Return what comes before the head at places first, first + 1, …, given the tokens before each (N, t).

        With a cache, which holds the places before, t is 1.
        """
        count = previous.shape[1]
        x = self.embedding(previous) + self.position[first : first + count]
        if context is not None:
            context = context.unsqueeze(1) if context.dim() == 2 else context[:, first : first + count]
        for number, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            layer = self.context if number == 0 else self.again[number - 1] if len(self.again) else None
            if layer is not None and context is not None:
                x = x + layer(context)
            x = block(x) if cache is None else block.step(x, first, *cache[number])
        return self.norm(x)

    def hidden(self, previous: Tensor, context: Tensor | None = None) -> Tensor:
        """Return what comes before the head at every place, (N, T, width), given the tokens before each (N, T)."""
        return self._places(previous, 0, context)

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the logits of every place."""
        start = tokens.new_full((len(tokens), 1), self.tokens)
        return self.head(self.hidden(torch.cat([start, tokens[:, :-1]], 1), context))

    def cache(self, n: int) -> Cache:
        """Return empty keys and values for `n` sequences."""
        width = self.position.shape[1]
        shape = (n, self.heads, self.length, width // self.heads)
        return [(self.position.new_zeros(shape), self.position.new_zeros(shape)) for _ in self.blocks]

    def advance(self, previous: Tensor, t: int, cache: Cache, context: Tensor | None = None) -> Tensor:
        """Return what comes before the head at place t alone, (N, width); the cache takes the place in."""
        return self._places(previous[:, None], t, context, cache)[:, 0]

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
            logits = self.head(self.advance(out[:, t], t, cache, context))
            out[:, t + 1] = draw_token(logits) if pick is None else pick(logits, t)
        return out[:, 1:]


def draw_token(logits: Tensor) -> Tensor:
    """Draw an index (n,) in proportion to exp(logits) (n, tokens)."""
    return (logits - torch.empty_like(logits).exponential_().log()).argmax(-1)
