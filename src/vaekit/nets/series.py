"""Networks over series (C, T): 1-D convolutions, recurrent layers and transformers, each with its mirror.

What is missing (NaN) and what follows a series' end (inf) reaches no network: an encoder sees zeros there, and beside
each value whether it was observed. A step after the end takes no part in any layer, so padding changes nothing.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from vaekit.errors import UserError
from vaekit.nets.base import Dense, Net, activation, size
from vaekit.nets.transformer import Block

SHORTEST = 8
"""Steps below which convolutions halve no further."""
MOST_TOKENS = 128
"""Steps that a transformer attends to one by one; of longer series several are one token."""
WAVES = 16
"""Numbers that tell a decoder where in the series it is."""

Kind = Literal["conv", "gru", "transformer"]
Shape = tuple[int, int]


def cells_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return what an encoder sees of series (N, C, T): values beside masks (N, 2C, T), and the steps inside (N, T)."""
    seen = torch.isfinite(x)
    return torch.cat([torch.where(seen, x, 0.0), seen.to(x)], 1), ~torch.isinf(x).all(1)


def hidden(shape: torch.Size, share: float, device: torch.device) -> Tensor:
    """Return cells (N, C, T) to hide: each with chance share / 2, and with chance `share` a run of steps of a series.

    The run begins anywhere and is of any length, so that gaps and ends of all lengths are met.
    """
    n, _, steps = shape
    cells = torch.rand(shape, device=device) < share / 2
    begin, length, chosen = torch.rand(3, n, 1, 1, device=device).unbind(0)
    t = torch.arange(steps, device=device) / steps
    return cells | ((t >= begin) & (t < begin + length) & (chosen < share))


def positions(steps: int, width: int) -> Tensor:
    """Return sines and cosines of each step at wavelengths from 4 steps to 4 series, (width, steps).

    >>> positions(10, 16).shape
    torch.Size([16, 10])
    """
    t = torch.arange(steps, dtype=torch.float64) + 0.5
    count = (width + 1) // 2
    waves = torch.logspace(math.log10(4), math.log10(max(4.0 * steps, 8.0)), count, dtype=torch.float64)
    angle = 2 * math.pi * t / waves.unsqueeze(1)
    return torch.stack([angle.sin(), angle.cos()], 1).flatten(0, 1)[:width].float()


class SeriesEncoder(Net):
    """Series (N, C, T) → (N, n, latent), by `read` of what was observed.

    While training, a share of it is `hidden`: q(z|fewer cells) still bounds log p(x_observed), and the encoder learns
    to do without.
    """

    def __init__(self, shape: Shape, latent: int, features: int) -> None:
        super().__init__(shape, (latent,))
        self.drop = 0.0
        self.width = features
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the last layer."""
        return Dense(self.width, values * size(self.out_shape))

    def read(self, cells: Tensor, inside: Tensor) -> Tensor:
        """Return one vector (N, width) a series of its cells (N, 2C, T) and the steps before its end (N, T)."""
        raise TypeError(f"{type(self).__name__} does not read")

    def features(self, x: Any, context: Tensor | None) -> Tensor:
        """Read values and masks."""
        if self.training and self.drop:
            x = x.masked_fill(hidden(x.shape, self.drop, x.device) & torch.isfinite(x), torch.nan)
        return self.read(*cells_of(x))


class SeriesDecoder(Net):
    """z (N, latent) → (N, n, C, T), by one last layer over the steps' features (N, width, T) that `unfold` gives."""

    def __init__(self, latent: int, shape: Shape, features: int) -> None:
        super().__init__((latent,), shape)
        self.width = features
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        """Return the last layer, the same at every step."""
        return nn.Conv1d(self.width, values * self.out_shape[0], 1)

    def unfold(self, z: Tensor) -> Tensor:
        """Return the steps' features (N, width, T)."""
        raise TypeError(f"{type(self).__name__} does not unfold")

    def features(self, x: Any, context: Tensor | None) -> Tensor:
        """Unfold z."""
        return self.unfold(x)


# -- convolutions ------------------------------------------------------------------------------------------------------


