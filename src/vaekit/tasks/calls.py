"""A function of tensors as a list of elementary calls, for an interpreter without torch: one inside a web page.

The function is run once, on example inputs of a batch of one, and every operation whose result depends on an input is
noted. All else has one value, whatever the inputs are, and becomes a constant: weights, and what is computed of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from vaekit.errors import UserError

UNARY = ("abs", "ceil", "erf", "exp", "expm1", "floor", "log", "log1p", "neg", "reciprocal", "relu", "round", "rsqrt")
UNARY += ("sigmoid", "silu", "sin", "cos", "softplus", "sqrt", "tanh", "trunc")
BINARY = {"add": "add", "sub": "sub", "mul": "mul", "div": "div", "maximum": "max", "minimum": "min", "pow": "pow"}
BINARY |= {name: name for name in ("ge", "gt", "le", "lt", "eq", "ne")}
SAME = ("alias", "clone", "contiguous", "detach", "lift_fresh", "_to_copy", "_unsafe_view")
"""Operations that leave the values and their order as they are."""
REDUCED = {"sum": "sum", "mean": "mean", "amax": "max"}
NORMS = ("native_group_norm", "native_layer_norm")
"""Operations whose first result alone is looked at."""
SMALL = 256
"""Constants of no more entries are kept in float32."""


@dataclass
class Calls:
    """The calls of a function: `values` by number, of which `inputs` and `output` are some, `constants` others.

    A call is {"op", "in": numbers of values, "out": number} and what else the operation needs; `shapes` are those of
    the values. `cost` counts multiplications and elements, roughly the nanoseconds that an interpreter takes.
    """

    shapes: list[list[int]] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    output: int = -1
    constants: dict[int, Tensor] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    cost: int = 0
    _again: list[tuple[Any, Any, Any, list[int]]] = field(default_factory=list, repr=False)

    def replay(self, *inputs: Tensor, half: bool = False) -> Tensor:
        """Return the function's value at other inputs of the same shapes; with `half`, of weights in float16."""
        known = {n: c.half().to(c.dtype) if half and self.halved(n) else c for n, c in self.constants.items()}
        known |= dict(zip(self.inputs, inputs))

        def there(value: Any) -> Any:
            return known[value.number] if isinstance(value, _Ref) else value

        for function, args, kwargs, outs in self._again:
            made = function(*tree_map(there, args), **tree_map(there, kwargs))
            known |= dict(zip(outs, made if isinstance(made, list | tuple) else [made]))
        return known[self.output]

    def halved(self, number: int) -> bool:
        """Whether a constant is stored in float16 where that does."""
        value = self.constants[number]
        return value.numel() > SMALL and bool(value.abs().max() < 60000)

    def packed(self, half: bool) -> tuple[dict[str, Any], bytes]:
        """Return the program as plain JSON, and its constants: little-endian float16 or float32, each at its offset."""
        values: list[dict[str, Any]] = [{"shape": shape} for shape in self.shapes]
        data = bytearray()
        for number, constant in self.constants.items():
            short = half and self.halved(number)
            values[number] |= {"at": len(data), "half": short}
            own = constant.detach().to(torch.float16 if short else torch.float32).contiguous().numpy()
            data += own.astype(own.dtype.newbyteorder("<")).tobytes()
            data += bytes(-len(data) % 4)
        return {"inputs": self.inputs, "output": self.output, "values": values, "calls": self.calls}, bytes(data)


@dataclass(frozen=True)
class _Ref:
    number: int


