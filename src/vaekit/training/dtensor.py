"""Tensors of which each process may hold a part: reading, writing and joining them as if they were whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def is_part(value: Any) -> bool:
    """Return whether a tensor is one of which each process holds a part."""
    return hasattr(value, "placements")


def local(value: Tensor) -> Tensor:
    """Return the part that this process holds, sharing its memory; a whole tensor as it is."""
    if not is_part(value):
        return value
    with torch.no_grad():
        return value.to_local()  # pyright: ignore[reportAttributeAccessIssue]


def whole(value: Tensor) -> Tensor:
    """Return the whole tensor, put together from all processes' parts: all must call."""
    return value.full_tensor() if is_part(value) else value  # pyright: ignore[reportAttributeAccessIssue]


def like(part: Tensor, owner: Tensor) -> Tensor:
    """Return this process's `part` as part of a tensor that lies as `owner` does."""
    if not is_part(owner):
        return part
    from torch.distributed.tensor import DTensor

    o: Any = owner
    return DTensor.from_local(part, o.device_mesh, o.placements, run_check=False, shape=o.shape, stride=o.stride())


@torch.no_grad()
def put(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor (or one shared out alike) into `target`, which may be a part."""
    if not is_part(target) or is_part(value):
        local(target).copy_(local(value))
        return
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    t: Any = target
    shape, offset = compute_local_shape_and_global_offset(t.shape, t.device_mesh, t.placements)
    mine = tuple(slice(start, start + size) for start, size in zip(offset, shape))
    local(target).copy_(value[mine])


def is_sharded(model: nn.Module) -> bool:
    """Return whether any of the model's weights are shared out."""
    return any(is_part(p) for p in model.parameters())
