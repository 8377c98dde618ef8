"""The areas that are attacked, each with its share of the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from attack import archives, commands, explorer, instants, readers, records, values
from attack.tries import Try

TryOne = Callable[[int, Path], Try]


@dataclass(frozen=True)
class Area:
    """One area: `ready` gives its `try_one(seed, empty folder)`, after what all its tries share is made."""

    ready: Callable[[], AbstractContextManager[TryOne]]
    share: float = 1.0
    most: int = 1_000_000


def always(try_one: TryOne) -> Callable[[], AbstractContextManager[TryOne]]:
    """Return `ready` of tries that share nothing."""

    @contextmanager
    def ready() -> Iterator[TryOne]:
        yield try_one

    return ready


@contextmanager
def compressed() -> Iterator[TryOne]:
    """Compressed files, damaged or signed again."""
    made = archives.Archives()
    yield lambda seed, _: made.try_one(seed)


@contextmanager
def bytes_of_an_archive() -> Iterator[TryOne]:
    """Every bit of a compressed file."""
    made = archives.Archives()
    yield lambda seed, _: made.bit(seed // 8 % len(made.file), seed % 8)


@contextmanager
def requests() -> Iterator[TryOne]:
    """Requests to the explorer."""
    with explorer.served() as made:
        yield lambda seed, _: made.try_one(seed)


def reader(name: str) -> Callable[[], AbstractContextManager[TryOne]]:
    """Return `ready` of one reader."""
    return always(lambda seed, folder: readers.try_one(name, seed, folder))


SLOW = ("wav", "images", "images streamed", "smiles", "npz sparse", "table csv", "table parquet")
"""Readers that need more of the time for their thousand tries."""
AREAS: dict[str, Area] = {
    **{
        f"readers.{name}": Area(reader(name), 1.2 if name in SLOW else 0.5, most=2000)
        for name in (*readers.READERS, *readers.OBJECTS)
    },
    "archives": Area(compressed),
    "archives.bits": Area(bytes_of_an_archive, most=8 * 700),
    "explorer": Area(requests, 2.0),
    "numbers": Area(always(lambda seed, _: values.try_one(seed)), 4.0),
    "commands": Area(commands.ready, 6.0),
    "records.run.json": Area(partial(records.ready, "record"), 2.0),
    "records.computed again": Area(partial(records.ready, "again"), 1.0),
    "records.tensors": Area(partial(records.ready, "tensors"), 1.0),
    "records.checkpoint": Area(partial(records.ready, "checkpoint"), 1.0),
    **{f"io.{scene}": Area(partial(instants.ready, scene), 2.0) for scene in instants.SCENES},
}


def area_named(name: str) -> Area:
    """Return an area by its name."""
    return AREAS[name]
