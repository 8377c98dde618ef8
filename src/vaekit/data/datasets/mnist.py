"""MNIST's handwritten digits, and Fashion-MNIST: clothes in the same format."""

from __future__ import annotations

from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.download import Remote
from vaekit.data.folders import read_idx_folder
from vaekit.data.raw import Raw

MNIST = ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/")
FASHION = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@DATASETS.register(
    "mnist",
    summary="handwritten digits, 28×28 greys",
    reference="LeCun, Cortes, Burges (1998), The MNIST database of handwritten digits",
    licence="CC BY-SA 3.0",
    size="70,000 of 28×28",
    files=(
        Remote(
            "train-images-idx3-ubyte.gz",
            MNIST,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            most=47_040_016,
        ),
        Remote(
            "train-labels-idx1-ubyte.gz",
            MNIST,
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            most=60_008,
        ),
        Remote(
            "t10k-images-idx3-ubyte.gz",
            MNIST,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            most=7_840_016,
        ),
        Remote(
            "t10k-labels-idx1-ubyte.gz",
            MNIST,
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            most=10_008,
        ),
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
        Remote(
            "train-images-idx3-ubyte.gz",
            FASHION,
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            most=47_040_016,
        ),
        Remote(
            "train-labels-idx1-ubyte.gz",
            FASHION,
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            most=60_008,
        ),
        Remote(
            "t10k-images-idx3-ubyte.gz",
            FASHION,
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            most=7_840_016,
        ),
        Remote(
            "t10k-labels-idx1-ubyte.gz",
            FASHION,
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            most=10_008,
        ),
    ),
)
def fashion_mnist(folder: Path) -> Raw:
    """Return the 60,000 training and 10,000 test pictures."""
    return read_idx_folder(folder, "fashion-mnist", classes=CLOTHES)
