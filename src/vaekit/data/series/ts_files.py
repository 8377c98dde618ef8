"""The `.ts` files of the time series archive (aeon, sktime): a case a line, colons between its channels."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from vaekit.data.files import read_text
from vaekit.data.limits import check_size
from vaekit.data.number_forms import number_of, why_no_number
from vaekit.data.series.collection import Collection, Values
from vaekit.data.series.grid import on_grid
from vaekit.errors import UserError

PAIR = re.compile(r"\(([^()]*),([^(),]*)\)")
TRAIN, TEST = "_TRAIN", "_TEST"


def with_twin(path: Path, read: Callable[[Path], Collection]) -> Collection:
    """Return what `read` makes of a file; the twin of a `…_TRAIN`, `…_TEST` beside it, is its test split."""
    train = read(path)
    twin = path.with_name(path.name.replace(TRAIN, TEST))
    if TRAIN not in path.name or not twin.is_file():
        return train
    return replace(train, name=path.stem.replace(TRAIN, ""), test=read(twin).unpadded())


def read_ts(path: Path) -> Collection:
    """Read a `.ts` file.

    The header's `@classLabel` says whether lines end in a class, `@targetLabel` in a number (which is left out),
    `@timeStamps` whether steps are (time, value). `?` and NaN are missing values; lengths may differ.

    Raises:
        UserError: names the line that is not as the header says.
    """
    lines = read_text(path).splitlines()
    facts: dict[str, str] = {}
    start = 0
    for start, line in enumerate(lines, start=1):
        words = line.strip().split(maxsplit=1)
        if not words or words[0].startswith(("#", "%")):
            continue
        if not words[0].startswith("@"):
            raise UserError(
                f"{path}: line {start}: a header line begins with @, and @data ends it; is this a .ts file?"
            )
        if words[0].lower() == "@data":
            break
        facts[words[0][1:].lower()] = words[1] if len(words) > 1 else ""
    else:
        raise UserError(f"{path} has no line @data, after which the series stand")
    classes = _says(facts, "classlabel")
    tail = classes or _says(facts, "targetlabel")
    series, labels = list[Values](), list[str]()
    for number, line in enumerate(lines[start:], start=start + 1):
        if not line.strip() or line.lstrip().startswith(("#", "%")):
            continue
        series.append(_case(line, tail, _says(facts, "timestamps"), f"{path}: line {number}"))
        labels += [line.rsplit(":", 1)[1].strip()] if classes else []
    layout = "T" if series and series[0].shape[0] == 1 else "CT"
    return Collection(path.stem, str(path), series, labels, layout=layout).checked()


def _says(facts: dict[str, str], name: str) -> bool:
    return facts.get(name, "false").split()[:1] in (["true"], ["True"], ["TRUE"])


def _case(line: str, tail: bool, stamped: bool, where: str) -> Values:
    """Return one case (C, T); a channel that is shorter than the others is missing at its end."""
    if tail and ":" not in line:
        raise UserError(f"{where}: there is no series before the label; write its values, a colon, the label")
    if stamped:
        body = line.rsplit(":", 1)[0] if tail else line
        parts = [PAIR.findall(part) for part in re.split(r":(?=\(|$)", body)]
        if not all(parts):
            raise UserError(f"{where}: the header says that steps are (time,value), and there are none; correct it")
        times, numbers = zip(*[([t for t, _ in part], _numbers([v for _, v in part], where)) for part in parts])
        return on_grid(times, numbers, where)
    parts = line.strip().split(":")
    channels = [_numbers(part.split(","), where) for part in (parts[:-1] if tail else parts)]
    if not channels:
        raise UserError(f"{where}: there is no series before the label; write its values, a colon, the label")
    check_size(8 * len(channels) * max(map(len, channels)), where, packed=len(line))
    out = np.full((len(channels), max(map(len, channels))), np.nan)
    for row, own in zip(out, channels):
        row[: len(own)] = own
    return out


def _numbers(cells: list[str], where: str) -> Values:
    numbers = [float("nan") if cell.strip() in ("?", "") else number_of(cell) for cell in cells]
    odd = next((cell for cell, number in zip(cells, numbers) if number is None), None)
    if odd is not None:
        raise UserError(f"{where}: {why_no_number(odd.strip())}; write ? for a missing value")
    return np.array(numbers, dtype=np.float64)
