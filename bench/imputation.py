"""Imputation of half the cells of a table, as a Markdown table: tabular-vae beside scikit-learn's imputers.

python bench/imputation.py [--data breast-cancer] [--seeds 1234 1 2 3 4] [--epochs N] [--out results.json]
python bench/imputation.py --choose 9001 9002 --grid 100 200 300      # the number of epochs, by cells that are seen
python bench/imputation.py --make table.csv                           # a table of mixed columns with gaps, made up

The protocol is that of MIWAE's authors' notebook: the table standardised by all its cells, a fixed share of them (0.5)
hidden completely at random with NumPy's generator at the seed, one model trained on what is left of every row, and the
mean squared error over the hidden cells. The mask of seed 1234 is the notebook's own. Models see what is left alone,
and standardise by it.

`--choose` never looks at hidden cells: of the cells left by masks of other seeds, a tenth more is hidden, and the error
on those is printed for each number of epochs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.data.datasets import read_known
from vaekit.runs.train import train
from vaekit.tasks.imputation import impute

Table = NDArray[np.float64]
SHARE = 0.5


def standardised(name: str) -> tuple[list[str], Table]:
    """Return a known table's numeric columns, each with mean 0 and variance 1 over all its cells."""
    columns: Any = read_known(name)
    kept = {key: np.asarray(v, float) for key, v in columns.items() if np.asarray(v).dtype.kind in "fiu"}
    x = np.stack(list(kept.values()), 1)
    return list(kept), (x - x.mean(0)) / x.std(0)


def hidden(shape: tuple[int, int], seed: int, share: float = SHARE) -> NDArray[np.bool_]:
    """Return a mask with exactly that share of the cells, drawn as the notebook does."""
    cells = shape[0] * shape[1]
    mask = np.zeros(cells, bool)
    mask[np.random.RandomState(seed).choice(cells, int(np.floor(cells * share)), replace=False)] = True
    return mask.reshape(shape)


def by_vae(names: Sequence[str], x: Table, seed: int, epochs: int | None, k: int, options: dict[str, Any]) -> Table:
    """Train on the rows with their gaps and fill them: self-normalised importance means of `k` samples."""
    columns = {name: x[:, j] for j, name in enumerate(names)}
    settings = {"data.valid": 0, "data.test": 0, "data.types": dict.fromkeys(names, "numeric")} | options
    run = train("tabular-vae", columns, epochs=epochs, seed=seed, set=settings)
    rows = run.prepared(columns).x
    filled = impute(run.model, rows, None, draws=1, k=k, seed=seed).mean.double().numpy()
    facts = run.info.facts["columns"]
    assert [column["name"] for column in facts] == list(names)
    return filled * np.array([column["sd"] for column in facts]) + np.array([column["mean"] for column in facts])


def by_sklearn(kind: str, x: Table) -> Table:
    """Fill gaps with scikit-learn's imputer of that kind, its own defaults."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    kinds: dict[str, Callable[[], Any]] = {
        "column mean": SimpleImputer,
        "k nearest neighbours": KNNImputer,
        "iterative, Bayesian ridge": lambda: IterativeImputer(random_state=0, max_iter=10),
    }
    return np.asarray(kinds[kind]().fit_transform(x))


def compare(names: Sequence[str], x: Table, args: argparse.Namespace) -> dict[str, Any]:
    """Print every imputer's error for every mask, and its mean and standard deviation over them."""
    found: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    ways = ["column mean", "k nearest neighbours", "iterative, Bayesian ridge", "tabular-vae"]
    for seed in args.seeds:
        gaps = hidden(x.shape, seed)
        seen = np.where(gaps, np.nan, x)
        for way in ways:
            started = time.process_time()
            vae = way == "tabular-vae"
            filled = by_vae(names, seen, seed, args.epochs, args.k, args.set) if vae else by_sklearn(way, seen)
            assert np.allclose(filled[~gaps], x[~gaps], atol=1e-4), "an observed cell was changed"
            found.setdefault(way, []).append(float(((filled - x)[gaps] ** 2).mean()))
            seconds[way] = seconds.get(way, 0.0) + time.process_time() - started
            print(f"seed {seed}, {way}: {found[way][-1]:.4f}", flush=True)
    print("\n| imputer | " + " | ".join(f"seed {s}" for s in args.seeds) + " | mean ± sd | CPU seconds a mask |")
    print("|---|" + "---|" * (len(args.seeds) + 2))
    for way, values in found.items():
        spread = f"{np.mean(values):.4f} ± {np.std(values, ddof=1) if len(values) > 1 else float('nan'):.4f}"
        cells = " | ".join(f"{v:.4f}" for v in values)
        print(f"| {way} | {cells} | {spread} | {seconds[way] / len(values):.1f} |")
    return {"data": args.data, "seeds": args.seeds, "k": args.k, "mse": found}


