"""The tables that scikit-learn bundles: breast cancer, wine, iris, diabetes. No download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets import DATASETS


def _bundled(name: str, summary: str, reference: str, size: str, licence: str = "CC BY 4.0") -> Any:
    return DATASETS.register(
        name,
        summary=summary,
        reference=reference,
        licence=licence,
        size=size,
        bundled="scikit-learn",
        module="sklearn",
        modality="tables",
    )


def _columns(bunch: Any, target: str) -> dict[str, Any]:
    """Return columns by name; the last is the target, by its classes' names where it has any."""
    x, y = np.asarray(bunch.data), np.asarray(bunch.target)
    out: dict[str, Any] = {str(name): x[:, j] for j, name in enumerate(bunch.feature_names)}
    names = getattr(bunch, "target_names", None)
    out[target] = y if names is None else np.asarray(names)[y]
    return out


@_bundled(
    "breast-cancer",
    "30 measurements of cell nuclei, benign or malignant",
    "Wolberg, Mangasarian, Street and Street (1993), Breast Cancer Wisconsin (Diagnostic), UCI; by scikit-learn",
    "569 rows of 30",
)
def breast_cancer(_: Path) -> dict[str, Any]:
    """Return its columns; the label is benign or malignant."""
    from sklearn.datasets import load_breast_cancer

    return _columns(load_breast_cancer(), "label")


@_bundled(
    "wine",
    "13 measurements of wines of three growers",
    "Aeberhard and Forina (1992), Wine, UCI; by scikit-learn",
    "178 rows of 13",
)
def wine(_: Path) -> dict[str, Any]:
    """Return its columns; the label is the grower."""
    from sklearn.datasets import load_wine

    return _columns(load_wine(), "label")


@_bundled(
    "iris",
    "four measurements of three species of iris",
    "Fisher (1936), Iris, UCI; by scikit-learn",
    "150 rows of 4",
)
def iris(_: Path) -> dict[str, Any]:
    """Return its columns; the label is the species."""
    from sklearn.datasets import load_iris

    return _columns(load_iris(), "label")


@_bundled(
    "diabetes",
    "ten measurements of patients and the progression of their diabetes a year on, in their own units",
    "Efron, Hastie, Johnstone and Tibshirani (2004), Least angle regression; by scikit-learn",
    "442 rows of 11",
    "as scikit-learn distributes it",
)
def diabetes(_: Path) -> dict[str, Any]:
    """Return its columns, the progression among them; there is no label."""
    from sklearn.datasets import load_diabetes

    return _columns(load_diabetes(scaled=False), "progression")
