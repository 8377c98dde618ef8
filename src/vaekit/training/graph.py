"""A training step as one CUDA graph: recorded once for each shape of batch, then replayed as a whole.

The step of a small model is bound by its launches: a hundred kernels take 0.4 ms and starting them from Python ten
times that. A CUDA graph holds them all (trace, objective, every player's gradients, clipping, the flag of a bad step,
Adam, moving averages of codebooks, and the numbers for the log) and is started by one call.

A replay runs the kernels of the step that was recorded, on the memory they had then, and no Python. So

- a batch is copied into the graph's own input before each replay, and every shape of batch has its own graph (a short
  last batch, the widths of a batch of texts); all share one pool of memory;
- what changes from step to step is a tensor on the device, written before the replay: the learning rates
  (`Adam.scale_rates`) and the annealed scalars (`Annealed.advance`);
- random numbers come from the device's generator, which a replay moves on as the step's kernels would: seeds and
  checkpoints hold as they do without graphs;
- what the log is told is read off the graph's output after each replay (`Tape`).

The first `WARM_UP` steps of a shape are taken as usual and count like any other. In the last of them the device is
asked whether the program waited for it: a step that does (its next operation depends on a number that it has computed)
cannot be recorded. Then, and where recording fails, the run goes on without graphs and says so once in its log.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vaekit import distributed
from vaekit.errors import UserError
from vaekit.objectives.base import Loss
from vaekit.training.running_means import FEW, Sums
from vaekit.training.settings import TrainSettings

WARM_UP = 3
"""Steps of a shape that are taken as usual before one is recorded."""
OWN = ("vaekit", "torch", "zuko")
"""Packages whose modules `train.graph=auto` records: their steps compute the same, whatever step it is."""
MOST = 64
"""Graphs of a stage at most; batches of further shapes are computed without."""

Take = Callable[[Any, Tensor | None, Sums], list[Loss]]
"""Takes a step on a batch (x, y), tells `Sums` its numbers, and returns the losses of its parts."""


class Recorder(Protocol):
    """What records a step. `torch.cuda`'s is `CudaRecorder`."""

    def watched(self) -> AbstractContextManager[list[str]]:
        """Within the block, collect the places where the program waits for the device."""
        ...

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Return what replays `step`, which itself is not computed; an error leaves the random state as it was."""
        ...


class CudaRecorder:
    """Records CUDA graphs, all in one pool of memory: they are replayed one after another and outputs are copied."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device(device.type, torch.cuda.current_device() if device.index is None else device.index)
        self._pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def watched(self) -> Iterator[list[str]]:
        """Collect where the program waits, by CUDA's own account (`torch.cuda.set_sync_debug_mode`)."""
        found: list[str] = []
        show = warnings.showwarning

        def note(message: Warning | str, *place: Any, **more: Any) -> None:
            if "called a synchronizing CUDA operation" in str(message):
                found.append(ours())
            elif "debug mode" not in str(message):
                show(message, *place, **more)

        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = note
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield found
            finally:
                torch.cuda.set_sync_debug_mode(before)

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Record the kernels that `step` would start."""
        graph = torch.cuda.CUDAGraph()
        generator = torch.cuda.default_generators[self.device.index]
        spare = generator.clone_state()
        try:
            # Other threads may go on: one that reads the next batches, say.
            with (
                torch.cuda.device(self.device),
                torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"),
            ):
                step()
        except Exception:
            generator.graphsafe_set_state(spare)  # the one in use still takes itself for recorded
            raise
        return graph.replay


RECORDERS: dict[str, Callable[[torch.device], Recorder]] = {"cuda": CudaRecorder}
"""What records steps on each kind of device."""


def ours() -> str:
    """Return the innermost line of this package, but for this file, that is being run, e.g. "models/vae.py:80"."""
    frames = [f for f in traceback.extract_stack() if "vaekit" in Path(f.filename).parts and f.filename != __file__]
    return f"{'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].lineno}" if frames else "torch"


class Tape(Sums):
    """Takes what a step tells `Sums`, as names and one flat tensor, to tell it to others after a replay.

    >>> tape = Tape()
    >>> tape.add("loss", torch.tensor(3.0))
    >>> sums = Sums()
    >>> tape.tell(tape.flat(), sums)
    []
    >>> sums.means(1)
    {'loss': 3.0}
    """

    def __init__(self) -> None:
        super().__init__()
        self._taken: list[tuple[str, str, Tensor]] = []
        self._losses: list[list[str]] = []

    def add(self, name: str, value: Tensor) -> None:
        """Take a scalar."""
        self._taken.append(("add", name, value.detach()))

    def add_mean(self, name: str, values: Tensor) -> None:
        """Take the values of a batch; the mean of many."""
        if values.numel() > FEW:
            super().add_mean(name, values)
        else:
            self._taken.append(("add_mean", name, values.detach()))

    def add_loss(self, loss: Loss) -> None:
        """Take what a step returns."""
        self._losses.append(list(loss.parts))
        self._taken += [("loss", "", value) for value in (loss.total, *loss.parts.values())]

    def flat(self) -> Tensor:
        """Return all that was taken as one tensor."""
        return torch.cat([value.reshape(-1) for _, _, value in self._taken])

    def tell(self, flat: Tensor, sums: Sums) -> list[Loss]:
        """Tell `sums` the values of a tensor that is laid out as `flat` is, and return the losses among them."""
        values: list[Tensor] = []
        shapes = [value.shape for _, _, value in self._taken]
        for (what, name, _), part, shape in zip(self._taken, flat.split([s.numel() for s in shapes]), shapes):
            if what == "loss":
                values.append(part.view(shape))
            else:
                getattr(sums, what)(name, part.view(shape))
        sums.bound = self.bound
        each = iter(values)
        return [Loss(next(each), {name: next(each) for name in names}) for names in self._losses]


class Recorded:
    """A step on batches of one shape, recorded on a batch of it."""

    def __init__(self, take: Take, recorder: Recorder, x: Tensor, y: Tensor | None) -> None:
        self._x, self._y = x.clone(), None if y is None else y.clone()
        self._tape, self._flat = Tape(), x.new_zeros(0)

        def step() -> None:
            for loss in take(self._x, self._y, self._tape):
                self._tape.add_loss(loss)
            self._flat = self._tape.flat()

        self._replay = recorder.record(step)

    def __call__(self, x: Tensor, y: Tensor | None, sums: Sums) -> list[Loss]:
        """Replay it on a batch."""
        self._x.copy_(x)
        if self._y is not None and y is not None:
            self._y.copy_(y)
        self._replay()
        return self._tape.tell(self._flat.clone(), sums)


class Graphed:
    """`take` by graphs, one for each shape of batch; `say` is told once why there are none, where there are none."""

    def __init__(self, take: Take, recorder: Recorder, say: Callable[[str], None]) -> None:
        self._take, self._recorder, self._say = take, recorder, say
        self._steps: dict[Any, int] = {}
        self._recorded: dict[Any, Recorded] = {}
        self.eager = False

    def __call__(self, x: Any, y: Tensor | None, sums: Sums) -> list[Loss]:
        """Take a step: as usual at first, then by replays."""
        if self.eager:
            return self._take(x, y, sums)
        if not isinstance(x, Tensor):
            return self._without(f"a batch is no tensor ({type(x).__name__})", x, y, sums)
        key = (x.shape, x.dtype, None if y is None else (y.shape, y.dtype))
        if key in self._recorded:
            return self._recorded[key](x, y, sums)
        self._steps[key] = count = self._steps.get(key, 0) + 1
        if count < WARM_UP or len(self._recorded) >= MOST:
            return self._take(x, y, sums)
        if count == WARM_UP:
            with self._recorder.watched() as waits:
                out = self._take(x, y, sums)
            if waits:
                self._stop(f"a step waits for the device in {', '.join(dict.fromkeys(waits))}")
            return out
        try:
            self._recorded[key] = Recorded(self._take, self._recorder, x, y)
        except Exception as error:  # whatever CUDA or a part of the model says that refuses to be recorded
            return self._without(f"recording failed: {' '.join(str(error).split())[:200]}", x, y, sums)
        return self._recorded[key](x, y, sums)

    def _without(self, reason: str, x: Any, y: Tensor | None, sums: Sums) -> list[Loss]:
        self._stop(reason)
        return self._take(x, y, sums)

    def _stop(self, reason: str) -> None:
        self.eager = True
        self._recorded.clear()
        self._say(f"without CUDA graphs: {reason}")


def graphed(
    take: Take,
    settings: TrainSettings,
    device: torch.device,
    rows: int,
    modules: Iterable[nn.Module],
    say: Callable[[str], None],
) -> Take:
    """Return `take`, by graphs where the settings ask for them and the device has them.

    A step of several processes, or in parts, or of compiled networks (which have graphs of their own) is not recorded;
    nor, unless it is asked for, one with `modules` of other packages, whose Python may change from step to step.
    """
    if settings.graph is False or (settings.graph == "auto" and device.type not in RECORDERS):
        return take
    if device.type not in RECORDERS:
        raise UserError(f"train.graph=true needs a CUDA device, and this run is on '{device}'; use auto")
    own = next((type(one) for one in modules if type(one).__module__.partition(".")[0] not in OWN), None)
    if settings.graph == "auto" and own is not None:
        say(f"without CUDA graphs: {own.__name__} is of {own.__module__}; train.graph=true records it, too")
        return take
    several = {
        "several processes share a step": distributed.world() > 1,
        "a step is computed in parts (train.accumulate)": rows > 0,
        "train.compile makes graphs of its own": settings.compile,
    }
    for reason in (reason for reason, holds in several.items() if holds):
        say(f"without CUDA graphs: {reason}")
        return take
    return Graphed(take, RECORDERS[device.type](device), say)
