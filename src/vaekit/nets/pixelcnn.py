"""Gated masked convolutions on a grid: what is computed at a place depends on the places before it in reading order."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def gate(x: Tensor) -> Tensor:
    """Return tanh(a) sigmoid(b) of the two halves of the channels."""
    a, b = x.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)


class GatedLayer(nn.Module):
    """One layer of two stacks: "down" sees the rows above, "along" the places to the left, and the rows through down.

    With two stacks no place before (i, j) is out of sight, unlike with masked kernels. The first layer's kernels leave
    out the present row or place; the others may include it, since their input depends on earlier ones alone.
    """

    def __init__(self, channels: int, width: int, radius: int, context: int, first: bool) -> None:
        super().__init__()
        self.radius, self.first = radius, first
        own = 0 if first else 1
        self.down = nn.Conv2d(channels, 2 * width, (radius + own, 2 * radius + 1))
        self.along = nn.Conv2d(channels, 2 * width, (1, radius + own))
        self.across = nn.Conv2d(width, 2 * width, 1)
        self.out = nn.Conv2d(width, width, 1)
        self.context = nn.Conv2d(context, 2 * width, 1, bias=False) if context else None

    def forward(self, v: Tensor, h: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) twice → (N, width, H, W) twice."""
        r, (height, width) = self.radius, v.shape[-2:]
        v = gate(self.down(F.pad(v, (r, r, r, 0)))[:, :, :height])
        b = self.along(F.pad(h, (r, 0, 0, 0)))[..., :width] + self.across(v)
        if self.context is not None and context is not None:
            b = b + self.context(context)
        out = self.out(gate(b))
        return v, out if self.first else h + out


class PixelCNN(nn.Module):
    """Features (N, C, H, W) [, context (N, D, H, W)] → (N, outputs, H, W), causal in reading order.

    The output at (i, j) depends on inputs at rows above and on its own row to the left, none further than `reach`
    rows and columns away, and on the whole context at (i, j). `generate` draws place by place and keeps every layer's
    values, so that a place costs one column of each layer and not a whole pass.

    Source: van den Oord et al. 2016, arXiv:1606.05328 (gated, two stacks).

    >>> net = PixelCNN(1, 10, width=16, layers=3)
    >>> net(torch.zeros(2, 1, 8, 8)).shape, net.reach
    (torch.Size([2, 10, 8, 8]), 3)
    """

    def __init__(
        self, channels: int, outputs: int, *, width: int = 64, layers: int = 5, radius: int = 1, context: int = 0
    ) -> None:
        super().__init__()
        if min(layers, radius, width) < 1:
            raise ValueError("a PixelCNN has at least one layer of width and radius 1")
        self.channels = channels
        self.layers = nn.ModuleList(
            GatedLayer(channels if i == 0 else width, width, radius, context, i == 0) for i in range(layers)
        )
        self.head = nn.Sequential(nn.SiLU(), nn.Conv2d(width, width, 1), nn.SiLU(), nn.Conv2d(width, outputs, 1))
        self.reach = radius * layers
        with torch.no_grad():  # near a constant output at the start, whatever the input
            last = self.head[3]
            assert isinstance(last, nn.Conv2d) and last.bias is not None
            last.weight.mul_(0.1)
            last.bias.zero_()

    @property
    def last(self) -> nn.Conv2d:
        """The last layer, whose biases are the outputs' start."""
        layer = self.head[3]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the outputs at every place."""
        v = h = x
        for layer in self.layers:
            v, h = layer(v, h, context)
        return self.head(h)

    @torch.no_grad()
    def generate(
        self,
        n: int,
        size: tuple[int, int],
        pick: Callable[[Tensor, int, int], Tensor],
        context: Tensor | None = None,
    ) -> None:
        """Go through the places in reading order: `pick(outputs (n, outputs), i, j)` returns their input (n, C).

        The values are those of `forward`; what was picked is kept by the caller.
        """
        state = _State(self, n, size, context)
        for i in range(size[0]):
            state.start_row(i)
            for j in range(size[1]):
                state.put(i, j, pick(state.outputs(j), i, j))


class _State:
    """Every layer's values so far: whole padded maps of the "down" stack, the present row of the "along" stack."""

    def __init__(self, net: PixelCNN, n: int, size: tuple[int, int], context: Tensor | None) -> None:
        self.layers: list[GatedLayer] = [layer for layer in net.layers if isinstance(layer, GatedLayer)]
        self.r, self.width = self.layers[0].radius, size[1]
        last = net.last
        like = last.weight
        widths = [net.channels, *(layer.out.out_channels for layer in self.layers)]
        self.maps = [like.new_zeros(n, c, size[0] + self.r, size[1] + 2 * self.r) for c in widths[:-1]]
        self.rows = [like.new_zeros(n, c, size[1] + self.r) for c in widths[:-1]]
        self.along = [layer.along.weight.flatten(1) for layer in self.layers]
        self.out = [layer.out.weight.flatten(1) for layer in self.layers]
        first = net.head[1]
        assert isinstance(first, nn.Conv2d)
        self.head = [(conv.weight.flatten(1), conv.bias) for conv in (first, last)]
        self.context = (
            None
            if context is None
            else [None if layer.context is None else layer.context(context) for layer in self.layers]
        )
        self.above: list[Tensor] = []

    def start_row(self, i: int) -> None:
        """Compute row i of the "down" stack, which depends on the rows above alone, and empty the "along" stack."""
        self.above = []
        for number, layer in enumerate(self.layers):
            v = gate(layer.down(self.maps[number][:, :, i : i + layer.down.kernel_size[0]]))
            b = layer.across(v)[:, :, 0]
            more = None if self.context is None else self.context[number]
            self.above.append(b if more is None else b + more[:, :, i])
            if number + 1 < len(self.layers):
                self.maps[number + 1][:, :, self.r + i, self.r : self.r + self.width] = v[:, :, 0]
            self.rows[number].zero_()

    def outputs(self, j: int) -> Tensor:
        """Return the outputs (n, outputs) at place j of the present row."""
        h: Tensor | None = None
        for number, layer in enumerate(self.layers):
            window = self.rows[number][:, :, j : j + layer.along.kernel_size[1]].flatten(1)
            b = F.linear(window, self.along[number], layer.along.bias) + self.above[number][:, :, j]
            out = F.linear(gate(b), self.out[number], layer.out.bias)
            h = out if h is None else h + out
            if number + 1 < len(self.layers):
                self.rows[number + 1][:, :, self.r + j] = h
        assert h is not None
        for weight, bias in self.head:
            h = F.linear(F.silu(h), weight, bias)
        return h

    def put(self, i: int, j: int, value: Tensor) -> None:
        """Enter the input at a place."""
        self.maps[0][:, :, self.r + i, self.r + j] = value
        self.rows[0][:, :, self.r + j] = value
