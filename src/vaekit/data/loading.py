"""From a source to a data set, in three steps: read, choose a likelihood by what was read, prepare for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from vaekit.data.audio.recordings import match_sound
from vaekit.data.conditions import CLASS_NAMES, Conditions, Facts
from vaekit.data.conditions import fitted as fitted_conditions
from vaekit.data.contents import Contents, contents_of, with_classes
from vaekit.data.dataset import DataSet, Split
from vaekit.data.digest import Keys, frame_keys, mixed, row_keys
from vaekit.data.disk import HeldRows
from vaekit.data.extremes import warn_of_extremes
from vaekit.data.info import DataInfo
from vaekit.data.limits import bounded
from vaekit.data.matching import joined, match_columns, match_labels, match_one, match_pictures, match_scale, resized
from vaekit.data.origin import Origin
from vaekit.data.prepare import Prepare
from vaekit.data.preprocessing import Wants, bits_offset, compact, fitted, resolve
from vaekit.data.raw import Part, Raw, check, shape_up
from vaekit.data.settings import DataSettings
from vaekit.data.sources import read_raw
from vaekit.data.splits import deal
from vaekit.data.streamed import StreamedRaw, read_streamed, rows_to_stream
from vaekit.data.unseen import deal_apart
from vaekit.errors import UserError


def load(source: Any, settings: DataSettings | None = None, *, wants: Wants = "any") -> DataSet:
    """Load a data set by name, by path or from memory (x or (x, y)), for a likelihood that `wants` a kind.

    `source`: a known name; an IDX, NPY, NPZ or CSV file; a folder of IDX files or of images, subfolders being labels;
    an array or tensor (N, D), (N, H, W), (N, C, H, W) or (N, H, W, C). The split of an example depends on what it holds
    and `settings.seed` alone (`vaekit.data.splits`); the source's own test split is kept as it is, and nothing is
    computed from it. With `binarise="auto"` greys are made binary (stochastically) only where binary data are wanted.
    Large NPY files, folders of them and folders of images stay on disk (`settings.stream`). To choose the likelihood by
    the data, call `read`, `describe` and `prepare`.

    Raises `UserError`, naming the file, row or column, where the data are unreadable or cannot be what is wanted.

    >>> data = load("digits", wants="binary")
    >>> data.info.shape, data.info.kind, data.info.n_train, data.info.n_valid, data.info.n_test
    ((1, 8, 8), 'binary', 1447, 176, 174)
    >>> data.prepare(data.train.x[:2]).unique()
    tensor([0., 1.])
    """
    settings = settings or DataSettings()
    return prepare(read(source, settings), settings, wants)


@bounded
def read(source: Any, settings: DataSettings, held_out: Mapping[str, Any] | None = None) -> Raw:
    """Read a source and check it: what it is, before any likelihood is known. `describe` gives its kind and shape.

    `held_out` are further sources that are the splits "valid" and "test": their split of that name, else all they have.

    >>> from vaekit.data.preprocessing import describe
    >>> settings = DataSettings(standardise=True)
    >>> raw = read("digits", settings)
    >>> describe(raw, settings).kind, prepare(raw, settings, "real").info.kind
    ('levels', 'real')
    """
    opened = rows_to_stream(source, settings)
    if opened is not None:
        for split, other in (held_out or {}).items():
            part = _own(read_raw(other, settings, opened.splits["train"][0].shape[1:]), split)
            opened.splits[split] = HeldRows(part.x, part.origin), part.y
        return read_streamed(opened, settings)
    raw = read_raw(source, settings)
    for split, other in (held_out or {}).items():
        setattr(raw, split, _held_out(shape_up(raw), split, other, settings))
    return compact(_resized(_keyed(warn_of_extremes(check(raw, settings.labels))), settings.size))


def _keyed(raw: Raw) -> Raw:
    """Give each example the hash of what it holds, which later preparation does not change."""
    for _, part in raw.parts:
        part.keys = row_keys(part.x) if part.keys is None else part.keys
    return raw


def _own(raw: Raw, split: str) -> Part:
    """Return a source's split of that name, else all it has, its labels by name where they have any."""
    part: Part = getattr(raw, split) or raw.train
    if raw.classes and part.y is not None:
        part.y = np.array(raw.classes)[part.y]
    return part


def _held_out(raw: Raw, split: str, source: Any, settings: DataSettings) -> Part:
    """Read the user's own validation or test examples, of the columns and the shape that `raw` has."""
    other = shape_up(read_raw(source, settings, raw.shape))
    if raw.modality == "audio":
        match_sound(other, raw.facts)
    match_pictures(match_columns(other, raw.columns), raw.shape)
    part = _own(other, split)
    return part


@bounded
def read_like(source: Any, settings: DataSettings, info: DataInfo, mine: Prepare, strict: bool = False) -> Raw:
    """Read other data as those of a trained model (its `info` and `Prepare`): all of them, on its columns and scale.

    One example may come without its batch. Pictures of another mode or size are converted, with a warning. With
    `strict`, labels that are none of the model's are a UserError.
    """
    raw = read_raw(source, settings, info.shape)
    raw.train.x = match_one(raw.train.x, info.shape)
    if info.modality == "audio":
        match_sound(raw, info.facts)
    raw = _keyed(match_columns(shape_up(raw), info.facts.get("header", ())))
    raw = _resized(raw, settings.size)
    raw = joined(match_pictures(raw, info.shape))
    return compact(match_scale(check(match_labels(raw, info.classes, strict), settings.labels), mine))


