"""Examples in several modalities: a picture, a sound, a text and the cells of a table, any of which may be missing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.audio.mel import MelScale
from vaekit.data.audio.wav import write_wav
from vaekit.data.contents import contents_of, with_classes
from vaekit.data.csv_files import write_csv
from vaekit.data.dataset import DataSet, Split
from vaekit.data.info import DataInfo
from vaekit.data.modality import MODALITIES, Modality
from vaekit.data.save import write_npz, write_picture
from vaekit.data.settings import DataSettings, settings_as
from vaekit.data.splits import deal
from vaekit.data.tables import columns as cols
from vaekit.data.tables.modality import cells_of, conditions_in, fitted_columns, labels_in, stored_rows
from vaekit.data.text.tokeniser import Tokeniser
from vaekit.data.views.kinds import VIEWS, in_units
from vaekit.data.views.reading import KINDS, NAME, Source, read_views
from vaekit.data.views.settings import ViewSettings
from vaekit.errors import UserError
from vaekit.figures.style import save
from vaekit.figures.views import side_by_side
from vaekit.views import CELLS, TEXT, View, views_of

FROM_COLUMNS = ("picture", "sound", "text")
"""Kinds that a column of text can be, whatever its texts look like."""


class Views(Modality):
    """Rows (N, W) float32 of all modalities side by side, NaN where one is missing; see `vaekit.views`.

    `info.facts`: `views` (the modalities in order: name, kind, shape, and what its kind needs to be read and shown),
    `header` (all columns), `constants`, `label` and `notes` as of tables.
    """

    name = NAME
    noun = "examples in several modalities"
    settings = ViewSettings
    formats = (".csv", ".npz", ".png")
    default = "captioned-digits"
    picture = staticmethod(lambda x, facts: pictured(x, facts))

    def load(self, source: Any, settings: DataSettings) -> DataSet:
        """Read the modalities; vocabularies, scales and the columns' types are fitted to the training rows.

        >>> pictures = np.arange(3 * 4).reshape(3, 2, 2).astype(np.uint8) * 20
        >>> source = {"picture": pictures, "word": ["a", "b", None]}
        >>> data = Views().load(source, ViewSettings(valid=0, test=0))
        >>> [view["name"] for view in data.info.facts["views"]], data.train.x.tolist()[2]
        (['picture', 'word'], [1.0, 1.0, 1.0, 1.0, nan])
        """
        mine = settings_as(ViewSettings, settings)
        found = read_views(source, mine)
        keys = found.keys
        parts = deal(keys, found.frame.source, mine)
        rows = np.array(parts[0])
        plain = mine.model_copy(update={"types": {n: k for n, k in mine.types.items() if k not in KINDS}})
        frame = found.cells
        labels = labels_in(frame, plain)
        facts = fitted_columns(frame, labels, plain, rows) if frame.columns else _no_cells()
        columns = facts.pop("columns")
        facts |= {"views": _fitted(found, rows, mine, columns)}
        if len(facts["views"]) < 2:
            raise UserError(
                f"{found.frame.source} has one modality ({facts['views'][0]['name'] if facts['views'] else 'none'}); "
                "name others in data.types (photo=picture, voice=sound, caption=text), or train another recipe"
            )
        facts["header"] = [column.name for column in found.columns if column.texts is None] + facts["header"]
        facts["header"] += [column.name for column in found.columns if column.texts is not None]
        classes, condition, y = conditions_in(frame, labels, plain, rows)
        if facts["notes"]:
            warnings.warn(f"{found.frame.source}: {'; '.join(facts['notes'])}", stacklevel=2)
        x = _rows(found, facts["views"])
        if y is not None and y.is_floating_point():
            raise UserError(f"{found.frame.source}: the label of several modalities is one column of classes")
        split = Split(x, y, origin=found.origin, keys=keys)
        splits = [split.take(torch.from_numpy(np.array(parts[i]))) for i in range(3)]
        labelled = with_classes(keys, None if y is None else y.numpy(), classes)
        contents = contents_of(parts, keys, labelled=labelled, columns=facts["header"])
        name = found.frame.name
        made = self.data_set(name, found.frame.source, "views", splits, facts, classes=classes, contents=contents)
        return replace(made, info=replace(made.info, condition=condition))

    def encode(self, source: Any, info: DataInfo, settings: DataSettings) -> Split:
        """Read other examples as the run's own were; modalities that are not there are missing.

        Raises:
            UserError: none is there, or one does not fit.
        """
        mine = settings_as(ViewSettings, settings)
        kinds = {
            view["name"]: view["kind"] for view in info.facts["views"] if view["kind"] in ("picture", "sound", "text")
        }
        found = read_views(source, mine.model_copy(update={"types": _given(kinds, source)}))
        frame = found.cells
        label = frame.column(info.facts["label"]) if info.facts.get("label") else None
        y = None
        if label is not None:
            place = {name: i for i, name in enumerate(info.classes)}
            y = torch.tensor([place.get(label.text(row), -1) for row in range(len(found))])
        return Split(_rows(found, info.facts["views"]), y, origin=found.origin, keys=found.keys)

    def lines(self, x: Tensor, info: DataInfo) -> list[str]:
        """Return `name: value; …` for each example; of pictures and sounds how much of them is set or sounds."""
        each = []
        for view, facts in pairs(info.facts):
            told = _texts(view, facts, x)
            each.append([f"{view.name}: {text}" if seen else "" for text, seen in zip(told, view.seen(x).tolist())])
        return ["; ".join(part for part in row if part) for row in zip(*each)]

    def write(self, path: Path, x: Tensor, info: DataInfo, y: Any = None) -> None:
        """Write an NPZ with an array a modality, a picture, or a CSV beside whose name a folder holds the files."""
        if path.suffix.lower() == ".png":
            save(pictured(x, info.facts), path)
        elif path.suffix.lower() == ".npz":
            write_npz(path, **arrays_of(x, info))
        else:
            _write_csv(path, x, info)


def pairs(facts: Mapping[str, Any]) -> list[tuple[View, Mapping[str, Any]]]:
    """Return the views with their facts."""
    return list(zip(views_of(facts["views"]), facts["views"]))


def arrays_of(x: Tensor, info: DataInfo) -> dict[str, np.ndarray]:
    """Return rows as an array for each modality, in its own units: texts as str, cells as columns by name."""
    out: dict[str, np.ndarray] = {}
    for view, facts in pairs(info.facts):
        own = view.of(x).numpy()
        if view.kind == CELLS:
            columns = facts["columns"]
            rows = cells_of(torch.from_numpy(own), columns, cols.as_text)
            out |= {column["name"]: np.array([row[j] for row in rows], dtype=str) for j, column in enumerate(columns)}
        elif view.kind == TEXT:
            out[view.name] = np.array(_texts(view, facts, x), dtype=str)
        else:
            out[view.name] = own if view.kind == "picture" else in_units(own, facts)
    return out


def pictured(x: Any, facts: Mapping[str, Any]) -> Any:
    """Draw rows, a column an example and a line of panels a modality."""
    rows = torch.as_tensor(x)
    shown = [
        (view.name, view.kind, _texts(view, own, rows) if view.kind in (TEXT, CELLS) else view.of(rows).numpy())
        for view, own in pairs(facts)
    ]
    return side_by_side(shown)


def _fitted(found: Source, rows: np.ndarray, settings: ViewSettings, columns: list[Any]) -> list[dict[str, Any]]:
    """Return the facts of every view: those of a column each, and the cells if there are any."""
    views: list[dict[str, Any]] = []
    for column in found.columns:
        facts = VIEWS[column.kind]().fit(found, column, rows, settings)
        views.append({"name": column.name, "kind": column.kind} | facts)
    if columns:
        name = columns[0]["name"] if len(columns) == 1 else CELLS
        views.append({"name": name, "kind": CELLS, "shape": [len(columns)], "columns": columns})
    return views


def _rows(found: Source, views: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the rows (N, W) of what was read."""
    columns = {column.name: column for column in found.columns}
    frame, each = found.cells, []
    for view, facts in zip(views_of(views), views):
        if view.kind == CELLS and frame.columns:
            each.append(stored_rows(frame, facts["columns"], "missing"))
        elif view.kind in VIEWS and view.name in columns:
            each.append(VIEWS[view.kind]().store(found, columns[view.name], facts))
        else:
            each.append(np.full((len(found), view.stop - view.start), np.nan, np.float32))
    x = torch.from_numpy(np.concatenate(each, 1))
    if bool(torch.isnan(x).all()):
        names = ", ".join(view["name"] for view in views)
        raise UserError(f"{found.frame.source} has none of this run's modalities ({names})")
    return x


