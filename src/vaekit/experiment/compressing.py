"""Compressed files: `vaekit compress` and `vaekit decompress`.

Layout, little-endian: 8 bytes magic · version, 2 bytes · length of the header, 4 bytes · header, deflated JSON (the
model's fingerprint; shape, levels and count; lengths of the blocks; how the array was kept; CRC-32 of the levels) · the
stack's 32-bit words · SHA-256 of all before, its first 16 bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
import zlib
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit import bounds
from vaekit.atomic import replacing, write_bytes
from vaekit.data import load as load_data
from vaekit.data.datasets import DATASETS
from vaekit.data.save import write_npz
from vaekit.data.sources import read_raw
from vaekit.errors import UserError
from vaekit.experiment.layout import Layout, to_levels
from vaekit.experiment.run import TEST_SEED, Run, load
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.tasks.compression import Codec, Damaged, Packed, Progress, compress, decompress

MAGIC = b"\x89VAEKIT\n"
VERSION = 1
_HEAD = struct.Struct("<HI")
_CHECK = 16
_MOST_HEADER = 1 << 24


def fingerprint(run: Run) -> str:
    """Return 128 bits of SHA-256 over the recipe, its model's settings, what the data are, and every weight.

    >>> from vaekit.experiment import train
    >>> run = train("vae", "digits", steps=2)
    >>> len(fingerprint(run)), fingerprint(run) == fingerprint(run)
    (32, True)
    """
    facts = {
        "recipe": run.recipe,
        "model": run.record["settings"]["model"],
        "shape": list(run.info.shape),
        "levels": run.info.levels,
        "kind": run.info.kind,
        "prepare": run.record["data"]["prepare"],
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(run.model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[: 2 * _CHECK]


def codec_of(run: Run) -> Codec:
    """Return the run's codec; UserError for data or a model that bits back does not apply to."""
    return Codec.of(run.model, tuple(run.info.shape), model_levels(run))


def model_levels(run: Run) -> int:
    """Return how many values a pixel of the run's data can have; UserError where they are not quantised."""
    if run.info.kind == "binary":
        return 2
    if run.info.kind == "levels" and run.info.levels is not None:
        return run.info.levels
    raise UserError(
        f"compress needs quantised data, and this run's are {run.info.kind}; train with "
        "--set model.likelihood=discretised-logistic, or bernoulli on binary data"
    )


