"""The data sets known by name: each module here registers one, with a function that reads it from its folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from vaekit.data.download import Remote, find_known, obtain
from vaekit.data.raw import Raw
from vaekit.registry import Entry, Registry

Reader = Callable[..., Raw]

DATASETS: Registry[Reader] = Registry("data set", package="vaekit.data.datasets")
"""Facts of an entry: `licence`, `size` (in words), `files` (what to find or fetch; empty where a package bundles the
set), `folder` (one where the files may lie beside other sets') and `bundled` (that package)."""


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
    found = find_known(entry.name, files, entry.facts.get("folder"))
    return None if found is None else str(found)


def read_known(name: str, count: int | None = None) -> Raw:
    """Read a known set: from disk where it is found, else fetched into the user's cache.

    Sets too large to hold (`total` among their facts) give a seeded random part, of `count` examples if said.
    """
    entry = DATASETS[name]
    files: tuple[Remote, ...] = entry.facts.get("files", ())
    folder = obtain(name, files, entry.facts.get("folder")) if files else Path()
    return entry.part(folder, count) if "total" in entry.facts else entry.part(folder)
