"""A second device on a machine that has none: what fails on CUDA because model and data do not meet fails here too.

Importing this module registers the device "far" for the process: `torch.zeros(3, device="far")`, `model.to("far")` and
`vaekit.train(..., device="far")` work from then on. A far tensor holds a CPU tensor that does the arithmetic, so
numbers are the CPU's; what is refused, and in which words, is CUDA's:

- an operation on far and CPU tensors (a CPU tensor without axes may stand for a number in pointwise operations);
- a far index or mask into a CPU tensor (a CPU index into a far tensor is allowed);
- `numpy()` and whatever calls it;
- a generator of the other device.

The far device has a random state of its own, which `torch.manual_seed` seeds too: noise drawn there under a seed is
the noise that the CPU draws under it. `opened()` adds what PyTorch does not ask a registered device about:
`torch.Generator("far")`, `torch.tensor(..., device="far")`. `auto()` makes it the device that "auto" means.

How: PyTorch's Python-backed PrivateUse1 (experimental, 2.13), with one fallback for all operations that make tensors
and a wrapper subclass for those that take some.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "far"
CPU = torch.device("cpu")
aten = torch.ops.aten


class _Module(_DummyBackendModule):
    """`torch.far`: its random state, where `torch.cuda` has its own."""

    def __init__(self) -> None:
        self.generator = torch.Generator()

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def manual_seed_all(self, seed: int) -> None:
        self.generator.manual_seed(seed)

    def get_rng_state(self, device: Any = 0) -> Tensor:
        return self.generator.get_state()

    def set_rng_state(self, state: Tensor, device: Any = 0) -> None:
        self.generator.set_state(state)


_module = _Module()
_setup_privateuseone_for_python_backend(NAME, _module)
FAR = torch.device(NAME, 0)


class FarTensor(Tensor):
    """A tensor on the far device; `near` is the CPU tensor that holds its numbers."""

    near: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, near: Tensor) -> FarTensor:
        strided = near.layout == torch.strided
        out = torch.Tensor._make_wrapper_subclass(
            cls,
            near.shape,
            strides=near.stride() if strided else None,
            storage_offset=near.storage_offset() if strided else None,
            dtype=near.dtype,
            layout=near.layout,
            device=FAR,
            storage_size=near.untyped_storage().nbytes() if strided else None,
        )
        out.near = near
        return out

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        """Say what is wrapped: `module.to("far")` then keeps its parameters' identity, as `module.to("cuda")` does."""
        return ["near"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], context: None, size: Any, stride: Any) -> FarTensor:
        return FarTensor(inner["near"])

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"{self.near.detach()!r} on {FAR}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copied = FarTensor(self.near.clone()).requires_grad_(self.requires_grad)
            if isinstance(self, torch.nn.Parameter):
                copied = torch.nn.Parameter(copied, self.requires_grad)
            memo[id(self)] = copied
        return memo[id(self)]

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.near.detach().numpy()
        copy = "Use Tensor.cpu() to copy the tensor to host memory first."
        raise TypeError(f"can't convert {FAR} device type tensor to numpy. {copy}")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        return self.near.tolist()


