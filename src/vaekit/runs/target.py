"""The folder that a run is written into: made for it alone, or, where one is replaced, beside the old run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from vaekit import distributed
from vaekit.errors import TrainingFailed, UserError
from vaekit.runs import folder as files
from vaekit.runs import weights
from vaekit.runs.folder import NEW, RECORD, read_record, remove_empty
from vaekit.runs.locks import LOCK, locked


@dataclass(frozen=True)
class Place:
    """Where a run is kept: `target` is its folder, None in memory; `now` is where it is written until it has ended."""

    target: Path | None = None
    now: Path | None = None
    begun: bool = False
    """Whether the run is there already, and goes on."""

    def begin(self, record: dict[str, Any]) -> None:
        """Write the record of the run that begins or goes on."""
        if self.now is None:
            return
        if self.now != self.target and not self.begun:
            shutil.rmtree(self.now, ignore_errors=True)  # begun before, and given up now
        files.write_record(self.now, record)

    def finish(self, tensors: Mapping[str, Any], record: dict[str, Any], gone: Sequence[str]) -> dict[str, Any]:
        """Keep the weights and the record of a run that has ended, without the files in `gone`, and let it be seen.

        The record comes back with the digest of the weights.
        """
        if self.now is None or self.target is None:
            return record
        with files.together(self.now, gone) as part:
            record = weights.keep(part, tensors, record)
        if self.now != self.target:
            files.swap_in(self.target)
        return record

    def failed(self, record: dict[str, Any], error: Exception) -> None:
        """Keep why the run failed; one that its settings kept from taking a step is taken away again."""
        if self.now is None or (isinstance(error, UserError) and not self.begun and self._take_back(self.now)):
            return
        told = isinstance(error, UserError | TrainingFailed)
        reason = str(error) if told else f"{type(error).__name__}: {error}".removesuffix(": ")
        with suppress(OSError):  # the disk is full, say, which `error` tells
            files.write_record(self.now, record | {"status": "failed", "failed": " ".join(reason.split())})

    def _take_back(self, folder: Path) -> bool:
        if (folder / files.LOG).exists() and (folder / files.LOG).stat().st_size:
            return False
        for name in files.own_files(folder):
            (folder / name).unlink()
        for name in (files.FIGURES, files.CHECKPOINTS, "tensorboard"):
            remove_empty(folder / name)
        if folder != self.target:
            remove_empty(folder)
        return True


@contextmanager
def placed(target: Path | None, resume: bool, overwrite: bool, sources: Sequence[str]) -> Iterator[Place]:
    """Hold the folder `target` for a run that is trained, whose data are `sources`, and yield where it is written.

    Of several processes the first holds it. A run that this launch of them began goes on when it is started again.
    """
    with ExitStack() as stack:

        def enter() -> list[Any]:
            assert target is not None
            if resume or (distributed.restarted() and _of_this_launch(target)):
                return [str(stack.enter_context(taken_up(target))), True]
            return [str(stack.enter_context(claimed(target, overwrite, sources))), False]

        if target is None:
            yield Place()
        else:
            now, begun = distributed.from_main(enter)
            yield Place(target, Path(now), begun)


def _of_this_launch(target: Path) -> bool:
    """Whether these processes began the run in `target`."""
    runs = (folder for folder in (target / NEW, target) if (folder / RECORD).is_file())
    return any(read_record(folder).get("launch") == distributed.launch() for folder in runs)


@contextmanager
def claimed(target: Path, overwrite: bool, sources: Iterable[str] = ()) -> Iterator[Path]:
    """Hold the folder of a new run and yield where to write it: there, or where it replaces a run in `target`/.new.

    The folder is made if it is not there, and goes again if nothing was written. `sources` are the run's data.
    """
    check(target)
    made = [folder for folder in (target, *target.absolute().parents) if not folder.exists()]
    try:
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the folder {target} cannot be made ({error.strerror}); name another") from error
        with locked(target):
            check(target)
            if (target / RECORD).exists() or (target / files.COMPLETE).exists():
                check_replaced(target, overwrite, sources)
                yield target / NEW
            else:
                yield target
    finally:
        for folder in made:
            remove_empty(folder)


@contextmanager
def taken_up(target: Path) -> Iterator[Path]:
    """Hold the folder of a run that goes on and yield where it is: a new one that was to replace it, else it itself."""

    def place() -> Path:
        if (target / NEW / RECORD).is_file():
            return target / NEW
        read_record(target)  # says so if there is no run
        return target

    place()
    with locked(target):
        yield place()


@contextmanager
def next_free(recipe: str, data: str) -> Iterator[Path]:
    """Make runs/DATA-RECIPE, with a number behind it when that is taken, and yield it; empty at the end, it goes again.

    The processes of one run agree on it, and no two runs are given the same.
    """

    def free() -> str:
        runs = Path("runs")
        if distributed.restarted():
            for path in runs.glob(f"*/{RECORD}"):
                if read_record(path.parent).get("launch") == distributed.launch():
                    return str(path.parent)
        stem = f"{Path(data).stem or 'data'}-{recipe}"
        for name in chain([stem], (f"{stem}-{number}" for number in count(2))):
            if _made(runs, name):
                return f"runs/{name}"
        raise AssertionError("unreachable")

    distributed.start()
    folder = Path(distributed.from_main(free))
    try:
        yield folder
    finally:
        if distributed.is_main():
            remove_empty(folder)
            remove_empty(folder.parent)


def _made(runs: Path, name: str) -> bool:
    """Make a folder in `runs`; False if it is another's."""
    while True:
        try:
            runs.mkdir(exist_ok=True)
            (runs / name).mkdir()
            return True
        except FileNotFoundError:
            continue  # another process has taken `runs` away, where it had written nothing
        except FileExistsError:
            if not runs.is_dir():
                raise UserError("runs is a file, so no folder can be made below it; name one with --out") from None
            return False
        except OSError as error:
            raise UserError(
                f"the folder {runs / name} cannot be made ({error.strerror}); name one with --out"
            ) from error


