"""Every form that people have their data in is trained on, encoded and scored as the same numbers in an array are."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler, TensorDataset, WeightedRandomSampler

from data.ways import GREYS, KINDS, Columns, Pairs, Stream, X, Y, both
from vaekit.data import DataSettings, load
from vaekit.data import iterated as reading
from vaekit.data.python_objects import read_object
from vaekit.data.streamed import read_streamed, rows_to_stream
from vaekit.errors import UserError
from vaekit.runs.run import Run
from vaekit.runs.train import train

WAYS = [(kind, way) for kind, (_, ways, _) in KINDS.items() for way in ways]


def trained(kind: str, source: Any, hold_out: bool = True) -> Run:
    recipe, _, settings = KINDS[kind]
    settings = settings if hold_out else {**settings, "data.valid": 0, "data.test": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what tables and texts say of their columns
        return train(recipe, source, steps=3, seed=1, set=settings)


@cache
def reference(kind: str, files: bool) -> tuple[torch.Tensor, np.ndarray]:
    """Return codes and scores of the plainest way in; pictures' files are split by their bytes, not their pixels."""
    source = next(iter(KINDS[kind][1].values()))(Path())
    run = trained(kind, source, hold_out=not files)
    return run.encode(source), run.detect(source, k=4).scores


@pytest.mark.parametrize(("kind", "way"), WAYS, ids=[f"{kind}: {way}" for kind, way in WAYS])
def test_every_way_in_trains_encodes_and_detects(kind: str, way: str, tmp_path: Path) -> None:
    make = KINDS[kind][1][way]
    source = make(tmp_path)
    files = kind == "pictures" and way in ("folder", "list of files")
    run = trained(kind, source, hold_out=not files)
    fresh = source if isinstance(source, Path | list) else make(tmp_path)  # a generator is read once
    prepared = run.prepared(fresh)
    codes, scores = reference(kind, files)
    torch.testing.assert_close(run.encode(prepared), codes, rtol=1e-5, atol=1e-6)
    found = run.detect(fresh if way != "generator" else prepared, k=4)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
    assert found.origin is not None and len(found.origin) == len(scores)


@pytest.mark.parametrize("way", ["array and labels", "dict", "Dataset of pairs", "DataLoader", "pandas", "NPZ", "CSV"])
def test_labels_come_along(way: str, tmp_path: Path) -> None:
    data = load(KINDS["vectors"][1][way](tmp_path), DataSettings(valid=0, test=0))
    assert data.info.classes == ("0", "1", "2") and data.train.y is not None
    assert data.train.y.tolist() == Y.tolist()


def test_names_of_classes_come_from_the_dataset() -> None:
    named = Columns({"image": list(GREYS), "label": [i % 2 for i in range(30)]}, {"label": ["odd", "even"]})
    pairs = Pairs(30, lambda i: (GREYS[i], i % 2))
    pairs.classes = ["odd", "even"]  # type: ignore[attr-defined]
    for source in (named, pairs):
        assert load(source, DataSettings()).info.classes == ("odd", "even")


def test_a_loader_that_samples_is_read_batch_by_batch() -> None:
    weights = torch.zeros(40)
    weights[[3, 5]] = 1.0
    few = read_object(DataLoader(both(), 4, sampler=WeightedRandomSampler(weights.tolist(), 10)))
    assert len(few.train.x) == 10 and {tuple(row) for row in few.train.x} <= {tuple(X[3]), tuple(X[5])}
    again = read_object(DataLoader(both(), 4, sampler=RandomSampler(both(), replacement=True, num_samples=100)))
    assert len(again.train.x) == 100
    as_many = read_object(DataLoader(both(), 4, sampler=RandomSampler(both(), replacement=True)))
    assert len(as_many.train.x) == 40 and not np.array_equal(as_many.train.x, X)
    whole = read_object(DataLoader(both(), 4, shuffle=True, drop_last=True))
    np.testing.assert_array_equal(whole.train.x, X)


def test_a_type_widens_as_examples_need_it() -> None:
    rows = [np.array([1, 2]), np.array([0.5, 2.0])]
    assert read_object(Pairs(2, lambda i: rows[i])).train.x.tolist() == [[1.0, 2.0], [0.5, 2.0]]
    many = Stream(3000, lambda i: np.array([i if i < 2000 else i + 0.5]))
    assert read_object(many).train.x[[0, 1999, 2999], 0].tolist() == [0.0, 1999.0, 2999.5]


def test_an_endless_dataset_is_bounded_by_limit_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Stream(10**12, lambda i: X[i % 40])
    data = load(endless, DataSettings(limit=30, valid=0.1, test=10))
    assert data.info.n_train == 30 and 10 <= data.info.n_test < 14 and data.info.n_valid
    monkeypatch.setattr(reading, "UNSIZED_MOST", 100_000)
    with pytest.raises(UserError, match=r"Stream does not say how long it is .* bound it with data.limit=N"):
        load(endless, DataSettings())
    monkeypatch.setattr(reading, "memory", lambda: 500)
    with pytest.raises(UserError, match="more than this machine's memory"):
        load(Pairs(40, lambda i: X[i]), DataSettings())


def test_a_large_sparse_matrix_stays_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.sparse

    counts = np.random.default_rng(0).poisson(0.2, (200, 30)).astype(np.int64)
    settings = DataSettings(seed=4)
    plain = load(counts, settings, wants="counts")
    assert rows_to_stream(scipy.sparse.csr_array(counts), settings) is None
    opened = rows_to_stream(scipy.sparse.csr_array(counts), settings.model_copy(update={"stream": "yes"}))
    assert opened is not None and read_streamed(opened, settings).n == 200
    monkeypatch.setattr("vaekit.data.streamed.STREAM_ABOVE", 1000)
    sparse = load(scipy.sparse.csr_array(counts), settings, wants="counts")
    assert not isinstance(sparse.train.x, torch.Tensor)
    for split, other in ((plain.train, sparse.train), (plain.valid, sparse.valid), (plain.test, sparse.test)):
        assert torch.equal(split.x, other.x[:])


WRONG: dict[str, tuple[Any, str]] = {
    "three parts": ((X, Y, Y), "a tuple of 3"),
    "items of three": (Pairs(4, lambda i: (X[i], 1, 2)), "items of the dataset have 3 parts"),
    "items without x": (Pairs(4, lambda i: {"voltage": X[i]}), "items of the dataset have voltage; call the data x"),
    "shapes": (Pairs(4, lambda i: X[i, : 5 - i // 3]), r"example 3 has shape \(4,\), the first \(5,\)"),
    "some labels": (Pairs(4, lambda i: (X[i], 1) if i else (X[i],)), "labels for some of its examples only"),
    "none": (Pairs(0, lambda i: X[i]), "Pairs is empty"),
    "no stream": (Stream(0, lambda i: X[i]), "Stream is empty"),
    "three tensors": (TensorDataset(*[torch.zeros(3, 2)] * 3), "a TensorDataset of 3 tensors"),
    "text in a column": ({"a": [1.0, 2.0], "b": ["x", "y"]}, "row 1, column 'b': 'x' is not a number"),
    "an object": (object(), "cannot read data from object"),
    "names": ({"z_train": X, "x_test": X, "x_valid": X}, "column 'z_train' holds arrays"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_data_is_one_sentence(case: str) -> None:
    source, words = WRONG[case]
    with pytest.raises(UserError, match=words) as told:
        load(source, DataSettings())
    assert "\n" not in str(told.value)
