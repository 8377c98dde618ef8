"""What every network offers: an input shape, an output shape, and a last layer that can be widened."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, BeforeValidator, PositiveInt
from torch import Tensor, nn

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
}
HALF = (torch.bfloat16, torch.float16)
NARROW = 128
"""A layer with at most so many inputs or outputs computes in float32 always."""


def activation(name: str) -> nn.Module:
    """Return a fresh activation module."""
    return ACTIVATIONS[name]()


def _known(name: str) -> str:
    if name not in ACTIVATIONS:
        raise ValueError(f"use one of {', '.join(ACTIVATIONS)}")
    return name


Activation = Annotated[str, AfterValidator(_known)]
"""The type of a setting that names an activation."""


def _widths(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(int(word) for word in value.replace(",", " ").split())
    return (value,) if isinstance(value, int) else value


Widths = Annotated[tuple[PositiveInt, ...], BeforeValidator(_widths)]
"""The type of a setting that holds sizes of layers; "512,256" and 512 are read too."""


class Dense(nn.Linear):
    """A linear layer that stays in float32 under autocast where it is narrow: W x + b.

    Codes, and the parameters of their posterior, pass through the narrow layers of a network. Rounded to 8 bits there,
    they were most of what bf16 cost a trained model's bound (convolutions on MNIST: a spread of 0.09 nats an image,
    0.06 with these two layers in float32), and the layers are too small for the speed of bf16 to matter.

    >>> layer = Dense(512, 20)
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     layer(torch.zeros(3, 512)).dtype, Dense(512, 256)(torch.zeros(3, 512)).dtype
    (torch.float32, torch.bfloat16)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self.narrow = min(in_features, out_features) <= NARROW

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) → (..., outputs)."""
        if not self.narrow:
            return F.linear(x, self.weight, self.bias)
        device = x.device.type
        if not torch.is_autocast_enabled(device):
            return F.linear(x, self.weight, self.bias)
        # What torch.autocast(device, enabled=False) comes to, without its object: twenty microseconds a layer
        torch.set_autocast_enabled(device, False)
        try:
            return F.linear(x.float(), self.weight, self.bias)
        finally:
            torch.set_autocast_enabled(device, True)


class Centre(nn.Module):
    """(x - mean) / deviation of data that are not standardised, else x: a network learns as well in any unit.

    >>> centre = Centre()
    >>> centre.on([20.0], [5.0], (1,))
    >>> centre(torch.tensor([[30.0]]))
    tensor([[2.]])
    """

    mean: Tensor | None
    deviation: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", None, persistent=False)
        self.register_buffer("deviation", None, persistent=False)

    def on(self, mean: Sequence[float], deviation: Sequence[float], shape: Sequence[int]) -> None:
        """Centre on the data's, one number for each entry of the first axis of examples of `shape`."""
        self.mean, self.deviation = (torch.tensor(part).view(-1, *[1] * (len(shape) - 1)) for part in (mean, deviation))

    def forward(self, x: Any) -> Any:
        """Return data as the network takes them."""
        return x if self.mean is None or self.deviation is None else (x - self.mean) / self.deviation


class Net(nn.Module):
    """Features (N, *in_shape) [, label (N, context)] → (N, n, *out_shape) with n values for each output element.

    Families ask for as many values an element as they have parameters (`widen`): a diagonal normal for two, a
    256-way categorical for 256. `in_shape` None means the input is not one tensor (sequences with masks, graphs) and
    is passed on untouched. Subclasses implement `features` and `make_head`.
    """

    head: nn.Module

    def __init__(self, in_shape: tuple[int, ...] | None, out_shape: tuple[int, ...], context: int = 0) -> None:
        super().__init__()
        self.in_shape = in_shape
        self.out_shape = out_shape
        self.context = context
        self.values = 1
        self.centre = Centre()

    def features(self, x: Any, context: Tensor | None) -> Tensor:
        """Everything before the last layer."""
        raise TypeError(f"{type(self).__name__} defines no features")

    def make_head(self, values: int) -> nn.Module:
        """Return a last layer with `values` outputs for each output element, element by element within a value."""
        raise TypeError(f"{type(self).__name__} defines no head")

    def widen(self, values: int) -> Net:
        """Give every output element `values` values; returns the network itself."""
        if values != self.values:
            self.values = values
            self.head = self.make_head(values)
        return self

    def forward(self, x: Any, context: Tensor | None = None, lead: tuple[int, ...] | None = None) -> Tensor:
        """Return (N, values, *out_shape), in float32 where the layers compute in half precision.

        `lead` are sizes that N is the product of, to stand in its place.
        """
        if (context is None) != (self.context == 0):
            raise ValueError("a network with a context takes a label, one without takes none")
        out = self.head(self.features(self.centre(x), context))
        if out.dtype in HALF:
            # Families take parameters in float32 whatever the layers compute in: sums of logarithms lose digits.
            out = out.float()
        return out.reshape(*(lead or out.shape[:1]), self.values, *self.out_shape)

    def set_bias(self, value: int, bias: Tensor) -> None:
        """Set the last layer's bias of the value numbered `value` to `bias` (one an output element), in place.

        Where the layer shares its bias over positions (convolutions), the mean over them is used; a layer with a bias a
        position as well (`position`, which belongs to value 0) takes the rest there, so that nothing is lost.
        """
        layer = self.head if hasattr(self.head, "bias") else list(self.head.children())[-1]
        own = layer.bias
        if not isinstance(own, Tensor):
            return
        bias = bias.reshape(self.out_shape) if bias.numel() == size(self.out_shape) else bias.expand(self.out_shape)
        with torch.no_grad():
            target = own.view(self.values, -1)[value]
            shared = bias.reshape(target.numel(), -1).mean(1)
            target.copy_(shared)
            position = getattr(layer, "position", None)
            if value == 0 and isinstance(position, Tensor):
                position.copy_(bias - shared.view(-1, *[1] * (bias.dim() - 1)))


def size(shape: tuple[int, ...]) -> int:
    """Return the number of elements of a shape.

    >>> size((1, 28, 28))
    784
    """
    return math.prod(shape)