def _is_far(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def _near(value: Any) -> Any:
    return value.near if isinstance(value, FarTensor) else value


# -- what is refused ---------------------------------------------------------------------------------------------------

_BETWEEN = {aten._to_copy.default, aten.copy_.default, aten.copy.default}
"""What moves numbers between devices."""

_INDEXING = {
    op
    for name in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put")
    for op in (getattr(getattr(aten, name), "Tensor", None), getattr(getattr(aten, name), "default", None))
}
_NUMBERS = {aten.masked_fill.Tensor, aten.masked_fill_.Tensor, aten.fill.Tensor, aten.fill_.Tensor, aten.where.self}
"""Beside pointwise operations: those that take a CPU tensor without axes for a number."""


def _check(func: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> None:
    """Raise what CUDA raises where far and CPU tensors may not meet."""
    schema, tags = func._schema, func.tags
    if func in _BETWEEN or all(isinstance(t, FarTensor) for t in tensors):
        return
    if func in _INDEXING:
        if not isinstance(args[0], FarTensor):
            raise RuntimeError(
                f"indices should be either on cpu or on the same device as the indexed tensor (cpu) [{func}]"
            )
        tensors = [args[0], *(a for a in args[2:3] if isinstance(a, Tensor) and a.dim())]  # the values that are put
        if all(isinstance(t, FarTensor) for t in tensors):
            return
    if func is aten._pack_padded_sequence.default:
        return  # lengths belong to the CPU, and batch sizes too
    scalars = torch.Tag.pointwise in tags or func in _NUMBERS
    written = [a for a, s in zip(args, schema.arguments) if s.is_write and isinstance(a, Tensor)]
    written += [kwargs[s.name] for s in schema.arguments if s.is_write and isinstance(kwargs.get(s.name), Tensor)]
    strangers = [t for t in tensors if not isinstance(t, FarTensor) and (t.dim() or not scalars)]
    if strangers or not all(isinstance(t, FarTensor) for t in written):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {FAR} and cpu! [{func}]"
        )


# -- what waits --------------------------------------------------------------------------------------------------------

_waits: list[str] | None = None
_READS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default}
"""What makes the CPU wait for a CUDA device, beside copies to the CPU and indexing by masks."""


@contextlib.contextmanager
def waits() -> Iterator[list[str]]:
    """Collect where the CPU would wait for the device within the block: one line a time, the innermost of ours."""
    global _waits
    _waits = []
    try:
        yield _waits
    finally:
        _waits = None


def _note(func: Any, args: Any, kwargs: dict[str, Any]) -> None:
    away = func is aten._to_copy.default and kwargs.get("device") is not None and not _is_far(kwargs["device"])
    back = func is aten.copy_.default and isinstance(args[1], FarTensor) and not isinstance(args[0], FarTensor)
    masks = func in _INDEXING and any(isinstance(i, FarTensor) and i.dtype == torch.bool for i in args[1])
    if _waits is not None and (func in _READS or away or back or masks):
        frames = [frame for frame in traceback.extract_stack() if "/vaekit/" in frame.filename]
        _waits.append(f"{func} at {frames[-1].filename}:{frames[-1].lineno}" if frames else str(func))


# -- what runs ---------------------------------------------------------------------------------------------------------


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation that takes far tensors or makes some: on the CPU, and wrap what it gives."""
    if func in _CELLS:
        return _CELLS[func](*args, **kwargs)
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    _check(func, args, kwargs, tensors)
    _note(func, args, kwargs)
    device = kwargs.get("device")
    wrap = _is_far(device) if device is not None else any(isinstance(t, FarTensor) for t in tensors)
    if func is aten.copy_.default:
        wrap = isinstance(args[0], FarTensor)
    near = {
        name: _near(value) if isinstance(value, Tensor) else tree_map(_near, value) for name, value in kwargs.items()
    }
    if _is_far(device):
        near["device"] = CPU
    if torch.Tag.inplace_view in func.tags:  # the wrapper's own shape changes too
        with torch._C._DisableTorchDispatch():
            func(*args, **kwargs)
    draws = wrap and torch.Tag.nondeterministic_seeded in func.tags and near.get("generator") is None
    with _own_state() if draws else contextlib.nullcontext():
        out = func(*tree_map(_near, args), **near)
    if func is aten._pack_padded_sequence.default:
        return FarTensor(out[0]), out[1]
    given = {id(_near(t)): t for t in tensors}

    def back(value: Any) -> Any:
        if not isinstance(value, Tensor) or isinstance(value, FarTensor):
            return value
        if id(value) in given:
            return _unmoved(func, given[id(value)], value)
        return FarTensor(value) if wrap else value

    return tree_map(back, out)


def _unmoved(func: Any, outer: Tensor, near: Tensor) -> Tensor:
    if outer.shape != near.shape or (near.layout == torch.strided and outer.stride() != near.stride()):
        raise NotImplementedError(f"the far device does not change a tensor's shape in place [{func}]")
    return outer


@contextlib.contextmanager
def _own_state() -> Iterator[None]:
    """Draw from the far device's random state."""
    cpu = torch.default_generator.get_state()
    torch.default_generator.set_state(_module.generator.get_state())
    try:
        yield
    finally:
        _module.generator.set_state(torch.default_generator.get_state())
        torch.default_generator.set_state(cpu)


