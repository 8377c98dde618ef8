"""Data sets: three disjoint splits, what they are, and how a stored batch becomes the model's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vaekit.data.info import DataInfo
from vaekit.data.prepare import BLOCK, Prepare, as_input
from vaekit.data.preprocessing import resolve
from vaekit.data.raw import Part, Raw, check
from vaekit.data.settings import DataSettings
from vaekit.data.sources import read
from vaekit.data.streamed import load_streamed, streams, with_sample
from vaekit.errors import UserError

Wants = Literal["binary", "unit", "levels", "real", "counts", "any"]
MOST_HELD_OUT = 5000
"""A fraction never holds out more: beyond this a validation ELBO's standard error hardly shrinks."""


@dataclass(frozen=True)
class Split:
    """Examples `x` (N, *shape), uint8 where quantised or binary, else float32; labels `y` (N,) int64 or None.

    Tokens are int64; graphs are objects of their own with a length, slices, `index_select(0, index)` and `to(device)`.
    `factors` (N, F) int64, or None, number the values of what made each example (`DataInfo.factor_names`).
    """

    x: Tensor
    y: Tensor | None = None
    factors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> Split:
        """Return the examples at `index` (M,)."""
        return Split(*(None if part is None else part.index_select(0, index) for part in self._parts))  # type: ignore[arg-type]

    def first(self, n: int) -> Split:
        """Return the first n examples (all, if there are fewer)."""
        return Split(*(None if part is None else part[:n] for part in self._parts))  # type: ignore[arg-type]

    @property
    def inputs(self) -> Tensor:
        """The examples of a prepared split as the model takes them."""
        return as_input(self.x)

    @property
    def _parts(self) -> tuple[Tensor | None, ...]:
        return self.x, self.y, self.factors


@dataclass(frozen=True)
class DataSet:
    """Training, validation and test splits as stored, `info`, and `prepare`: stored → what the model sees."""

    info: DataInfo
    train: Split
    valid: Split
    test: Split
    prepare: Prepare

    def train_mean(self) -> Tensor:
        """Return the mean (shape) of the prepared training data, over their noise too; float32.

        Of data that stay on disk it is that of a sample.
        """
        x = with_sample(self.train).x
        total = torch.zeros(self.info.shape, dtype=torch.float64)
        for start in range(0, len(x), BLOCK):
            total += self.prepare.expected(x[start : start + BLOCK]).sum(0, dtype=torch.float64)
        return (total / len(x)).float()


def load(
    source: Any, settings: DataSettings | None = None, *, wants: Wants | Callable[[DataInfo], Wants] = "any"
) -> DataSet:
    """Load a data set by name, by path or from memory (x or (x, y)), for a likelihood that `wants` a kind.

    `source`: a known name; an IDX, NPY, NPZ or CSV file; a folder of IDX files or of images, subfolders being labels;
    an array or tensor (N, D), (N, H, W), (N, C, H, W) or (N, H, W, C). Splits depend on `settings.seed` and N alone;
    the source's own test split is kept as it is, and nothing is computed from it. With `binarise="auto"` greys are made
    binary (stochastically) only where binary data are wanted. `wants` may be a function of what the data are as they
    stand, so that a likelihood can be chosen by them without reading them twice. Large NPY files, folders of them and
    folders of images stay on disk (`settings.stream`).

    Raises `UserError`, naming the file, row or column, where the data are unreadable or cannot be what is wanted.

    >>> data = load("digits", wants="binary")
    >>> data.info.shape, data.info.kind, data.info.n_train, data.info.n_valid, data.info.n_test
    ((1, 8, 8), 'binary', 1439, 179, 179)
    >>> data.prepare(data.train.x[:2]).unique()
    tensor([0., 1.])
    """
    settings = settings or DataSettings()
    if streams(source, settings):
        return load_streamed(source, settings, wants)
    raw = check(read(source, settings.size, _asked(settings), settings))
    raw = _resized(raw, settings.size)
    if callable(wants):
        raw, plan = resolve(raw, settings, "any")
        shape, count = tuple(raw.train.x.shape[1:]), len(raw.train.x)
        wants = wants(DataInfo(raw.name, shape, plan.kind, plan.levels, count, 0, 0, raw.classes))
    raw, plan = resolve(raw, settings, wants)
    splits = _split(raw, settings)
    train, valid, test = (_stored(part, own=part is not raw.test and part is not raw.valid) for part in splits)
    prepare, bits = _fitted(plan, train, settings)
    if plan.mode == "fixed":
        train, valid, test = (_fix(split, prepare, settings.seed + i) for i, split in enumerate((train, valid, test)))
    info = DataInfo(
        name=raw.name,
        shape=tuple(train.x.shape[1:]),
        kind=plan.kind,
        levels=plan.levels,
        n_train=len(train),
        n_valid=len(valid),
        n_test=len(test),
        classes=raw.classes,
        source=raw.source,
        bits_offset=bits,
        factor_names=raw.factor_names,
        factor_sizes=raw.factor_sizes,
        modality=raw.modality,
        facts=raw.facts,
    )
    return DataSet(info, train, valid, test, prepare)


