"""Types of arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter


def _whole(kind: Any, tokens: Sequence[Any]) -> int:
    """Read a whole number; "2.5" is an error, not 2."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a whole number") from None


WHOLE = Parameter(converter=_whole)
Whole = Annotated[int, WHOLE]
