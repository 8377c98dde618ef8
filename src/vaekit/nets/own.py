"""Any module as a network: what it returns becomes the values that a family takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vaekit.errors import UserError
from vaekit.nets.base import HALF, Net
from vaekit.nets.mlp import Shape, as_shape

UNITS = ("in_features", "in_channels", "num_features", "input_size")
"""Where torch's layers keep how many numbers they take."""


@dataclass(frozen=True)
class Words:
    """What errors call a family, what it describes, and the pair that it takes."""

    kind: str = "family"
    noun: str = "values"
    pair: str = ""


class Own(Net):
    """A module as a network; `as_net` makes one where the shapes have to be named, the families do where not.

    For a family of n values an element the module returns (B, n · C, ...), the first C of axis 1 being the first value
    (torch.chunk's order), or n tensors (B, C, ...). What it returns is checked on two blank examples where the size of
    its input can be told from its first layer, else at the first call. Its weights start as they are: it has no bias
    that could be set (`set_bias`).
    """

    def __init__(
        self, module: nn.Module, in_shape: tuple[int, ...] | None, out_shape: tuple[int, ...] | None, context: int = 0
    ) -> None:
        self._shape: tuple[int, ...] | None = None
        super().__init__(in_shape, out_shape or (), context)
        self._shape = out_shape
        self.module = module
        self.words = Words()
        self.tried: tuple[int, ...] | None = None

    @property
    def out_shape(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The shape of what the family describes; a UserError where neither a name nor a call has told it."""
        if self._shape is None:
            raise UserError(
                f"the shape of what {type(self.module).__name__} describes is not known before it is called; name it: "
                "vaekit.as_net(module, in_shape, out_shape)"
            )
        return self._shape

    @out_shape.setter
    def out_shape(self, shape: tuple[int, ...]) -> None:
        self._shape = shape

    def expect(self, shape: tuple[int, ...]) -> None:
        """Be told the shape of what the family describes, if it is not known yet."""
        if self._shape is None:
            self._shape = shape

    def widen(self, values: int) -> Own:
        """Have the module give `values` values an element, which is checked if its input is known; returns itself."""
        self.values = values
        size = self.in_shape or _first_size(self.module)
        if size is not None:
            try:
                out = _tried(self.module, size, self.context)
            except Exception as error:
                if self.in_shape is None:  # another shape is wanted, which the first call will tell
                    return self
                raise UserError(f"the network does not take {_text(self.in_shape)}: {error}") from error
            self.tried = size
            self._stacked(out)
        return self

    def forward(self, x: Any, context: Tensor | None = None, lead: tuple[int, ...] | None = None) -> Tensor:
        """Return (N, values, *out_shape); `lead` are sizes that N is the product of, to stand in its place."""
        out = self._stacked(self.module(x) if context is None else self.module(x, context))
        if out.dtype in HALF:
            out = out.float()
        return out.reshape(*(lead or out.shape[:1]), self.values, *self.out_shape)

    def set_bias(self, value: int, bias: Tensor) -> None:
        """Nothing: the module starts as it was made."""

    def _stacked(self, out: Any) -> Tensor:
        """Return what the module gave as (N, values · C, *rest), or say what is wrong with it."""
        n = self.values
        if isinstance(out, tuple | list):
            shapes = {tuple(part.shape) if isinstance(part, Tensor) else () for part in out}
            if len(out) != n or len(shapes) != 1 or not all(shapes):
                raise self._fault(out)
            shape = tuple(out[0].shape[1:])
            out = torch.stack(list(out), 1)
        elif isinstance(out, Tensor) and out.dim() > 1:
            if self._shape is not None and tuple(out.shape[1:]) == (n, *self._shape):
                return out
            if out.shape[1] % n:
                raise self._fault(out)
            shape = (out.shape[1] // n, *out.shape[2:])
        else:
            raise self._fault(out)
        self.expect(shape)
        if math.prod(shape) != math.prod(self.out_shape):
            raise self._fault(out)
        return out

    def _fault(self, out: Any) -> UserError:
        """Return the error of a network that gives something else than its family takes."""
        many = self.values > 1
        kind, noun, pair = self.words.kind, self.words.noun, self.words.pair
        if self._shape is None:
            needs, over = f"(B, {self.values} · {noun})" if many else "(B, ...)", ""
        else:
            flat, rest = self._shape[:1], self._shape[1:]
            needs = _text((self.values * flat[0], *rest)) if flat else "(B, ...)"
            over = f" over {flat[0] if len(self._shape) == 1 else self._shape} {noun}"
        pair = pair or f"{self.values} tensors of one shape"
        return UserError(
            f"the network gives {_given(out)}; a {kind}{over} needs {needs}{f' or {pair}' if many else ''}"
        )


def as_net(module: nn.Module, in_shape: Shape | None = None, out_shape: Shape | None = None, context: int = 0) -> Net:
    """Return any module as a network, its shapes named: x (B, *in_shape) → n values for each of (B, *out_shape).

    A family takes a plain module as it is (`DiagonalNormal(module)`); shapes need naming only where one asks for them.
    With `context`, the module is called with a label (B, context) as well.

    >>> from vaekit.posteriors.normal import FullNormal
    >>> layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 4 * 2))
    >>> FullNormal(as_net(layers, (1, 8, 8), 2))(torch.zeros(3, 1, 8, 8)).covariance.shape
    torch.Size([3, 2, 2])
    """
    if isinstance(module, Net):
        return module
    named = [None if shape is None else as_shape(shape) for shape in (in_shape, out_shape)]
    return Own(module, named[0], named[1], context)


def adapted(net: nn.Module, family: Any, values: int | None = None) -> Net:
    """Return `net` as the network of `family`, widened to its values where their number is known."""
    own = as_net(net)
    if isinstance(own, Own):
        own.words = Words(type(family).__name__, family.noun, family.pair)
    return own if values is None else own.widen(values)


def _first_size(module: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of a vector that the first layer with weights takes, if it says so."""
    for layer in module.modules():
        if any(True for _ in layer.parameters(recurse=False)):
            sizes = [getattr(layer, name) for name in UNITS if isinstance(getattr(layer, name, None), int)]
            return (sizes[0],) if sizes and sizes[0] > 0 else None
    return None


@torch.no_grad()
def _tried(module: nn.Module, shape: tuple[int, ...], context: int) -> Any:
    """Return what the module gives for two blank examples."""
    like = next(module.parameters(), torch.zeros(()))
    modes = [(part, part.training) for part in module.modules()]
    label = () if context == 0 else (like.new_zeros(2, context),)
    try:
        with torch.random.fork_rng(devices=[]):
            return module.eval()(like.new_zeros(2, *shape), *label)
    finally:
        for part, mode in modes:
            part.training = mode


def _text(shape: tuple[int, ...]) -> str:
    return f"(B, {', '.join(map(str, shape))})"


def _given(out: Any) -> str:
    if isinstance(out, Tensor):
        return _text(tuple(out.shape[1:])) if out.dim() > 1 else f"a tensor of shape {tuple(out.shape)}"
    if isinstance(out, tuple | list) and all(isinstance(part, Tensor) for part in out):
        return f"{len(out)} tensors {', '.join(_text(tuple(part.shape[1:])) for part in out)}"
    return f"a {type(out).__name__}"
