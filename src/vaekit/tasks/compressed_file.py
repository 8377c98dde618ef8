"""Compressed files of grey levels: bytes from an array and back, bit by bit.

Layout, little-endian: 8 bytes magic · version, 2 bytes · length of the header, 4 bytes · header, deflated JSON (the
model's fingerprint; shape, levels and count; lengths of the blocks; how the array was kept; CRC-32 of the levels and,
from version 2 on, of the array) · the stack's 32-bit words · SHA-256 of all before, its first 16 bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from vaekit import bounds
from vaekit.errors import UserError
from vaekit.inference import batched
from vaekit.models.base import Model
from vaekit.schemas import Place, Positive, Record, checked, parsed
from vaekit.tasks.compression import BLOCK, Codec, Damaged, Packed, Progress, compress, decompress
from vaekit.tasks.grey_levels import Layout, Unit, to_levels

MAGIC = b"\x89VAEKIT\n"
VERSION = 2
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
        "blocks": [list(block) for block in packed.blocks],
        "initial": packed.initial,
        "seed": packed.seed,
        "layout": asdict(layout),
        "crc": zlib.crc32(level.tobytes()),
        "array_crc": _crc(x),
    }
    text = zlib.compress(json.dumps(header, separators=(",", ":")).encode(), 9)
    body = MAGIC + _HEAD.pack(VERSION, len(text)) + text + packed.words.astype("<u4").tobytes()
    return body + hashlib.sha256(body).digest()[:_CHECK]


Crc = Annotated[int, Field(ge=0, lt=1 << 32)]


class LayoutRecord(Record):
    """How the array was kept; see `Layout`."""

    shape: list[Positive]
    channels_last: bool
    dtype: Annotated[str, Field(pattern=r"^[<>|=]?(b1|[iu][1248]|f[248])$")]
    unit: Unit


class HeaderRecord(Record):
    """The header of a compressed file."""

    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    shape: list[Positive]
    levels: Annotated[int, Field(ge=2, le=256)]
    count: Positive
    blocks: list[Annotated[list[Positive], Field(min_length=2, max_length=2)]] = Field(min_length=1)
    initial: Positive
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    layout: LayoutRecord
    crc: Crc
    array_crc: Crc | None = None

    @model_validator(mode="after")
    def _fits(self) -> HeaderRecord:
        if sum(size * times for size, times in self.blocks) != self.count:
            raise ValueError("blocks: they do not hold as many examples as 'count' says")
        if max(size for size, _ in self.blocks) > BLOCK:
            raise ValueError(f"blocks: one has more than {BLOCK} examples")
        own, mine = self.layout.shape, self.shape
        last = [*mine[1:], mine[0]] if len(mine) == 3 else None
        fits = own == last if self.layout.channels_last else own == mine or (len(mine) == 3 and [1, *own] == mine)
        if not fits:
            raise ValueError(f"layout.shape: {own} is no layout of {mine}")
        return self


def read_file(data: bytes, where: str) -> tuple[HeaderRecord, np.ndarray]:
    """Return header and words of a compressed file; one sentence for what is wrong with it."""
    start = len(MAGIC) + _HEAD.size
    if data[: len(MAGIC)] != MAGIC:
        raise UserError(f"{where} was not written by 'vaekit compress'; give a file that was")
    if len(data) < start + _CHECK:
        raise UserError(f"{where} is cut short; copy it again")
    version, length = _HEAD.unpack_from(data, len(MAGIC))
    if not 1 <= version <= VERSION:
        raise UserError(
            f"{where} is of format version {version}, and this vaekit reads version {VERSION}; update vaekit"
        )
    if hashlib.sha256(data[:-_CHECK]).digest()[:_CHECK] != data[-_CHECK:]:
        raise UserError(f"{where} is damaged or cut short: its checksum does not fit; copy it again")
    if length > min(_MOST_HEADER, len(data) - start - _CHECK):
        raise UserError(f"{where} is damaged: its header does not fit; copy it again")
    place = Place(f"the header of {where}", "copy the file again")
    try:
        text = zlib.decompressobj().decompress(data[start : start + length], _MOST_HEADER)
    except zlib.error as error:
        raise place.damaged(str(error)) from None
    header: HeaderRecord = checked(HeaderRecord, parsed(text, place), place)
    rest = data[start + length : -_CHECK]
    # The words that coding began with are among the file's.
    if len(rest) % 4 or header.initial > len(rest) or (version > 1 and header.array_crc is None):
        raise place.damaged("initial, array_crc: they do not fit the file's length or version")
    return header, np.frombuffer(rest, dtype="<u4").astype(np.uint32)


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
    if header.fingerprint != fingerprint:
        raise UserError(f"{where} was compressed with another model than this run's; decompress it with that run")
    own = codec()
    if (tuple(header.shape), header.levels) != (tuple(own.shape), own.levels):
        raise UserError(f"the header of {where} is damaged (shape, levels: not the model's); copy the file again")
    packed = Packed(words, [(size, times) for size, times in header.blocks], header.initial, header.seed)
    try:
        level = decompress(own, packed, progress=progress).numpy()
    except Damaged:
        level = None
    if level is None or zlib.crc32(level.tobytes()) != header.crc:
        raise UserError(
            f"{where} does not decode here: this machine or torch version computes the model differently; decompress "
            "it where it was compressed"
        )
    x = Layout(**header.layout.model_dump()).restore(level, header.levels)
    if header.array_crc not in (None, _crc(x)):
        raise UserError(f"the header of {where} is damaged (layout: it makes another array); copy the file again")
    return x


def _crc(x: np.ndarray) -> int:
    """Return the CRC-32 of an array's type, shape and bytes."""
    return zlib.crc32(np.ascontiguousarray(x).tobytes(), zlib.crc32(f"{x.dtype.str} {x.shape}".encode()))


def elbo_bits(model: Model, level: np.ndarray, levels: int) -> float:
    """Return -Σ ELBO(x) / ln 2 of grey levels (N, *shape): what the file's length should be near."""

    def elbo(x: Tensor, y: Tensor | None) -> Tensor:
        return bounds.elbo(model.trace(x / (levels - 1), y, hard=True)).double()

    values = batched(model, elbo, torch.from_numpy(level))
    return -float(values.sum()) / math.log(2)