def _given(kinds: Mapping[str, str], source: Any) -> dict[str, str]:
    """Return the types of a run's modalities that a source has: of a file, those its first line names."""
    if isinstance(source, str | Path):
        return dict(kinds)
    names = {str(name) for name in (source if isinstance(source, Mapping) else getattr(source, "columns", ()))}
    return {name: kind for name, kind in kinds.items() if name in names}


def _no_cells() -> dict[str, Any]:
    return {"columns": [], "header": [], "constants": {}, "label": None, "notes": []}


def _texts(view: View, facts: Mapping[str, Any], x: Tensor) -> list[str]:
    """Return a view of each row in a few words."""
    own = view.whole(x)
    if view.kind == TEXT:
        tokeniser = Tokeniser.from_dict(facts["tokeniser"])
        return [tokeniser.decode(row) for row in own.long().tolist()]
    if view.kind == CELLS:
        columns = facts["columns"]
        rows = cells_of(own, columns, cols.as_text)
        return [", ".join(f"{c['name']}={cell or '?'}" for c, cell in zip(columns, row)) for row in rows]
    if view.kind == "picture":
        return [f"{100 * share:.0f}% ink" for share in own.flatten(1).mean(1).tolist()]
    values = in_units(own, facts).reshape(len(own), -1)
    return [f"{row.min():.3g} … {row.max():.3g}" for row in values]


