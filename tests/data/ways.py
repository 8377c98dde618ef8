"""One set of examples in every form that people have their data in: vectors, pictures, texts, tables."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 5)).astype(np.float32)
X[RNG.random(X.shape) < 0.2] = 0.0
Y = np.arange(40) % 3
NAMES = [f"c{j}" for j in range(5)]
COLUMNS = {name: X[:, j].astype(np.float64) for j, name in enumerate(NAMES)}
GREYS = RNG.integers(0, 256, (30, 8, 8)).astype(np.uint8)
GREYS[0, 0, 0] = 255
TEXTS = [" ".join(RNG.choice(["the", "cat", "sat", "on", "a", "mat"], 3)) for _ in range(30)]
TABLE = {
    "age": [float(v) for v in RNG.integers(18, 80, 40)],
    "income": [None if i % 9 == 4 else float(v) for i, v in enumerate(RNG.normal(50, 9, 40).round(2))],
    "city": [str(v) for v in RNG.choice(["oslo", "rome", "kyiv"], 40)],
}


class Pairs(Dataset[Any]):
    """A dataset with a transform, as torchvision's are: an item is made by `item(i)`."""

    def __init__(self, n: int, item: Callable[[int], Any]) -> None:
        self.n, self.item = n, item

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        if i >= self.n:
            raise IndexError(i)
        return self.item(i)


class Stream(IterableDataset[Any]):
    """A dataset that does not say how long it is."""

    def __init__(self, n: int, item: Callable[[int], Any]) -> None:
        self.n, self.item = n, item

    def __iter__(self) -> Iterator[Any]:
        return (self.item(i) for i in range(self.n))


class Columns:
    """What a Hugging Face dataset offers: columns by name, in the format asked for, and the names of classes."""

    def __init__(
        self, columns: dict[str, Any], classes: dict[str, list[str]] | None = None, plain: bool = False
    ) -> None:
        self.columns_, self.plain = columns, plain
        self.column_names = list(columns)
        self.features = {name: type("ClassLabel", (), {"names": names}) for name, names in (classes or {}).items()}

    def with_format(self, kind: str | None) -> Columns:
        assert kind is None
        made = Columns(self.columns_, plain=True)
        made.features = self.features
        return made

    def __len__(self) -> int:
        return len(next(iter(self.columns_.values())))

    def __getitem__(self, key: str | int) -> Any:
        assert self.plain, "read in a format that was not asked for"
        if isinstance(key, int):
            return {name: column[key] for name, column in self.columns_.items()}
        return list(self.columns_[key])


def pair(i: int) -> tuple[torch.Tensor, int]:
    return torch.from_numpy(X[i]), int(Y[i])


def both() -> TensorDataset:
    return TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


def frame(library: str, columns: dict[str, Any], **more: Any) -> Any:
    return pytest.importorskip(library).DataFrame(columns, **more)


