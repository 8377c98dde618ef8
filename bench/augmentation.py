"""A classifier of 100 labelled MNIST images with and without new ones from a run's model, as a Markdown table.

    python bench/augmentation.py RUN [--seeds 8] [--only "small network"]

The run (binary MNIST) saw the training images, never a label. Accuracy is of the 10,000 test images; differences are
paired by seed (the choice of the 100 labels, the classifier's start), with 95% t intervals.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student

from vaekit.runs.loading import load
from vaekit.tasks.augmentation import moved_codes
from vaekit.tasks.classification import few_labels, fit_classifier


def accuracy(kind: str, x: NDArray[np.float32], y: NDArray[np.int64], test: tuple, seed: int) -> float:
    """Fit a classifier of pixels and return its accuracy on the test images."""
    from sklearn.linear_model import LogisticRegression

    if kind == "logistic regression":
        return float(LogisticRegression(C=0.1, max_iter=300).fit(x, y).score(*test))
    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(256, 10)
    )
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--only", choices=("logistic regression", "small network"))
    args = parser.parse_args()
    run = load(args.run)
    train, held = run.data.train, run.data.test
    assert train.y is not None and held.y is not None
    grey = train.x.float() / 255
    test = (held.x.flatten(1).numpy().astype(np.float32) / 255, held.y.numpy())
    kinds = (args.only,) if args.only else ("logistic regression", "small network")
    ways = {"none": (0, 0.0), "near": (1000, 0.3), "interpolate": (1000, 0.0), "class": (1000, 0.0)}
    found: dict[tuple[str, str], list[float]] = {(k, w): [] for k in kinds for w in (*ways, "on codes")}
    for seed in range(args.seeds):
        chosen = few_labels(train.y.numpy(), 100, seed)
        x, y = grey[chosen], train.y.numpy()[chosen]
        z = run.encode(x).double().numpy()
        flat = x.flatten(1).numpy()
        codes = fit_classifier(z, y, seed).score(run.encode(held.x.float() / 255).numpy(), test[1])
        for way, (n, radius) in ways.items():
            rows, labels = flat, y
            if n:
                new, of = moved_codes(z, y, n, way, radius, seed)
                with torch.no_grad():
                    made = run.model.decode(torch.from_numpy(new).float()).mean.flatten(1).numpy()
                # as many of the given as of the new, so that neither drowns the other
                rows = np.concatenate([np.repeat(flat, n // 100, 0), made])
                labels = np.concatenate([np.repeat(y, n // 100), y[of]])
            for kind in kinds:
                found[kind, way].append(accuracy(kind, rows, labels, test, seed))
        for kind in kinds:
            found[kind, "on codes"].append(codes)
    print(f"{args.seeds} seeds, 100 labels, {len(test[1])} test images; accuracy in %, difference to none [95%]")
    print("| new examples | " + " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds))
    for way in (*ways, "on codes"):
        cells = []
        for kind in kinds:
            values, base = (100 * np.array(found[kind, w]) for w in (way, "none"))
            off = values - base
            half = student.ppf(0.975, len(off) - 1) * off.std(ddof=1) / len(off) ** 0.5
            cells.append(f"{values.mean():.1f}" + ("" if way == "none" else f", {off.mean():+.1f} ± {half:.1f}"))
        print(f"| {way} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
