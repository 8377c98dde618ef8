"""Data in memory taken as they are: the numbers, and the shape, that a hand-made model is to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from vaekit.data.arrays import as_floats
from vaekit.data.contents import contents_of, with_classes
from vaekit.data.dataset import DataSet, Split
from vaekit.data.digest import Keys, mixed, row_keys
from vaekit.data.extremes import warn_of_extremes
from vaekit.data.info import DataInfo, Kind
from vaekit.data.origin import Origin
from vaekit.data.prepare import Prepare
from vaekit.data.preprocessing import Wants, not_binary, not_counts, not_unit
from vaekit.data.raw import FILL, FILLED, Part, Raw
from vaekit.data.settings import DataSettings
from vaekit.data.sources import read_raw
from vaekit.data.splits import deal
from vaekit.errors import UserError

CHECKS = {
    "binary": (not_binary, "0 or 1"),
    "unit": (not_unit, "values in [0, 1]"),
    "levels": (not_unit, "grey levels scaled to [0, 1]"),
    "counts": (not_counts, "non-negative whole numbers"),
}


def as_they_are(
    source: Any, settings: DataSettings, wants: Wants, held_out: Mapping[str, Any] | None = None
) -> DataSet:
    """Return data in memory as a data set that prepares nothing: float32, in their own shape.

    `held_out` are the data of the splits "valid" and "test"; else they are drawn, as those of other data are.

    Raises:
        UserError: a value is not finite, or not one of the kind that the likelihood `wants`.

    >>> data = as_they_are(np.arange(40).reshape(10, 2, 2), DataSettings(), "real")
    >>> data.info.shape, data.train.x.dtype, data.train.x.max().item()
    ((2, 2), torch.float32, 39.0)
    """
    raw = read_raw(source, settings)
    for split, other in (held_out or {}).items():
        own = read_raw(other, settings)
        setattr(raw, split, getattr(own, split) or own.train)
    for split, part in raw.parts:
        part.x = _numbers(part, f"{split} x")
    if len({part.x.shape[1:] for _, part in raw.parts}) > 1:
        raise UserError("the splits' examples differ in shape; give them one shape")
    raw.refuse(lambda x: ~np.isfinite(x), "is {value}; remove or fill in missing and infinite values")
    raw.refuse(lambda x: np.abs(x) == FILL, FILLED)
    warn_of_extremes(raw)
    if wants in CHECKS:
        bad, what = CHECKS[wants]
        raw.refuse(
            bad,
            f"is {{value}}, and the model's likelihood takes {what}: a hand-made model sees arrays as they are; change "
            "them, or use vaekit.train(model, data), which prepares them",
        )
    given = [part.y for _, part in raw.parts]
    raw.settle_labels(settings.labels)
    if raw.condition is not None:  # numbers or attributes, which are not prepared either
        for (split, part), y in zip(raw.parts, given):
            part.y = _conditions(y, split)
    keys = {split: row_keys(part.x) for split, part in raw.parts}
    source = keys.pop("train")
    numbers = deal(source, raw.source, settings, own_valid="valid" in keys, own_test="test" in keys)
    splits = [_split(raw.train, numbers[i]) for i in range(3)]
    splits = [splits[0], *(_split(p) if p else s for p, s in zip((raw.valid, raw.test), splits[1:]))]
    kind: Kind = "real" if wants == "any" else wants
    x = splits[0].x
    prepare = Prepare(kind, low=float(x.min()), high=float(x.max())) if kind in ("real", "counts") else Prepare(kind)
    train, valid, test = splits
    offset = 0.0 if kind in ("binary", "counts") else None
    info = DataInfo(
        raw.name, raw.shape, kind, None, len(train), len(valid), len(test), raw.classes, raw.source, bits_offset=offset
    )
    contents = contents_of(numbers, source, keys, _labelled(raw, [source, *keys.values()]))
    return DataSet(info, train, valid, test, prepare, contents)


def _labelled(raw: Raw, keys: list[Keys]) -> Keys:
    """Return the keys of all examples with their labels."""
    whole, y = np.concatenate(keys), [part.y for _, part in raw.parts if part.y is not None]
    if not y:
        return whole
    labels = np.concatenate(y)
    return mixed(whole, row_keys(labels)) if labels.dtype.kind == "f" else with_classes(whole, labels, raw.classes)


def _numbers(part: Part, what: str) -> np.ndarray:
    if part.x.dtype.kind not in "biuf" or part.x.ndim < 2 or not part.x.size:
        raise UserError(f"{what} has type {part.x.dtype} and shape {part.x.shape}; give numbers, (N, ...)")
    if part.y is not None and len(part.y) != len(part.x):
        raise UserError(f"{what} has {len(part.x)} examples but {len(part.y)} labels; give one label each")
    return as_floats(part.x, np.float32)


def _conditions(y: Any, split: str) -> np.ndarray:
    try:
        return np.asarray(y, dtype=np.float32).reshape(len(y), -1)
    except (TypeError, ValueError):
        raise UserError(f"{split} y: a hand-made model sees labels as they are; give classes or numbers") from None


def _split(part: Part, index: np.ndarray | None = None) -> Split:
    rows: Any = slice(None) if index is None else index
    y = None if part.y is None else torch.from_numpy(part.y[rows])
    y = y if y is None or y.is_floating_point() else y.long()
    origin = part.origin or Origin.rows(len(part.x))
    return Split(torch.from_numpy(np.array(part.x[rows])), y, origin=origin.take(rows))
