"""Structure-aware fuzzing of every reader: small valid files, damaged by a seed, are read or refused in a sentence.

`try_one(name, seed)` is one try: a valid source, none to three mutations of one of its files, and the reader, in this
process. `PYTHONPATH=src:tests python -m attack --area readers.` makes many.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch

from attack import sources as make
from attack.mutations import BYTES, NPY, NPZ, TEXT, Mutation
from attack.tries import Try, attempt
from vaekit.data.dataset import DataSet
from vaekit.data.loading import prepare, read
from vaekit.data.modality import MODALITIES
from vaekit.data.preprocessing import describe
from vaekit.data.settings import DataSettings


@dataclass(frozen=True)
class Reader:
    """A reader: what makes its valid sources (files by name), what damages them, and how they are read."""

    make: Callable[[Random], dict[str, bytes]]
    mutations: tuple[Mutation, ...]
    modality: str = "array"
    settings: tuple[Mapping[str, Any], ...] = ({},)
    folder: bool = False
    """Whether the source is the folder of the files rather than the first of them."""

    def read(self, source: Any, random: Random) -> DataSet:
        """Read, describe and prepare a source."""
        given = random.choice(self.settings)
        if self.modality != "array":
            modality = MODALITIES[self.modality].part
            data = modality.load(source, modality.settings.model_validate({"valid": 0.2, "test": 0.2} | dict(given)))
            return modality.fitted(data, "any")
        settings = DataSettings.model_validate(given)
        raw = read(source, settings)
        describe(raw, settings)
        return prepare(raw, settings, "any")


STREAMED = ({"stream": "yes"}, {"stream": "yes", "limit": 3})
READERS: dict[str, Reader] = {
    "idx": Reader(make.idx, BYTES, settings=({}, {"binarise": "fixed"})),
    "idx folder": Reader(make.idx_folder, BYTES, folder=True),
    "npy": Reader(make.npy, NPY, settings=({}, {"size": 3}, {"limit": 2})),
    "npy streamed": Reader(make.npy, NPY, settings=STREAMED),
    "npy folder": Reader(make.npy_folder, NPY, settings=STREAMED, folder=True),
    "npz": Reader(make.npz, NPZ, settings=({}, {"labels": "numbers"}, {"labels": "classes"})),
    "npz sparse": Reader(make.npz_sparse, NPZ),
    "csv": Reader(make.csv, TEXT, settings=({}, {"label": "none"}, {"label": "label"})),
    "images": Reader(make.images, BYTES, settings=({}, {"size": 4}), folder=True),
    "images streamed": Reader(make.images, BYTES, settings=({"stream": "yes"},), folder=True),
    "wav": Reader(make.wav, BYTES, settings=({}, {"rate": 4000}), folder=True),
    "text": Reader(make.text, TEXT, "text", ({}, {"unit": "words"}, {"longer": "cut"}, {"duplicates": "drop"})),
    "text csv": Reader(make.text_csv, TEXT, "text"),
    "smiles": Reader(make.smiles, TEXT, "molecules", ({}, {"invalid": "drop"}, {"representation": "smiles"})),
    "smiles csv": Reader(make.smiles_csv, TEXT, "molecules", ({"invalid": "drop"}, {"property": "weight"})),
    "graphs npz": Reader(make.graphs_npz, NPZ, "graphs", ({}, {"threshold": 0.5})),
    "graphs npy": Reader(make.graphs_npy, NPY, "graphs", ({}, {"threshold": 0.5})),
    "edges": Reader(make.edges, TEXT, "graphs", ({}, {"threshold": 0.5})),
    "gml": Reader(make.gml, TEXT, "graphs"),
    "graphml": Reader(make.graphml, TEXT, "graphs"),
    "midi": Reader(make.midi, BYTES, "music", ({}, {"voices": "all"}, {"invalid": "drop"}), folder=True),
    "ts": Reader(make.ts, TEXT, "series"),
    "series csv": Reader(make.series_csv, TEXT, "series"),
    "series tsv": Reader(make.series_tsv, TEXT, "series"),
    "series npz": Reader(make.series_npz, NPZ, "series", ({}, {"channels": "first"}, {"length": 4})),
    "series npy": Reader(make.series_npy, NPY, "series"),
    "table csv": Reader(
        make.table_csv, TEXT, "tables", ({}, {"bad_rows": "drop"}, {"header": "no"}, {"label": "city"})
    ),
    "table parquet": Reader(make.table_parquet, BYTES, "tables"),
}
OBJECTS: dict[str, Reader] = {
    f"{name} in memory": Reader(lambda _: {}, (), name, ({},))
    for name in ("array", "tables", "series", "graphs", "text", "molecules")
}


LARGEST = 4_000_000
"""Bytes of a source, up to which the bounds on time and memory hold for every reader."""


def damaged(reader: Reader, random: Random) -> dict[str, bytes]:
    """Return the files of a valid source, one of them damaged by up to three mutations."""
    files = reader.make(random)
    name = random.choice(sorted(files))
    for _ in range(random.choice((0, 1, 1, 1, 1, 2, 3))):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = random.choice(reader.mutations)(random, files[name])
                files[name] = made if len(made) <= LARGEST else files[name]
        except Exception:  # what is damaged already is not what a mutation of structure works on
            continue
    return files


def try_one(name: str, seed: int, folder: Path) -> Try:
    """Make a source by a seed in an empty folder, and read it."""
    random = Random(f"{name} {seed}")
    reader = READERS.get(name) or OBJECTS[name]
    if name in OBJECTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            held = make.memory(random)
        return attempt(lambda: reader.read(held, random), unsound)
    files = damaged(reader, random)
    for file, data in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    source = folder if reader.folder else folder / next(iter(files))
    return attempt(lambda: reader.read(source, random), unsound)


def unsound(data: DataSet) -> str:
    """Return what does not hold together in what was read: rows as said, and finite numbers where they must be."""
    x = data.train.x
    if len(data.train) != data.info.n_train or len(data.test) != data.info.n_test:
        return f"{len(data.train)} rows, and the record says {data.info.n_train}"
    if data.info.is_array and isinstance(x, torch.Tensor) and not torch.isfinite(x.float()).all():
        return "a value that is not finite was read"
    return ""
