"""What a model finds unlike its training data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.data.sources import read_raw
from vaekit.intervals import auroc
from vaekit.published.base import OURS, Attempt, Budget, Figure, Measured, published
from vaekit.runs.train import train
from vaekit.tasks.anomaly import Scorer

DENSE = {"model.net": "mlp", "model.hidden": [512, 256], "model.act": "silu"}
GREY = DENSE | {"model.likelihood": "discretised-logistic", "model.scale": "pixel"}
SCORES = ("reconstruction", "elbo", "iw", "regret", "complexity", "distance")


def arrays(name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Return a known set's training and test images (N, 28, 28) with their labels."""
    raw = read_raw(name)
    assert raw.test is not None and raw.train.y is not None and raw.test.y is not None
    x, test = (part.x.reshape(-1, 28, 28) for part in (raw.train, raw.test))
    return x, raw.train.y.astype(np.int64), test, raw.test.y.astype(np.int64)


@published(
    "fashion-or-digits",
    title="MNIST's digits told from Fashion-MNIST by a model of the latter",
    source="likelihood regret is Xiao et al. 2020's, arXiv:2003.02977, whose figures are here from memory",
    protocol="A discretised logistic VAE of Fashion-MNIST's training images; AUROC between its test images and "
    "MNIST's, 500 each, with K = 64 and regret of 100 steps. Xiao et al.: 32 × 32, 100 latents, a softmax of 256 "
    "levels, 200 epochs.",
    data="fashion-mnist",
    unit="AUROC",
    rows=dict.fromkeys(SCORES, OURS) | {"iw": Figure(0.2, "M"), "regret": Figure(0.99, "M")},
    lower=False,
    budgets={
        "smoke": Budget({"epochs": 1, "n": 100, "k": 16, "steps": 30}, "one epoch; 100 images each; K = 16; 30 steps"),
        "hour": Budget({"epochs": 6, "n": 500, "k": 64, "steps": 100}, "six epochs of dense networks"),
        "full": Budget(
            {"epochs": 200, "n": 500, "k": 64, "steps": 100, "seeds": [0, 1, 2]},
            "dense networks and discretised logistic pixels",
        ),
    },
)
def fashion_or_digits(at: Attempt) -> Iterator[tuple[str, Measured]]:
    """Train on one set and score the test images of both."""
    (x, _, inside, _), outside, n = arrays(at.data), arrays("mnist")[2], at.terms["n"]
    found: dict[str, list[float]] = {name: [] for name in SCORES}
    for seed in at.seeds:
        run = train("vae", x, epochs=at.terms["epochs"], seed=seed, set=GREY, device=at.device)
        rng = np.random.default_rng(0)
        images = np.concatenate([rng.permutation(inside)[:n], rng.permutation(outside)[:n]])
        truth = np.arange(2 * n) >= n
        shown = torch.from_numpy(images[:, None].astype(np.float32) / 255)
        normal = run.encode(torch.from_numpy(x[:5000, None].astype(np.float32) / 255))
        scorer = Scorer(run.model, k=at.terms["k"], steps=at.terms["steps"], levels=256, normal=normal)
        for name, values in found.items():
            values.append(float(auroc(scorer.score(name, shown).cpu().numpy(), truth)))
    for name, values in found.items():
        yield name, Measured(tuple(values))


WAYS = ("VAE, −log p(x)", "VAE, regret", "IsolationForest", "PCA reconstruction")


@published(
    "digit-held-out",
    title="a digit held out of MNIST told from the others",
    source="no published figures of this protocol",
    protocol="A VAE of 10,000 binarised training images without one digit, eight epochs; AUROC between that digit and "
    "the others among 2,000 test images, mean over the ten digits, with K = 64 and regret of 60 steps. The baselines "
    "see greys.",
    data="mnist",
    unit="AUROC",
    rows=dict.fromkeys(WAYS, OURS),
    lower=False,
    budgets={
        "smoke": Budget(
            {"epochs": 2, "train": 3000, "n": 200, "steps": 20, "k": 16, "digits": [0, 1, 8]},
            "the digits 0, 1 and 8; 3,000 images, two epochs; 200 test images; K = 16; 20 steps",
        ),
        "hour": Budget(
            {"epochs": 8, "train": 10_000, "n": 2000, "steps": 60, "k": 64, "digits": list(range(10))},
            "one training seed a digit",
        ),
    },
)
def digit_held_out(at: Attempt) -> Iterator[tuple[str, Measured]]:
    """Train without each digit in turn, and score the test images by every way; `each` is a digit's."""
    from sklearn.decomposition import PCA
    from sklearn.ensemble import IsolationForest

    x, y, test, label = arrays(at.data)
    n, count = at.terms["n"], at.terms["train"]
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(test))[:n]
    flat = test[chosen].reshape(n, -1) / 255.0
    binary = torch.from_numpy((rng.random(flat.shape) < flat).astype(np.float32)).view(-1, 1, 28, 28)
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for digit in at.terms["digits"]:
        own = rng.permutation(np.flatnonzero(y != digit))[:count]
        run = train("vae", x[own], epochs=at.terms["epochs"], seed=0, set=DENSE, device=at.device)
        rows = x[own].reshape(len(own), -1) / 255.0
        scorer = Scorer(run.model, k=at.terms["k"], steps=at.terms["steps"], levels=2)
        pca = PCA(50, svd_solver="randomized", random_state=0).fit(rows)
        scores = (
            scorer.score("iw", binary).cpu().numpy(),
            scorer.score("regret", binary).cpu().numpy(),
            -IsolationForest(random_state=0).fit(rows).score_samples(flat),
            np.square(flat - pca.inverse_transform(pca.transform(flat))).sum(1),
        )
        for name, score in zip(WAYS, scores, strict=True):
            found[name].append(float(auroc(score, label[chosen] == digit)))
    for name, values in found.items():
        yield name, Measured(tuple(values))
