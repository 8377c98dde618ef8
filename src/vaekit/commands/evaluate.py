"""vaekit evaluate."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vaekit import _env
from vaekit.commands.common import ANSWER, USE_DATA, Answer, Folder, UseData, Whole, Words, at_least
from vaekit.commands.launch import on_devices
from vaekit.commands.output import describe, print_json, print_table
from vaekit.errors import UserError


def evaluate(
    run: Folder,
    /,
    *,
    metrics: Words = None,
    k: Whole = 500,
    limit: Whole | None = None,
    inception: Path | None = None,
    seed: Whole = 0,
    devices: Whole | None = None,
    use: UseData = USE_DATA,
    answer: Answer = ANSWER,
) -> None:
    """Evaluate a run on its test split, or on --data; the numbers go into RUN/evaluation.json and the report.

    Parameters
    ----------
    metrics
        Groups (likelihood, decomposition, latents, reconstruction, samples, interpolation, disentanglement, ...) or
        names, comma-separated. Default: all that apply and take seconds; the groups ais and gaps take minutes; these,
        upper (upper bounds on log p(x)) and calibration (of the posterior) are computed when named.
    k
        Importance samples an example.
    limit
        Use N test examples only, always the same.
    inception
        Safetensors file with the 2015-12-05 Inception-v3 weights, to compare samples by. Default: a classifier trained
        on the run's training split; the name of the one used stands beside every number.
    seed
        Seed of the evaluation's noise.
    devices
        Share the test examples out over as many processes, for the likelihood's metrics; the numbers are the same.
    """
    on_devices(devices, restarts=0)
    names = [name for text in metrics or ["all"] for name in text.split(",") if name]
    at_least("--k", k)
    at_least("--limit", 1 if limit is None else limit)
    loaded = use.load(run)
    if inception is not None and not inception.is_file():
        raise UserError(f"there is no file of Inception-v3 weights at {inception}; check --inception")
    options = {} if inception is None else {"inception": str(inception)}
    results = loaded.evaluate(names, data=use.data, k=k, limit=limit, seed=seed, progress=Ticker(), options=options)
    if not _env.is_first():
        return
    loaded.write_report()
    plain = {name: loaded.evaluation()[name] for name in results}
    if answer.json:
        print_json(plain)
        return
    rows = [
        [name, describe(entry), entry["unit"], entry.get("refused") or _note(entry)] for name, entry in plain.items()
    ]
    print_table(["metric", "value", "unit", ""], rows)


WEIGHTS = {"ess": "effective", "pareto_k": "k̂"}


def _note(entry: Mapping[str, Any]) -> str:
    """Return what a number must not be read without: its n, its K and what became of those weights, its features."""
    given = "given y" if "y" in entry.get("number_of", {}).get("quantity", "") else None
    more = [*([given] if given else []), *([f"k={entry['k']}"] if "k" in entry else [])]
    more += [f"{words} {entry[name]:.3g}" for name, words in WEIGHTS.items() if name in entry]
    return ", ".join(
        [f"n={entry['n']}", *more, *(entry[name] for name in ("features", "definition", "caution") if name in entry)]
    )


class Ticker:
    """A line on standard error while a metric is computed, with the time left, no more than a few times a second.

    >>> ticker = Ticker(clock=iter([0.0, 10.0]).__next__, shown=lambda text: print(text[5:].strip()))
    >>> ticker("elbo", 0, 100); ticker("elbo", 25, 100)
    elbo 0/100
    elbo 25/100, 30 s left
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, shown: Callable[[str], None] | None = None) -> None:
        self._clock, self._shown = clock, shown
        if shown is None and sys.stderr.isatty():
            self._shown = partial(print, end="", file=sys.stderr, flush=True)
        self._name, self._begun, self._first, self._last = "", 0.0, 0, -1.0

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show how far `name` is."""
        if self._shown is None:
            return
        now = self._clock()
        if name != self._name or done < self._first:
            self._name, self._begun, self._first = name, now, done
        elif now - self._last < 0.2 and done < total:
            return
        self._last = now
        end = "\n" if done >= total else ""
        self._shown(f"\r\x1b[2K{name} {done:,}/{total:,}{self._left(now, done, total)}{end}")

    def _left(self, now: float, done: int, total: int) -> str:
        """Return the time left at the pace so far; the first call only starts the clock."""
        if not self._first < done < total:
            return ""
        seconds = (now - self._begun) / (done - self._first) * (total - done)
        return f", {seconds / 60:.0f} min left" if seconds >= 120 else f", {seconds:.0f} s left"
