"""What a table's columns are: types inferred or given, scales and levels of training rows, values there and back.

A column is plain facts: `name`, `type`, and what its type needs. Numeric columns and dates (in days since 1970) have
`mean` and `sd` and are stored standardised, positive ones likewise in their logarithm; counts are stored as they are;
choices as the number of their level.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from vaekit.data.csv_files import number_of
from vaekit.data.tables.frames import Cells, Frame
from vaekit.errors import UserError

Facts = dict[str, Any]
TYPES = ("numeric", "positive", "count", "categorical", "ordinal", "boolean", "date", "label", "skip")
REAL = ("numeric", "positive", "date")
CHOICE = ("categorical", "ordinal", "boolean")
FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
)
YES_NO = (("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("0", "1"), ("0.0", "1.0"))
FEW_LEVELS = 10
MOST_LEVELS = 100
MOST_COUNT = 10_000
LONG_TAIL = 1.0
"""Skewness from which numbers above 0 are modelled in their logarithm (an exponential distribution has 2)."""
IDENTIFIER = re.compile(r"(^|[_\W])(id|uuid|nr|no|index|key)$|^$", re.IGNORECASE)
EXAMPLE = datetime(2024, 12, 31, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def days_of(text: str, format: str) -> float | None:
    """Return days since 1970, None where the text is not a date of that form.

    >>> days_of("1970-01-03", "%Y-%m-%d"), days_of("3.1.", "%Y-%m-%d")
    (2.0, None)
    """
    try:
        return (datetime.strptime(text, format).replace(tzinfo=UTC) - EPOCH) / timedelta(days=1)
    except ValueError:
        return None


def date_of(days: float, format: str) -> datetime:
    """Return the date nearest to a number of days since 1970: whole days, or seconds where the form has hours."""
    seconds = days * 86400 if "%H" in format else round(days) * 86400
    # Years 1 to 9999 are all that can be written.
    return EPOCH + timedelta(seconds=round(min(max(seconds, -6.2e10), 2.5e11)))


# -- which type -----------------------------------------------------------------------------------------------------


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
            raise UserError(f"data.types names '{name}', and {source} has no such column; {hint}It has {_few(header)}")
        if split_type(text)[0] not in TYPES:
            raise UserError(f"data.types: '{name}' cannot be '{text}'; a column is one of {', '.join(TYPES)}")


def infer(cells: Cells, rows: np.ndarray) -> tuple[str, str, str]:
    """Return a column's type, its detail, and a note where a person should know why, judging by all its rows.

    `rows` are the training rows: a column with nothing or one value in them is "empty" or "constant". Texts are dates,
    numbers, or categories. Whole numbers are ordered levels where there are few, counts where they come near 0 and
    scatter as counts do, else numbers (ages, years). What names its row (all different texts, a running number) is an
    identifier.
    """
    used = cells.codes[rows]
    n_levels = len(np.unique(used[used >= 0]))
    if n_levels == 0:
        return "empty", "", f"column '{cells.name}' has no values in the training rows, and is left out"
    if n_levels == 1:
        text = cells.texts[int(used[used >= 0][0])]
        return "constant", text, f"column '{cells.name}' is '{text}' in every training row, and is left out"
    if cells.levels:
        return "ordinal", "<".join(cells.levels), ""
    texts = cells.texts
    lowered = {text.lower() for text in texts}
    if any(lowered <= set(pair) for pair in YES_NO):
        return "boolean", "", ""
    numbers = [number_of(text) for text in texts]
    share = sum(number is not None for number in numbers) / len(texts)
    if share == 1:
        return _kind_of_numbers(cells, np.array(numbers, dtype=float))
    if share >= 0.9 and len(texts) > FEW_LEVELS:
        return "numeric", "", ""  # the few that are no numbers are named when they are read
    fits = [format for format in FORMATS if all(days_of(text, format) is not None for text in texts)]
    if fits:
        both = f"column '{cells.name}' is read as {fits[0]}; say data.types={cells.name}=date:{fits[-1]} if it is not"
        return "date", fits[0], both if len(fits) > 1 else ""
    return _kind_of_texts(cells)


def _kind_of_numbers(cells: Cells, values: np.ndarray) -> tuple[str, str, str]:
    every = values[cells.codes[cells.codes >= 0]]
    whole = bool(np.all(values == np.round(values)))
    if whole and len(values) == len(every) > 2 * FEW_LEVELS:
        steps = np.diff(every)
        if np.all(steps == 1) or IDENTIFIER.search(cells.name):
            return "identifier", "", f"column '{cells.name}' numbers the rows, and is left out"
    if not whole or values.min() < 0:
        return _real_kind(every), "", ""
    different = len(np.unique(values))
    if different == 2:
        return "categorical", "", ""
    if different <= FEW_LEVELS and len(every) >= 5 * different and values.max() - values.min() < 2 * FEW_LEVELS:
        return "ordinal", "", ""
    near_zero = values.min() <= max(1.0, 0.1 * every.mean())
    if near_zero and values.max() <= MOST_COUNT and every.var() >= 0.5 * every.mean():
        return "count", "", ""
    return _real_kind(every), "", ""


def _real_kind(values: np.ndarray) -> str:
    """Return "positive" for numbers above 0 with a long upper tail that their logarithm has not: incomes, durations."""
    if len(values) < 3 * FEW_LEVELS or values.min() <= 0:
        return "numeric"
    plain, logged = _skewness(values), _skewness(np.log(values))
    return "positive" if plain > LONG_TAIL and abs(logged) < 0.5 * plain else "numeric"


def _skewness(values: np.ndarray) -> float:
    off = values - values.mean()
    return float((off**3).mean() / max((off**2).mean() ** 1.5, 1e-300))


def _kind_of_texts(cells: Cells) -> tuple[str, str, str]:
    n, different = int((cells.codes >= 0).sum()), len(cells.texts)
    if different <= FEW_LEVELS or (different <= MOST_LEVELS and 2 * different <= n):
        return "categorical", "", ""
    why = "a different text in nearly every row" if different > 0.5 * n else f"{different:,} different texts"
    return "identifier", "", f"column '{cells.name}' has {why}, and is left out"


# -- fitting ----------------------------------------------------------------------------------------------------------


def fit(frame: Frame, cells: Cells, kind: str, detail: str, rows: np.ndarray) -> Facts:
    """Return a column's facts, its scale and levels from the training `rows` alone."""
    facts: Facts = {"name": cells.name, "type": kind}
    used = cells.codes[rows]
    used = used[used >= 0]
    if kind in CHOICE:
        facts["levels"] = _levels(cells, kind, detail, used)
        values = parse(frame, cells, facts, unknown="missing")
        seen = values[rows]
        counts = np.bincount(seen[~np.isnan(seen)].astype(int), minlength=len(facts["levels"]))
        return facts | {"probs": [round(float(p), 6) for p in counts / max(counts.sum(), 1)]}
    if kind == "date":
        facts["format"] = detail or next(
            (f for f in FORMATS if days_of(cells.texts[used[0]], f) is not None), FORMATS[0]
        )
    values = parse(frame, cells, facts)[rows]
    values = values[~np.isnan(values)]
    if kind == "positive":
        values = np.log(values)
    if kind == "count":
        logs = np.log1p(values)
        facts |= {"mean": float(values.mean()), "sd": float(values.std()) or 1.0}
        return facts | {"log_mean": float(logs.mean()), "log_sd": float(logs.std()) or 1.0}
    mean, sd = float(values.mean()), float(values.std())
    facts |= {"mean": mean, "sd": sd if sd > 1e-9 * (1 + abs(mean)) else 1.0}
    return facts if kind == "date" else facts | {"decimals": decimals_of(cells.texts)}


