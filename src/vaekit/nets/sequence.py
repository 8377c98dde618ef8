"""Networks over rows of tokens: what encoders and decoders have in common, and the transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vaekit.nets.base import Net, size
from vaekit.nets.transformer import Block, Cache, CausalTransformer
from vaekit.tokens import START, UNKNOWN, trim, used


class TokenEncoder(Net):
    """Token rows (N, T) int64 → (N, n, *out_shape). Rows are trimmed first: padding never reaches `read`.

    Subclasses implement `read`: (ids (N, T), used (N, T)) → (N, `width`), each row from its own used places alone.
    """

    def __init__(self, tokens: int, latent: int | tuple[int, ...], width: int, embedding: int, dropout: float) -> None:
        super().__init__(None, (latent,) if isinstance(latent, int) else latent)
        self.tokens, self.width = tokens, width
        self.embedding = nn.Embedding(tokens, embedding)
        self.dropout = nn.Dropout(dropout)

    def make_head(self, values: int) -> nn.Module:
        """Return the last layer."""
        return nn.Linear(self.width, values * size(self.out_shape))

    def read(self, ids: Tensor, keep: Tensor) -> Tensor:
        """Return one vector a row."""
        raise TypeError(f"{type(self).__name__} does not read")

    def features(self, x: Any, context: Tensor | None) -> Tensor:
        """Read the trimmed rows."""
        ids = trim(x.long())
        return self.read(ids, used(ids))


class TokenDecoder(Net):
    """z (N, latent) and tokens (N, T) → logits of each token given those before it in its row, and z.

    `rows` is (length, tokens): rows of up to `length` places, each one of `tokens` tokens.
    Subclasses implement `hidden` and `advance`, and make `head` last. With `word_dropout` p, in training alone, each
    token that the network is shown is UNKNOWN with probability p, so that it leans on z (Bowman et al. 2016,
    arXiv:1511.06349, §3.1); what is scored stays whole.
    """

    def __init__(self, rows: tuple[int, int], latent: int, word_dropout: float = 0.0) -> None:
        super().__init__((latent,), rows[:1])
        (self.length, self.tokens), self.word_dropout = rows, word_dropout

    def hidden(self, previous: Tensor, keep: Tensor, context: Tensor) -> Tensor:
        """Return (N, T, W): what comes before the head at each place, given the tokens before each (N, T)."""
        raise TypeError(f"{type(self).__name__} decodes nothing")

    def advance(self, previous: Tensor, t: int, state: Any) -> tuple[Tensor, Any]:
        """Return the same (N, W) for place t alone, and the state after it."""
        raise TypeError(f"{type(self).__name__} decodes nothing")

    def start(self, context: Tensor) -> Any:
        """Return the state before the first token."""
        raise TypeError(f"{type(self).__name__} decodes nothing")

    def logits(self, ids: Tensor, context: Tensor, keep: Tensor) -> Tensor:
        """Return the logits (M, tokens) of the places that `keep` (N, T) marks, row by row."""
        previous = torch.cat([torch.full_like(ids[:, :1], START), ids[:, :-1]], 1)
        if self.training and self.word_dropout:
            hide = torch.rand(previous.shape, device=previous.device) < self.word_dropout
            previous = previous.masked_fill(hide & (previous != START), UNKNOWN)
        return self.head(self.hidden(previous, keep, context)[keep])

    def step(self, previous: Tensor, t: int, state: Any) -> tuple[Tensor, Any]:
        """Return the logits (N, tokens) of place t, given the token before it (N,), and the state after it."""
        h, state = self.advance(previous, t, state)
        return self.head(h), state

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the logits of every place, (N, T, tokens), of rows x (N, T) given z = `context` (N, latent)."""
        assert context is not None
        keep = torch.ones_like(x, dtype=torch.bool)
        return self.logits(x, context, keep).view(*x.shape, self.tokens)


class TransformerEncoder(TokenEncoder):
    """Blocks in which every used place attends to every used place of its row; then the mean over them.

    >>> net = TransformerEncoder(tokens=30, length=12, latent=8, width=16, layers=1, heads=2)
    >>> net(torch.tensor([[5, 6, 2], [4, 2, 0]])).shape
    torch.Size([2, 1, 8])
    """

    def __init__(
        self,
        tokens: int,
        length: int,
        latent: int | tuple[int, ...],
        *,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(tokens, latent, width, width, dropout)
        self.length = length
        self.position = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = self.make_head(1)
        with torch.no_grad():
            self.embedding.weight.mul_(0.1)

    def read(self, ids: Tensor, keep: Tensor) -> Tensor:
        """Return the mean of the last block's output over the used places."""
        if ids.shape[1] > self.length:
            raise ValueError(f"a row has {ids.shape[1]} places, and this network takes up to {self.length}")
        x = self.dropout(self.embedding(ids) + self.position[: ids.shape[1]])
        for block in self.blocks:
            x = block(x, keep)
        kept = self.norm(x).masked_fill(~keep.unsqueeze(-1), 0)
        return kept.sum(1) / keep.sum(1, keepdim=True)


class TransformerDecoder(TokenDecoder):
    """The causal transformer with z added at its input at every place, and with `skip` before every block.

    >>> net = TransformerDecoder((12, 30), latent=8, width=16, layers=2, heads=2)
    >>> net(torch.tensor([[5, 6, 2], [4, 2, 0]]), torch.zeros(2, 8)).shape
    torch.Size([2, 3, 30])
    """

    def __init__(
        self,
        rows: tuple[int, int],
        latent: int,
        *,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        skip: bool = True,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__(rows, latent, word_dropout)
        self.body = CausalTransformer(
            self.tokens,
            self.length,
            width=width,
            layers=layers,
            heads=heads,
            context=latent,
            dropout=dropout,
            skip=skip,
        )
        self.head = self.body.head
        del self.body.head  # one name for it

    def hidden(self, previous: Tensor, keep: Tensor, context: Tensor) -> Tensor:
        """Run all places at once: a place sees those before it, so what follows END changes nothing."""
        return self.body.hidden(previous, context)

    def start(self, context: Tensor) -> tuple[Cache, Tensor]:
        """Return an empty cache."""
        return self.body.cache(len(context)), context

    def advance(self, previous: Tensor, t: int, state: tuple[Cache, Tensor]) -> tuple[Tensor, tuple[Cache, Tensor]]:
        """Take one place, with the cache."""
        cache, context = state
        return self.body.advance(previous, t, cache, context), state
