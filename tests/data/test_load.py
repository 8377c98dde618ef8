"""Loading: shapes, kinds, splits, and one clear sentence for whatever is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from vaekit.data import DataInfo, DataSettings, load
from vaekit.errors import UserError

RNG = np.random.default_rng(0)
NONE_HELD = DataSettings(valid=0, test=0)


def rows(x: torch.Tensor) -> list[tuple]:
    return [tuple(row.flatten().tolist()) for row in x]


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        ((20, 5), (5,)),
        ((20, 8, 6), (1, 8, 6)),
        ((20, 3, 8, 6), (3, 8, 6)),
        ((20, 8, 6, 3), (3, 8, 6)),
        ((20, 8, 6, 1), (1, 8, 6)),
        ((20, 1, 8, 3), (1, 8, 3)),
    ],
)
def test_shapes(shape: tuple[int, ...], seen: tuple[int, ...]) -> None:
    info = load(RNG.random(shape)).info
    assert info.shape == seen and info.is_image == (len(seen) == 3)
    assert DataInfo.from_dict(info.to_dict()) == info


def test_channels_last_keeps_each_pixel() -> None:
    x = RNG.integers(0, 256, (4, 5, 6, 3)).astype(np.uint8)
    stored = load(x, NONE_HELD).train.x
    assert (stored.permute(0, 2, 3, 1).numpy() == x).all()


BINARY = RNG.integers(0, 2, (30, 6)).astype(float)
UNIT = RNG.random((30, 6))
GREYS = RNG.integers(0, 256, (30, 6)).astype(np.uint8)
COUNTS = RNG.integers(0, 500, (30, 6))
REAL = RNG.normal(0, 3, (30, 6))


@pytest.mark.parametrize(
    ("x", "wants", "kind", "levels", "bits", "random"),
    [
        (BINARY, "any", "binary", 2, 0.0, False),
        (BINARY, "binary", "binary", 2, 0.0, False),
        (BINARY > 0.5, "any", "binary", 2, 0.0, False),
        (BINARY, "real", "real", 2, None, False),
        (UNIT, "any", "unit", None, None, False),
        (UNIT, "unit", "unit", None, None, False),
        (UNIT, "real", "real", None, None, False),
        (UNIT, "binary", "binary", None, 0.0, True),
        (GREYS, "any", "levels", 256, 0.0, False),
        (GREYS, "levels", "levels", 256, 0.0, False),
        (GREYS, "unit", "unit", 256, None, False),
        (GREYS, "real", "real", 256, None, False),
        (GREYS, "binary", "binary", 256, 0.0, True),
        (GREYS, "counts", "counts", 256, 0.0, False),
        (GREYS.astype(np.float32) / 255, "levels", "levels", 256, 0.0, False),
        (COUNTS, "any", "counts", None, 0.0, False),
        (COUNTS.astype(float), "counts", "counts", None, 0.0, False),
        (COUNTS, "real", "real", None, None, False),
        (REAL, "any", "real", None, None, False),
    ],
)
def test_kinds(x: np.ndarray, wants: Any, kind: str, levels: int | None, bits: float | None, random: bool) -> None:
    data = load(x, wants=wants)
    assert (data.info.kind, data.info.levels, data.info.bits_offset, data.prepare.random) == (
        kind,
        levels,
        bits,
        random,
    )
    seen = data.prepare(data.train.x, torch.Generator().manual_seed(0))
    assert seen.dtype == torch.float32 and seen.shape[1:] == data.info.shape
    inside = {
        "binary": (seen == 0) | (seen == 1),
        "unit": (seen >= 0) & (seen <= 1),
        "levels": (seen * ((levels or 2) - 1) - (seen * ((levels or 2) - 1)).round()).abs() < 1e-4,
        "counts": (seen >= 0) & (seen == seen.round()),
        "real": seen.isfinite(),
    }
    assert inside[kind].all()
    shown = data.prepare.show(seen)
    assert shown.min() >= 0 and shown.max() <= 1
    mean = data.train_mean()
    assert mean.shape == data.info.shape and mean.isfinite().all()


@pytest.mark.parametrize(
    ("x", "wants", "settings", "words"),
    [
        (REAL + 10, "binary", {}, "row 0, column 0 is .* outside \\[0, 1\\]"),
        (REAL + 10, "unit", {}, "row 0, column 0 is .* outside \\[0, 1\\]"),
        (UNIT, "counts", {}, "row 0, column 0 is .* not a count"),
        (-COUNTS - 1, "counts", {}, "is -.* not a count"),
        (UNIT, "levels", {}, "row 0, column 0 is .* greys i/255"),
        (GREYS, "binary", {"binarise": "none"}, "wants 0 or 1; use binarise=auto"),
        (GREYS, "levels", {"binarise": "stochastic"}, "binarise cannot be 'stochastic'"),
        (GREYS, "levels", {"dequantise": True}, "leave dequantise out"),
        (GREYS, "any", {"dequantise": True, "binarise": "fixed"}, "set one of them"),
        (REAL, "any", {"dequantise": True}, "needs quantised greys"),
        (GREYS, "any", {"standardise": True}, "standardise is for real data"),
        (REAL, "any", {"size": 4}, "size=4 is for images"),
        (REAL, "any", {"valid": 20, "test": 10}, "leaving none to train on"),
    ],
)
def test_wishes_that_cannot_be_met(x: np.ndarray, wants: Any, settings: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load(x, DataSettings(**settings), wants=wants)


def test_the_offending_entry_is_named() -> None:
    x = RNG.random((30, 2, 4, 5))
    x[17, 1, 2, 3] = np.nan
    with pytest.raises(UserError, match=r"row 17, channel 1, pixel \(2, 3\) is nan"):
        load(x)
    x[17, 1, 2, 3] = 1e300  # too large for float32
    with pytest.raises(UserError, match=r"row 17, channel 1, pixel \(2, 3\) is inf"):
        load(x)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((0, 3)), "train split is empty"),
        (np.zeros((3, 0)), "train split is empty"),
        (np.zeros(5), "give \\(N, D\\)"),
        (np.array(3.0), "single number"),
        (np.zeros((2, 3, 4, 5, 6, 7)), "give \\(N, D\\)"),
        (np.zeros((2, 3), complex), "type complex128"),
        (np.array([["a", "b"]]), "not numbers"),
        (np.array([[1], [1, 2]], dtype=object), "array of objects"),
        ([[1.0], [1.0, 2.0]], "ragged"),
        ((UNIT, np.zeros(29)), "30 examples but 29 labels"),
        ((UNIT, np.full(30, np.inf)), "give finite numbers"),
        ((UNIT, np.full(30, np.nan)), "every label is missing"),
        ((UNIT, np.zeros((30, 2, 2))), "for A attributes"),
        ((UNIT,), "x or \\(x, y\\)"),
        (3, "cannot read data from int"),
        (np.full((3, 3), 2**40), "beyond ±16,777,216"),
    ],
)
def test_bad_values_in_memory(source: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load(source)


def test_tensors_and_labels() -> None:
    y = np.array(["cat", "dog", "ape"] * 10)
    data = load((torch.rand(30, 4, dtype=torch.bfloat16), y), NONE_HELD)
    assert data.info.classes == ("ape", "cat", "dog") and data.info.n_classes == 3
    assert data.train.y is not None and data.train.y.dtype == torch.int64
    assert [data.info.classes[i] for i in data.train.y] == y.tolist()
    gaps = load((UNIT, np.array([2, 5, 9] * 10)), NONE_HELD)
    assert gaps.info.classes == ("2", "5", "9") and set(gaps.train.y.tolist()) == {0, 1, 2}  # type: ignore[union-attr]


def test_the_source_is_neither_changed_nor_shared() -> None:
    x = UNIT.astype(np.float32)
    data = load(x, NONE_HELD)
    data.train.x.zero_()
    assert (x == UNIT.astype(np.float32)).all()


def test_limit_leaves_the_held_out_splits_alone() -> None:
    whole, few = load("digits"), load("digits", DataSettings(limit=50))
    assert few.info.n_train == 50
    assert (few.valid.x == whole.valid.x).all() and (few.test.x == whole.test.x).all()
    assert set(rows(few.train.x)) <= set(rows(whole.train.x))


@pytest.mark.parametrize(
    "bad", [{"valid": 1.5}, {"valid": -1}, {"binarize": "auto"}, {"binarise": "maybe"}, {"size": 0}]
)
def test_settings_are_checked(bad: dict) -> None:
    with pytest.raises(ValidationError):
        DataSettings(**bad)


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    data = load("digits", NONE_HELD)
    assert (data.train.x.view(-1, 64).numpy() == x).all() and (data.train.y.numpy() == y).all()  # type: ignore[union-attr]
    assert data.info.levels == 17
    assert (data.prepare(data.train.x).view(-1, 64).double().numpy() == x / 16).all()


def test_digits_are_the_same_from_the_file_and_from_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    from vaekit.data.datasets import digits

    read = digits._rows()
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    assert (digits._rows() == read).all() and read.shape == (1797, 65)


def test_digits_load_without_scikit_learn_being_imported() -> None:
    code = "import sys; from vaekit.data import load; load('digits'); sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_resize_keeps_greys_and_crops_the_centre() -> None:
    x = np.zeros((3, 8, 16), np.uint8)
    x[:, :, 4:12] = 200  # the centre square
    x[:, 0, 0] = 7
    data = load(x, NONE_HELD.model_copy(update={"size": 8}))
    assert data.info.shape == (1, 8, 8) and data.train.x.dtype == torch.uint8 and (data.train.x == 200).all()
    assert load(x, NONE_HELD.model_copy(update={"size": 4})).info.shape == (1, 4, 4)
    small = load("digits", DataSettings(size=16))
    assert small.info.shape == (1, 16, 16) and small.train.x.max() <= 16
