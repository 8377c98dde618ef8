"""Links inside a run's folder: those that lead out of it are refused, so that another's run shows no file of yours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from vaekit.errors import UserError


def check_links(folder: Path, names: Iterable[str]) -> None:
    """Raise a UserError if a file or folder of these names, or what is in such a folder, leads out of `folder`.

    The run's folder itself may be a link. In a cache of huggingface_hub the files are links to the repository's
    `blobs`, which belong to it.
    """
    home = folder.resolve()
    homes = [home, *([home.parents[1] / "blobs"] if home.parent.name == "snapshots" else [])]
    for path in _within(folder, names):
        if not path.is_symlink():
            continue
        try:
            target = path.resolve(strict=False)
        except (OSError, RuntimeError):  # a circle
            target = Path("/")
        if not any(target.is_relative_to(one) for one in homes):
            raise UserError(f"{path} is a link that leads out of the run's folder, and is not followed; remove it")


def _within(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        path = folder / name
        yield path
        if path.is_dir():
            yield from path.rglob("*")
