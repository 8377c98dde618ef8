"""Compressed files of grey levels: bytes from an array and back, bit by bit.

Layout, little-endian: 8 bytes magic · version, 2 bytes · length of the header, 4 bytes · header, deflated JSON (the
model's fingerprint; shape, levels and count; lengths of the blocks; how the array was kept; CRC-32 of the levels) · the
stack's 32-bit words · SHA-256 of all before, its first 16 bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit import bounds
from vaekit.errors import UserError
from vaekit.inference import batched
from vaekit.models.base import Model
from vaekit.tasks.compression import Codec, Damaged, Packed, Progress, compress, decompress
from vaekit.tasks.grey_levels import Layout, to_levels

MAGIC = b"\x89VAEKIT\n"
VERSION = 1
_HEAD = struct.Struct("<HI")
_CHECK = 16
_MOST_HEADER = 1 << 24


def pack(codec: Codec, x: np.ndarray, fingerprint: str, *, where: str = "x", progress: Progress | None = None) -> bytes:
    """Return the compressed file of an array of examples: values bit by bit, type and shape come back by `unpack`.

    `fingerprint` names the model that can read it; `where` names the array in errors.
    """
    level, layout = to_levels(x, codec.shape, codec.levels, where)
    packed = compress(codec, torch.from_numpy(level), progress=progress)
    header = {
        "fingerprint": fingerprint,
        "shape": list(codec.shape),
        "levels": codec.levels,
        "count": packed.count,
        "blocks": [[size, len(list(same))] for size, same in groupby(packed.blocks)],
        "initial": packed.initial,
        "seed": packed.seed,
        "layout": asdict(layout),
        "crc": zlib.crc32(level.tobytes()),
    }
    text = zlib.compress(json.dumps(header, separators=(",", ":")).encode(), 9)
    body = MAGIC + _HEAD.pack(VERSION, len(text)) + text + packed.words.astype("<u4").tobytes()
    return body + hashlib.sha256(body).digest()[:_CHECK]


def read_file(data: bytes, where: str) -> tuple[dict[str, Any], np.ndarray]:
    """Return header and words of a compressed file; one sentence for what is wrong with it."""
    start = len(MAGIC) + _HEAD.size
    if data[: len(MAGIC)] != MAGIC:
        raise UserError(f"{where} was not written by 'vaekit compress'; give a file that was")
    if len(data) < start + _CHECK:
        raise UserError(f"{where} is cut short; copy it again")
    version, length = _HEAD.unpack_from(data, len(MAGIC))
    if version != VERSION:
        raise UserError(
            f"{where} is of format version {version}, and this vaekit reads version {VERSION}; update vaekit"
        )
    if hashlib.sha256(data[:-_CHECK]).digest()[:_CHECK] != data[-_CHECK:]:
        raise UserError(f"{where} is damaged or cut short: its checksum does not fit; copy it again")
    if length > min(_MOST_HEADER, len(data) - start - _CHECK):
        raise UserError(f"{where} is damaged: its header does not fit; copy it again")
    try:
        unpacker = zlib.decompressobj()
        header = json.loads(unpacker.decompress(data[start : start + length], _MOST_HEADER))
    except (zlib.error, ValueError) as error:
        raise UserError(f"{where} has a damaged header ({error}); copy it again") from None
    return header, np.frombuffer(data[start + length : -_CHECK], dtype="<u4").astype(np.uint32)


def unpack(
    codec: Callable[[], Codec],
    data: bytes,
    fingerprint: str,
    *,
    where: str = "the file",
    progress: Progress | None = None,
) -> np.ndarray:
    """Return the array that `pack` was given. UserError for a damaged file, another model, another machine's sums."""
    header, words = read_file(data, where)
    if header["fingerprint"] != fingerprint:
        raise UserError(f"{where} was compressed with another model than this run's; decompress it with that run")
    sizes = tuple(size for size, times in header["blocks"] for _ in range(times))
    packed = Packed(words, sizes, header["initial"], header["seed"])
    try:
        level = decompress(codec(), packed, progress=progress).numpy()
    except Damaged:
        level = None
    if level is None or zlib.crc32(level.tobytes()) != header["crc"]:
        raise UserError(
            f"{where} does not decode here: this machine or torch version computes the model differently; decompress "
            "it where it was compressed"
        )
    return Layout(**header["layout"]).restore(level, header["levels"])


def elbo_bits(model: Model, level: np.ndarray, levels: int) -> float:
    """Return -Σ ELBO(x) / ln 2 of grey levels (N, *shape): what the file's length should be near."""

    def elbo(x: Tensor, y: Tensor | None) -> Tensor:
        return bounds.elbo(model.trace(x / (levels - 1), y, hard=True)).double()

    values = batched(model, elbo, torch.from_numpy(level))
    return -float(values.sum()) / math.log(2)
