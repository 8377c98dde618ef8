"""Faults at chosen instants of I/O: the n-th call that changes a folder fails, or the process dies in it.

    python io_faults.py SCENE FOLDER KIND FIRST STRIDE

runs SCENE once for every STRIDE-th instant from number FIRST (0, 1, …) on, each time in a folder of its own and in a
forked child, and checks what is left. Of equal calls in a row the first and the last are instants. KIND is "kill" (a
write is torn first), "fail" (that one call is an OSError) or "full" (from there on whatever needs room is). It prints
one JSON object: instants tried, the calls there are, and complaints, which are to be none.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

Kind = Literal["kill", "fail", "full"]
PATHS = ("replace", "rename", "unlink", "rmdir", "mkdir")
"""Functions of `os` that change a folder by a path, their first argument."""
DEAD = 137


def die() -> NoReturn:
    """End this process as SIGKILL would: nothing is flushed, no `finally` runs."""
    os._exit(DEAD)


@dataclass
class Faults:
    """Counts the calls that change files below `root`; the one numbered `at` (from 1; 0: none) meets `kind`."""

    root: Path
    kind: Kind = "kill"
    at: int = 0
    calls: list[str] = field(default_factory=list)

    def reached(self, name: str, path: str) -> bool:
        """Count a call and return whether it meets the fault."""
        self.calls.append(f"{name} {os.path.relpath(path, self.root)}")
        n = len(self.calls)
        return self.at > 0 and (n == self.at or (self.kind == "full" and n > self.at and name in ("open", "write")))

    def meet(self, name: str, path: str) -> None:
        """Die, or raise, if this call is the one."""
        if self.reached(name, path):
            if self.kind == "kill":
                die()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def inside(self, path: Any) -> str | None:
        """Return the absolute path that a call is on, None where it is elsewhere."""
        if isinstance(path, int):
            try:
                path = Path(f"/proc/self/fd/{path}").readlink()
            except OSError:
                return None
        try:
            place = Path(os.fsdecode(path)).absolute()
        except TypeError:
            return None
        return str(place) if place.is_relative_to(self.root) else None

    def install(self) -> None:
        """Put the faults under every writer of this process, for good."""
        for name in PATHS:
            setattr(os, name, self._on_path(name, getattr(os, name)))
        os.fsync = self._on_path("fsync", os.fsync)
        os.write = self._on_path("write", os.write)
        os_open, true_open = os.open, io.open

        def low(path: Any, flags: int, *rest: Any, **more: Any) -> int:
            place = self.inside(path)
            if place is not None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.meet("open", place)
            return os_open(path, flags, *rest, **more)

        def high(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
            place = self.inside(path)
            if place is None or not set(mode) & set("wax+"):
                return true_open(path, mode, *rest, **more)
            self.meet("open", place)
            return Torn(true_open(path, mode, *rest, **more), self, place)

        os.open, io.open, builtins.open = low, high, high  # type: ignore[assignment]

    def _on_path(self, name: str, true: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **more: Any) -> Any:
            below = more.get("dir_fd")  # as `shutil.rmtree` calls
            place = self.inside(path if below is None else Path(f"/proc/self/fd/{below}").readlink() / path)
            if place is not None:
                self.meet(name, place)
            return true(path, *rest, **more)

        return call


class Torn:
    """A file open for writing, of whose fatal write half reaches the disk."""

    def __init__(self, file: Any, faults: Faults, path: str) -> None:
        self._file, self._faults, self._path = file, faults, path

    def write(self, data: Any) -> int:
        """Write, unless this is the instant."""
        if self._faults.reached("write", self._path):
            self._file.write(data[: len(data) // 2])
            self._file.flush()
            if self._faults.kind == "kill":
                die()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        return self._file.write(data)

    def __enter__(self) -> Torn:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


# -- children ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """How a child ended: its answer, or its exception ("TypeName: text"), or neither where it died."""

    answer: Any = None
    raised: str | None = None
    died: bool = False


def forked(work: Callable[[], Any]) -> Ended:
    """Run `work` in a child and return how that ended; its answer is plain JSON."""
    reader, writer = os.pipe()
    true_write = os.write
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            said: dict[str, Any] = {"answer": work()}
        except BaseException as error:
            said = {"raised": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
        true_write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    if not text:
        return Ended(died=True)
    said = json.loads(text)
    if "trace" in said and not said["raised"].startswith(("OSError", "UserError", "KeyboardInterrupt")):
        print(said["trace"], file=sys.stderr)
    return Ended(said.get("answer"), said.get("raised"))


@dataclass(frozen=True)
class Scene:
    """A use that writes: what is there `before`, the use itself, and the complaints about what it left."""

    before: Callable[[Path], Any]
    act: Callable[[Path], Any]
    after: Callable[[Path], list[str]]
    allowed: tuple[str, ...] = ("OSError", "UserError")
    """Exceptions that a fault may come out as."""


def instants(calls: list[str]) -> list[int]:
    """Return the numbers (from 1) of the calls to try: of equal ones in a row the first and the last.

    >>> instants(["open a", "write a", "write a", "write a", "fsync a"])
    [1, 2, 4, 5]
    """
    ends = zip([None, *calls], calls, [*calls[1:], None])
    return [n for n, (before, call, after) in enumerate(ends, 1) if before != call or after != call]


def attack(scene: Scene, parent: Path, kind: Kind, first: int = 0, stride: int = 1) -> dict[str, Any]:
    """Try a scene at its instants and return what came of it."""
    start = parent / "start"
    start.mkdir(parents=True)
    made = forked(lambda: [scene.before(start)][:0])
    assert made == Ended([]), made
    calls = forked(lambda: under(Faults(start.parent / "count"), scene, start)).answer
    complaints: list[str] = []
    tried = instants(calls)[first::stride]
    for at in tried:
        place = parent / "tried"
        shutil.copytree(start, place)
        ended = forked(lambda at=at, place=place: under(Faults(place, kind, at), scene, place, copied=True))
        where = f"{kind} at {at} ({calls[at - 1]})"
        if ended.raised is not None and not ended.raised.startswith(scene.allowed):
            complaints.append(f"{where}: {ended.raised}")
        left = forked(lambda place=place: scene.after(place))
        complaints += [f"{where}: {text}" for text in left.answer or [left.raised] if text]
        shutil.rmtree(place)
    return {"tried": len(tried), "calls": calls, "complaints": complaints}


def under(faults: Faults, scene: Scene, start: Path, copied: bool = False) -> list[str]:
    """Run the scene under faults, in a copy of `start` unless that is one; return the calls."""
    if not copied:
        shutil.copytree(start, faults.root)
    faults.install()
    scene.act(faults.root)
    return faults.calls


# -- scenes ------------------------------------------------------------------------------------------------------------

SETTINGS = {"model.hidden": "8", "model.latent": 2, "train.log_every": 2, "train.checkpoint_steps": 2}
FOREIGN = "thesis.tex"


def _train(out: Path, seed: int = 1, **options: Any) -> Any:
    from vaekit.runs.train import train

    return train("vae", "digits", out=out, steps=4, set=SETTINGS, seed=seed, pictures=False, **options)


def _made(folder: Path) -> None:
    """A run with an evaluation and a report, somebody's file beside them, and the weights of seeds 1 and 2."""
    run = _train(folder / "run")
    run.evaluate(["elbo"], limit=4)
    (run.path / "figures").mkdir()
    run.write_report()
    (folder / "run" / FOREIGN).write_text("years of work")
    _weights(folder)


