"""MNIST's handwritten digits, and Fashion-MNIST: clothes in the same format."""

from __future__ import annotations

from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.download import Remote
from vaekit.data.folders import read_idx_folder
from vaekit.data.raw import Raw

MNIST = ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/")
FASHION = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@DATASETS.register(
    "mnist",
    summary="handwritten digits, 28×28 greys",
    reference="LeCun, Cortes, Burges (1998), The MNIST database of handwritten digits",
    licence="CC BY-SA 3.0",
    size="70,000 of 28×28",
    files=(
        Remote("train-images-idx3-ubyte.gz", "6bbc9ace898e44ae57da46a324031adb", MNIST, 0xE9F4D8B3),
        Remote("train-labels-idx1-ubyte.gz", "a25bea736e30d166cdddb491f175f624", MNIST, 0xE0CB4AD2),
        Remote("t10k-images-idx3-ubyte.gz", "2646ac647ad5339dbf082846283269ea", MNIST, 0x91373BDF),
        Remote("t10k-labels-idx1-ubyte.gz", "27ae3e4e09519cfbb04c329615203637", MNIST, 0x4AB9EFF9),
    ),
)
def mnist(folder: Path) -> Raw:
    """Return the 60,000 training and 10,000 test digits."""
    return read_idx_folder(folder, "mnist", classes=tuple(str(i) for i in range(10)))


@DATASETS.register(
    "fashion-mnist",
    summary="clothes, 28×28 greys",
    reference="Xiao, Rasul, Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747",
    licence="MIT",
    size="70,000 of 28×28",
    files=(
        Remote("train-images-idx3-ubyte.gz", "f4a8712d7a061bf5bd6d2ca38dc4d50a", FASHION, 0xB4F29F28),
        Remote("train-labels-idx1-ubyte.gz", "9018921c3c673c538a1fc5bad174d6f9", FASHION, 0x741A4657),
        Remote("t10k-images-idx3-ubyte.gz", "8181f5470baa50b63fa0f6fddb340f0a", FASHION, 0x678FE0B1),
        Remote("t10k-labels-idx1-ubyte.gz", "15d484375f8d13e6eb1aabb0c3f46965", FASHION, 0x80142C1F),
    ),
)
def fashion_mnist(folder: Path) -> Raw:
    """Return the 60,000 training and 10,000 test pictures."""
    return read_idx_folder(folder, "fashion-mnist", classes=CLOTHES)