def calls_of(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Calls:
    """Return the calls of `function` at `inputs`. UserError for an operation that is not among the known ones.

    >>> weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> calls = calls_of(lambda x: (x @ (2 * weight)).sigmoid(), [torch.zeros(1, 2)])
    >>> [call["op"] for call in calls.calls]
    ['mm', 'sigmoid']
    >>> calls.replay(torch.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """
    recorder = _Recorder([*inputs])
    with torch.no_grad(), recorder:
        out = function(*inputs)
    if recorder.number(out) is None:
        raise UserError("the function's value does not depend on its inputs")
    made = recorder.made
    made.output = recorder.of(out)
    return made


class _Recorder(TorchDispatchMode):
    """Notes operations on tensors that depend on the inputs; the others run as always."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.made = Calls()
        self._numbers: dict[int, int] = {}
        self._kept: list[Tensor] = []
        self.made.inputs = [self._new(one) for one in inputs]

    def _new(self, value: Tensor) -> int:
        self._kept.append(value)  # so that no other tensor gets its id
        self.made.shapes.append(list(value.shape))
        self._numbers[id(value)] = len(self.made.shapes) - 1
        return self._numbers[id(value)]

    def number(self, value: Any) -> int | None:
        """The number of a value that depends on the inputs; None for all else."""
        found = self._numbers.get(id(value)) if isinstance(value, Tensor) else None
        return None if found is None or found in self.made.constants else found

    def of(self, value: Any) -> int:
        """The number of any value: constants get one when they are first used."""
        if not isinstance(value, Tensor):
            value = torch.tensor(float(value))
        if id(value) not in self._numbers:
            if value.is_complex():
                raise UserError("complex numbers have no place in a page")
            self.made.constants[self._new(value)] = value
        return self._numbers[id(value)]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        given: list[Tensor] = []
        tree_map(lambda value: given.append(value) if self.number(value) is not None else None, (args, kwargs))
        if not given or not isinstance(out, Tensor | list | tuple):
            return out
        name = func.overloadpacket.__name__
        outs = [out] if isinstance(out, Tensor) else list(out)
        if any(one is value for one in outs for value in given):
            raise UserError(f"the operation {name} changes a value in place")
        if isinstance(out, Tensor) or name in NORMS:
            self._note(name, func, given[0], args, kwargs, outs[0])
        else:
            self._views(name, func, given[0], args, kwargs, outs)
        self._remember(func, args, kwargs, outs)
        return out

    def _remember(self, func: Any, args: Any, kwargs: Any, outs: Sequence[Tensor]) -> None:
        def ref(value: Any) -> Any:
            return _Ref(self.of(value)) if isinstance(value, Tensor) else value

        numbers = [self._numbers[id(one)] for one in outs if id(one) in self._numbers]
        self.made._again.append((func, tree_map(ref, args), tree_map(ref, kwargs), numbers))

    def _call(self, op: str, inputs: Sequence[Any], out: Tensor, cost: int | None = None, **facts: Any) -> None:
        numbers = [self.of(value) for value in inputs]
        self.made.calls.append({"op": op, "in": numbers, "out": self._new(out), **facts})
        self.made.cost += out.numel() if cost is None else cost

    def _note(self, name: str, func: Any, first: Tensor, args: Any, kwargs: Any, out: Tensor) -> None:
        if name in UNARY and len(args) == 1 and not kwargs:
            return self._call(name, args, out, 4 * out.numel())
        if name in BINARY:
            if set(kwargs) - {"alpha"} or kwargs.get("alpha", 1) != 1:
                raise UserError(f"{func} has no place in a page with {kwargs}")
            return self._call(BINARY[name], args[:2], out, 2 * out.numel())
        if name in SAME:
            if first.is_floating_point() and not out.is_floating_point():
                return self._call("trunc", [first], out)
            return self._call("same", [first], out, 0)
        if name in REDUCED:
            return self._reduced(REDUCED[name], out, *args, **kwargs)
        special = getattr(self, f"_of_{name.strip('_')}", None)
        if special is not None:
            return special(out, *args, **kwargs)
        return self._views(name, func, first, args, kwargs, [out])

    def _views(self, name: str, func: Any, first: Tensor, args: Any, kwargs: Any, outs: Sequence[Tensor]) -> None:
        """Note an operation that only chooses or orders entries: by what it does with the numbers 0, 1, …"""
        if any(one.untyped_storage().data_ptr() != first.untyped_storage().data_ptr() for one in outs):
            raise UserError(f"the operation {name} has no place in a page")
        count = torch.arange(first.numel()).view(first.shape)
        swapped = tree_map(lambda v: count if v is first else v, (args, kwargs))
        found = func(*swapped[0], **swapped[1])
        for one, out in zip(found if isinstance(found, list | tuple) else [found], outs):
            if torch.equal(one.reshape(-1), torch.arange(first.numel())):
                self._call("same", [first], out, 0)
            else:
                strides, offset = list(one.stride()), one.storage_offset()
                self._call("pick", [first], out, sizes=list(one.shape), strides=strides, offset=offset)

    # -- operations with facts of their own ---------------------------------------------------------------------------

    def _of_addmm(self, out: Tensor, bias: Any, x: Tensor, w: Tensor, beta: float = 1, alpha: float = 1) -> None:
        if beta != 1 or alpha != 1:
            raise UserError("addmm with factors has no place in a page")
        self._call("mm", [x, w, bias], out, out.numel() * x.shape[1])

    def _of_mm(self, out: Tensor, x: Tensor, w: Tensor) -> None:
        self._call("mm", [x, w], out, out.numel() * x.shape[1])

    def _of_convolution(self, out: Tensor, x: Tensor, w: Tensor, b: Any, *facts: Any) -> None:
        stride, padding, dilation, transposed, _, groups = facts
        if x.dim() not in (3, 4):
            raise UserError("convolutions of volumes have no place in a page")
        cost = (x if transposed else out).numel() * math.prod(w.shape[1:])
        self._call(
            "conv",
            [x, w] if b is None else [x, w, b],
            out,
            cost,
            stride=_two(stride, 1),
            padding=_two(padding, 0),
            dilation=_two(dilation, 1),
            transposed=transposed,
            groups=groups,
        )

    def _of_col2im(
        self, out: Tensor, x: Tensor, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any
    ) -> None:
        facts = {"kernel": kernel, "dilation": dilation, "padding": padding, "stride": stride}
        self._call("fold", [x], out, x.numel(), **{name: list(value) for name, value in facts.items()})

    def _of_addcmul(self, out: Tensor, x: Tensor, a: Tensor, b: Tensor, value: float = 1) -> None:
        product = torch.empty_like(out)
        self._call("mul", [a, b], product)
        if value != 1:
            scaled = torch.empty_like(out)
            self._call("mul", [product, value], scaled)
            product = scaled
        self._call("add", [x, product], out)

    def _of_constant_pad_nd(self, out: Tensor, x: Tensor, pad: Sequence[int], value: float = 0) -> None:
        before = [0] * x.dim()
        for i in range(len(pad) // 2):
            before[-1 - i] = pad[2 * i]
        self._call("pad", [x], out, before=before, value=float(value))

    def _of_cat(self, out: Tensor, parts: Sequence[Tensor], dim: int = 0) -> None:
        parts = [part for part in parts if part.numel()]
        self._call("cat", parts, out, dim=dim % out.dim())

    def _of_clamp(self, out: Tensor, x: Tensor, min: Any = None, max: Any = None) -> None:
        low, high = (-1e300 if min is None else float(min)), (1e300 if max is None else float(max))
        self._call("clamp", [x], out, low=low, high=high)

    _of_clip = _of_clamp

    def _of_clamp_min(self, out: Tensor, x: Tensor, low: float) -> None:
        self._of_clamp(out, x, low)

    def _of_leaky_relu(self, out: Tensor, x: Tensor, slope: float = 0.01) -> None:
        self._call("leaky", [x], out, slope=slope)

    def _of_elu(self, out: Tensor, x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> None:
        if (scale, input_scale) != (1, 1):
            raise UserError("a scaled ELU has no place in a page")
        self._call("elu", [x], out, 4 * out.numel(), alpha=alpha)

    def _of_gelu(self, out: Tensor, x: Tensor, approximate: str = "none") -> None:
        self._call("gelu", [x], out, 8 * out.numel(), tanh=approximate == "tanh")

    def _of_where(self, out: Tensor, condition: Tensor, a: Any, b: Any) -> None:
        self._call("where", [condition, a, b], out, 2 * out.numel())

    def _of_softmax(self, out: Tensor, x: Tensor, dim: int, half: bool = False) -> None:
        self._call("softmax", [x], out, 8 * out.numel(), dim=dim % out.dim())

    def _reduced(self, kind: str, out: Tensor, x: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> None:
        every = range(x.dim())
        dims = every if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
        self._call("reduce", [x], out, x.numel(), kind=kind, dims=sorted(d % x.dim() for d in dims))

    def _of_flip(self, out: Tensor, x: Tensor, dims: Sequence[int]) -> None:
        strides = list(torch.empty(x.shape, device="meta").stride())
        offset = 0
        for d in dims:
            offset += (x.shape[d] - 1) * strides[d]
            strides[d] = -strides[d]
        self._call("pick", [x], out, sizes=list(x.shape), strides=strides, offset=offset)

    def _of_pixel_shuffle(self, out: Tensor, x: Tensor, factor: int) -> None:
        n, c, h, w = x.shape
        count = torch.empty(n, c // factor**2, factor, factor, h, w, device="meta").permute(0, 1, 4, 2, 5, 3)
        self._call("pick", [x], out, sizes=list(count.shape), strides=list(count.stride()), offset=0)

    def _of_native_group_norm(self, out: Tensor, x: Tensor, w: Any, b: Any, *facts: Any) -> None:
        *_, groups, eps = facts
        self._call("norm", [x, *([] if w is None else [w, b])], out, 6 * out.numel(), groups=groups, eps=eps)


def _two(values: Sequence[int], fill: int) -> list[int]:
    """Return a fact of a convolution for two axes: that of a series has one of length 1 before its own."""
    return [fill, *values] if len(values) == 1 else list(values)
