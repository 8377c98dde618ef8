"""The data sets known by name: each module here registers one, with a function that reads it from its folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vaekit.data.download import Remote, find_known, obtain
from vaekit.errors import UserError
from vaekit.registry import Entry, Registry

Reader = Callable[..., Any]
"""From the folder of a set to a `Raw`, or to what its kind of data is read from: lines, music, columns, a path."""

DATASETS: Registry[Reader] = Registry("data set", package="vaekit.data.datasets")
"""Facts of an entry: `licence`, `size` (in words), `files` (what to find or fetch; empty where a package bundles the
set), `folder` (one where the files may lie beside other sets'), `bundled` (that package) and `modality` (the kind of
data, where it is not plain arrays)."""


def available(entry: Entry[Reader]) -> str | None:
    """Return where a known set is found without a download, or None.

    >>> available(DATASETS["digits"])
    'bundled with scikit-learn'
    """
    bundled: str | None = entry.facts.get("bundled")
    if bundled is not None:
        module = entry.facts.get("module", bundled)
        return f"bundled with {bundled}" if importlib.util.find_spec(module) is not None else None
    files: tuple[Remote, ...] = entry.facts["files"]
    folder = find_known(entry.name, files, entry.facts.get("folder"))
    return None if folder is None else str(folder)


def modality_name(name: str) -> str:
    """Return the kind of data of a known set, "array" for plain arrays."""
    return DATASETS[name].facts.get("modality", "array")


def read_known(name: str, count: int | None = None) -> Any:
    """Read a known set: from disk where it is found, else fetched into the user's cache.

    Sets too large to hold (`total` among their facts) give a seeded random part, of `count` examples if said.
    """
    entry = DATASETS[name]
    files: tuple[Remote, ...] = entry.facts.get("files", ())
    folder = obtain(name, files, entry.facts.get("folder")) if files else Path()
    return entry.part(folder, count) if "total" in entry.facts else entry.part(folder)


def read_if_known(source: Any, modality: str, refusal: str) -> Any:
    """Return a known set of a kind of data as its reader gives it, or None where `source` is no known name.

    Raises:
        UserError: the set is of another kind; `refusal` ends the sentence.
    """
    if not isinstance(source, str) or source not in DATASETS:
        return None
    if modality_name(source) != modality:
        raise UserError(f"{source} {refusal}")
    return read_known(source)
