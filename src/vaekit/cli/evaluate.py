"""vaekit evaluate."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vaekit.cli.arguments import Whole
from vaekit.cli.output import describe, print_json, print_table


def evaluate(
    run: Path,
    /,
    *,
    metrics: Annotated[list[str] | None, Parameter(negative="")] = None,
    k: Whole = 500,
    limit: Whole | None = None,
    seed: Whole = 0,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Evaluate a run on its test split; the numbers go into RUN/evaluation.json and the report.

    Parameters
    ----------
    run
        The run's folder.
    metrics
        Groups (likelihood, latents, reconstruction, samples, ...) or names, comma-separated. Default: all.
    k
        Importance samples an example.
    limit
        Use only the first N test examples.
    seed
        Seed of the evaluation's noise.
    json
        Print one JSON object on the last line of standard output.
    """
    from vaekit import experiment

    names = [name for text in metrics or ["all"] for name in text.split(",") if name]
    if k < 1 or (limit is not None and limit < 1):
        from vaekit.errors import UserError

        raise UserError(f"--{'k' if k < 1 else 'limit'} must be at least 1")
    loaded = experiment.load(run)
    found = loaded.evaluate(names, k=k, limit=limit, seed=seed, progress=Ticker())
    loaded.write_report()
    plain = {name: result.to_dict() for name, result in found.items()}
    if json:
        print_json(plain)
        return
    rows = [
        [name, describe(entry), entry["unit"], entry.get("refused") or f"n={entry['n']}"]
        for name, entry in plain.items()
    ]
    print_table(["metric", "value", "unit", ""], rows)


class Ticker:
    """A line on standard error while a metric is computed, no more than a few times a second."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show how far `name` is."""
        now = time.monotonic()
        if not sys.stderr.isatty() or (now - self._last < 0.2 and done < total):
            return
        self._last = now
        end = "\n" if done >= total else ""
        print(f"\r{name} {done}/{total}", end=end, file=sys.stderr, flush=True)
