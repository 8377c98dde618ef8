"""Data frames of pandas and polars: what their columns are made of, noted as plain facts, and frames made of the same.

Neither library is imported unless a frame is to be made: a frame is known by the library of its class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, Literal, get_args

import numpy as np

from vaekit.errors import UserError, optional

Library = Literal["pandas", "polars"]
LIBRARIES: tuple[str, ...] = get_args(Library)
KINDS: Mapping[type, str] = {str: "str", bool: "bool", int: "int", float: "float", date: "date", datetime: "datetime"}
"""What the values of a column are in Python, by the most special class they all have."""


def library_of(source: Any) -> Library | None:
    """Return whose data frame this is; None for anything else.

    >>> library_of({"a": [1]}) is None
    True
    """
    library: Any = type(source).__module__.partition(".")[0]
    return library if library in LIBRARIES and hasattr(source, "columns") and hasattr(source, "dtypes") else None


def frame_facts(source: Any) -> dict[str, Any] | None:
    """Return a frame's library and, by name, its columns' dtypes and kinds of values; None for anything else."""
    library = library_of(source)
    if library is None:
        return None
    columns = {str(name): _facts(source[name], library) for name in source.columns}
    return {"library": library, "columns": columns}


def _facts(values: Any, library: Library) -> dict[str, Any]:
    dtype = values.dtype
    facts: dict[str, Any] = {"dtype": str(dtype) if library == "pandas" else type(dtype).__name__, "of": _kind(values)}
    if library == "polars":
        if facts["dtype"] == "DataTypeClass":  # a dtype without parameters may be given as its class
            facts["dtype"] = str(dtype)
        own = {name: getattr(dtype, name, None) for name in ("time_unit", "time_zone", "precision", "scale")}
        facts |= {name: value for name, value in own.items() if isinstance(value, str | int)}
    categories = getattr(dtype, "categories", None)
    if categories is not None and (library == "pandas" or facts["dtype"] == "Enum"):
        named = [_plain(value) for value in (categories.to_list() if hasattr(categories, "to_list") else categories)]
        if all(isinstance(value, str | int | float) for value in named):
            facts |= {"categories": named, "ordered": bool(getattr(dtype, "ordered", False))}
    return facts


def is_missing(value: Any) -> bool:
    """Whether a cell of a frame is None, NaN, not a time or pandas' NA (which is not even unequal to itself)."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _kind(values: Any) -> str | None:
    """Return the kind of values that a column holds, None where it is mixed or another."""
    seen = {type(_plain(value)) for value in values.head(1000).to_list() if not is_missing(value)}
    if len(seen) == 1:
        (only,) = seen
        return next((KINDS[base] for base in only.__mro__ if base in KINDS), None)
    return "float" if seen == {int, float} else None


def made_frame(
    columns: Mapping[str, Sequence[Any]], library: str, facts: Mapping[str, Any] | None = None, index: Any = None
) -> Any:
    """Return columns of Python's values (None: missing) as a frame, with the dtypes that `facts` note of that library.

    `index` labels the rows of a pandas frame.

    Raises:
        UserError: the library is not installed, or is neither of the two.
    """
    if library not in LIBRARIES:
        raise UserError(f"frames are made for {' and '.join(LIBRARIES)}, not '{library}'")
    module = optional(library, f"this table is given as a frame of {library}: pip install {library}")
    told: Mapping[str, Any] = {} if facts is None else facts["columns"]
    known = facts is not None and facts["library"] == library
    make = _pandas if library == "pandas" else _polars
    made = {}
    for name, values in columns.items():
        own = told.get(name, {})
        made[name] = make(module, name, [valued(value, own.get("of")) for value in values], own if known else {}, index)
    return module.DataFrame(made, index=index) if library == "pandas" else module.DataFrame(list(made.values()))


def valued(value: Any, kind: str | None) -> Any:
    """Return a value as a kind of `KINDS`; dates of a kind that is not known as datetimes.

    >>> valued("True", "bool"), valued(3, "float"), valued("4", "int"), valued(date(2024, 1, 2), None)
    (True, 3.0, 4, datetime.datetime(2024, 1, 2, 0, 0))
    """
    if is_missing(value):
        return None
    if kind is None:
        return datetime.combine(value, time()) if type(value) is date else _without_zone(value)
    if kind in ("date", "datetime"):
        return _dated(_without_zone(value), kind)
    if kind == "bool":
        return value if isinstance(value, bool) else str(value).lower() in ("true", "1", "1.0")
    return int(float(value)) if kind == "int" else float(value) if kind == "float" else value


def _without_zone(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _dated(value: Any, kind: str) -> date:
    """Return a date, time or text of one (of a column that never varied) as a date or a datetime."""
    value = datetime.fromisoformat(value) if isinstance(value, str) else value
    if kind == "date":
        return value.date() if isinstance(value, datetime) else value
    return value if isinstance(value, datetime) else datetime.combine(value, time())


def _pandas(module: Any, name: str, values: list[Any], facts: Mapping[str, Any], index: Any) -> Any:
    plain = module.Series(values, index=index, name=name, dtype=object if facts.get("dtype") == "object" else None)
    dtype: Any = facts.get("dtype")
    if dtype is None:
        return plain
    if "categories" in facts:
        dtype = module.CategoricalDtype(facts["categories"], facts["ordered"])
    if dtype == "bool" and plain.isna().any():
        dtype = "boolean"
    if str(dtype).startswith(("int", "uint")) and "[" not in str(dtype) and plain.isna().any():
        dtype = str(dtype).replace("i", "I", 1).replace("u", "U")
    zone = getattr(module.api.types.pandas_dtype(dtype), "tz", None)
    if zone is None:
        return plain.astype(dtype)
    summer = np.ones(len(plain), dtype=bool)
    zoned = module.to_datetime(plain).dt.tz_localize(zone, ambiguous=summer, nonexistent="shift_forward")
    return zoned.astype(dtype)


def _polars(module: Any, name: str, values: list[Any], facts: Mapping[str, Any], index: Any) -> Any:
    if "dtype" not in facts:
        return module.Series(name, values, strict=False)
    own = {key: facts[key] for key in ("time_unit", "precision", "scale", "categories") if key in facts}
    dtype = getattr(module, facts["dtype"])
    made = module.Series(name, values, dtype=dtype(**own) if own else dtype, strict=False)
    zone = facts.get("time_zone")
    return made if zone is None else made.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
