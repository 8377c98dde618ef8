"""Bits a dimension: of files that come back bit for bit, and of models."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Iterator
from typing import Any

import numpy as np

from vaekit.published.base import Attempt, Budget, Figure, Measured, published
from vaekit.published.by_study import by_study
from vaekit.runs.train import train
from vaekit.tasks.compressed_file import elbo_bits

FILE, BOUND = "bits back, the whole file", "−ELBO"
CODECS: dict[str, Any] = {
    "gzip -9": lambda b: gzip.compress(b, 9),
    "bz2 -9": lambda b: bz2.compress(b, 9),
    "lzma -9e": lambda b: lzma.compress(b, preset=9 | lzma.PRESET_EXTREME),
}
SOURCE = "Townsend et al. 2019, arXiv:1901.04866, table 2, as later papers quote it"


def coded(at: Attempt) -> Iterator[tuple[str, Measured]]:
    """Train, code the test images and have them back, beside codecs over all of them in one file."""
    found: dict[str, list[float]] = {}
    for seed in at.seeds:
        run = train("vae", at.data, seed=seed, set=at.terms["settings"], device=at.device)
        x, _ = run.stored_levels()
        data = run.compress(x)
        assert np.array_equal(run.decompress(data), x), "the images did not come back"
        # of binary images the better of a byte and a bit a pixel
        raw = [x.tobytes()] + ([np.packbits(x).tobytes()] if x.max() == 1 else [])
        bits = {FILE: 8 * len(data), BOUND: elbo_bits(run.model, x, run.levels)}
        bits |= {name: 8 * min(len(codec(b)) for b in raw) for name, codec in CODECS.items()}
        for name, value in bits.items():
            found.setdefault(name, []).append(value / x.size)
    for name, values in found.items():
        yield name, Measured(tuple(values))


BINARY = {"model.net": "mlp", "model.hidden": [100], "model.latent": 20, "train.lr": 1e-3, "train.batch_size": 100}
published(
    "bb-ans",
    title="binarised MNIST compressed by bits back",
    source=SOURCE,
    protocol="MNIST's 10,000 test images, binarised once at random; a VAE 784-100-20 with Bernoulli pixels; the whole "
    "set in one file, whose size is compared with −ELBO. gzip, bz2 and lzma over the same images in one file.",
    data="mnist",
    unit="bits/dim",
    rows={
        FILE: Figure(0.19, "S"),
        BOUND: Figure(0.19, "S"),
        "gzip -9": Figure(0.328, "H"),
        "bz2 -9": Figure(0.250, "H"),
        "lzma -9e": Figure(0.278, "H"),
    },
    tolerance=0.01,
    budgets={
        "smoke": Budget(
            {"settings": BINARY | {"train.epochs": 12}}, "12 epochs; images binarised with another seed", "all"
        ),
        "full": Budget({"seeds": [0, 1, 2], "settings": BINARY | {"train.epochs": 500}}, gates="all"),
    },
)(coded)

RAW = {
    "model.net": "mlp",
    "model.hidden": [200],
    "model.latent": 50,
    "model.likelihood": "discretised-logistic",
    "model.scale": "pixel",
    "train.batch_size": 128,
}
published(
    "bb-ans-raw",
    title="MNIST with its 256 greys compressed by bits back",
    source=SOURCE,
    protocol="MNIST's 10,000 test images; a VAE 784-200-50 with batch norm and beta-binomial pixels.",
    data="mnist",
    unit="bits/dim",
    rows={
        FILE: Figure(1.41, "S"),
        BOUND: Figure(1.39, "S"),
        "gzip -9": Figure(1.635, "H"),
        "bz2 -9": Figure(1.415, "H"),
        "lzma -9e": Figure(1.392, "H"),
    },
    tolerance=0.02,
    budgets={
        "smoke": Budget(
            {"settings": RAW | {"train.epochs": 3}}, "3 epochs; discretised logistic pixels, no batch norm"
        ),
        "full": Budget(
            {"seeds": [0, 1, 2], "settings": RAW | {"train.epochs": 500}},
            "discretised logistic pixels, no batch norm",
            (FILE, BOUND),
        ),
    },
)(coded)

published(
    "vq-vae",
    title="CIFAR-10 by a VQ-VAE and a VAE",
    source="van den Oord et al. 2017, arXiv:1711.00937, §4.1",
    protocol="CIFAR-10's 50,000 training and 10,000 test images, 8 bits a channel; 512 codes; strided convolutions and "
    "two residual blocks of 256 channels, Adam at 2e-4, 250,000 steps of 128. A VQ-VAE's bound counts log K for each "
    "code under a uniform prior. The set is no known one of vaekit: name a folder or file of it with --data.",
    data="cifar10",
    unit="bits/dim",
    rows={"VQ-VAE": Figure(4.67, "C"), "VAE": Figure(4.51, "C")},
    tolerance=0.05,
    budgets={
        "smoke": Budget({"settings": {"train.steps": 100}, "limit": 200}, "100 steps; 200 test images"),
        "hour": Budget({"settings": {"train.steps": 5_000}, "limit": 2_000}, "5,000 steps; 2,000 test images"),
        "full": Budget(
            {"settings": {"train.steps": 250_000, "train.lr": 2e-4}, "limit": 10_000, "seeds": [0, 1, 2]},
            "an autoregressive prior is fitted to the codes beside the uniform one",
            "all",
        ),
    },
)(
    by_study(
        "bits_per_dim",
        metrics=["iw_bound"],
        k=1,
        arms={
            "VQ-VAE": {"recipe": "vq-vae", "settings": {"model.codes": 512, "model.grid": [8, 8]}},
            "VAE": {"recipe": "vae", "settings": {"model.latent": 256, "model.likelihood": "discretised-logistic"}},
        },
    )
)
