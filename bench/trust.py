"""Make docs/trust.md: what numbers of vaekit cover, when they are compared, what recipes are worth, what tests catch.

    python bench/trust.py [--out docs/trust.md] [--pages FOLDER] [--keep]

Intervals, recipes and mutants are read from bench/results (python bench/coverage.py, bench/claims.py, bench/mutants.py
write them); a file that is not there leaves its section saying so. The four pairs of runs that must not be ranked by
mistake are trained here, briefly, and compared by the code of `vaekit report A B`; `--pages` keeps those pages, and
`--keep` takes the pairs' results of the last time.
"""

from __future__ import annotations

import argparse
import ast
import json
import tempfile
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import claims  # bench/claims.py, beside this file

import vaekit
from vaekit.atomic import write_json, write_text
from vaekit.report.content import Number, difference, differing
from vaekit.report.html import best
from vaekit.runs.report import compare, gather
from vaekit.runs.run import Run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
FAULTS = ("tests/metrics/test_known_faults.py", "tests/runs/test_comparable.py")
"""The tests of faults that were found in numbers."""


@dataclass(frozen=True)
class Pair:
    """Two runs that look comparable; `sets` are the settings of each."""

    title: str
    data: str
    recipes: tuple[str, str]
    sets: tuple[tuple[str, ...], tuple[str, ...]]


PAIRS = (
    Pair(
        "standardised against raw",
        "columns",
        ("vae", "vae"),
        (("data.standardise=true",), ("data.standardise=false",)),
    ),
    Pair("log p(x\\|y) against log p(x)", "digits", ("cvae", "vae"), ((), ())),
    Pair(
        "threshold against stochastic binarisation",
        "digits",
        ("vae", "vae"),
        (("data.binarise=threshold",), ("data.binarise=stochastic",)),
    ),
    Pair(
        "dequantised against not",
        "digits",
        ("vae", "vae"),
        (("model.likelihood=gaussian", "data.dequantise=true"), ("model.likelihood=gaussian",)),
    ),
)


def columns() -> Any:
    """Return eight real columns in their own units, of deviations from 0.01 to 350."""
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer().data[:, :8].astype("float32")


def trained(pair: Pair, folder: Path, steps: int) -> list[Run]:
    """Train and evaluate a pair's two runs in folders."""
    runs = []
    for i, (recipe, sets) in enumerate(zip(pair.recipes, pair.sets, strict=True)):
        source = columns() if pair.data == "columns" else pair.data
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = folder / f"{i}"
            run = vaekit.train(recipe, source, out=out, overwrite=True, set=sets, steps=steps, seed=0, pictures=False)
            run.evaluate(["elbo", "iw_bound"], k=50)
        runs.append(run)
    return runs


def said(numbers: Sequence[Number]) -> str:
    """Return what the comparison says of two runs' number."""
    apart = differing(numbers)
    if apart:
        return "not compared: " + "; ".join(f"{aspect} {a} / {b}" for aspect, (a, b) in apart.items())
    off, top = difference(numbers[0], numbers[1]), best(numbers)
    if off is None or off.stderr is None:
        return "compared, without an error"
    verdict = "no difference" if top is None else f"best: the {('first', 'second')[top]}"
    return f"first less second {off.value:+.2f} ± {off.stderr:.2f}{', paired' if off.paired else ''}; {verdict}"


def compared(pair: Pair, folder: Path, steps: int) -> list[dict[str, str]]:
    """Train a pair, write its page, and return a row for each of its bounds."""
    runs = trained(pair, folder, steps)
    write_text(folder / "comparison.html", compare(runs))
    numbers = [gather(run).numbers() for run in runs]
    names = [" ".join([r, *s]) for r, s in zip(pair.recipes, pair.sets, strict=True)]
    return [
        {"pair": pair.title, "first": names[0], "second": names[1], "number": name}
        | {side: f"{n.value:.2f} ± {n.stderr:.2f}" for side, n in zip(("a", "b"), both, strict=True)}
        | {"said": said(both).replace("|", "\\|")}
        for name in ("elbo", "iw_bound")
        for both in [[each[name] for each in numbers]]
    ]


# -- the page ----------------------------------------------------------------------------------------------------------