def _weights(folder: Path) -> None:
    for seed in (1, 2):
        path = _train(folder.parent / f"seed-{seed}", seed).path
        shutil.copy(path / "model.safetensors", folder / f"{seed}.safetensors")
        shutil.rmtree(path)


def _whole(folder: Path) -> list[str]:
    """Complain where the run is not one of the two, whole, with the other's file untouched."""
    from vaekit.runs.loading import load

    run = load(folder / "run")
    seed = run.record["seed"]
    found = (folder / "run" / "model.safetensors").read_bytes()
    bad = [] if found == (folder / f"{seed}.safetensors").read_bytes() else [f"the weights are not of seed {seed}"]
    bad += [] if run.record["status"] == "done" else [f"status {run.record['status']}"]
    if (folder / "run" / FOREIGN).read_text() != "years of work":
        bad.append("somebody's file has changed")
    return bad


def _goes_on(folder: Path, seed: int, **options: Any) -> list[str]:
    """Complain where a training cut short does not end, by resume, in the weights of one left in peace."""
    begun = (folder / "run" / "run.json").exists()
    _train(folder / "run", seed, **({"resume": True} if begun else options))
    same = (folder / "run" / "model.safetensors").read_bytes() == (folder / f"{seed}.safetensors").read_bytes()
    left = [
        p.name for p in (folder / "run").rglob("*") if ".part" in p.name or p.name in (".lock", ".new", ".complete")
    ]
    return ([] if same else ["the weights are others"]) + [f"{name} was left behind" for name in left]


def _replaced(folder: Path) -> list[str]:
    bad = _whole(folder)
    if (folder / "run" / ".new" / "run.json").exists():
        bad += _goes_on(folder, 2)
    elif _seed(folder) != 2:
        _train(folder / "run", 2, overwrite=True)
    return bad + _whole(folder) + ([] if _seed(folder) == 2 else ["the new run is not there"])


def _seed(folder: Path) -> int:
    return json.loads((folder / "run" / "run.json").read_text())["seed"]


def _evaluated(folder: Path) -> list[str]:
    """Complain where numbers and values are not both of the old evaluation (4 examples) or of the new one (6)."""
    from vaekit.runs.loading import load

    bad, run = _whole(folder), load(folder / "run")
    n, values = run.evaluation()["elbo"]["n"], run.values()
    if n not in (4, 6) or len(values["elbo"]) != n:
        bad.append(f"{n} examples, {len(values['elbo'])} values")
    text = (folder / "run" / "report.html").read_text(encoding="utf-8")
    return bad + ([] if text.rstrip().endswith("</html>") else ["the report is cut short"])


def _evaluate(folder: Path) -> None:
    import warnings

    from vaekit.runs.loading import load

    run = load(folder / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the numbers could not be stored
        assert run.evaluate(["elbo"], limit=6)["elbo"].n == 6
    run.write_report()


SCENES: dict[str, Scene] = {
    "train": Scene(_weights, lambda f: _train(f / "run"), lambda f: _goes_on(f, 1)),
    "replace": Scene(_made, lambda f: _train(f / "run", 2, overwrite=True), _replaced),
    "evaluate": Scene(_made, _evaluate, _evaluated),
}


def main() -> None:
    """See the module."""
    name, folder, kind, first, stride = sys.argv[1:]
    import safetensors.torch
    import torch
    from sklearn.datasets import load_digits

    import vaekit.report
    import vaekit.runs.train

    assert safetensors.torch and vaekit.report and vaekit.runs.train
    torch.set_num_threads(1)
    load_digits()
    print(json.dumps(attack(SCENES[name], Path(folder), kind, int(first), int(stride))))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
