"""Data: sources, known sets, checks, splits and preprocessing.

Names are imported when first asked for, so that settings and the list of known sets are to be had without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaekit.data.batches import eval_batches, train_batches
    from vaekit.data.dataset import DataSet, Split, load
    from vaekit.data.datasets import DATASETS, available
    from vaekit.data.info import DataInfo, Kind
    from vaekit.data.prepare import Prepare
    from vaekit.data.save import write_images, write_npz
    from vaekit.data.settings import DataSettings
    from vaekit.data.shuffling import epoch_order

_HOME = {
    "DATASETS": "datasets",
    "DataInfo": "info",
    "DataSet": "dataset",
    "DataSettings": "settings",
    "Kind": "info",
    "Prepare": "prepare",
    "Split": "dataset",
    "available": "datasets",
    "epoch_order": "shuffling",
    "eval_batches": "batches",
    "load": "dataset",
    "train_batches": "batches",
    "write_images": "save",
    "write_npz": "save",
}

__all__ = [
    "DATASETS",
    "DataInfo",
    "DataSet",
    "DataSettings",
    "Kind",
    "Prepare",
    "Split",
    "available",
    "epoch_order",
    "eval_batches",
    "load",
    "train_batches",
    "write_images",
    "write_npz",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
