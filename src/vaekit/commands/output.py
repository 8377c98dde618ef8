"""What commands print: results on standard output, words for a person on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vaekit.atomic import finite


def print_json(value: Any) -> None:
    """Print one JSON object on one line of standard output; what is not finite as `atomic.finite` says."""
    print(json.dumps(finite(value), ensure_ascii=False, allow_nan=False), flush=True)


def note(text: str) -> None:
    """Say something on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, padded; the last one is free."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header) - 1)]
    for row in [header, *rows]:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]]).rstrip())


def number(value: float | None, stderr: float | None = None) -> str:
    """Return a number with its error for a table.

    >>> number(-94.123456, 0.02), number(None), number(17.0)
    ('-94.123 ± 0.020', '-', '17')
    """
    if value is None:
        return "-"
    if stderr is None or stderr == 0:
        return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
    from math import floor, log10

    digits = max(0, 1 - floor(log10(abs(stderr)))) if stderr < 10 else 0
    return f"{value:.{digits}f} ± {stderr:.{digits}f}"


def describe(entry: Mapping[str, Any]) -> str:
    """Return a metric's value with its error or interval."""
    if entry.get("interval"):
        low, high = entry["interval"]
        return f"{number(entry['value'])} [{number(low)}, {number(high)}]"
    return number(entry["value"], entry.get("stderr"))
