"""A CUDA graph on a machine that has none: a step's operations are recorded once and replayed, and its Python is not.

`Recorder` stands in for `vaekit.training.graph.CudaRecorder`. It records every operation of ATen that a step runs,
those of the backward pass and the optimiser included, with the tensors it ran on and the numbers it was given. A replay
runs them again, on the same tensors and the same numbers, in the same memory: a Python number that should have changed,
a tensor that a step should have been given, or a branch that should have gone the other way shows as a different
result, as it would on CUDA. What makes a program wait for the device is noted by `watched`, and refused within a
recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from vaekit.training import graph

aten = torch.ops.aten
READS = {
    *(aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default),
    *(aten.bincount.default, aten._unique2.default, aten._pack_padded_sequence.default),
    aten.repeat_interleave.Tensor,
}
"""Operations whose result's shape, or a number of Python's, depends on values: CUDA waits for them."""
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


def waits(func: Any, args: Any) -> bool:
    """Whether CUDA would wait in this operation."""
    masks = func in INDEXING and any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1])
    return func in READS or masks


class _Watch(TorchDispatchMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if waits(func, args):
            self.found.append(graph.ours())
        return func(*args, **(kwargs or {}))


class _Record(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.ops: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if waits(func, args):
            raise RuntimeError(f"operation not permitted when stream is capturing ({func})")
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        fresh = [t for t in made if t.untyped_storage().data_ptr() not in given]
        if fresh or func._schema.is_mutable:  # else a view, which sees what its base holds
            # As they are now: an operation that changes a shape in place may come later.
            self.ops.append(tree_map_only(Tensor, torch.detach, (func, args, kwargs, made)))
        return out


class Recorder:
    """Records by running: the first replay is the recording itself, so that a step is still taken once."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @contextmanager
    def watched(self) -> Iterator[list[str]]:
        """Collect where CUDA would wait."""
        found: list[str] = []
        with _Watch(found):
            yield found

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Run `step` and return what replays it, the run being the first replay."""
        with _Record() as record:
            step()
        fresh = [True]

        def replay() -> None:
            if fresh:
                fresh.clear()
                return
            with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
                for func, args, kwargs, made in record.ops:
                    again = [t for t in tree_leaves(func(*args, **kwargs)) if isinstance(t, Tensor)]
                    for old, new in zip(made, again, strict=True):
                        if old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                            old.copy_(new)

        return replay