def _levels(cells: Cells, kind: str, detail: str, used: np.ndarray) -> list[str]:
    """Return the levels in their order: as given, as numbers, no before yes, or by the alphabet."""
    if kind == "ordinal" and detail:
        return [level.strip() for level in detail.split("<")]
    texts = sorted({cells.texts[code] for code in np.unique(used)})
    numbers = [number_of(text) for text in texts]
    if all(number is not None for number in numbers):
        first = {number or 0.0: text for number, text in zip(reversed(numbers), reversed(texts))}
        return [first[number] for number in sorted(first)]
    if kind == "ordinal":
        raise UserError(
            f"column '{cells.name}' has levels in words ({_few(texts)}); give their order, "
            f"data.types={cells.name}=ordinal:{'<'.join(texts[:3])}"
        )
    if kind == "boolean" and len(texts) == 2:
        return sorted(texts, key=lambda text: text.lower() in {yes for _, yes in YES_NO})
    return texts


def decimals_of(texts: Sequence[str]) -> int | None:
    """Return how many decimals nearly all (19 of 20) numbers are written with; None beyond 6, or with powers of ten.

    >>> decimals_of(["1.5", "2.25", "3"]), decimals_of(["1e-3"])
    (2, None)
    """
    if any("e" in text.lower() for text in texts):
        return None
    many = sorted(len(text.partition(".")[2].rstrip("0")) for text in texts)
    most = many[min(len(many) - 1, math.ceil(0.95 * len(many)))] if many else 0
    return most if most <= 6 else None


# -- there and back ---------------------------------------------------------------------------------------------------


def parse(frame: Frame, cells: Cells, facts: Mapping[str, Any], unknown: str = "refuse") -> np.ndarray:
    """Return a column's values in its own units (N,), float64, NaN where missing; days for dates, numbers of levels.

    A cell that is not a number, count or date is a UserError naming file, row and column; so is a level not among the
    column's, unless `unknown` is "missing".
    """
    read = _reader(facts)
    known = np.full(len(cells.texts) + 1, np.nan)
    for code, text in enumerate(cells.texts):
        value = read(text)
        if value is None and facts["type"] in CHOICE and unknown == "missing":
            continue
        if value is None or not math.isfinite(value):
            place = frame.place(cells.first_row(code), cells.name)
            raise UserError(f"{place}: {_fault(text, value, facts)}")
        known[code] = value
    return known[cells.codes]


