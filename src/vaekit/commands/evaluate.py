"""vaekit evaluate."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vaekit import _env
from vaekit.commands.common import ANSWER, USE_DATA, Answer, Folder, UseData, Whole, Words, at_least
from vaekit.commands.launch import on_devices
from vaekit.commands.output import bold, columns_of_terminal, moves, print_json, print_table, widths_of
from vaekit.errors import NotStored, UserError


def evaluate(
    run: Folder,
    /,
    *others: Path,
    metrics: Words = None,
    k: Whole = 500,
    limit: Whole | None = None,
    inception: Path | None = None,
    features: str | None = None,
    seed: Whole = 0,
    devices: Whole | None = None,
    use: UseData = USE_DATA,
    answer: Answer = ANSWER,
) -> None:
    """Evaluate a run on its test split, or on --data; the numbers go into RUN/evaluation.json and the report.

    Parameters
    ----------
    others
        Further runs on the same data: each is evaluated, and may be compared with the others (udr).
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
    features
        A network of features to compare samples by (fd, cmmd): FILE.onnx, or FILE.py:NAME of a module or of what makes
        it, whose code is run. It takes images in [0, 1]; its name and digest stand beside the numbers.
    seed
        Seed of the evaluation's noise.
    devices
        Share the test examples out over as many processes, for the likelihood's metrics; the numbers are the same.
    """
    on_devices(devices, restarts=0)
    names = [name for text in metrics or ["all"] for name in text.split(",") if name]
    at_least("--k", k)
    at_least("--limit", 1 if limit is None else limit)
    if inception is not None and not inception.is_file():
        raise UserError(f"there is no file of Inception-v3 weights at {inception}; check --inception")
    options = {} if inception is None else {"inception": str(inception)}
    options |= {} if features is None else {"features": features}
    runs = [run, *others]
    loaded = [use.load(path) for path in runs]
    found: dict[str, dict[str, Any]] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the numbers could not be stored")  # which is said at the end
        for path, one in zip(runs, loaded):
            rest = [other for other in loaded if other is not one]
            how: dict[str, Any] = {"k": k, "limit": limit, "seed": seed, "options": options, "others": rest}
            results = one.evaluate(names, data=use.data, progress=Ticker(), **how)
            if _env.is_first():
                found[str(path)] = {name: one.evaluation()[name] for name in results}
                if one.unstored is None:
                    one.write_report()
    if not _env.is_first():
        return
    _show(found, {str(path): one.recipe for path, one in zip(runs, loaded)}, answer)
    unstored = [one.unstored for one in loaded if one.unstored is not None]
    if unstored:
        raise NotStored("; ".join(unstored))


def _show(found: Mapping[str, Mapping[str, Any]], recipes: Mapping[str, str], answer: Answer) -> None:
    from vaekit.runs import numbers

    if answer.json:
        print_json(found if len(found) > 1 else next(iter(found.values())))
        return
    for path, plain in found.items():
        if len(found) > 1:
            print(bold(path))
        recipe = recipes[path]
        first = [name for name in numbers.headline(recipe) if name in plain]
        groups = [("Headline", first)] if first else []
        groups += numbers.grouped(name for name in plain if name not in first)
        below: list[str] = []
        tables = {title: [_row(name, plain[name], below) for name in names] for title, names in groups}
        widths = widths_of([row for rows in tables.values() for row in rows])
        beside = sum(widths) + 2 * len(widths) + 30 <= columns_of_terminal()
        for title, rows in tables.items():
            print(bold(title))
            if beside:
                print_table([""] * 4, rows, "  ", widths)
            else:  # unit and notes stand below the value, not beside it
                for name, shown, unit, more in rows:
                    print_table(["", ""], [[name, shown]], "  ", widths[:1])
                    print_table([""], [[f"{unit}; {more}" if unit else more]], "      ")
        for i, text in enumerate(below, 1):
            print(f"[{i}] {text}")
    print("↑ higher is better, ↓ lower; vaekit parts metric says what each is")


def _row(name: str, entry: Mapping[str, Any], below: list[str]) -> list[str]:
    """Return a number as it is read: what it is called, its value with error or interval, its unit, and its notes.

    What several numbers have in common, the network of their features, goes into `below`, and its number here.
    """
    from vaekit.runs import numbers

    arrow = {True: " ↑", False: " ↓", None: ""}[numbers.direction(name)]
    shared, mark = numbers.note({k: v for k, v in entry.items() if k in FEATURES}), ""
    if shared and not entry.get("refused"):
        below += [] if shared in below else [shared]
        mark = f" [{below.index(shared) + 1}]"
    unit = entry["unit"] or ""
    unit = numbers.UNITS.get(unit, unit)
    return [numbers.title(name) + arrow, numbers.value(entry), unit, f"{name}: {_note(entry)}{mark}"]


FEATURES = ("features", "features_accuracy")


def _note(entry: Mapping[str, Any]) -> str:
    """Return what a number must not be read without: n, K and its weights; or why it is none."""
    from vaekit.runs import numbers

    if entry.get("refused"):
        return entry["refused"]
    aside = [] if entry.get("split", "test") == "test" else [f"on {entry['split']}"]
    aside += ["changed data"] if "changed" in entry.get("number_of", {}) else []
    said = numbers.note(entry, FEATURES).replace("; ", ", ")
    return ", ".join(part for part in (f"n={entry['n']}", *aside, said) if part)


class Ticker:
    """A line on standard error while a metric is computed, with the time left, no more than a few times a second.

    >>> ticker = Ticker(clock=iter([0.0, 10.0]).__next__, shown=lambda text: print(text[5:].strip()))
    >>> ticker("elbo", 0, 100); ticker("elbo", 25, 100)
    elbo 0/100
    elbo 25/100, 30 s left
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, shown: Callable[[str], None] | None = None) -> None:
        self._clock, self._shown = clock, shown
        if shown is None and moves():
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
