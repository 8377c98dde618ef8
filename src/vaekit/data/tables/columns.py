"""What a table's columns are: types inferred or given, scales and levels of training rows, values there and back.

A column is plain facts: `name`, `type`, and what its type needs. Numbers and dates (in days since 1970) have a `curve`,
their quantile function, and are stored as its normal scores (`vaekit.data.tables.quantiles`). Without one, numeric
columns and dates have `mean` and `sd` and are stored standardised, positive ones likewise in their logarithm, and
counts are stored as they are. Choices are stored as the number of their level; the last `rare` levels are those of few
rows. A boolean column `gap_of` another says whether that one's cell is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from vaekit.data.number_forms import PLAIN, NumberForm, any_number, are_codes, decimals_of, form_of, number_of
from vaekit.data.tables.dates import (
    EPOCH,
    date_of,
    days_of,
    formats_of,
    has_time,
    is_bare,
    nearest_format,
    write_date,
)
from vaekit.data.tables.frames import Cells, Frame
from vaekit.data.tables.inference import YES_NO, Inferred
from vaekit.data.tables.quantiles import fit_curve, fit_cycle, to_scores, to_values
from vaekit.errors import UserError, few

Facts = dict[str, Any]
REAL = ("numeric", "positive", "date")
CHOICE = ("categorical", "ordinal", "boolean")
LARGEST = float(np.finfo(np.float32).max)
MOST_OWN = 50
"""Levels of a category that can have a probability of their own each; of more, those of few rows share one."""
FEW_ROWS = 10
EXAMPLE = (datetime(2024, 12, 31, tzinfo=UTC) - EPOCH).days


def fit(
    frame: Frame, cells: Cells, found: Inferred, rows: np.ndarray, comma: bool = False, curves: bool = False
) -> Facts:
    """Return a column's facts, its scale and levels from the training `rows` alone; `comma`: decimals have commas.

    With `curves` numbers and dates have their quantile function, and a category's rare levels are last and counted.
    """
    kind, detail = found.kind, found.detail
    facts: Facts = {"name": cells.name, "type": kind} | _form(cells, kind, detail, comma)
    used = cells.codes[rows]
    used = used[used >= 0]
    if kind in CHOICE:
        facts["levels"] = _levels(cells, facts, detail, used)
        if curves and kind == "categorical":
            facts |= _pooled(facts["levels"], cells, used)
        values = parse(frame, cells, facts, unknown="missing")
        seen = values[rows]
        counts = np.bincount(seen[~np.isnan(seen)].astype(int), minlength=len(facts["levels"]))
        return facts | {"probs": [round(float(p), 6) for p in counts / max(counts.sum(), 1)]}
    values = parse(frame, cells, facts)[rows]
    values = values[~np.isnan(values)]
    if curves:
        cycle = fit_cycle(values, has_time(facts["format"])) if kind == "date" else None
        facts["curve"] = fit_curve(values, kind == "positive", _are_whole(values, facts), FLOORS.get(kind), cycle)
    if kind == "positive":
        values = np.log(values)
    if kind == "count":
        logs = np.log1p(values)
        facts |= {"mean": float(values.mean()), "sd": float(values.std()) or 1.0}
        return facts | {"log_mean": float(logs.mean()), "log_sd": float(logs.std()) or 1.0}
    mean, sd = float(values.mean()), float(values.std())
    return facts | {"mean": mean, "sd": sd if sd > 1e-9 * abs(mean) else 1.0}


FLOORS = {"count": 0.0, "positive": 1.0}
"""The least whole number of a type, where it has one."""


def _are_whole(values: np.ndarray, facts: Facts) -> bool:
    """Whether a column's values are whole numbers, however they are written; dates are where they are days."""
    if facts["type"] == "date":
        return not has_time(facts["format"])
    return bool((values == np.round(values)).all())


def _pooled(levels: list[str], cells: Cells, used: np.ndarray) -> Facts:
    """Return levels with those of few rows last, and how many these are, where there are many."""
    if len(levels) <= MOST_OWN:
        return {}
    counts = np.bincount(used, minlength=len(cells.texts))
    rows = {text: int(count) for text, count in zip(cells.texts, counts)}
    least = max(FEW_ROWS, sorted(rows.values())[-MOST_OWN])
    rare = [level for level in levels if rows.get(level, 0) < least]
    kept = [level for level in levels if rows.get(level, 0) >= least]
    return {"levels": kept + rare, "rare": len(rare)} if len(rare) > 1 else {}


def gaps_of(name: str, values: np.ndarray) -> Facts:
    """Return the facts of the column that says where another one, of stored training `values`, is missing."""
    share = round(float(np.isnan(values).mean()), 6)
    return {
        "name": f"{name} is missing",
        "type": "boolean",
        "levels": ["no", "yes"],
        "probs": [round(1 - share, 6), share],
        "gap_of": name,
    }


def _form(cells: Cells, kind: str, detail: str, comma: bool) -> Facts:
    """Return how a column's numbers or dates are written."""
    if kind == "date":
        format = detail or next(iter(formats_of(cells.texts)), None) or nearest_format(cells.texts)
        return {"format": format} | ({"bare": True} if is_bare(cells.texts, format) else {})
    if kind in ("categorical", "boolean"):
        return {}
    form, _ = form_of(cells.texts, comma)
    own = {} if form == PLAIN else {"form": form.to_dict()}
    if kind == "ordinal":
        return own
    decimals = decimals_of([text for text in cells.texts if form.read(text) is not None], form)
    return own if kind == "count" and not decimals else own | {"decimals": decimals}