def value_of(text: str, facts: Mapping[str, Any]) -> float | None:
    """Return a cell's value in the column's own units, the number of a level; None where it does not fit.

    >>> value_of("b", {"type": "categorical", "levels": ["a", "b"]}), value_of("x", {"type": "numeric"})
    (1.0, None)
    """
    return _reader(facts)(text)


def _reader(facts: Mapping[str, Any]) -> Callable[[str], float | None]:
    kind = facts["type"]
    if kind in CHOICE:
        place = {level: float(i) for i, level in enumerate(facts["levels"])}
        numbers = [number_of(level) for level in facts["levels"]]
        if None not in numbers:
            by_number = {number: float(i) for i, number in enumerate(numbers)}
            return lambda text: place.get(text, by_number.get(number_of(text)))
        lowered = {level.lower(): i for level, i in place.items()} if kind == "boolean" else {}
        return lambda text: place.get(text, lowered.get(text.lower()))
    if kind == "date":
        return lambda text: days_of(text, facts["format"])

    def read(text: str) -> float | None:
        value = number_of(text)
        fits = {"positive": value > 0, "count": value >= 0 and value % 1 == 0} if value is not None else {}
        return value if fits.get(kind, True) else None

    return read


def _fault(text: str, value: float | None, facts: Mapping[str, Any]) -> str:
    kind = facts["type"]
    if kind in CHOICE:
        return (
            f"'{text}' is not among the column's levels ({_few(facts['levels'])}); empty the cell to have it taken as "
            "missing, or train with --set data.unknown=missing"
        )
    if value is not None:
        return f"'{text}' is not finite; correct it or empty the cell"
    plain = {"numeric": "a number", "positive": "a number above 0", "count": "a count (a whole number from 0)"}
    what = plain.get(kind, f"a date like {EXAMPLE.strftime(facts.get('format', FORMATS[0]))}")
    return (
        f"'{text}' is not {what}; correct it, empty it, list it in data.missing, or give the column another type, "
        f"data.types={facts['name']}={'numeric' if kind in ('positive', 'count') else 'categorical'}"
    )


def store(values: np.ndarray, facts: Mapping[str, Any]) -> np.ndarray:
    """Return values as the model sees them, float32: standardised where real."""
    if facts["type"] == "positive":
        values = np.log(values)
    return ((values - facts["mean"]) / facts["sd"] if facts["type"] in REAL else values).astype(np.float32)


def restore(stored: np.ndarray, facts: Mapping[str, Any]) -> np.ndarray:
    """Return stored values in the column's own units, float64: counts whole, levels' numbers whole and in range."""
    values = np.asarray(stored, dtype=np.float64)
    if facts["type"] in REAL:
        values = values * facts["sd"] + facts["mean"]
        return np.exp(np.minimum(values, 700.0)) if facts["type"] == "positive" else values
    top = len(facts["levels"]) - 1 if facts["type"] in CHOICE else None
    return np.clip(np.round(values), 0, top)


def as_native(value: float, facts: Mapping[str, Any]) -> Any:
    """Return a value in the column's own units as Python has it: None, int, float, str or datetime."""
    if math.isnan(value):
        return None
    kind = facts["type"]
    if kind in CHOICE:
        numbers = [number_of(level) for level in facts["levels"]]
        number = None if None in numbers else numbers[int(value)]
        whole = number is not None and number == round(number)
        return facts["levels"][int(value)] if number is None else int(number) if whole else number
    if kind == "date":
        date = date_of(value, facts["format"]).replace(tzinfo=None)
        return date if "%H" in facts["format"] else date.date()
    if kind == "count":
        return int(value)
    decimals = facts.get("decimals")
    return float(f"{value:.6g}") if decimals is None else round(value, decimals) if decimals else round(value)


def as_text(value: float, facts: Mapping[str, Any]) -> str:
    """Return a value in the column's own units as the source would write it; "" where missing.

    >>> as_text(2.5, {"type": "numeric", "decimals": 2}), as_text(1.0, {"type": "boolean", "levels": ["no", "yes"]})
    ('2.50', 'yes')
    """
    if math.isnan(value):
        return ""
    if facts["type"] in CHOICE:
        return facts["levels"][int(value)]
    if facts["type"] == "date":
        return date_of(value, facts["format"]).strftime(facts["format"])
    if facts["type"] in ("numeric", "positive") and facts.get("decimals"):
        return f"{value:.{facts['decimals']}f}"
    native = as_native(value, facts)
    return f"{native:.6g}" if isinstance(native, float) else str(native)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