def _asked(settings: DataSettings) -> int | None:
    """Return how many examples give `limit` to train on after the held-out ones, or None."""
    if settings.limit is None:
        return None
    fractions = sum(wish for wish in (settings.valid, settings.test) if wish < 1)
    counts = sum(int(wish) for wish in (settings.valid, settings.test) if wish >= 1)
    return math.ceil((settings.limit + counts) / max(1 - fractions, 1e-3))


def _split(raw: Raw, settings: DataSettings) -> tuple[Part, Part, Part]:
    """Return train, valid, test: a seeded permutation's head is the test split, then validation, the rest trains."""
    n = len(raw.train.x)
    order = np.random.default_rng(settings.seed).permutation(n)
    n_test = 0 if raw.test is not None else _count(settings.test, n)
    n_valid = 0 if raw.valid is not None else _count(settings.valid, n)
    if n_test + n_valid >= n:
        raise UserError(
            f"{raw.source} has {n} examples and valid={settings.valid} with test={settings.test} would hold out "
            f"{n_valid + n_test}, leaving none to train on; lower them"
        )
    rest = order[n_test + n_valid :]
    rest = rest if settings.limit is None else rest[: settings.limit]
    test = raw.test or _take(raw.train, order[:n_test])
    valid = raw.valid or _take(raw.train, order[n_test : n_test + n_valid])
    return _take(raw.train, rest), valid, test


def _count(wish: float | int, n: int) -> int:
    return int(wish) if wish >= 1 else min(math.floor(wish * n), MOST_HELD_OUT)


def _take(part: Part, index: np.ndarray) -> Part:
    index = np.sort(index)  # the source's order: which examples is random, their order need not be
    return Part(*(None if a is None else a[index] for a in (part.x, part.y, part.factors)))  # type: ignore[arg-type]


def _stored(part: Part, own: bool) -> Split:
    """Return tensors that share no memory with the source; a part that was taken out of it is our own."""
    kind = np.uint8 if part.x.dtype == np.uint8 else np.float32
    x = torch.from_numpy(part.x.astype(kind, order="C", copy=not own))
    rest = (None if a is None else torch.from_numpy(a.astype(np.int64)) for a in (part.y, part.factors))
    return Split(x, *rest)


def _fitted(plan: Prepare, train: Split, settings: DataSettings) -> tuple[Prepare, float | None]:
    """Return `plan` with what the training split alone decides, and the offset of bits a dimension."""
    bits: float | None = {"binary": 0.0, "levels": 0.0, "counts": 0.0}.get(plan.kind)
    if plan.mode == "dequantise":
        bits = math.log2(plan.levels or 1)
    if plan.kind in ("real", "counts") and plan.mode == "as-is":
        plan = replace(plan, low=float(train.x.min()), high=float(train.x.max()))
    if settings.standardise:
        mean, sd = _moments(plan, train)
        plan = replace(plan, mean=tuple(mean.flatten().tolist()), sd=tuple(sd.flatten().tolist()))
        # a density of (x − m)/s is s times that of x: the mean log2 s comes back when bits are asked of x
        bits = None if bits is None else bits + sd.log2().mean().item()
    return plan, bits


def _moments(plan: Prepare, train: Split) -> tuple[Tensor, Tensor]:
    """Return mean and sd of each dimension of the training split; a constant one has sd 1."""
    total = torch.zeros(train.x.shape[1:], dtype=torch.float64)
    square = torch.zeros_like(total)
    for start in range(0, len(train), BLOCK):
        total += plan.expected(train.x[start : start + BLOCK]).sum(0, dtype=torch.float64)
    mean = total / len(train)
    for start in range(0, len(train), BLOCK):
        square += (plan.expected(train.x[start : start + BLOCK]).double() - mean).square().sum(0)
    sd = (square / len(train)).sqrt()
    return mean, torch.where(sd > 1e-6 * (1 + mean.abs()), sd, torch.ones_like(sd))


def _fix(split: Split, prepare: Prepare, seed: int) -> Split:
    """Binarise once. Stored at the ends of the scale, 0 and levels − 1, where preparing it again is certain."""
    drawn = replace(prepare, mode="stochastic").fixed(split, seed)
    x = drawn.x * (prepare.levels - 1) if prepare.levels else drawn.x.float()
    return replace(split, x=x)


def _resized(raw: Raw, size: int | None) -> Raw:
    """Scale images so that the shorter side is `size`, and cut out the centre."""
    if size is None or raw.train.x.shape[2:] == (size, size):
        return raw
    if raw.train.x.ndim != 4:
        raise UserError(f"size={size} is for images, and {raw.source} has vectors; leave size out")
    for _, part in raw.parts:
        height, width = part.x.shape[2:]
        scale = size / min(height, width)
        target = (max(size, round(height * scale)), max(size, round(width * scale)))
        top, left = (target[0] - size) // 2, (target[1] - size) // 2
        out = np.empty((*part.x.shape[:2], size, size), part.x.dtype)
        for start in range(0, len(out), BLOCK):
            block = torch.from_numpy(part.x[start : start + BLOCK].astype(np.float32))
            block = F.interpolate(block, target, mode="bilinear", align_corners=False, antialias=True)
            block = block[:, :, top : top + size, left : left + size].numpy()
            out[start : start + BLOCK] = block if out.dtype.kind == "f" else np.rint(block)
        part.x = out
    return raw
