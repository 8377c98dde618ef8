"""Records that vaekit reads back: JSON whose every field is checked, or one sentence that names file and field.

What a run is made of (its record, weights, checkpoints) is refused when it is damaged. Of what can be computed again
(`or_else`) the sentence is a warning, and the run does without.

A file's fields are a pydantic class (`Record`), in one place for each file. Its "format" counts up when fields change
in a way that older code would misread; `migrated` brings an older record to the newest by one function a step, and
refuses one of a newer vaekit.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from vaekit.errors import UserError

MOST_BYTES = 1 << 30
"""The largest record that is read; a vocabulary of ten million words takes less."""

Whole = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(gt=0, lt=2**63)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=1_000_000)]
T = TypeVar("T")


class Record(BaseModel):
    """Base of records: types are not converted, unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Place:
    """Which record is read, for sentences: its file, and what to do when it is damaged."""

    file: str | os.PathLike[str]
    fix: str

    def damaged(self, why: str) -> UserError:
        """Return the error that says the record is damaged.

        >>> str(Place("run.json", "train again").damaged("seed: missing"))
        'run.json is damaged (seed: missing); train again'
        """
        return UserError(f"{self.file} is damaged ({why}); {self.fix}")


def parsed(data: bytes, place: Place) -> Any:
    """Return the value of JSON; numbers that are not finite are refused, as JSON has none."""
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError as error:
        if "surrogate" not in str(error):
            raise place.damaged(str(error)) from None
    try:  # file names that are not UTF-8 have lone surrogates, which pydantic does not read
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise place.damaged(str(error)) from None


def read(path: Path, place: Place) -> Any:
    """Return the value of a JSON file."""
    if path.stat().st_size > MOST_BYTES:
        raise place.damaged(f"it has more than {MOST_BYTES >> 20} MiB")
    return parsed(path.read_bytes(), place)


def migrated(value: Any, steps: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]], place: Place) -> Any:
    """Return a record in the newest format; one without "format" is of format 1, the first.

    `steps[n]` makes format n + 1 of format n.

    >>> migrated({"a": 1}, {1: lambda old: {"b": old["a"]}}, Place("x.json", "make it again"))
    {'b': 1, 'format': 2}
    """
    if not isinstance(value, dict):
        raise place.damaged("it is not a JSON object")
    newest = 1 + len(steps)
    at = value.get("format", 1)
    if not isinstance(at, int) or isinstance(at, bool) or at < 1:
        raise place.damaged(f"format: {_short(at)} is not a version")
    if at > newest:
        raise UserError(f"{place.file} was written by a newer vaekit (format {at}; this one reads {newest}): upgrade")
    for number in range(at, newest):
        value = steps[number](value)
    return {**value, "format": newest}


def checked(kind: Any, value: Any, place: Place) -> Any:
    """Return a JSON value as a type has it; its first fault is told in one sentence that names the field."""
    try:
        return _adapter(kind).validate_json(_text(value), strict=True)
    except ValidationError as error:
        raise place.damaged(fault(error)) from None
    except ValueError as error:  # no text that JSON can hold
        raise place.damaged(str(error)) from None


def _text(value: Any) -> bytes:
    """Return JSON to be checked, in which "?" stands for a lone surrogate."""
    try:
        return to_json(value)
    except ValueError:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _adapters:
        own = isinstance(kind, type) and issubclass(kind, BaseModel)
        _adapters[kind] = TypeAdapter(kind, config=None if own else ConfigDict(strict=True, allow_inf_nan=False))
    return _adapters[kind]


def or_else(made: Callable[[], T], instead: T) -> T:
    """Return what is read, or `instead` with a warning where it is damaged."""
    try:
        return made()
    except UserError as error:
        warnings.warn(str(error), stacklevel=3)
        return instead


def fault(error: ValidationError) -> str:
    """Return the first fault: the field, what is wrong with it, and its value.

    >>> try: Record.model_validate({"a": 1})
    ... except ValidationError as error: print(fault(error))
    a: unknown to this vaekit
    """
    first = error.errors(include_url=False)[0]
    at = ".".join(str(part) for part in first["loc"]) or "the whole"
    if first["type"] == "missing":
        return f"{at}: missing"
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{at}: unknown to this vaekit"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{at}: {message if len(message) <= MOST_SAID else f'{message[: MOST_SAID - 3]}...'}"
    return f"{at}: {message[:1].lower()}{message[1:]}, not {_short(first['input'])}"


MOST_SAID = 300
"""Letters of what is wrong with a field, at most: it may name values of any length."""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