def _levels(cells: Cells, facts: Facts, detail: str, used: np.ndarray) -> list[str]:
    """Return the levels in their order: as given, as numbers (but for codes like 02134), no before yes, or as words."""
    kind, form = facts["type"], NumberForm.of(facts)
    if kind == "ordinal" and detail:
        return [level.strip() for level in detail.split("<")]
    texts = sorted({cells.texts[code] for code in np.unique(used)})
    numbers = [form.read(text) for text in texts]
    if kind == "ordinal" and None in numbers:
        raise UserError(
            f"column '{cells.name}' has levels in words ({few(texts)}); give their order, "
            f"data.types={cells.name}=ordinal:{'<'.join(texts[:3])}"
        )
    if None not in numbers and not are_codes(texts):
        first = {number or 0.0: text for number, text in zip(reversed(numbers), reversed(texts))}
        return [first[number] for number in sorted(first)]
    if kind == "ordinal":
        return sorted(texts, key=float)
    if kind == "boolean" and len(texts) == 2:
        return sorted(texts, key=lambda text: text.lower() in {yes for _, yes in YES_NO})
    return texts


# -- there and back ---------------------------------------------------------------------------------------------------


def parse(frame: Frame, cells: Cells, facts: Mapping[str, Any], unknown: str = "refuse") -> np.ndarray:
    """Return a column's values in its own units (N,), float64, NaN where missing; days for dates, numbers of levels.

    A cell that is not a number, count or date is a UserError naming file, row and column; so is a level not among the
    column's, unless `unknown` is "missing".
    """
    read = _reader(_written(cells, facts))
    known = np.full(len(cells.texts) + 1, np.nan)
    for code, text in enumerate(cells.texts):
        value = read(text)
        if value is None and facts["type"] in CHOICE and unknown == "missing":
            continue
        if value is None or not abs(value) <= LARGEST:
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


def _written(cells: Cells, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a column's facts with the form of these cells, if numbers in memory or dates in another form."""
    if facts["type"] == "date":
        fits = formats_of(cells.texts)
        return facts if len(fits) != 1 or facts["format"] in fits else {**facts, "format": fits[0]}
    return {**facts, "text_form": {}} if cells.numbers else facts


def _reader(facts: Mapping[str, Any]) -> Callable[[str], float | None]:
    kind, form = facts["type"], NumberForm(**facts.get("text_form", facts.get("form", {})))
    if kind in CHOICE:
        place = {level: float(i) for i, level in enumerate(facts["levels"])}
        numbers = [NumberForm.of(facts).read(level) for level in facts["levels"]]
        if None not in numbers:
            by_number = {number: float(i) for i, number in enumerate(numbers)}
            return lambda text: place.get(text, by_number.get(form.read(text)))
        lowered = {level.lower(): i for level, i in place.items()} if kind == "boolean" else {}
        return lambda text: place.get(text, lowered.get(text.lower()))
    if kind == "date":
        return lambda text: days_of(text, facts["format"])

    def read(text: str) -> float | None:
        value = form.read(text)
        fits = {"positive": value > 0, "count": value >= 0 and value % 1 == 0} if value is not None else {}
        return value if fits.get(kind, True) else None

    return read


def _fault(text: str, value: float | None, facts: Mapping[str, Any]) -> str:
    kind = facts["type"]
    if kind in CHOICE:
        return (
            f"'{text}' is not among the column's levels ({few(facts['levels'])}); empty the cell to have it taken as "
            "missing, or train with --set data.unknown=missing"
        )
    if value is not None:
        what = "too large for 32 bits" if math.isfinite(value) else "not finite"
        return f"'{text}' is {what}; correct it or empty the cell"
    other = "numeric" if kind in ("positive", "count") and any_number(text) is not None else "categorical"
    plain = {"numeric": "a number", "positive": "a number above 0", "count": "a count (a whole number from 0)"}
    what = plain.get(kind, f"a date like {write_date(EXAMPLE, facts.get('format', '%Y-%m-%d'))}")
    return (
        f"'{text}' is not {what}; correct it, empty it, list it in data.missing, or give the column another type, "
        f"data.types={facts['name']}={other}"
    )


def store(values: np.ndarray, facts: Mapping[str, Any], dtype: type[np.floating[Any]] = np.float32) -> np.ndarray:
    """Return values as the model sees them: scores where there is a curve, else standardised where real."""
    if facts["type"] == "positive":
        values = np.log(values)
    if facts.get("curve"):
        return to_scores(values, facts["curve"]).astype(dtype)
    return ((values - facts["mean"]) / facts["sd"] if facts["type"] in REAL else values).astype(dtype)


def restore(stored: np.ndarray, facts: Mapping[str, Any]) -> np.ndarray:
    """Return stored values in the column's own units, float64: counts whole, levels' numbers whole and in range."""
    values = np.asarray(stored, dtype=np.float64)
    if facts.get("curve"):
        values = to_values(values, facts["curve"])
        values = np.exp(np.minimum(values, 700.0)) if facts["type"] == "positive" else values
        whole = facts["curve"].get("step")
        return np.maximum(np.round(values), facts["curve"].get("floor", -np.inf)) if whole else values
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
        number = None if None in numbers or are_codes(facts["levels"]) else numbers[int(value)]
        whole = number is not None and number == round(number)
        return facts["levels"][int(value)] if number is None else int(number) if whole else number
    if kind == "date":
        date = date_of(value, facts["format"]).replace(tzinfo=None)
        return date if has_time(facts["format"]) else date.date()
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
        return write_date(value, facts["format"], facts.get("bare", False))
    form = NumberForm.of(facts)
    decimals = facts.get("decimals", 0 if facts["type"] == "count" else None)
    if form == PLAIN and decimals is None:
        return f"{value:.6g}"
    return form.write(value, decimals)