def pack(run: Run, x: np.ndarray, *, where: str = "x", progress: Progress | None = None) -> bytes:
    """Return the compressed file of an array of examples: values bit by bit, type and shape come back by `unpack`."""
    codec = codec_of(run)
    level, layout = to_levels(x, tuple(run.info.shape), codec.levels, where)
    packed = compress(codec, torch.from_numpy(level), progress=progress)
    header = {
        "fingerprint": fingerprint(run),
        "shape": list(run.info.shape),
        "levels": codec.levels,
        "count": packed.count,
        "blocks": [[size, len(list(same))] for size, same in groupby(packed.blocks)],
        "initial": packed.initial,
        "seed": packed.seed,
        "layout": layout.to_dict(),
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


def unpack(run: Run, data: bytes, *, where: str = "the file", progress: Progress | None = None) -> np.ndarray:
    """Return the array that `pack` was given. UserError for a damaged file, another model, another machine's sums."""
    header, words = read_file(data, where)
    if header["fingerprint"] != fingerprint(run):
        raise UserError(f"{where} was compressed with another model than this run's; decompress it with that run")
    sizes = tuple(size for size, times in header["blocks"] for _ in range(times))
    packed = Packed(words, sizes, header["initial"], header["seed"])
    try:
        level = decompress(codec_of(run), packed, progress=progress).numpy()
    except Damaged:
        level = None
    if level is None or zlib.crc32(level.tobytes()) != header["crc"]:
        raise UserError(
            f"{where} does not decode here: this machine or torch version computes the model differently; decompress "
            "it where it was compressed"
        )
    return Layout.from_dict(header["layout"]).restore(level, header["levels"])


def examples(run: Run, source: str) -> tuple[np.ndarray, str]:
    """Return the array to compress and a note: "test" is the run's own test split, a known name that set's.

    Those two are taken as the model sees them (binary where it is). A file's or folder's arrays are taken as they are.
    """
    levels = model_levels(run)
    if source == "test" and not Path(source).exists():
        split, name = run.test, f"the test split of {run.info.name}"
    elif source in DATASETS:
        wants = LIKELIHOODS[run.settings.model.likelihood].part.wants
        settings = run.settings.data.model_copy(update={"valid": 0, "test": 0, "limit": None})
        other = load_data(source, settings, wants=wants)
        if (tuple(other.info.shape), other.info.levels) != (tuple(run.info.shape), run.info.levels):
            raise UserError(
                f"{source} has examples of shape {tuple(other.info.shape)} with {other.info.levels} levels; this run's "
                f"model takes {tuple(run.info.shape)} with {run.info.levels}"
            )
        own = other.test if len(other.test) else other.train
        split, name = run.prepare.fixed(own, TEST_SEED), f"{'the test split of ' if len(other.test) else ''}{source}"
    else:
        raw = read_raw(source, run.settings.data)
        if len(raw.parts) > 1:
            raise UserError(f"{source} holds several splits; give a file with one array, x")
        return raw.train.x, source
    level = split.x if levels == 2 else (split.x.float() * (levels - 1)).round()
    seen = ", made binary as the run does" if run.prepare.mode in ("stochastic", "fixed", "threshold") else ""
    return level.to(torch.uint8).numpy(), name + seen


@torch.no_grad()
def elbo_bits(run: Run, level: Tensor, batch: int = 500) -> float:
    """Return -Σ ELBO(x) / ln 2 of levels (N, *shape): what the file's length should be near."""
    total = 0.0
    top = model_levels(run) - 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for part in level.split(batch):
            total -= float(bounds.elbo(run.model.trace(part.float() / top, hard=True)).double().sum())
    return total / math.log(2)


def compress_file(folder: Path, source: str, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Write `source` compressed by the run in `folder` to `out`; return sizes as plain values."""
    if not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent} to write {out.name} in; make it first")
    run = load(folder)
    x, name = examples(run, source)
    data = pack(run, x, where=name, progress=progress)
    write_bytes(out, data)
    level, _ = to_levels(x, tuple(run.info.shape), model_levels(run), name)
    ideal = elbo_bits(run, torch.from_numpy(level))
    return {
        "source": name,
        "n": len(x),
        "bytes": len(data),
        "bits_per_example": 8 * len(data) / len(x),
        "bits_per_dim": 8 * len(data) / level.size,
        "elbo_bits_per_example": ideal / len(x),
        "over_elbo": 8 * len(data) / ideal - 1,
        "raw_bytes": int(x.nbytes),
        "out": str(out),
    }


def decompress_file(folder: Path, source: Path, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Write the array in the compressed file `source` to `out`, .npz (x) or .npy; return what it is."""
    suffix = out.suffix.lower()
    if suffix not in (".npz", ".npy"):
        raise UserError(f"{out}: write a file ending in .npz or .npy")
    if not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent} to write {out.name} in; make it first")
    if not source.is_file():
        raise UserError(f"there is no file {source}; check the path")
    x = unpack(load(folder), source.read_bytes(), where=str(source), progress=progress)
    if suffix == ".npz":
        write_npz(out, x=x)
    else:
        buffer = io.BytesIO()
        np.save(buffer, x, allow_pickle=False)
        with replacing(out) as part:
            part.write_bytes(buffer.getvalue())
    return {"n": len(x), "shape": list(x.shape), "dtype": str(x.dtype), "out": str(out)}