def halvings(steps: int, most: int) -> list[int]:
    """Return the lengths of each stage, the whole first: halved up to `most` times, while there is enough.

    >>> halvings(100, 3), halvings(7, 3)
    ([100, 50, 25, 13], [7])
    """
    out = [steps]
    while len(out) <= most and out[-1] > SHORTEST:
        out.append(-(-out[-1] // 2))
    return out


class ConvSeriesEncoder(SeriesEncoder):
    """1-D convolutions that halve the length, then all that is left of it in one vector.

    >>> ConvSeriesEncoder((2, 50), 8, width=16)(torch.randn(3, 2, 50)).shape
    torch.Size([3, 1, 8])
    """

    def __init__(self, shape: Shape, latent: int, *, width: int, layers: int = 3, act: str = "silu") -> None:
        self.stages = halvings(shape[1], layers)
        super().__init__(shape, latent, 2 * width)
        self.first = nn.Conv1d(2 * shape[0], width, 5, padding=2)
        self.halve = nn.ModuleList(nn.Conv1d(width, width, 5, stride=2, padding=2) for _ in self.stages[1:])
        self.act = activation(act)
        self.join = Dense(width * self.stages[-1], 2 * width)

    def read(self, cells: Tensor, inside: Tensor) -> Tensor:
        """Convolve; what lies after the end is zero after every layer, as it is before the first."""
        keep = inside.unsqueeze(1).to(cells)
        x = self.act(self.first(cells)) * keep
        for layer in self.halve:
            keep = keep[..., ::2]
            x = self.act(layer(x)) * keep
        return self.act(self.join(x.flatten(1)))


class ConvSeriesDecoder(SeriesDecoder):
    """The mirror: a layer gives the shortest stage, then lengths are doubled by interpolation and convolved.

    >>> ConvSeriesDecoder(8, (2, 50), width=16)(torch.randn(3, 8)).shape
    torch.Size([3, 1, 2, 50])
    """

    def __init__(self, latent: int, shape: Shape, *, width: int, layers: int = 3, act: str = "silu") -> None:
        super().__init__(latent, shape, width)
        self.stages = halvings(shape[1], layers)
        self.start = Dense(latent, 2 * width)
        self.grow = nn.Linear(2 * width, width * self.stages[-1])
        self.doubling = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in self.stages[1:])
        self.last = nn.Conv1d(width, width, 5, padding=2)
        self.act = activation(act)

    def unfold(self, z: Tensor) -> Tensor:
        """Grow from the shortest stage to the whole length."""
        x = self.act(self.grow(self.act(self.start(z)))).unflatten(1, (-1, self.stages[-1]))
        for layer, length in zip(self.doubling, self.stages[-2::-1]):
            x = self.act(layer(F.interpolate(x, length, mode="linear", align_corners=False)))
        return self.act(self.last(x))


# -- recurrent ---------------------------------------------------------------------------------------------------------


class GRUSeriesEncoder(SeriesEncoder):
    """A bidirectional GRU over the steps of each series, up to its end; the last states of both directions are read.

    >>> GRUSeriesEncoder((2, 50), 8, width=16)(torch.randn(3, 2, 50)).shape
    torch.Size([3, 1, 8])
    """

    def __init__(self, shape: Shape, latent: int, *, width: int, layers: int = 1) -> None:
        super().__init__(shape, latent, 2 * width)
        self.gru = nn.GRU(2 * shape[0], width, layers, batch_first=True, bidirectional=True)

    def read(self, cells: Tensor, inside: Tensor) -> Tensor:
        """Return the last layer's last states, (N, 2 width)."""
        lengths = inside.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(cells.mT, lengths, batch_first=True, enforce_sorted=False)
        last = self.gru(packed)[1]
        return torch.cat([last[-2], last[-1]], 1)


class GRUSeriesDecoder(SeriesDecoder):
    """GRU layers that start from tanh(W z) and are shown z and the place at every step.

    >>> GRUSeriesDecoder(8, (2, 50), width=16)(torch.randn(3, 8)).shape
    torch.Size([3, 1, 2, 50])
    """

    place: Tensor

    def __init__(self, latent: int, shape: Shape, *, width: int, layers: int = 1) -> None:
        super().__init__(latent, shape, width)
        self.start = nn.Linear(latent, layers * width)
        self.gru = nn.GRU(latent + WAVES, width, layers, batch_first=True)
        self.register_buffer("place", positions(shape[1], WAVES).T.contiguous(), persistent=False)

    def unfold(self, z: Tensor) -> Tensor:
        """Run all steps."""
        first = torch.stack(torch.tanh(self.start(z)).chunk(self.gru.num_layers, -1))
        place = self.place.to(z).expand(len(z), -1, -1)
        shown = torch.cat([z.unsqueeze(1).expand(-1, place.shape[1], -1), place], -1)
        return self.gru(shown, first)[0].mT


# -- transformers ------------------------------------------------------------------------------------------------------


def patch_of(steps: int) -> int:
    """Return how many steps are one token.

    >>> patch_of(128), patch_of(1344)
    (1, 11)
    """
    return -(-steps // MOST_TOKENS)


class TransformerSeriesEncoder(SeriesEncoder):
    """Blocks in which every token before the end attends to every other; then all of them in one vector.

    A token is a step, or some neighbouring ones of a series of more than 128.

    >>> TransformerSeriesEncoder((2, 50), 8, width=16, heads=2)(torch.randn(3, 2, 50)).shape
    torch.Size([3, 1, 8])
    """

    place: Tensor

    def __init__(self, shape: Shape, latent: int, *, width: int, layers: int = 2, heads: int = 4) -> None:
        super().__init__(shape, latent, 2 * width)
        self.patch = patch_of(shape[1])
        tokens = -(-shape[1] // self.patch)
        self.embed = nn.Linear(2 * shape[0] * self.patch, width)
        self.blocks = nn.ModuleList(Block(width, heads, 0.0) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.join = Dense(width * tokens, 2 * width)
        self.register_buffer("place", positions(tokens, width).T.contiguous(), persistent=False)

    def read(self, cells: Tensor, inside: Tensor) -> Tensor:
        """Join the last block's tokens that begin before the end; the others are zero."""
        more = len(self.place) * self.patch - cells.shape[-1]
        cells = F.pad(cells, (0, more)).unflatten(-1, (-1, self.patch)).transpose(1, 2).flatten(2)
        keep = inside[:, :: self.patch]
        x = self.embed(cells) + self.place.to(cells)
        for block in self.blocks:
            x = block(x, keep)
        kept = self.norm(x).masked_fill(~keep.unsqueeze(-1), 0)
        return F.silu(self.join(kept.flatten(1)))


class TransformerSeriesDecoder(SeriesDecoder):
    """The mirror: a layer gives all tokens, blocks let them attend to each other, and each gives its steps.

    >>> TransformerSeriesDecoder(8, (2, 50), width=16, heads=2)(torch.randn(3, 8)).shape
    torch.Size([3, 1, 2, 50])
    """

    place: Tensor

    def __init__(self, latent: int, shape: Shape, *, width: int, layers: int = 2, heads: int = 4) -> None:
        super().__init__(latent, shape, width)
        self.patch = patch_of(shape[1])
        tokens = -(-shape[1] // self.patch)
        self.start = Dense(latent, 2 * width)
        self.grow = nn.Linear(2 * width, width * tokens)
        self.blocks = nn.ModuleList(Block(width, heads, 0.0) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.open = nn.Linear(width, width * self.patch)
        self.register_buffer("place", positions(tokens, width).T.contiguous(), persistent=False)

    def unfold(self, z: Tensor) -> Tensor:
        """Return all tokens' steps, those beyond the longest series left out."""
        x = self.grow(F.silu(self.start(z))).unflatten(1, self.place.shape) + self.place.to(z)
        every = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        for block in self.blocks:
            x = block(x, every)
        steps = F.silu(self.open(self.norm(x))).unflatten(-1, (self.patch, -1)).flatten(1, 2)
        return steps[:, : self.out_shape[1]].mT


def series_nets(
    kind: Kind, shape: Shape, latent: int, *, width: int, layers: int, heads: int = 4
) -> tuple[SeriesEncoder, SeriesDecoder]:
    """Return the encoder and the decoder of a kind for series (C, T).

    Raises:
        UserError: heads do not divide the width.

    >>> [net.out_shape for net in series_nets("gru", (2, 50), 8, width=16, layers=1)]
    [(8,), (2, 50)]
    """
    if kind == "conv":
        how: dict[str, Any] = {"width": width, "layers": layers}
        return ConvSeriesEncoder(shape, latent, **how), ConvSeriesDecoder(latent, shape, **how)
    if kind == "gru":
        how = {"width": width, "layers": layers}
        return GRUSeriesEncoder(shape, latent, **how), GRUSeriesDecoder(latent, shape, **how)
    if width % heads:
        raise UserError(f"model.width={width} cannot be split among model.heads={heads}; make it a multiple")
    how = {"width": width, "layers": layers, "heads": heads}
    return TransformerSeriesEncoder(shape, latent, **how), TransformerSeriesDecoder(latent, shape, **how)
