"""Loggers: one JSON record a line always; others by name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from vaekit.atomic import finite
from vaekit.errors import UserError
from vaekit.registry import Registry


class Logger(Protocol):
    """Takes flat records of numbers."""

    def log(self, record: Mapping[str, Any]) -> None:
        """Take one record; "step" and "epoch" are among its keys."""
        ...

    def close(self) -> None:
        """Flush and end."""
        ...


LOGGERS: Registry[Any] = Registry("logger")


@LOGGERS.register("jsonl", summary="one JSON object a line, in the run's folder")
class JsonLines:
    """Append records to a file, each flushed; what is not finite becomes null (`atomic.finite`).

    On resume, `position` (bytes, from the checkpoint) cuts off what was logged after the checkpoint.
    """

    def __init__(self, path: str | os.PathLike[str], position: int = 0) -> None:
        self.path = Path(path)
        self._file = self.path.open("r+b" if position and self.path.exists() else "wb")
        self._file.truncate(position)
        self._file.seek(position)

    def log(self, record: Mapping[str, Any]) -> None:
        """Write one line."""
        self._file.write((json.dumps(finite(record), allow_nan=False) + "\n").encode())
        self._file.flush()

    @property
    def position(self) -> int:
        """Bytes written."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Kept:
    """Keep records in memory, for a run without a folder."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def log(self, record: Mapping[str, Any]) -> None:
        """Keep one record, as a line of the file would."""
        self.records.append(finite(dict(record)))

    def close(self) -> None:
        """Nothing."""


@LOGGERS.register("tensorboard", summary="TensorBoard event files; needs the extra 'track'", package="tensorboard")
class TensorBoard:
    """Write scalars as TensorBoard events into `folder`/tensorboard."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("the logger 'tensorboard' needs its package: pip install 'vaekit[track]'") from None
        self._writer = SummaryWriter(str(Path(folder) / "tensorboard"))

    def log(self, record: Mapping[str, Any]) -> None:
        """Write every number of the record."""
        for name, value in record.items():
            if isinstance(value, int | float) and name not in ("step", "epoch"):
                self._writer.add_scalar(name, value, int(record["step"]))

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read a log back, [] if there is none; a last line cut short by a crash is left out."""
    records: list[dict[str, Any]] = []
    if not Path(path).is_file():
        return records
    for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
