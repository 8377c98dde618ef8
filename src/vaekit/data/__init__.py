"""Data: sources, known sets, checks, splits and preprocessing.

Names are imported when first asked for: settings and the list of known sets load in a tenth of a second, torch in more
than one.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "DATASETS": "datasets",
    "DataInfo": "info",
    "DataSet": "dataset",
    "DataSettings": "settings",
    "Kind": "info",
    "Prepare": "prepare",
    "Prepared": "dataset",
    "Split": "dataset",
    "available": "datasets",
    "epoch_order": "shuffling",
    "eval_batches": "batches",
    "load": "loading",
    "train_batches": "batches",
    "write_images": "save",
    "write_npz": "save",
}

__all__ = sorted(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
