"""By which part of the hashes' range examples test and validate: settled when a run is trained, and recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CONTENTS = "contents"


@dataclass(frozen=True)
class Shares:
    """How examples are dealt out: by what they hold, or by their positions as runs without a record of contents are.

    `settled`: `test` and `valid` are the parts of [0, 1) below which u and 1 − u of a held-out example lie, not what
    settings ask for; so an example keeps its split though the data have grown.
    """

    method: Literal["contents", "positions"] = CONTENTS
    settled: bool = False
    test: float = 0.0
    valid: float = 0.0