def prepare(raw: Raw, settings: DataSettings, wants: Wants) -> DataSet:
    """Split what was read, and prepare it for a likelihood that `wants` a kind; `raw` cannot be used again."""
    plan = resolve(raw, settings, wants)
    if isinstance(raw, StreamedRaw):
        if settings.unseen:
            raise UserError(f"data.unseen needs {raw.source} in memory; set data.stream=no, or leave data.unseen out")
        sample, (train, valid, test), contents = raw.splits(plan, settings)
    else:
        (train, valid, test), contents = _splits(raw, settings)
        sample = train.x
    train, valid, test, condition = _conditioned(raw, (train, valid, test))
    plan, mean, deviation = fitted(plan, sample, settings)
    if plan.mode == "fixed":
        train, valid, test = (_fix(split, plan, settings.seed + i) for i, split in enumerate((train, valid, test)))
    info = DataInfo(
        name=raw.name,
        shape=raw.shape,
        kind=plan.kind,
        levels=plan.levels,
        n_train=len(train),
        n_valid=len(valid),
        n_test=len(test),
        classes=raw.classes,
        source=raw.source,
        bits_offset=bits_offset(plan),
        factor_names=raw.factor_names,
        factor_sizes=raw.factor_sizes,
        modality=raw.modality,
        facts=raw.facts | ({"header": list(raw.columns)} if raw.table and raw.columns else {}),
        mean=mean,
        deviation=deviation,
        standardised=plan.sd is not None,
        condition=condition,
    )
    return DataSet(info, train, valid, test, plan, contents)


def _splits(raw: Raw, settings: DataSettings) -> tuple[tuple[Split, Split, Split], Contents]:
    """Return train, valid and test as tensors that share no memory with the source, and what the source holds."""
    keys = {name: _keys(part) for name, part in raw.parts}
    source = keys.pop("train")
    own: dict[str, np.ndarray] = {}
    if settings.unseen:
        dealt, own = deal_apart(raw, source, settings)
    else:
        dealt = deal(source, raw.source, settings, own_valid="valid" in keys, own_test="test" in keys)
    first = raw.first_row
    splits = (
        _stored(raw.train, first, dealt.train),
        _stored(raw.train, first, dealt.valid) if raw.valid is None else _stored(raw.valid, first, own.get("valid")),
        _stored(raw.train, first, dealt.test) if raw.test is None else _stored(raw.test, first, own.get("test")),
    )
    return splits, contents_of(dealt, source, keys, labelled_keys(raw), raw.columns)


def labelled_keys(raw: Raw) -> Keys:
    """Return the keys of all examples of a source, split after split, with their labels."""
    keys = np.concatenate([_keys(part) for _, part in raw.parts])
    if raw.train.y is None:
        return keys
    y = np.concatenate([part.y for _, part in raw.parts if part.y is not None])
    return with_classes(keys, y, raw.classes) if raw.condition is None else mixed(keys, frame_keys(raw.condition)[y])


def _keys(part: Part) -> Keys:
    return row_keys(part.x) if part.keys is None else part.keys


def _stored(part: Part, first_row: int, index: np.ndarray | None = None) -> Split:
    rows: Any = slice(None) if index is None else index
    dtype = np.uint8 if part.x.dtype == np.uint8 else np.float32
    x = torch.from_numpy(part.x[rows].astype(dtype, order="C", copy=index is None))
    y = None if part.y is None else torch.from_numpy(part.y[rows].astype(np.int64))
    factors = None if part.factors is None else torch.from_numpy(part.factors[rows])
    origin = part.origin or Origin.rows(len(part.x), first=first_row)
    keys = None if part.keys is None else part.keys[rows]
    return Split(x, y, factors, origin if index is None else origin.take(index), keys)


def _conditioned(raw: Raw, splits: tuple[Split, Split, Split]) -> tuple[Split, Split, Split, tuple[Facts, ...]]:
    """Return the splits with their conditions, as vectors fitted to the training examples, and what they are."""
    train, valid, test = splits
    if train.y is None:
        return train, valid, test, ()
    if raw.condition is None:
        lacking = any(split.y is not None and bool((split.y < 0).any()) for split in splits)
        facts = {"name": CLASS_NAMES[0], "type": "categorical", "levels": list(raw.classes), "missing": True}
        return train, valid, test, ((facts,) if lacking else ())
    condition = fitted_conditions(raw.condition, train.y.numpy())
    every = Conditions(condition).read(raw.condition)
    assert every is not None
    train, valid, test = (replace(split, y=None if split.y is None else every[split.y]) for split in splits)
    return train, valid, test, condition


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
        part.x = resized(part.x, (part.x.shape[1], size, size))
    return raw
