"""From what a user calls a source to its path."""

from __future__ import annotations

import difflib
from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.download import user_folders
from vaekit.errors import UserError


def resolve_path(source: str | Path) -> Path:
    """Return an existing path: as given, or by name in `$VAEKIT_DATA`.

    Raises:
        UserError: there is none; near names of known sets and the places tried are listed.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    if isinstance(source, str) and "/" not in source:
        for folder in user_folders():
            if (folder / source).exists():
                return folder / source
        near = difflib.get_close_matches(source, DATASETS.names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        tried = ", ".join(str(place) for place in (path, *(folder / source for folder in user_folders())))
        raise UserError(
            f"no data '{source}'; {hint}Known by name: {', '.join(DATASETS.names)}; no such file at {tried}"
        )
    raise UserError(f"there is no file or folder {path}; check the path")