def choose(names: Sequence[str], x: Table, args: argparse.Namespace) -> None:
    """Print the error on a further tenth of the cells that other masks leave, for each number of epochs."""
    for seed in args.choose:
        seen = np.where(hidden(x.shape, seed), np.nan, x)
        more = hidden(x.shape, seed + 1, 0.1) & ~np.isnan(seen)
        for epochs in args.grid:
            filled = by_vae(names, np.where(more, np.nan, seen), seed, epochs, 500, args.set)
            print(f"mask {seed}, {epochs} epochs: {((filled - x)[more] ** 2).mean():.4f}", flush=True)


def made(path: Path, n: int = 600) -> None:
    """Write customers who differ in one hidden way that all columns follow; a seventh of the cells is missing."""
    noise = np.random.default_rng(0)
    f = noise.normal(size=n)
    towns = np.array(["Hull", "York", "Leeds"])
    columns: dict[str, list[str]] = {
        "customer": [f"C{1000 + i}" for i in range(n)],
        "age": [str(int(v)) for v in np.clip(42 + 13 * f + 6 * noise.normal(size=n), 18, 92)],
        "visits": [str(v) for v in noise.poisson(np.exp(0.9 + 0.6 * f))],
        "income": [f"{v:.2f}" for v in np.exp(10.2 + 0.5 * f + 0.25 * noise.normal(size=n))],
        "town": towns[np.argmax(np.outer(f, [-1.5, 0, 1.5]) + noise.gumbel(size=(n, 3)), 1)].tolist(),
        "stars": [str(int(v)) for v in np.clip(np.round(3.3 + f + 0.5 * noise.normal(size=n)), 1, 5)],
        "member": np.where(2 * f + noise.logistic(size=n) > 0, "yes", "no").tolist(),
        "joined": (np.datetime64("2023-07-01") + (90 * f + 30 * noise.normal(size=n)).astype(int)).astype(str).tolist(),
        "country": ["UK"] * n,
    }
    for name in list(columns)[1:-1]:
        for i in np.flatnonzero(noise.random(n) < 1 / 7):
            columns[name][i] = ("", "NA", "?")[i % 3]
    path.write_text("".join(",".join(row) + "\n" for row in [list(columns), *zip(*columns.values())]), encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="breast-cancer")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1234, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=None, help="default: the recipe's own")
    parser.add_argument("--k", type=int, default=10_000, help="importance samples a row when filling")
    parser.add_argument("--set", nargs="*", default=[], help="further settings, section.name=value")
    parser.add_argument("--choose", type=int, nargs="+", default=None, metavar="SEED")
    parser.add_argument("--grid", type=int, nargs="+", default=[100, 200, 300], metavar="EPOCHS")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--make", type=Path, default=None, metavar="CSV")
    args = parser.parse_args()
    args.set = dict(pair.split("=", 1) for pair in args.set)
    torch.set_num_threads(1)
    if args.make is not None:
        made(args.make)
        return
    names, x = standardised(args.data)
    if args.choose:
        choose(names, x, args)
        return
    found = compare(names, x, args)
    if args.out is not None:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
