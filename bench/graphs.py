"""Made sets of small graphs, and many runs on them or on Cora and Citeseer: what docs/gallery-graphs.md reports.

python bench/graphs.py make communities communities.npz
python bench/graphs.py links cora --posterior diagonal-normal --seeds 10 --splits
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

SETS = ("communities", "grids")


def communities(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Two halves of 6 to 10 nodes each, joined with probability 0.7 inside and 0.05 between: adjacencies."""
    out = []
    for _ in range(count):
        a, b = rng.integers(6, 11, 2)
        half = np.arange(a + b) < a
        upper = np.triu(rng.random((a + b, a + b)) < np.where(half[:, None] == half, 0.7, 0.05), 1)
        out.append(upper | upper.T)
    return out


def grids(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Lattices of 3 to 5 by 3 to 5 nodes, each joined to those beside it: adjacencies."""
    out = []
    for _ in range(count):
        h, w = rng.integers(3, 6, 2)
        row, column = np.divmod(np.arange(h * w), w)
        apart = np.abs(row[:, None] - row) + np.abs(column[:, None] - column)
        out.append(apart == 1)
    return out


def make(name: str, path: Path, count: int, seed: int) -> None:
    """Write a set of graphs, its nodes in random order."""
    rng = np.random.default_rng(seed)
    sizes, edges, start = [], [], 0
    for adjacency in {"communities": communities, "grids": grids}[name](count, rng):
        order = rng.permutation(len(adjacency))
        i, j = np.nonzero(np.triu(adjacency[order][:, order], 1))
        edges.append(np.stack([i, j], 1) + start)
        sizes.append(len(adjacency))
        start += len(adjacency)
    np.savez_compressed(path, sizes=np.array(sizes), edges=np.concatenate(edges))


def links(data: str, posterior: str, seeds: int, splits: bool) -> None:
    """Train with each seed (and each its own split), and print AUC and AP of the test links and the bound."""
    import vaekit

    found = []
    for seed in range(seeds):
        given = {"model.posterior": posterior, "data.seed": seed if splits else 0}
        run = vaekit.train("graph-vae", data, seed=seed, set=given, pictures=False)
        result = run.evaluate(["links", "elbo"])
        found.append([result[name].value for name in ("auc", "ap", "elbo")])
        print(
            json.dumps(
                {"data": data, "posterior": posterior, "seed": seed, **dict(zip(("auc", "ap", "elbo"), found[-1]))}
            )
        )
    auc, ap = (np.array([row[i] for row in found]) for i in (0, 1))
    print(f"AUC {auc.mean():.4f} ± {auc.std(ddof=1):.4f}, AP {ap.mean():.4f} ± {ap.std(ddof=1):.4f} ({seeds} seeds)")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="write a made set")
    maker.add_argument("name", choices=SETS)
    maker.add_argument("path", type=Path)
    maker.add_argument("--count", type=int, default=500)
    maker.add_argument("--seed", type=int, default=0)
    linker = commands.add_parser("links", help="many seeds of graph-vae")
    linker.add_argument("data")
    linker.add_argument("--posterior", default="diagonal-normal")
    linker.add_argument("--seeds", type=int, default=10)
    linker.add_argument("--splits", action="store_true", help="another split of the edges with each seed")
    given = parser.parse_args()
    if given.command == "make":
        make(given.name, given.path, given.count, given.seed)
    else:
        links(given.data, given.posterior, given.seeds, given.splits)


if __name__ == "__main__":
    main()
