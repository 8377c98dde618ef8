"""Networks over states z_1 … z_T, one a step: from series to states, from states to series, from states to the next."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from vaekit.nets.series import SeriesDecoder, SeriesEncoder, Shape


class StateEncoder(SeriesEncoder):
    """A bidirectional GRU over a series; what is read at each step becomes the values of that step's state.

    >>> StateEncoder((2, 50), 3, width=16)(torch.randn(4, 2, 50)).shape
    torch.Size([4, 1, 50, 3])
    """

    no_program: ClassVar = {"encoder": "its recurrent network stops at each row's own end; use the run from Python"}

    def __init__(self, shape: Shape, latent: int, *, width: int, layers: int = 1) -> None:
        super().__init__(shape, latent, 2 * width)
        self.out_shape = (shape[1], latent)
        self.head = self.make_head(1)
        self.gru = nn.GRU(2 * shape[0], width, layers, batch_first=True, bidirectional=True)

    def make_head(self, values: int) -> nn.Module:
        """Return the last layer, the same at every step."""
        return StepsHead(self.width, values, self.out_shape[-1])

    def read(self, cells: Tensor, inside: Tensor) -> Tensor:
        """Return what both directions know at each step, (N, T, 2 width), zeros after the end."""
        lengths = inside.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(cells.mT, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=cells.shape[-1])[0]


class StepsHead(nn.Linear):
    """A linear layer at each step: (N, T, width) → (N, values, T, latent)."""

    def __init__(self, width: int, values: int, latent: int) -> None:
        super().__init__(width, values * latent)
        self.latent = latent

    def forward(self, input: Tensor) -> Tensor:
        """Apply it, and put the values first."""
        return super().forward(input).unflatten(-1, (-1, self.latent)).transpose(1, 2)


class LinearStateDecoder(SeriesDecoder):
    """x_t = C z_t + b, the same at every step.

    >>> LinearStateDecoder(3, (2, 50))(torch.randn(4, 50, 3)).shape
    torch.Size([4, 1, 2, 50])
    """

    def __init__(self, latent: int, shape: Shape) -> None:
        super().__init__(latent, shape, latent)
        self.in_shape = (shape[1], latent)

    def unfold(self, z: Tensor) -> Tensor:
        """Return the states themselves."""
        return z.mT


class StateDecoder(SeriesDecoder):
    """A GRU over the states: x_t is made of z_1 … z_t.

    >>> StateDecoder(3, (2, 50), width=16)(torch.randn(4, 50, 3)).shape
    torch.Size([4, 1, 2, 50])
    """

    def __init__(self, latent: int, shape: Shape, *, width: int, layers: int = 1) -> None:
        super().__init__(latent, shape, width + latent)
        self.in_shape = (shape[1], latent)
        self.gru = nn.GRU(latent, width, layers, batch_first=True)

    def unfold(self, z: Tensor) -> Tensor:
        """Return the memory beside the state."""
        return torch.cat([self.gru(z)[0], z], -1).mT


class StateTransition(nn.Module):
    """μ and a raw log σ of the next state from a GRU over those before it.

    >>> net = StateTransition(3, 16)
    >>> [part.shape for part in net.parameters_of(torch.zeros(4, 50, 3))]
    [torch.Size([4, 50, 3]), torch.Size([4, 50, 3])]
    """

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(latent, width, batch_first=True)
        self.head = nn.Linear(width + latent, 2 * latent)

    def parameters_of(self, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and raw log σ of each next state, all at once."""
        return self._told(self.gru(before)[0], before)

    def start(self, count: int) -> Tensor:
        """Return the memory before the first state."""
        return self.head.weight.new_zeros(1, count, self.gru.hidden_size)

    def step(self, before: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and raw log σ of the next state, and the memory."""
        out, memory = self.gru(before.unsqueeze(1), memory)
        return *self._told(out[:, 0], before), memory

    def _told(self, out: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        loc, raw = self.head(torch.cat([out, before], -1)).chunk(2, -1)
        return loc, raw
