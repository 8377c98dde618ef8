"""Scikit-learn's bundled digits: real, small, always available."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets import DATASETS
from vaekit.data.raw import Part, Raw


@DATASETS.register(
    "digits",
    summary="handwritten digits, 8×8 in 17 greys, bundled: no download",
    reference="Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI; test part, by scikit-learn",
    licence="CC BY 4.0",
    size="1,797 of 8×8",
    bundled="scikit-learn",
    module="sklearn",
)
def digits(_: Path) -> Raw:
    """Return the 1,797 digits, greys 0 … 16."""
    rows = _rows()
    part = Part(rows[:, :64].astype(np.uint8).reshape(-1, 8, 8), rows[:, 64].astype(np.int64))
    return Raw("digits", "scikit-learn", part, levels=17, classes=tuple(str(i) for i in range(10)))


def _rows() -> np.ndarray:
    """Return the 64 greys and the label of each digit, (1797, 65).

    The file that scikit-learn brings is read here: importing scikit-learn for it would take longer than training on it.
    """
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if path.is_file():
        return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return np.column_stack([bunch.data, bunch.target])
