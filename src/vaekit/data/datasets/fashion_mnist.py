"""Fashion-MNIST: clothes in MNIST's format."""

from __future__ import annotations

from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.download import Remote
from vaekit.data.folders import read_idx_folder
from vaekit.data.raw import Raw

MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@DATASETS.register(
    "fashion-mnist",
    summary="clothes, 28×28 greys",
    reference="Xiao, Rasul, Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747",
    licence="MIT",
    size="70,000 of 28×28",
    files=(
        Remote("train-images-idx3-ubyte.gz", "f4a8712d7a061bf5bd6d2ca38dc4d50a", MIRRORS, 0xB4F29F28),
        Remote("train-labels-idx1-ubyte.gz", "9018921c3c673c538a1fc5bad174d6f9", MIRRORS, 0x741A4657),
        Remote("t10k-images-idx3-ubyte.gz", "8181f5470baa50b63fa0f6fddb340f0a", MIRRORS, 0x678FE0B1),
        Remote("t10k-labels-idx1-ubyte.gz", "15d484375f8d13e6eb1aabb0c3f46965", MIRRORS, 0x80142C1F),
    ),
)
def fashion_mnist(folder: Path) -> Raw:
    """Return the 60,000 training and 10,000 test pictures."""
    return read_idx_folder(folder, "fashion-mnist", classes=CLASSES)
