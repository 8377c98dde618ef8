"""Which type a table's column has: given, or inferred from all its cells."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vaekit.data.number_forms import NumberForm, are_codes, form_of
from vaekit.data.tables.dates import days_of, formats_of
from vaekit.data.tables.frames import Cells
from vaekit.errors import UserError, few

TYPES = ("numeric", "positive", "count", "categorical", "ordinal", "boolean", "date", "label", "skip")
YES_NO = (("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("0", "1"), ("0.0", "1.0"))
FEW_LEVELS = 10
MOST_LEVELS = 1000
MOST_COUNT = 10_000
LONG_TAIL = 1.0
"""Skewness from which numbers above 0 are modelled in their logarithm (an exponential distribution has 2)."""
IDENTIFIER = re.compile(r"(^|[_\W])(id|uuid|nr|no|index|key)$|^$", re.IGNORECASE)


def split_type(text: str) -> tuple[str, str]:
    """Return a type and its detail.

    >>> split_type("ordinal:low<high"), split_type("count")
    (('ordinal', 'low<high'), ('count', ''))
    """
    kind, _, detail = text.partition(":")
    return kind.strip().lower(), detail.strip()


def check_types(types: Mapping[str, str], header: Sequence[str], source: str) -> None:
    """Raise a UserError where a type is given to a column that does not exist, or is not one of `TYPES`."""
    for name, text in types.items():
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise UserError(f"data.types names '{name}', and {source} has no such column; {hint}It has {few(header)}")
        if split_type(text)[0] not in TYPES:
            raise UserError(f"data.types: '{name}' cannot be '{text}'; a column is one of {', '.join(TYPES)}")


class Inferred(NamedTuple):
    """A column's type and its detail, and a note where a person should know why."""

    kind: str
    detail: str = ""
    note: str = ""


def infer(cells: Cells, rows: np.ndarray, comma: bool = False) -> Inferred:
    """Return what a column is, judging by all its rows.

    `rows` are the training rows: a column with nothing or one value in them is "empty" or "constant". Texts are dates,
    numbers, or categories. Whole numbers are ordered levels where there are few, counts where they come near 0 and
    scatter as counts do, else numbers (ages, years); with zeros before them they are codes, that is categories. What
    names its row (all different texts, a running number) is an identifier. `comma`: the table has decimal commas.
    """
    name, used = cells.name, cells.codes[rows]
    n_levels = len(np.unique(used[used >= 0]))
    if n_levels == 0:
        return Inferred("empty", "", f"column '{name}' has no values in the training rows, and is left out")
    if n_levels == 1:
        text = cells.texts[int(used[used >= 0][0])]
        return Inferred("constant", text, f"column '{name}' is '{text}' in every training row, and is left out")
    if cells.levels:
        return Inferred("ordinal", "<".join(cells.levels))
    texts = cells.texts
    lowered = {text.lower() for text in texts}
    if any(lowered <= set(pair) for pair in YES_NO):
        return Inferred("boolean")
    if fits := formats_of(texts):
        first = [days_of(text, fits[0]) for text in texts]
        other = next((format for format in fits[1:] if [days_of(text, format) for text in texts] != first), None)
        both = f"column '{name}' is read as {fits[0]}; say data.types={name}=date:{other} if it is not"
        return Inferred("date", fits[0], both if other else "")
    if are_codes(texts):
        return _kind_of_texts(cells)
    form, share = form_of(texts, comma)
    if share == 1:
        found = _kind_of_numbers(cells, np.array([form.read(text) for text in texts], dtype=float))
        return found if found.note else found._replace(note=_said(name, texts, form))
    if share >= 0.9 and len(texts) > FEW_LEVELS:
        return Inferred("numeric")  # the few that are no numbers are named when they are read
    return _kind_of_texts(cells)


def _said(name: str, texts: Sequence[str], form: NumberForm) -> str:
    """Return a note where 1,234 may be a thousand or a little more than one."""
    marks = form.group in (".", ",") and [text.count(form.group) for text in texts]
    if not marks or set(marks) != {1} or any(form.decimal in text for text in texts):
        return ""
    text = texts[0]
    other = "comma" if form.group == "," else "point"
    return f"column '{name}': {text} is read as {form.read(text):.0f}; say data.decimal={other} if that mark is decimal"


@np.errstate(over="ignore")  # a difference or a mean beyond the largest float: infinite, and so no count or row number
def _kind_of_numbers(cells: Cells, values: np.ndarray) -> Inferred:
    every = values[cells.codes[cells.codes >= 0]]
    whole = bool(np.all(values == np.round(values)))
    if whole and len(values) == len(every) > 2 * FEW_LEVELS:
        steps = np.diff(every)
        if np.all(steps == 1) or IDENTIFIER.search(cells.name):
            note = f"column '{cells.name}' numbers the rows, and is left out; {_keep(cells.name, 'numeric')}"
            return Inferred("identifier", "", note)
    if not whole or values.min() < 0:
        return Inferred(_real_kind(every))
    different = len(np.unique(values))
    if different == 2:
        return Inferred("categorical")
    if different <= FEW_LEVELS and len(every) >= 5 * different and values.max() - values.min() < 2 * FEW_LEVELS:
        return Inferred("ordinal")
    near_zero = values.min() <= max(1.0, 0.1 * every.mean())
    if near_zero and values.max() <= MOST_COUNT and every.var() >= 0.5 * every.mean():
        return Inferred("count")
    return Inferred(_real_kind(every))


def _real_kind(values: np.ndarray) -> str:
    """Return "positive" for numbers above 0 with a long upper tail that their logarithm has not: incomes, durations."""
    values = values[np.isfinite(values)]  # one that is not is named when it is read
    if len(values) < 3 * FEW_LEVELS or values.min() <= 0:
        return "numeric"
    plain, logged = _skewness(values), _skewness(np.log(values))
    return "positive" if plain > LONG_TAIL and abs(logged) < 0.5 * plain else "numeric"


def _skewness(values: np.ndarray) -> float:
    off = values / max(np.abs(values).max(), 1e-300)  # of the size of 1: no power of them is beyond the largest float
    off = off - off.mean()
    return float((off**3).mean() / max((off**2).mean() ** 1.5, 1e-300))


def _kind_of_texts(cells: Cells) -> Inferred:
    n, different = int((cells.codes >= 0).sum()), len(cells.texts)
    if different <= FEW_LEVELS or (different <= MOST_LEVELS and 2 * different <= n):
        return Inferred("categorical")
    why = "a different text in nearly every row" if different > 0.5 * n else f"{different:,} different texts"
    note = f"column '{cells.name}' has {why}, and is left out; {_keep(cells.name, 'categorical')}"
    return Inferred("identifier", "", note)


def _keep(name: str, kind: str) -> str:
    return f"data.types={name}={kind} keeps it"
