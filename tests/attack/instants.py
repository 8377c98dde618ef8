"""Kills, failures and a full disk at chosen instants of I/O, of the uses that write into a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from attack.io_faults import SCENES, Faults, Kind, forked, instants, under
from attack.tries import Try

KINDS: tuple[Kind, ...] = ("kill", "fail", "full")
__all__ = ["SCENES", "ready"]


@contextmanager
def ready(name: str) -> Iterator[Callable[[int, Path], Try]]:
    """Make what is there before a scene, and count its instants."""
    import tempfile

    scene = SCENES[name]
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start"
        start.mkdir()
        forked(lambda: scene.before(start) and None)
        calls = forked(lambda: under(Faults(Path(folder) / "count"), scene, start)).answer
        every = instants(calls)

        def try_one(seed: int, place: Path) -> Try:
            kind, at = KINDS[seed % 3], Random(f"{name} {seed // 3}").choice(every)
            tried = Path(shutil.copytree(start, place / "tried"))
            ended = forked(lambda: under(Faults(tried, kind, at), scene, tried, copied=True))
            where = f"{kind} at {at} ({calls[at - 1]})"
            if ended.raised is not None and not ended.raised.startswith(scene.allowed):
                return Try("bad", f"{where}: {ended.raised}")
            left = forked(lambda: scene.after(tried))
            complaints = [text for text in left.answer or [left.raised] if text]
            return Try("bad", f"{where}: {'; '.join(complaints)}") if complaints else Try("works")

        yield try_one
