"""Two processes that stay for a whole file of tests and run functions of `jobs` together, on gloo."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from distributed import jobs
from distributed.same_noise import drawing_as

WAIT = 300.0


class Pair:
    """Processes of one group. Calling it with a function's name in `jobs` gives what each process returned."""

    def __init__(self, size: int = 2) -> None:
        context = multiprocessing.get_context("spawn")
        self.broken = False
        self._folder = tempfile.TemporaryDirectory()
        meeting = str(Path(self._folder.name) / "meeting")
        self._ends: list[Connection] = []
        self._processes = []
        for rank in range(size):
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, size, meeting, theirs), daemon=True)
            process.start()
            theirs.close()
            self._ends.append(mine)
            self._processes.append(process)

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        self._send(name, args, kwargs)
        return self._answers(name)

    def beside(self, name: str, args: tuple[Any, ...], one: Any, two: Any, k: int = 1) -> tuple[Any, list[Any]]:
        """Return what this process alone gives (with the last argument `one`) and what the two give (with `two`).

        This one draws the noise of the two.
        """
        self._send(name, (*args, two), {})
        try:
            with drawing_as(len(self._ends), k):
                alone = getattr(jobs, name)(*args, one)
        finally:  # what the two answer is not left for the next test
            two = self._answers(name)
        return alone, two

    def _send(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.broken:
            raise RuntimeError("a process did not answer to an earlier test")
        for end in self._ends:
            end.send((name, args, kwargs))

    def _answers(self, name: str) -> list[Any]:
        answers = []
        for end in self._ends:
            # When one has failed, the others may wait for it for ever.
            wait = WAIT if all(fine for fine, _ in answers) else 1.0
            answers.append(end.recv() if end.poll(wait) else (False, "no answer"))
        self.broken = self.broken or any(value == "no answer" for _, value in answers)
        for rank, (fine, value) in enumerate(answers):
            if not fine:
                raise AssertionError(f"process {rank} failed in {name}:\n{value}")
        return [value for _, value in answers]

    def close(self) -> None:
        for end in self._ends:
            end.send(None)
            end.close()
        for process in self._processes:
            process.join(0.1 if self.broken else 20)
            if process.is_alive():
                process.kill()
        self._folder.cleanup()


def _serve(rank: int, size: int, meeting: str, end: Connection) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    from vaekit import distributed

    distributed.start()
    while (job := end.recv()) is not None:
        name, args, kwargs = job
        try:
            answer = (True, getattr(jobs, name)(*args, **kwargs))
        except BaseException:
            answer = (False, traceback.format_exc())
        end.send(answer)
    dist.destroy_process_group()
