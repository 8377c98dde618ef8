"""Checkpoints: one safetensors file a moment, whole or absent, with everything a run needs to go on bit for bit."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vaekit import distributed
from vaekit.atomic import replacing
from vaekit.errors import UserError
from vaekit.training.dtensor import put, whole


def flatten(**groups: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join named groups of tensors into one mapping with dotted names.

    >>> sorted(flatten(model={"w": torch.zeros(1)}, rng={"torch": torch.zeros(1)}))
    ['model/w', 'rng/torch']
    """
    return {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}


def group(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors of one group, by their own names."""
    return {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}


_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def save(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    meta: Mapping[str, Any] | None = None,
    *,
    writes: bool = True,
) -> None:
    """Write tensors, and JSON facts in the file's header, as a safetensors file, atomically.

    The format is the header's length (8 bytes), the header as JSON, the values. They are written one tensor after
    another, the widest types first so that each lies as its type wants it. Where some are shared out over processes,
    all must call, and the one that `writes` holds one whole tensor at a time.
    """
    ordered = sorted(tensors.items(), key=lambda item: -item[1].element_size())
    header: dict[str, Any] = {"__metadata__": {"vaekit": json.dumps(dict(meta or {}))}}
    start = 0
    for name, tensor in ordered:
        end = start + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with ExitStack() as stack:
        file = stack.enter_context(stack.enter_context(replacing(path)).open("wb")) if writes else None
        if file is not None:
            file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in ordered:
            plain = whole(tensor.detach())
            if file is not None:
                file.write(plain.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return (tensors, facts); a damaged or foreign file is a UserError naming it."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, json.loads(meta.get("vaekit", "{}"))
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise UserError(f"{path} is damaged or is not a safetensors file ({error}); train again") from None


def header(path: Path) -> dict[str, Any]:
    """Return the facts in a file's header, without its tensors; {} where there is no file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {}).get("vaekit", "{}"))
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise UserError(f"{path} is damaged or is not a safetensors file ({error}); train again") from None


def find(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what `load` gives of a training run's checkpoint, None without one; the first process reads it."""
    tensors: dict[str, Tensor] | None = None

    def read() -> dict[str, Any] | None:
        nonlocal tensors
        if not path.exists():
            return None
        tensors, meta = load(path)
        if "position" not in meta:
            raise UserError(f"{path} is not a checkpoint of a training run; train again")
        return meta

    meta = distributed.from_main(read)
    return None if meta is None else (distributed.broadcast_tensors(tensors), meta)


def load_on_all(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file that the first process reads."""
    return distributed.broadcast_tensors(load(path)[0] if distributed.is_main() else None)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and persistent buffers by name."""
    return {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def load_model(model: nn.Module, tensors: Mapping[str, Tensor], path: object) -> None:
    """Copy tensors into a model; names or shapes that do not fit are a UserError naming the first."""
    own = model_tensors(model)
    differing = sorted(set(own) ^ set(tensors))
    differing += sorted(name for name in set(own) & set(tensors) if own[name].shape != tensors[name].shape)
    if differing:
        raise UserError(f"{path} does not fit this model: '{differing[0]}' differs ({len(differing)} in all)")
    with torch.no_grad():
        for name, value in own.items():
            put(value, tensors[name])