def written(path: Path, columns: dict[str, Any]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerows(
            [
                ["" if cell is None else repr(cell) if isinstance(cell, float) else cell for cell in row]
                for row in zip(*([v if not hasattr(v, "tolist") else v.tolist() for v in columns.values()]))
            ]
        )
    return path


def saved(path: Path, **arrays: Any) -> Path:
    if path.suffix == ".npy":
        np.save(path, arrays["x"])
    else:
        np.savez(path, **arrays)
    return path


def pictures(folder: Path) -> Path:
    folder.mkdir()
    for i, grey in enumerate(GREYS):
        Image.fromarray(grey).save(folder / f"{i:03d}.png")
    return folder


VECTORS: dict[str, Callable[[Path], Any]] = {
    "array": lambda _: X,
    "double array": lambda _: X.astype(np.float64),
    "nested lists": lambda _: X.tolist(),
    "tensor": lambda _: torch.from_numpy(X),
    "list of tensors": lambda _: list(torch.from_numpy(X)),
    "list of pairs": lambda _: [(X[i], int(Y[i])) for i in range(len(X))],
    "array and labels": lambda _: (X, Y),
    "tensor and list": lambda _: (torch.from_numpy(X), Y.tolist()),
    "dict": lambda _: {"x": X, "y": Y},
    "dict without labels": lambda _: {"x": torch.from_numpy(X)},
    "TensorDataset": lambda _: both(),
    "TensorDataset of x": lambda _: TensorDataset(torch.from_numpy(X)),
    "Dataset of pairs": lambda _: Pairs(40, pair),
    "Dataset of x": lambda _: Pairs(40, lambda i: X[i]),
    "Dataset of dicts": lambda _: Pairs(40, lambda i: {"features": X[i], "target": int(Y[i])}),
    "Subset": lambda _: Subset(both(), range(40)),
    "IterableDataset": lambda _: Stream(40, pair),
    "generator": lambda _: (row for row in X),
    "DataLoader": lambda _: DataLoader(both(), 7, shuffle=True),
    "DataLoader of a stream": lambda _: DataLoader(Stream(40, pair), 7),
    "DataLoader of its own batches": lambda _: DataLoader(
        both(), 7, collate_fn=lambda rows: torch.stack([r[0] for r in rows])
    ),
    "sparse matrix": lambda _: scipy.sparse.csr_matrix(X),
    "sparse array": lambda _: scipy.sparse.coo_array(X),
    "pandas": lambda _: frame("pandas", COLUMNS | {"label": Y}),
    "pandas with gaps' types": lambda _: frame("pandas", COLUMNS).convert_dtypes(),
    "pandas and a series": lambda _: (frame("pandas", COLUMNS), pytest.importorskip("pandas").Series(Y)),
    "polars": lambda _: frame("polars", COLUMNS | {"label": Y}),
    "polars and a series": lambda _: (frame("polars", COLUMNS), pytest.importorskip("polars").Series(Y)),
    "columns": lambda _: dict(COLUMNS),
    "Hugging Face columns": lambda _: Columns(COLUMNS | {"label": Y.tolist()}),
    "Hugging Face vectors": lambda _: Columns({"features": X.tolist(), "label": Y.tolist()}),
    "NPY": lambda d: saved(d / "x.npy", x=X),
    "NPZ": lambda d: saved(d / "x.npz", x=X, y=Y),
    "CSV": lambda d: written(d / "x.csv", COLUMNS | {"label": Y}),
}
PICTURES: dict[str, Callable[[Path], Any]] = {
    "array": lambda _: GREYS,
    "with a channel": lambda _: torch.from_numpy(GREYS)[:, None],
    "channels last": lambda _: GREYS[..., None],
    "pictures": lambda _: [Image.fromarray(grey) for grey in GREYS],
    "Dataset of pictures": lambda _: Pairs(30, lambda i: (Image.fromarray(GREYS[i]), i % 2)),
    "Hugging Face pictures": lambda _: Columns(
        {"image": [Image.fromarray(grey) for grey in GREYS], "label": [i % 2 for i in range(30)]},
        {"label": ["odd", "even"]},
    ),
    "folder": lambda d: pictures(d / "pictures"),
    "list of files": lambda d: sorted(pictures(d / "pictures").glob("*.png")),
}
LINES: dict[str, Callable[[Path], Any]] = {
    "list": lambda _: list(TEXTS),
    "tuple": lambda _: tuple(TEXTS),
    "array": lambda _: np.array(TEXTS),
    "dict": lambda _: {"text": TEXTS, "stars": list(range(30))},
    "pandas series": lambda _: pytest.importorskip("pandas").Series(TEXTS),
    "polars series": lambda _: pytest.importorskip("polars").Series(TEXTS),
    "pandas": lambda _: frame("pandas", {"Text": TEXTS, "stars": range(30)}),
    "polars": lambda _: frame("polars", {"lines": TEXTS}),
    "Hugging Face": lambda _: Columns({"label": [0] * 30, "text": TEXTS}),
    "Dataset": lambda _: Pairs(30, lambda i: (TEXTS[i], 1)),
    "stream of dicts": lambda _: Stream(30, lambda i: {"text": TEXTS[i]}),
    "file": lambda d: _texts(d / "lines.txt"),
}
TABLES: dict[str, Callable[[Path], Any]] = {
    "columns": lambda _: dict(TABLE),
    "pandas": lambda _: frame("pandas", TABLE),
    "polars": lambda _: frame("polars", TABLE),
    "Hugging Face": lambda _: Columns(TABLE),
    "CSV": lambda d: written(d / "t.csv", TABLE),
}


def _texts(path: Path) -> Path:
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


KINDS: dict[str, tuple[str, dict[str, Callable[[Path], Any]], dict[str, Any]]] = {
    "vectors": ("vae", VECTORS, {"model.hidden": 8}),
    "pictures": ("vae", PICTURES, {"model.hidden": 8, "model.likelihood": "discretised-logistic"}),
    "texts": ("sequence-vae", LINES, {}),
    "tables": ("tabular-vae", TABLES, {"model.hidden": 8}),
}
"""Recipe, ways in (the first is what the others are compared with), and settings."""
