"""MNIST's digits, each with a recording of the same digit: a picture and a sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets import DATASETS, read_known
from vaekit.data.datasets.spoken_digits import ONE
from vaekit.data.download import Remote


@DATASETS.register(
    "spoken-mnist",
    summary="3,000 of MNIST's digits, each with a recording of the same digit: picture and sound",
    reference="LeCun, Cortes, Burges 1998; Jackson 2016, Free Spoken Digit Dataset; paired by class",
    licence="CC BY-SA",
    size="3,000 of 28×28 with 3,000 recordings at 8 kHz",
    files=(Remote("0_george_0.wav", (), ONE),),
    folder="spoken-digits",
    modality="views",
)
def spoken_mnist(folder: Path) -> dict[str, Any]:
    """Return columns: picture, sound (names of files) and the label, which is no modality.

    The n-th picture of a class in MNIST's order has the n-th of the class's recordings in a seeded order. Each picture
    and each recording occurs once, so that none is in two splits.
    """
    from vaekit.data.audio.recordings import files_in, labels_of

    raw = read_known("mnist")
    x, y = np.asarray(raw.train.x).reshape(-1, 28, 28), np.asarray(raw.train.y)
    files = files_in(folder)
    spoken = np.array([int(label) for label in labels_of(files, folder, "digit")])
    order = np.random.default_rng(0).permutation(len(files))
    rows = np.empty(len(files), np.int64)
    for digit in range(10):
        own = order[spoken[order] == digit]
        rows[own] = np.flatnonzero(y == digit)[: len(own)]
    return {"picture": x[rows], "sound": [str(file) for file in files], "label": y[rows].astype(str)}
