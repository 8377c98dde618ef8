"""The tables that scikit-learn bundles: breast cancer, wine, iris, diabetes. No download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets import DATASETS


def _register(
    name: str, summary: str, reference: str, size: str, target: str = "label", licence: str = "CC BY 4.0"
) -> None:
    """Register a table that scikit-learn has a function for; `target` is what its target column is called."""

    def columns(_: Path) -> dict[str, Any]:
        import sklearn.datasets

        load = getattr(sklearn.datasets, f"load_{name.replace('-', '_')}")
        bunch: Any = load(**({"scaled": False} if name == "diabetes" else {}))
        table: dict[str, Any] = {str(column): bunch.data[:, j] for j, column in enumerate(bunch.feature_names)}
        names = bunch.get("target_names")
        return table | {target: bunch.target if names is None else np.asarray(names)[bunch.target]}

    facts = {"licence": licence, "size": size, "bundled": "scikit-learn", "module": "sklearn", "modality": "tables"}
    DATASETS.register(name, summary=summary, reference=f"{reference}; by scikit-learn", **facts)(columns)


_register(
    "breast-cancer",
    "30 measurements of cell nuclei, benign or malignant",
    "Wolberg, Mangasarian, Street and Street (1993), Breast Cancer Wisconsin (Diagnostic), UCI",
    "569 rows of 30",
)
_register(
    "wine", "13 measurements of wines of three growers", "Aeberhard and Forina (1992), Wine, UCI", "178 rows of 13"
)
_register("iris", "four measurements of three species of iris", "Fisher (1936), Iris, UCI", "150 rows of 4")
_register(
    "diabetes",
    "ten measurements of patients and the progression of their diabetes a year on, in their own units",
    "Efron, Hastie, Johnstone and Tibshirani (2004), Least angle regression",
    "442 rows of 11",
    target="progression",
    licence="as scikit-learn distributes it",
)
