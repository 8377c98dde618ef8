"""Scikit-learn's bundled digits: real, small, always at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vaekit.data.known import DATASETS
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
    from sklearn.datasets import load_digits

    found = load_digits()
    x, y = np.asarray(found.images), np.asarray(found.target)  # type: ignore[attr-defined]
    classes = tuple(str(i) for i in range(10))
    return Raw("digits", "scikit-learn", Part(x.astype(np.uint8), y), levels=17, classes=classes)
