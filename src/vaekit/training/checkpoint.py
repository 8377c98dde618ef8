"""Checkpoints: one safetensors file a moment, whole or absent, with everything a run needs to go on bit for bit.

Each file holds the SHA-256 of its own contents, its seal, and is refused when it was damaged since; weights have none,
as the run's record holds theirs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from vaekit import distributed
from vaekit.atomic import replacing
from vaekit.errors import UserError
from vaekit.schemas import Place, parsed
from vaekit.training.dtensor import put, whole

SEAL, UNSEALED, SEALED = "sha256", "0" * 64, "sealed"
"""The seal's name in a file's header, what stands in its place while the digest is taken, and that there is one."""


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
    seal: bool = True,
) -> str:
    """Write tensors, and JSON facts in the file's header, as a safetensors file, atomically; return its SHA-256, hex.

    The format is the header's length (8 bytes), the header as JSON, the values. They are written one tensor after
    another, the widest types first so that each lies as its type wants it. Where some are shared out over processes,
    all must call, and the one that `writes` holds one whole tensor at a time. With a `seal` the digest is of the file
    with zeros in its own place, and is written there.
    """
    ordered = sorted(tensors.items(), key=lambda item: -item[1].element_size())
    facts = {"vaekit": json.dumps({**(meta or {}), **({SEALED: True} if seal else {})})}
    facts |= {SEAL: UNSEALED} if seal else {}
    header: dict[str, Any] = {"__metadata__": facts}
    start = 0
    for name, tensor in ordered:
        end = start + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with ExitStack() as stack:
        file = stack.enter_context(stack.enter_context(replacing(path)).open("wb")) if writes else None
        if file is not None:
            _write(file, digest, len(text).to_bytes(8, "little") + text)
        for _, tensor in ordered:
            plain = whole(tensor.detach())
            if file is not None:
                _write(file, digest, plain.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        if file is not None and seal:
            file.seek(8 + text.index(UNSEALED.encode()))
            file.write(digest.hexdigest().encode())
    return digest.hexdigest()


def _write(file: BinaryIO, digest: Any, data: Any) -> None:
    file.write(data)
    digest.update(data)


def load(
    path: str | os.PathLike[str], sha256: str | None = None, fix: str = "train again"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return (tensors, facts); a damaged or foreign file is a UserError naming it, which ends with the `fix`.

    The file must have the `sha256` that is given, or else its own seal, if it has one: older ones do not.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}")
    with _opened(path, fix) as file:
        meta = file.metadata() or {}
        sealed, facts = meta.get(SEAL), _facts(path, meta, fix)
        if sha256 is not None or sealed is not None or facts.get(SEALED):
            found = _digest(path, None if sha256 is not None else sealed)
            if found != (sha256 or sealed):
                raise UserError(f"{path} is damaged, or of another run: its SHA-256 is not the recorded one; {fix}")
        facts.pop(SEALED, None)
        return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118


def header(path: Path, fix: str = "train again") -> dict[str, Any]:
    """Return the facts in a file's header, without its tensors; {} where there is no file."""
    if not path.is_file():
        return {}
    with _opened(path, fix) as file:
        facts = _facts(path, file.metadata() or {}, fix)
        facts.pop(SEALED, None)
        return facts


@contextmanager
def _opened(path: Path, fix: str) -> Iterator[Any]:
    """Open a safetensors file; what is wrong with it is a UserError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, AttributeError) as error:  # of a type that this torch does not have
        raise UserError(f"{path} is damaged or is not a safetensors file ({error}); {fix}") from None


def _facts(path: Path, meta: Mapping[str, str], fix: str) -> dict[str, Any]:
    place = Place(path, fix)
    found = parsed(meta.get("vaekit", "{}").encode(), place)
    if not isinstance(found, dict):
        raise place.damaged("its facts are not a JSON object")
    return found


def _digest(path: Path, seal: str | None) -> str:
    """Return the SHA-256 of a file, of a sealed one with zeros in the place of its seal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if seal is not None:
            start = file.read(8)
            head = file.read(int.from_bytes(start, "little"))
            digest.update(start + head.replace(seal.encode(), UNSEALED.encode(), 1))
        while part := file.read(1 << 22):
            digest.update(part)
    return digest.hexdigest()


def find(path: Path, fix: str = "train again") -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what `load` gives of a training run's checkpoint, None without one; the first process reads it."""
    tensors: dict[str, Tensor] | None = None

    def read() -> dict[str, Any] | None:
        nonlocal tensors
        if not path.exists():
            return None
        tensors, meta = load(path, fix=fix)
        if "position" not in meta:
            raise UserError(f"{path} is not a checkpoint of a training run; {fix}")
        return meta

    meta = distributed.from_main(read)
    return None if meta is None else (distributed.broadcast_tensors(tensors), meta)


def load_on_all(path: Path, sha256: str | None = None, fix: str = "train again") -> dict[str, Tensor]:
    """Return the tensors of a file that the first process reads."""
    tensors: dict[str, Tensor] | None = None

    def read() -> None:
        nonlocal tensors
        tensors = load(path, sha256, fix)[0]

    distributed.from_main(read)
    return distributed.broadcast_tensors(tensors)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and persistent buffers by name."""
    return {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def load_model(model: nn.Module, tensors: Mapping[str, Tensor], path: object) -> None:
    """Copy tensors into a model; the first whose name, shape or kind does not fit is named in a UserError."""
    own = model_tensors(model)
    check_fit(own, tensors, path, "this model")
    with torch.no_grad():
        for name, value in own.items():
            put(value, tensors[name])


def check_fit(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: object, what: str) -> None:
    """Raise a UserError if a file's tensors differ from `own`, those of `what`, in a name, shape or kind of number."""
    differing = sorted(set(own) ^ set(tensors))
    differing += sorted(name for name in set(own) & set(tensors) if not _alike(own[name], tensors[name]))
    if differing:
        raise UserError(f"{path} does not fit {what}: '{differing[0]}' differs ({len(differing)} in all)")


def check_finite(tensors: Mapping[str, Tensor], path: object) -> None:
    """Raise a UserError if a file's weights are not finite: all that they give would be NaN."""
    bad = [name for name, x in tensors.items() if x.is_floating_point() and not bool(torch.isfinite(x).all())]
    if bad:
        raise UserError(
            f"{path} holds weights that are not finite ('{bad[0]}'; {len(bad)} in all), which give no numbers; train "
            "again with a lower train.lr"
        )


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.is_floating_point() == b.is_floating_point() and not b.is_complex()
