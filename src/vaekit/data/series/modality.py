"""Time series: rows of steps and channels, ragged, with gaps; from .ts, CSV, NPY and NPZ files, WAV, arrays, lists."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.contents import contents_of, with_classes
from vaekit.data.csv_files import write_csv
from vaekit.data.dataset import DataSet, Split
from vaekit.data.digest import array_keys
from vaekit.data.info import DataInfo
from vaekit.data.modality import MODALITIES, Modality
from vaekit.data.preprocessing import Wants
from vaekit.data.save import write_npz
from vaekit.data.series.collection import Collection, Values, rows, unpadded
from vaekit.data.series.reading import read_series
from vaekit.data.series.settings import SeriesSettings
from vaekit.data.settings import DataSettings, settings_as
from vaekit.data.splits import deal
from vaekit.errors import UserError
from vaekit.figures.series import curves, paths
from vaekit.figures.style import save

BARS = "▁▂▃▄▅▆▇█"
SPARK = 48
"""Letters in a line that stands for a series."""


class Series(Modality):
    """Rows (N, C, T) float32: NaN is a missing value, +inf in all channels what follows a series' end.

    `info.facts`: `values` ("real", or "counts" where all are whole and not negative), `channels` (their names),
    `lengths` (the training series' lengths and how many have each), `layout` (of the source), `rate` (steps a second,
    or None), and `mean` and `sd` of each channel's observed training values, by which real values are standardised.
    """

    name = "series"
    noun = "time series"
    settings = SeriesSettings
    reads = (".ts",)
    formats = (".csv", ".npz", ".png")
    picture = staticmethod(curves)
    path_picture = staticmethod(paths)
    also_reads = ("audio",)

    def load(self, source: Any, settings: DataSettings) -> DataSet:
        """Read series: as many steps as the longest has, of all splits, or `data.length`.

        >>> data = Series().load([[0.5, 1.5, None], [2.5]], SeriesSettings(valid=0, test=0))
        >>> data.train.x.tolist(), data.info.facts["lengths"]
        ([[[0.5, 1.5, nan]], [[2.5, inf, inf]]], [[1, 1], [3, 1]])
        """
        mine = settings_as(SeriesSettings, settings)
        found = read_series(source, mine).unpadded()
        found, test = _cut(found, mine.length), None if found.test is None else _cut(found.test, mine.length)
        if test is not None:
            if test.source != found.source:
                warnings.warn(f"{found.source}: {Path(test.source).name} beside it is the test split", stacklevel=2)
            if test.width != found.width:
                raise UserError(f"{test.source} has {test.width} channels, and {found.source} {found.width}")
            if bool(test.labels) != bool(found.labels):
                which = "train" if found.labels else "test"
                raise UserError(f"{found.source}: labels for {which} only; give labels for every split or for none")
        every = [*found.series, *(() if test is None else test.series)]
        steps = max(one.shape[1] for one in every)
        classes = _classes(found, test)
        x, y = rows(found.series, steps), _numbered(found, classes)
        keys, own = array_keys(found.series), {} if test is None else {"test": array_keys(test.series)}
        parts = deal(keys, found.source, mine, own_test=test is not None)
        whole = Split(x, y, origin=found.origin, keys=keys)
        splits = [whole.take(torch.from_numpy(parts[i])) for i in range(3)]
        if test is not None:
            splits[2] = Split(rows(test.series, steps), _numbered(test, classes), origin=test.origin, keys=own["test"])
        lengths, counts = np.unique(found.lengths[parts[0]], return_counts=True)
        facts = {
            "values": "counts" if all(_are_counts(one) for one in every) else "real",
            "channels": list(found.channels) or [f"channel {c + 1}" for c in range(found.width)],
            "lengths": [[int(n), int(count)] for n, count in zip(lengths, counts)],
            "layout": found.layout,
            "rate": found.rate,
        }
        every_key = np.concatenate([keys, *own.values()])
        numbers = [part for part in (y, splits[2].y if own else None) if part is not None]
        labelled = with_classes(every_key, torch.cat(numbers).numpy() if numbers else None, classes)
        contents = contents_of(parts, keys, own, labelled)
        return self.data_set(found.name, found.source, "series", splits, facts, classes=classes, contents=contents)

    def fitted(self, data: DataSet, wants: Wants) -> DataSet:
        """Standardise each channel by its observed training values, for a likelihood that wants real ones.

        Raises:
            UserError: counts are wanted, and there are other values.
        """
        x = data.train.x.double()
        seen = torch.isfinite(x)
        count = seen.sum((0, 2)).clamp(min=1)
        mean = torch.where(seen, x, 0.0).sum((0, 2)) / count
        if wants == "counts":
            if data.info.facts["values"] != "counts":
                raise UserError(
                    f"{data.info.source} has values that are not whole or are negative, and this likelihood wants "
                    "counts; use gaussian or student-t"
                )
            facts = data.info.facts | {"mean": mean.tolist(), "sd": None}
            return replace(data, info=replace(data.info, facts=facts))
        sd = (torch.where(seen, (x - mean[:, None]).square(), 0.0).sum((0, 2)) / count).sqrt()
        sd = torch.where(sd > 1e-6 * (1e-30 + mean.abs()), sd, 1.0)
        facts = data.info.facts | {"mean": mean.tolist(), "sd": sd.tolist()}
        prepare = replace(data.prepare, mean=tuple(mean.tolist()), sd=tuple(sd.tolist()), axes=2)
        return replace(data, info=replace(data.info, facts=facts), prepare=prepare)

    def encode(self, source: Any, info: DataInfo, settings: DataSettings) -> Split:
        """Read other series as the run's own were, in the units of the source."""
        mine = settings_as(SeriesSettings, settings)
        found = self.collected(source, info, mine).unpadded()
        keys = array_keys(found.series)
        return Split(rows(found.series, info.shape[1]), _known(found, info.classes), origin=found.origin, keys=keys)

    def collected(self, source: Any, info: DataInfo, settings: DataSettings) -> Collection:
        """Read other series of the run's channels; longer ones than the run's are refused, or cut by `data.length`."""
        mine = settings_as(SeriesSettings, settings)
        found = _cut(read_series(source, mine, info.facts["layout"]), mine.length)
        channels, steps = info.shape
        if found.width != channels:
            raise UserError(f"{found.source} has series of {found.width} channels; this run's have {channels}")
        longest = int(np.argmax(found.lengths))
        if found.lengths[longest] > steps:
            raise UserError(
                f"{found.place(longest)} has {found.lengths[longest]} steps; this run's model takes up to {steps}: cut "
                "it, or train with longer series"
            )
        if info.facts.get("sd", ()) is None:  # there is none yet while the run's own splits are read
            odd = next((i for i, one in enumerate(found.series) if not _are_counts(one)), None)
            if odd is not None:
                raise UserError(
                    f"{found.place(odd)} holds values that are no counts, and this run's model is of counts"
                )
        return found

    def lines(self, x: Tensor, info: DataInfo) -> list[str]:
        """Return each series' length, range and shape, the first channel's: `24 steps, -1.2 … 1.4 ▁▃▆█▆▃▁`."""
        return [_line(one) for one in unpadded(x)]

    def write(self, path: Path, x: Tensor, info: DataInfo, y: Any = None) -> None:
        """Write series as a long CSV (series, step, a column a channel), an NPZ that can be read again, or a picture.

        The NPZ has `values` (N, …) as the source lays them out, NaN beyond each series' end, and `lengths` (N,).
        """
        suffix = path.suffix.lower()
        series = unpadded(x)
        if suffix == ".npz":
            write_npz(path, **as_arrays(series, info))
        elif suffix == ".png":
            save(curves(x, info.facts), path)
        else:
            write_long(path, series, info)


