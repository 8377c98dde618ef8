"""Examples that a person points to: by number, by the name of their file, or as files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vaekit.data.dataset import Prepared
from vaekit.errors import UserError
from vaekit.inference import joined
from vaekit.runs.base import RunBase


def choose(run: RunBase, names: Sequence[int | str], data: Any = None) -> tuple[Prepared, list[int]]:
    """Return examples, prepared, and the numbers in them of those that are named.

    A name is the number of an example of `data` (0 is the first; None: the test split), the name of its file there, or
    the path of a file of one example, which is prepared as the run's own data were.

    >>> import vaekit
    >>> run = vaekit.train("vae", "digits", steps=2)
    >>> split, numbers = choose(run, [3, "17"])
    >>> len(split), numbers
    (174, [3, 17])
    """
    files = list(dict.fromkeys(str(name) for name in names if _is_file(name)))
    inside = [name for name in names if not _is_file(name)]
    parts = [run.split(data)] if inside or not files else []
    places = {name: _place(parts[0], name) for name in inside}
    for name in files:
        places[name] = sum(map(len, parts))
        parts.append(_only(run.prepared(Path(name)), name))
    return _together(parts), [places[str(name) if _is_file(name) else name] for name in names]


def picked(run: RunBase, names: Sequence[int | str], data: Any = None) -> Prepared:
    """Return the examples that are named, in order; see `choose`."""
    split, numbers = choose(run, names, data)
    return split.take(torch.tensor(numbers))


def _is_file(name: int | str) -> bool:
    return isinstance(name, str) and not name.isdecimal() and Path(name).is_file()


def _only(split: Prepared, name: str) -> Prepared:
    if len(split) != 1:
        raise UserError(f"{name} holds {len(split)} examples; name a file of one")
    return split


def _place(split: Prepared, name: int | str) -> int:
    """Return the number of the example of a number or name."""
    text = str(name)
    if text.removeprefix("-").isdecimal():
        if not 0 <= int(text) < len(split):
            raise UserError(f"example {text} is out of range; numbers go from 0 to {len(split) - 1}")
        return int(text)
    names = [] if split.origin is None else [str(one) for one in split.origin.columns.get("file", ())]
    fits = [i for i, one in enumerate(names) if text in (one, Path(one).name)]
    if len(fits) > 1:
        raise UserError(f"{len(fits)} examples are called {text}; write the folder too, e.g. {names[fits[0]]}")
    if not fits:
        known = f" (they are called e.g. {names[0]})" if names else ""
        raise UserError(
            f"'{text}' is not a file, and not the number or the file name of one of the {len(split)} examples{known}; "
            "write numbers or names with commas, e.g. 3,17,42 or a.png,b.png"
        )
    return fits[0]


def _together(parts: Sequence[Prepared]) -> Prepared:
    """Return the examples of several splits, one after another."""
    if len(parts) == 1:
        return parts[0]
    ys = [part.y for part in parts]
    known = [y for y in ys if y is not None]
    return Prepared(joined([part.x for part in parts]), torch.cat(known) if len(known) == len(ys) else None)
