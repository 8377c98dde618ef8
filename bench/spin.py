"""What another program on one core costs a training run with two threads, with OpenMP's own waiting and with vaekit's.

python bench/spin.py [--rounds 6]

GNU OpenMP's threads spin while they wait for one another. Beside another program a thread that waits keeps the core
from the one that it waits for. `vaekit` bounds the spin before torch loads (`vaekit._env`). A program that takes half
of two cores should cost a run at most half its speed: a slow-down of 2. Written to bench/results/spin.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results"
MINE = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VAEKIT_KEEP_ENV"}


def work(mode: str) -> None:
    """Train blocks of steps on command and print each one's wall seconds."""
    if mode == "vaekit":
        from vaekit import _env

        _env.prepare()
    import torch
    from torch import nn

    torch.set_num_threads(2)
    model = nn.Sequential(
        *[part for a, b in [(784, 512), (512, 256), (256, 512), (512, 784)] for part in (nn.Linear(a, b), nn.ReLU())]
    )
    x = torch.rand(128, 784)

    def step() -> None:
        torch.autograd.grad((model(x) - x).square().mean(), list(model.parameters()))

    for _ in range(20):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - start, flush=True)


class Worker:
    """A waiting training process."""

    def __init__(self, mode: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in MINE}
        command = [sys.executable, __file__, "--work", mode]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def run(self, steps: int) -> float:
        """Return the wall seconds of a block."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return float(self._line())

    def end(self) -> None:
        """End the process, and close what led to it."""
        self._process.communicate()


class Load:
    """A program that keeps one core busy, for the time of a `with` block."""

    def __enter__(self) -> Load:
        code = "import os\nos.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\nwhile True: pass"
        self._process = subprocess.Popen([sys.executable, "-c", code])
        time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def measured(rounds: int, steps: int) -> dict[str, dict[str, float]]:
    """Return, for each way of waiting, milliseconds a step alone and beside the load, and the slow-down."""
    workers = {mode: Worker(mode) for mode in ("library", "vaekit")}
    alone: dict[str, list[float]] = {mode: [] for mode in workers}
    beside: dict[str, list[float]] = {mode: [] for mode in workers}
    for number in range(rounds):
        order = list(workers)[:: 1 if number % 2 == 0 else -1]
        for mode in order:
            alone[mode].append(workers[mode].run(steps) / steps * 1e3)
        with Load():
            for mode in order:
                beside[mode].append(workers[mode].run(steps) / steps * 1e3)
    for worker in workers.values():
        worker.end()
    return {
        mode: {
            "alone_ms": median(alone[mode]),
            "beside_ms": median(beside[mode]),
            "slow_down": median(b / a for a, b in zip(alone[mode], beside[mode])),
        }
        for mode in workers
    }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--work")
    asked = parser.parse_args()
    if asked.work:
        work(asked.work)
        return
    import machine

    out = {"machine": machine.describe(), "rounds": asked.rounds, "waiting": measured(asked.rounds, asked.steps)}
    for mode, found in out["waiting"].items():
        print(
            f"{mode}: {found['alone_ms']:.1f} ms a step alone, {found['beside_ms']:.1f} beside "
            f"({found['slow_down']:.2f}x)"
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "spin.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