# -- what may be written into ------------------------------------------------------------------------------------------


def check(target: Path) -> None:
    """Refuse a path that cannot be a run's folder, and a folder that holds something else."""
    if "\0" in str(target):
        raise UserError(f"{str(target)!r} holds a NUL character, which no path can; name another")
    try:
        above = next(folder for folder in (target, *target.absolute().parents) if folder.exists())
    except OSError as error:
        raise UserError(f"{target} cannot be a folder ({error.strerror}); name another") from error
    if above != target:
        if not above.is_dir():
            raise UserError(f"{target}: {above} is a file, so no folder can be made below it; name another")
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file; name a folder")
    if not (target / RECORD).exists() and not (target / files.COMPLETE).is_dir():
        others = [path.name for path in target.iterdir() if path.name != LOCK and not path.name.startswith(".run.")]
        if others:
            raise UserError(f"{target} is not empty and is not a run folder; name another")


def check_replaced(target: Path, overwrite: bool, sources: Iterable[str]) -> None:
    """Refuse a run that is not to be replaced, or that cannot be without harm to something else."""
    if not overwrite:
        raise UserError(f"{target} holds a run already; add resume to go on with it, overwrite to replace it")
    try:
        read_record(target)
    except UserError as error:
        raise UserError(f"{error}; overwrite replaces nothing but runs: name another folder") from None
    place, name = target.resolve(), "so nothing is replaced there; name another folder"
    if target.is_symlink():
        raise UserError(f"{target} is a link to {place}, {name}, or {place} itself")
    if place == Path.cwd() or place in Path.cwd().parents:
        raise UserError(f"{target} is the current folder or holds it, {name}")
    if place == Path.home().resolve() or os.path.ismount(place):
        raise UserError(f"{target} is {'a mount point' if os.path.ismount(place) else 'your home folder'}, {name}")
    own = (place / folder for folder in (files.FIGURES, files.CHECKPOINTS, "tensorboard", NEW, files.COMPLETE))
    linked = next((folder for folder in own if folder.is_symlink()), None)
    if linked is not None:
        raise UserError(f"{linked} is a link to {linked.resolve()}, {name}")
    for source in sources:
        if Path(source).exists() and Path(source).resolve().is_relative_to(place):
            raise UserError(f"{target} holds the data {source}, {name}")