def _write_csv(path: Path, x: Tensor, info: DataInfo) -> None:
    """Write a row an example, with the names of files that hold its pictures and sounds, in a folder of its own."""
    folder = path.with_suffix("")
    columns: dict[str, list[str]] = {}
    for view, facts in pairs(info.facts):
        seen, own = view.seen(x).tolist(), view.whole(x)
        if view.kind == CELLS:
            rows = cells_of(own, facts["columns"], cols.as_text)
            columns |= {c["name"]: [row[j] for row in rows] for j, c in enumerate(facts["columns"])}
        elif view.kind == TEXT:
            columns[view.name] = [text if there else "" for text, there in zip(_texts(view, facts, x), seen)]
        elif view.kind == "numbers":
            values = in_units(own, facts).reshape(len(x), -1)
            names = [f"{view.name}{i}" for i in range(values.shape[1])]
            columns |= {name: [f"{v:.9g}" for v in column] for name, column in zip(names, values.T)}
        else:
            suffix = "png" if view.kind == "picture" else "wav"
            stems = [f"{view.name}-{i}" for i in range(len(x))]
            folder.mkdir(parents=True, exist_ok=True)
            if view.kind == "picture":
                for stem, one in zip(stems, own.clamp(0, 1)):
                    write_picture(folder / f"{stem}.png", one)
            else:
                scale = MelScale.from_dict(facts["mel"])
                spectra = torch.from_numpy(in_units(own, facts)).flatten(1, 2).float()
                for stem, sound in zip(stems, scale.waveform(spectra).numpy()):
                    write_wav(folder / f"{stem}.wav", sound, scale.rate)
            columns[view.name] = [f"{folder.name}/{stem}.{suffix}" if there else "" for stem, there in zip(stems, seen)]
    write_csv(path, list(columns), [list(row) for row in zip(*columns.values())], ",")


MODALITIES.register("views", summary="several modalities: pictures, sounds, texts, numbers, cells; any may be missing")(
    Views()
)
