"""Figures drawn by another process, while this one trains or makes the next figure's numbers.

Importing Matplotlib and drawing a run's figures takes seconds of a processor that a short run would wait for. The other
process imports them beforehand, on a core of its own; numbers go to it through a pipe as JSON and plain bytes, and
what it cannot draw, or does not live to draw, is drawn here.
"""

from __future__ import annotations

import json
import math
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENGTH = struct.Struct(">Q")
ARRAY = "vaekit array"


class Drawing:
    """A figure yet to be drawn: a function of `vaekit.figures` by name, and what it is to be given.

    >>> Drawing("kl_per_dimension", [1.5, 0.002]).figure().get_size_inches().tolist()[0]
    9.0
    """

    def __init__(self, name: str, *arguments: Any) -> None:
        self.name = name
        self.arguments = arguments

    def figure(self) -> Figure:
        """Draw it here."""
        from vaekit import figures

        return getattr(figures, self.name)(*self.arguments)

    def save(self, path: Path) -> None:
        """Draw it here and write it to `path`."""
        from vaekit.figures.style import save

        save(self.figure(), path)


def send(stream: IO[bytes], drawing: Drawing, path: Path) -> None:
    """Write one order: its length, JSON, the bytes of its arrays; TypeError for what is neither plain nor an array."""
    arrays: list[np.ndarray] = []
    order = {"name": drawing.name, "path": str(path), "arguments": _plain(list(drawing.arguments), arrays)}
    text = json.dumps(order).encode()
    stream.write(LENGTH.pack(len(text)) + text)
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Drawing, Path] | None:
    """Read one order, None at the end of the stream."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    order = json.loads(stream.read(LENGTH.unpack(head)[0]))
    arguments = _whole(order["arguments"], stream)
    return Drawing(order["name"], *arguments), Path(order["path"])


def _plain(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("an array of objects cannot be sent")
        arrays.append(value)
        return {ARRAY: [value.dtype.str, list(value.shape)]}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(item, arrays) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item, arrays) for item in value]
    return value


def _whole(value: Any, stream: IO[bytes]) -> Any:
    # Arrays follow in the order in which they were met.
    if isinstance(value, list):
        return [_whole(item, stream) for item in value]
    if isinstance(value, dict):
        if value.keys() == {ARRAY}:
            kind, shape = np.dtype(value[ARRAY][0]), tuple(value[ARRAY][1])
            return np.frombuffer(bytearray(stream.read(kind.itemsize * math.prod(shape))), kind).reshape(shape)
        return {key: _whole(item, stream) for key, item in value.items()}
    return value


class Drawer:
    """A process that draws what it is given, in order; what it fails to draw is drawn by `finish`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vaekit.figures.drawing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
        self._orders: queue.Queue[tuple[Drawing, Path] | None] = queue.Queue()
        self._left: list[tuple[Drawing, Path]] = []
        self.drawn_here = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def save(self, drawing: Drawing, path: Path) -> None:
        """Have a drawing written to `path` by the time `finish` returns."""
        self._orders.put((drawing, path.absolute()))

    def _run(self) -> None:
        sending, answers = self._process.stdin, self._process.stdout
        assert sending is not None and answers is not None
        while (order := self._orders.get()) is not None:
            try:
                send(sending, *order)
                drawn = answers.readline() == b"drawn\n"
            except (OSError, TypeError):  # it has gone, or this one cannot be sent
                drawn = False
            if not drawn:
                self._left.append(order)

    def finish(self) -> None:
        """Wait until everything is drawn, here if need be; raises what drawing raises."""
        self._orders.put(None)
        self._thread.join()
        self.drawn_here = len(self._left)
        for drawing, path in self._left:
            drawing.save(path)

    def end(self) -> None:
        """End the process, drawn or not."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(OSError):  # what is left in it has nowhere to go
                stream.close()


@contextmanager
def drawer(wanted: bool = True) -> Iterator[Drawer | None]:
    """Give a process that draws for the time of a `with` block, None where there is nothing to gain by it.

    That is: on a single core, or where Matplotlib has been imported already.
    """
    if not wanted or "matplotlib.figure" in sys.modules or not sys.executable or _cores() < 2:
        yield None
        return
    try:
        made = Drawer()
    except OSError:  # no more processes here
        yield None
        return
    try:
        yield made
    finally:
        made.end()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def main() -> None:
    """Draw what comes in, until there is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run that ordered the figures decides
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    # The first figure loads fonts and half of Matplotlib: not one that anybody waits for.
    from vaekit.figures.style import png

    png(Drawing("curves", [{"step": 1, "elbo": -2.0}, {"step": 2, "elbo": -1.0}]).figure())
    while (order := receive(orders)) is not None:
        try:
            order[0].save(order[1])
            answers.write(b"drawn\n")
        except Exception as error:
            answers.write(f"{type(error).__name__}\n".encode())
        answers.flush()


if __name__ == "__main__":
    main()