def read(name: str) -> Any:
    """Return a results file's content, None where there is none."""
    path = RESULTS / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def wrapped(text: str) -> str:
    """Return a paragraph in lines of at most 120 characters."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def coverage_section() -> Iterator[str]:
    """Yield the share of draws of data in which each interval holds what it is one of."""
    yield "## What intervals cover"
    yield ""
    found = read("coverage.json")
    if found is None:
        yield "Not measured yet; `python bench/coverage.py` measures it."
        return
    yield wrapped(
        "Data are drawn anew many times from something whose value is known, or whose mean over all draws is; covered "
        "is the share of draws whose interval holds it. `python bench/coverage.py` measures it."
    )
    yield ""
    yield "| interval of | situation | nominal | covered | draws |"
    yield "|---|---|---|---|---|"
    for row in found["rows"]:
        yield f"| {row['metric']} | {row['situation']} | {row['nominal']:.0%} | {row['covered']:.1%} | {row['draws']} |"


def pairs_section(rows: Sequence[dict[str, str]], steps: int) -> Iterator[str]:
    """Yield what the comparison of runs says of the four pairs."""
    yield "## When runs are compared"
    yield ""
    yield wrapped(
        "A number carries what it is a number of: its examples, what their values are, of what probability, its "
        "measure, K. `vaekit report A B` compares equal ones only, pairs differences by example, and calls one best "
        "where it is ahead by more than two standard errors. Four pairs that look comparable, trained for "
        f"{steps} steps by this page's command; the densities of columns are in the columns' own units, whether they "
        "are standardised or not:"
    )
    yield ""
    yield "| pair | first | second | number | first | second | what is said |"
    yield "|---|---|---|---|---|---|---|"
    for r in rows:
        cells = [r["pair"], f"`{r['first']}`", f"`{r['second']}`", r["number"], r["a"], r["b"], r["said"]]
        yield f"| {' | '.join(cells)} |"


def recipes_section() -> Iterator[str]:
    """Yield the table of recipes against what they claim to improve on."""
    lengths = ", ".join(f"{steps:,} on {data}" for data, steps in claims.STEPS.items())
    yield "## What recipes are worth"
    yield ""
    yield wrapped(
        "Every recipe against the thing it claims to improve on, with default settings, "
        f"in runs shorter than the defaults' ({lengths} steps): what a short run is worth, not what a recipe "
        "can come to. Differences are recipe less baseline: means over the same test examples are paired, and the ± is "
        "over examples; the spread is the standard deviation of the seeds' differences. Better and worse are said "
        "where a difference is more than two of both errors together. `python bench/claims.py` measures it."
    )
    yield ""
    yield from claims.table()
    yield ""
    lengths = ", ".join(f"{steps:,} on {data}" for data, steps in claims.WHOLE.items())
    yield f"Claims that a short run does not settle, in runs of the defaults' own length ({lengths} steps; `--steps`):"
    yield ""
    yield from claims.table(steps=claims.WHOLE)


def faults_section() -> Iterator[str]:
    """Yield the faults that tests catch, by the tests' names, and the mutants' figures."""
    yield "## What tests catch"
    yield ""
    yield "Faults found in numbers, by the names of the tests that fail on them:"
    for path in FAULTS:
        yield ""
        yield f"`{path}`"
        yield ""
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                words = node.name.removeprefix("test_").replace("_", " ")
                doc = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
                yield f"- {words}" + (f" ({doc.rstrip('.')})" if doc else "")
    yield ""
    yield from planted_table()
    found = read("mutants.json")
    if found is None:
        yield "Mutants: not measured yet; `python bench/mutants.py` measures them."
        return
    yield wrapped(
        "Mutants: faults planted by a program, one at a time (an operator, sign, constant, comparison or reduction "
        "changed), and the tests of their area run on each. `python bench/mutants.py` measures it."
    )
    yield ""
    yield "| area | planted | killed | killed by tests since | harmless, explained | survive | killed at first |"
    yield "|---|---|---|---|---|---|---|"
    for area, n in found["areas"].items():
        left = [one["verdict"] for one in found["not_killed"] if one["area"] == area]
        since, harmless, survive = (left.count(verdict) for verdict in ("killed since", "explained", "survived"))
        real = n["killed"] + since + survive
        share = f"{n['killed'] / real:.0%} of those not harmless" if real else "–"
        yield f"| {area} | {n['planted']} | {n['killed']} | {since} | {harmless} | {survive} | {share} |"


def planted_table() -> Iterator[str]:
    """Yield the faults planted back, each with how many tests fail on it and one of their names."""
    found = read("planted.json")
    if found is None:
        yield "Not planted back yet; `python bench/planted.py` does."
        yield ""
        return
    yield wrapped(
        "Faults that were found or might be, each planted back in a copy of the package; the tests pass without."
    )
    yield wrapped("`python bench/planted.py` does it.")
    yield ""
    yield "| fault | file | tests that fail |"
    yield "|---|---|---|"
    for row in found["rows"]:
        first, *others = row["caught_by"] or ["none"]
        more = f" and {len(others)} more" if others else ""
        yield f"| {row['fault'].replace('|', chr(92) + '|')} | `{row['file']}` | `{first}`{more} |"
    yield ""


def page(rows: Sequence[dict[str, str]], steps: int) -> str:
    """Return the page."""
    head = [
        "# What the numbers are worth",
        "",
        "Made by `make trust` (`python bench/trust.py`); every figure below comes from a command that it names.",
    ]
    sections = [coverage_section(), pairs_section(rows, steps), recipes_section(), faults_section()]
    return "\n".join(["\n".join(head), *("\n".join(["", *section]) for section in sections)]) + "\n"


def main() -> None:
    """Train the pairs and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "trust.md", help="the page")
    parser.add_argument("--pages", type=Path, default=None, help="a folder that keeps the pairs' runs and their pages")
    parser.add_argument("--keep", action="store_true", help="take the pairs of bench/results/pairs.json")
    parser.add_argument("--steps", type=int, default=300, help="steps of the pairs' runs")
    args = parser.parse_args()
    found = read("pairs.json") if args.keep else None
    if found is None:
        with tempfile.TemporaryDirectory() as scratch:
            folder = args.pages or Path(scratch)
            rows = [row for i, pair in enumerate(PAIRS) for row in compared(pair, folder / f"pair{i}", args.steps)]
        found = {"steps": args.steps, "rows": rows}
        write_json(RESULTS / "pairs.json", found)
    write_text(args.out, page(found["rows"], found["steps"]))
    print(args.out)


if __name__ == "__main__":
    main()