_everything = torch.library.Library("_", "IMPL")
_everything.fallback(lambda func, *args, **kwargs: _run(func, args, kwargs), "PrivateUse1")
_aten = torch.library.Library("aten", "IMPL")
for _op in (
    # By default these are made by growing an empty tensor in place.
    *(aten.arange.default, aten.arange.start, aten.arange.start_step, aten.eye.default, aten.eye.m),
    # `torch.tensor` and indexing by lists come here past the subclass, where a fallback alone is not found.
    *(aten.copy_.default, aten._local_scalar_dense.default, aten._to_copy.default, aten.clone.default),
):
    _aten.impl(_op, lambda *args, _op=_op, **kwargs: _run(_op, args, kwargs), "PrivateUse1")


# -- what a CUDA device has of its own: the cells of recurrent networks ------------------------------------------------


def _gates(igates: Tensor, hgates: Tensor, i_bias: Tensor | None, h_bias: Tensor | None) -> tuple[Tensor, Tensor]:
    return igates if i_bias is None else igates + i_bias, hgates if h_bias is None else hgates + h_bias


def _gru_cell(igates: Tensor, hgates: Tensor, hx: Tensor, i_bias: Any = None, h_bias: Any = None) -> Any:
    from_input, from_state = _gates(igates, hgates, i_bias, h_bias)
    (ir, iz, i_new), (hr, hz, h_new) = from_input.chunk(3, -1), from_state.chunk(3, -1)
    new = torch.tanh(i_new + torch.sigmoid(ir + hr) * h_new)
    return new + torch.sigmoid(iz + hz) * (hx - new), hx.new_empty(0)


def _lstm_cell(igates: Tensor, hgates: Tensor, cx: Tensor, i_bias: Any = None, h_bias: Any = None) -> Any:
    i, f, g, o = sum(_gates(igates, hgates, i_bias, h_bias), start=torch.zeros((), device=FAR)).chunk(4, -1)
    cy = torch.sigmoid(f) * cx + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cy), cy, cx.new_empty(0)


_CELLS = {aten._thnn_fused_gru_cell.default: _gru_cell, aten._thnn_fused_lstm_cell.default: _lstm_cell}
for _op, _cell in _CELLS.items():
    _aten.impl(_op, _cell, "AutogradPrivateUse1")  # made of operations that have gradients


# -- generators, and tensors made of Python's numbers ------------------------------------------------------------------


class FarGenerator(torch.Generator):
    """A generator of the far device: the numbers are a CPU generator's of the same seed."""

    device = FAR  # type: ignore[assignment]


class _Generators(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, torch._C.Generator)


class _Generator(metaclass=_Generators):
    """Stands in for `torch.Generator`, which cannot be asked for a Python-backed device's."""

    def __new__(cls, device: Any = "cpu") -> Any:
        return FarGenerator() if _is_far(device) else torch._C.Generator(device)


class _Calls(TorchFunctionMode):
    """Looks at calls from Python: operations below no longer know whose a generator is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        generator = kwargs.get("generator")
        if generator is not None:
            first = next((a for a in args if isinstance(a, Tensor)), None)
            wanted = kwargs.get("device") or (CPU if first is None else first.device)
            wanted, got = torch.device(wanted).type, generator.device.type
            if wanted != got:
                raise RuntimeError(f"Expected a '{wanted}' device type for generator but found '{got}'")
        return func(*args, **kwargs)


@contextlib.contextmanager
def opened() -> Iterator[torch.device]:
    """Let generators and `torch.tensor` know the far device within the block, and hold CPU ones to their own."""
    with mock.patch.object(torch, "Generator", _Generator), _Calls():
        yield FAR


@contextlib.contextmanager
def auto() -> Iterator[torch.device]:
    """Open the far device and let "auto" mean it."""
    from vaekit import devices

    with mock.patch.object(devices, "best_device", lambda: NAME), opened():
        yield FAR
