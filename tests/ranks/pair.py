"""Two processes that stay for a whole file of tests and run functions of `jobs` together, on gloo."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

WAIT = 120.0


class Pair:
    """Processes of one group. Calling it with a function's name in `jobs` gives what each process returned."""

    def __init__(self, size: int = 2) -> None:
        context = multiprocessing.get_context("spawn")
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
        for end in self._ends:
            end.send((name, args, kwargs))
        answers = []
        for rank, end in enumerate(self._ends):
            if not end.poll(WAIT):
                raise TimeoutError(f"process {rank} did not answer to {name}")
            answers.append(end.recv())
        for rank, (fine, value) in enumerate(answers):
            if not fine:
                raise AssertionError(f"process {rank} failed in {name}:\n{value}")
        return [value for _, value in answers]

    def close(self) -> None:
        for end in self._ends:
            end.send(None)
            end.close()
        for process in self._processes:
            process.join(20)
            if process.is_alive():
                process.kill()
        self._folder.cleanup()


def _serve(rank: int, size: int, meeting: str, end: Connection) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "VAEKIT_MEETING": meeting}
    import torch

    torch.set_num_threads(1)
    from ranks import jobs
    from vaekit import ranks

    ranks.start()
    while (job := end.recv()) is not None:
        name, args, kwargs = job
        try:
            answer = (True, getattr(jobs, name)(*args, **kwargs))
        except BaseException:
            answer = (False, traceback.format_exc())
        end.send(answer)
    import torch.distributed as dist

    dist.destroy_process_group()
