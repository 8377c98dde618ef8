"""Samples by their distances in features, and new examples for a classifier."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.published.base import OURS, Attempt, Budget, Figure, Measured, published
from vaekit.published.by_study import by_study
from vaekit.runs.train import train
from vaekit.tasks.augmentation import moved_codes
from vaekit.tasks.classification import few_labels, fit_classifier

published(
    "two-stage",
    title="samples of MNIST through two VAEs in a row",
    source="Dai & Wipf 2019, arXiv:1903.05789, table of FIDs",
    protocol="MNIST's greys; a VAE with a learned γ = σ², and a second VAE of its latents; FID on the features of "
    "Inception-v3 between 10,000 samples and the test images.",
    data="mnist",
    unit="Fréchet distance",
    rows={"VAE, learned σ": Figure(54.5, "C"), "two stages": Figure(12.6, "C", 1.5)},
    tolerance=2.0,
    budgets={
        "smoke": Budget(
            {"settings": {"train.steps": 600, "model.hidden": [256]}, "limit": 1000},
            "600 steps of dense networks; 1,000 samples; features of a classifier trained on the set itself, so that "
            "the distances are not theirs: only which is smaller compares",
        ),
        "full": Budget(
            {"settings": {"train.epochs": 400}, "limit": 10_000, "seeds": [0, 1, 2]},
            "features of a classifier trained on the set itself where Inception-v3's weights are not to be had: only "
            "which is smaller compares",
        ),
    },
)(
    by_study(
        "fid",
        metrics=["fid"],
        settings={"model.likelihood": "gaussian", "model.scale": "shared"},
        arms={"VAE, learned σ": {"recipe": "vae"}, "two stages": {"recipe": "two-stage-vae"}},
    )
)

WAYS = {"none": (0, 0.0), "near": (1000, 0.3), "interpolate": (1000, 0.0), "class": (1000, 0.0)}
CODES = "a classifier of codes"


def accuracy(x: NDArray[np.float32], y: NDArray[np.int64], test: tuple[NDArray, NDArray], seed: int) -> float:
    """Fit a network of one hidden layer to pixels and return its accuracy on the test images."""
    torch.manual_seed(seed)
    layers = torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(256, 10)
    net = torch.nn.Sequential(*layers)
    adam = torch.optim.Adam(net.parameters(), 1e-3, weight_decay=1e-4)
    rows, labels = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(600):
        some = torch.randint(len(rows), (100,))
        loss = torch.nn.functional.cross_entropy(net(rows[some]), labels[some])
        adam.zero_grad()
        loss.backward()
        adam.step()
    net.eval()
    with torch.no_grad():
        return float((net(torch.from_numpy(test[0])).argmax(1).numpy() == test[1]).mean())


@published(
    "augmentation",
    title="a classifier of a hundred labels with new examples from a VAE",
    source="no published figures",
    protocol="A VAE of MNIST's training images that sees no label; a network of one hidden layer on the pixels of 100 "
    "labelled images, with 1,000 new ones near them, on lines between two of a class, or drawn by class; accuracy on "
    "the 10,000 test images. Seeds choose the labels and the classifier's start.",
    data="mnist",
    unit="% accuracy",
    rows=dict.fromkeys((*(f"new examples: {way}" for way in WAYS), CODES), OURS),
    lower=False,
    budgets={
        "smoke": Budget({"seeds": [0, 1, 2], "epochs": 2}, "a VAE of two epochs, three choices of labels"),
        "full": Budget({"seeds": list(range(8)), "epochs": 20}),
    },
)
def augmentation(at: Attempt) -> Iterator[tuple[str, Measured]]:
    """Train the VAE once, and the classifiers for every choice of labels."""
    run = train("vae", at.data, epochs=at.terms["epochs"], seed=0, device=at.device)
    seen, held = run.data.train, run.data.test
    assert seen.y is not None and held.y is not None
    grey, every = seen.x.float() / 255, seen.y.numpy()
    test = (held.x.flatten(1).numpy().astype(np.float32) / 255, held.y.numpy())
    codes = run.encode(held.x.float() / 255).cpu().numpy()
    found: dict[str, list[float]] = {}
    for seed in at.seeds:
        chosen = few_labels(every, 100, seed)
        x, y = grey[chosen], every[chosen]
        z, flat = run.encode(x).double().cpu().numpy(), x.flatten(1).numpy()
        for way, (n, radius) in WAYS.items():
            rows, labels = flat, y
            if n:
                new, of = moved_codes(z, y, n, way, radius, seed)
                with torch.no_grad():
                    made = run.decode(torch.from_numpy(new).float()).flatten(1).cpu().numpy()
                # as many of the given as of the new, so that neither drowns the other
                rows = np.concatenate([np.repeat(flat, n // 100, 0), made])
                labels = np.concatenate([np.repeat(y, n // 100), y[of]])
            with torch.random.fork_rng(devices=[]):
                found.setdefault(f"new examples: {way}", []).append(100 * accuracy(rows, labels, test, seed))
        found.setdefault(CODES, []).append(100 * float(fit_classifier(z, y, seed).score(codes, test[1])))
    for row, values in found.items():
        yield row, Measured(tuple(values))
