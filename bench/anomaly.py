"""Anomaly detection, as Markdown tables: Fashion-MNIST against MNIST, and each digit of MNIST held out.

python bench/anomaly.py fashion [--epochs 6] [--n 500]
python bench/anomaly.py digits [--epochs 8] [--train 10000] [--n 2000]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.data.sources import read_raw
from vaekit.intervals import auroc, auroc_interval
from vaekit.runs.train import train
from vaekit.tasks.anomaly import Scorer, judge

GREY = {
    "model.net": "mlp",
    "model.hidden": "512,256",
    "model.act": "silu",
    "model.likelihood": "discretised-logistic",
    "model.scale": "pixel",
}


def arrays(name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Return a known set's training and test images (N, 28, 28) and labels."""
    raw = read_raw(name)
    assert raw.test is not None and raw.train.y is not None and raw.test.y is not None
    x, test = (part.x.reshape(-1, 28, 28) for part in (raw.train, raw.test))
    return x, raw.train.y.astype(np.int64), test, raw.test.y.astype(np.int64)


def fashion(epochs: int, n: int) -> None:
    """Train on Fashion-MNIST; tell its test images from MNIST's."""
    x, _, inside, _ = arrays("fashion-mnist")
    outside = arrays("mnist")[2]
    run = train("vae", x, epochs=epochs, seed=0, set=GREY)
    rng = np.random.default_rng(0)
    images = np.concatenate([rng.permutation(inside)[:n], rng.permutation(outside)[:n]])
    truth = np.arange(2 * n) >= n
    shown = torch.from_numpy(images[:, None].astype(np.float32) / 255)
    normal = run.encode(torch.from_numpy(x[:5000, None].astype(np.float32) / 255))
    scorer = Scorer(run.model, k=64, steps=100, levels=256, normal=normal)
    print(f"Fashion-MNIST (normal) against MNIST, {n} test images each, {epochs} epochs, K = 64, regret of 100 steps")
    print("| score | AUROC [95%] | AUPR [95%] | seconds |\n|---|---|---|---|")
    for name in ("reconstruction", "elbo", "iw", "regret", "complexity", "distance"):
        started = time.perf_counter()
        found = judge(scorer.score(name, shown).numpy(), truth)
        cells = [f"{v['value']:.3f} [{v['interval'][0]:.3f}, {v['interval'][1]:.3f}]" for v in found.values()]  # type: ignore[index]
        print(f"| {name} | {cells[0]} | {cells[1]} | {time.perf_counter() - started:.0f} |", flush=True)


def digits(epochs: int, count: int, n: int) -> None:
    """Hold each digit out of MNIST in turn; AUROC of telling it from the others in the test set."""
    from sklearn.decomposition import PCA
    from sklearn.ensemble import IsolationForest

    x, y, test, label = arrays("mnist")
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(test))[:n]
    flat = test[chosen].reshape(n, -1) / 255.0
    binary = torch.from_numpy((rng.random(flat.shape) < flat).astype(np.float32)).view(-1, 1, 28, 28)
    print(f"MNIST, one digit held out, {count} training images, {epochs} epochs, {n} test images; AUROC [95%]")
    names = ("VAE, -log p(x)", "VAE, regret", "IsolationForest", "PCA reconstruction")
    print("| digit | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    every: list[list[float]] = []
    for digit in range(10):
        own = rng.permutation(np.flatnonzero(y != digit))[:count]
        run = train("vae", x[own], epochs=epochs, seed=0, set={k: GREY[k] for k in list(GREY)[:3]})
        rows = x[own].reshape(count, -1) / 255.0
        scorer = Scorer(run.model, k=64, steps=60, levels=2)
        pca = PCA(50, svd_solver="randomized", random_state=0).fit(rows)
        forest = IsolationForest(random_state=0).fit(rows)
        off = flat - pca.inverse_transform(pca.transform(flat))
        scores = [
            scorer.score("iw", binary).numpy(),
            scorer.score("regret", binary).numpy(),
            -forest.score_samples(flat),
            np.square(off).sum(1),
        ]
        truth = label[chosen] == digit
        every.append([auroc(s, truth) for s in scores])
        ends = [auroc_interval(s, truth) for s in scores]
        cells = [f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, (a, b) in zip(every[-1], ends)]
        print(f"| {digit} | " + " | ".join(cells) + " |", flush=True)
    print("| mean | " + " | ".join(f"{v:.3f}" for v in np.mean(every, 0)) + " |")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=("fashion", "digits"))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--n", type=int)
    parser.add_argument("--train", type=int, default=10_000)
    args = parser.parse_args()
    if args.which == "fashion":
        fashion(args.epochs or 6, args.n or 500)
    else:
        digits(args.epochs or 8, args.train, args.n or 2000)


if __name__ == "__main__":
    main()