def write_long(path: Path, series: Sequence[Values], info: DataInfo, names: Sequence[str] = ()) -> None:
    """Write series as a CSV in long form: series, step, and a column a channel, empty where a value is missing.

    `names` are those of the series, which are numbered from 0 without them.
    """
    steps = (
        [i, t, *step] for i, one in zip(names or range(len(series)), series) for t, step in enumerate(one.T.tolist())
    )
    lines = ([*row[:2], *(None if cell != cell else f"{cell:.9g}" for cell in row[2:])] for row in steps)
    write_csv(path, ["series", "step", *info.facts["channels"]], lines)


def as_arrays(series: Sequence[Values], info: DataInfo) -> dict[str, np.ndarray]:
    """Return series as `values` laid out as the source's are, NaN beyond their ends, and `lengths`."""
    lengths = np.array([one.shape[1] for one in series], np.int64)
    out = np.full((len(series), info.shape[0], int(lengths.max(initial=1))), np.nan)
    for row, one in zip(out, series):
        row[:, : one.shape[1]] = one
    layout = info.facts["layout"]
    return {"values": out[:, 0] if layout == "T" else out if layout == "CT" else out.swapaxes(1, 2), "lengths": lengths}


def _cut(found: Collection, length: int | None) -> Collection:
    """Return the series cut at `length`, and say how many were."""
    found = found.checked()
    cut = 0 if length is None else int((found.lengths > length).sum())
    if cut and length is not None:
        warnings.warn(f"{found.source}: {cut} of {len(found)} series are cut after {length} steps", stacklevel=3)
        return found.cut(length)
    return found


def _are_counts(one: Values) -> bool:
    known = one[~np.isnan(one)]
    return bool(((known >= 0) & (known == np.round(known))).all())


def _classes(found: Collection, test: Collection | None) -> tuple[str, ...]:
    """Return the classes' names, numbers by size before names."""
    names = {*found.labels, *(() if test is None else test.labels)}
    return tuple(sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))


def _numbered(found: Collection, classes: Sequence[str]) -> Tensor | None:
    return torch.tensor([classes.index(name) for name in found.labels]) if found.labels else None


def _known(found: Collection, classes: Sequence[str]) -> Tensor | None:
    """Return the classes' numbers, None where the run has none or others than these."""
    if not classes or not found.labels:
        return None
    odd = next((name for name in found.labels if name not in classes), None)
    if odd is not None:
        warnings.warn(
            f"{found.source} has the label '{odd}', which this run does not know: labels left out", stacklevel=4
        )
        return None
    return _numbered(found, classes)


def _line(one: Values) -> str:
    first = one[0]
    known = first[~np.isnan(first)]
    more = f" and {len(one) - 1} channels" if len(one) > 1 else ""
    if not len(known):
        return f"{one.shape[1]} steps, none observed{more}"
    low, high = float(known.min()), float(known.max())
    chosen = first[np.linspace(0, len(first) - 1, min(SPARK, len(first))).round().astype(int)]
    level = (chosen - low) / max(high - low, 1e-12) * (len(BARS) - 1)
    spark = "".join(" " if np.isnan(v) else BARS[round(v)] for v in level)
    return f"{one.shape[1]} steps, {low:.3g} … {high:.3g} {spark}{more}"


MODALITIES.register("series", summary="time series: ragged, of several channels, with gaps; .ts, CSV, NPZ, WAV")(
    Series()
)
