"""MNIST: handwritten digits."""

from __future__ import annotations

from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.download import Remote
from vaekit.data.folders import read_idx_folder
from vaekit.data.raw import Raw

MIRRORS = ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/")


@DATASETS.register(
    "mnist",
    summary="handwritten digits, 28×28 greys",
    reference="LeCun, Cortes, Burges (1998), The MNIST database of handwritten digits",
    licence="CC BY-SA 3.0",
    size="70,000 of 28×28",
    files=(
        Remote("train-images-idx3-ubyte.gz", "6bbc9ace898e44ae57da46a324031adb", MIRRORS, 0xE9F4D8B3),
        Remote("train-labels-idx1-ubyte.gz", "a25bea736e30d166cdddb491f175f624", MIRRORS, 0xE0CB4AD2),
        Remote("t10k-images-idx3-ubyte.gz", "2646ac647ad5339dbf082846283269ea", MIRRORS, 0x91373BDF),
        Remote("t10k-labels-idx1-ubyte.gz", "27ae3e4e09519cfbb04c329615203637", MIRRORS, 0x4AB9EFF9),
    ),
)
def mnist(folder: Path) -> Raw:
    """Return the 60,000 training and 10,000 test digits."""
    return read_idx_folder(folder, "mnist", classes=tuple(str(i) for i in range(10)))
