"""From what a user calls a source to its path."""

from __future__ import annotations

import difflib
from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.download import user_folders
from vaekit.data.files import unreadable
from vaekit.errors import UserError


def exists(path: Path) -> bool:
    """Whether there is a file or folder of this name.

    Raises:
        UserError: the system does not say: a folder before it may not be entered, or the name can be no file's.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise UserError(unreadable(path, error)) from None
    return True


def resolve_path(source: str | Path) -> Path:
    """Return an existing path: as given, or by name in `$VAEKIT_DATA`.

    Raises:
        UserError: there is none; near names of known sets and the places tried are listed.
    """
    path = Path(source).expanduser()
    if exists(path):
        return path
    if isinstance(source, str) and "/" not in source:
        for folder in user_folders():
            if exists(folder / source):
                return folder / source
        near = difflib.get_close_matches(source, DATASETS.names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        tried = ", ".join(str(place) for place in (path, *(folder / source for folder in user_folders())))
        raise UserError(
            f"no data '{source}'; {hint}Known by name: {', '.join(DATASETS.names)}; no such file at {tried}"
        )
    raise UserError(f"there is no file or folder {path}; check the path")
