"""What training by two processes costs: processor time a step of one process, of two, and of two with shared weights.

    python bench/processes.py [--steps 200] [--rounds 3] [--batch 128]

One run, alternating; gloo on one machine, one thread a process; a dense VAE 784-512-256-20 on random bits, `--batch`
examples a step in all. Prints one JSON object: medians over the rounds, in milliseconds of processor time a step and
process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

ROWS = 16_384


def work(rank: int, size: int, meeting: str, steps: int, batch: int, facts: dict[str, Any], answers: Any) -> None:
    """Train as process `rank` of `size` and put (processor seconds, seconds) a step into `answers`."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    from vaekit import distributed
    from vaekit.likelihoods.bernoulli import Bernoulli
    from vaekit.models.vae import VAE
    from vaekit.nets.mlp import mlp
    from vaekit.objectives.elbo import negative_elbo
    from vaekit.posteriors.normal import DiagonalNormal
    from vaekit.priors.normal import StandardNormal
    from vaekit.training.loop import fit
    from vaekit.training.settings import TrainSettings
    from vaekit.training.stages import Stage

    class Bits:
        """Random bits, the same on all processes."""

        def __init__(self) -> None:
            self.x = torch.randint(2, (ROWS, 784), generator=torch.Generator().manual_seed(0)).float()

        def steps(self, batch_size: int) -> int:
            return ROWS // batch_size

        def train(self, batch_size: int, *, seed: int, epoch: int, skip: int) -> Iterator[Any]:
            for step in range(skip, self.steps(batch_size)):
                yield self.x[step * batch_size : (step + 1) * batch_size], None

        def valid(self, batch_size: int) -> Iterator[Any]:
            yield self.x[:128], None

        def to(self, device: Any) -> Bits:
            return self

    distributed.start()
    torch.manual_seed(0)
    source, found = Bits(), []
    for length in (20, steps):
        model = VAE(DiagonalNormal(mlp(784, 20, (512, 256))), StandardNormal(20), Bernoulli(mlp(20, 784, (256, 512))))
        settings = TrainSettings(steps=length, batch_size=batch, precision="fp32", device="cpu", **facts)
        before = time.process_time(), time.perf_counter()
        fit(model, [Stage(negative_elbo())], source, settings)
        found = [(now - then) / length for now, then in zip((time.process_time(), time.perf_counter()), before)]
    if rank == 0:
        answers.put(found)
    if size > 1:
        dist.destroy_process_group()


KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "one process": (1, {}),
    "two processes": (2, {}),
    "two, weights shared out": (2, {"shard": True}),
}


def once(kind: str, steps: int, batch: int) -> list[float]:
    """Return (processor seconds, seconds) a step of the first process."""
    size, facts = KINDS[kind]
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder) / "meeting")
        started = [
            context.Process(target=work, args=(rank, size, meeting, steps, batch, dict(facts), answers))
            for rank in range(size)
        ]
        for process in started:
            process.start()
        found = answers.get(timeout=600)
        for process in started:
            process.join()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    asked = parser.parse_args()
    rounds = [{kind: once(kind, asked.steps, asked.batch) for kind in KINDS} for _ in range(asked.rounds)]
    from machine import describe

    cpu = {kind: statistics.median(1000 * one[kind][0] for one in rounds) for kind in KINDS}
    ratios = {kind: statistics.median(one[kind][0] / one["one process"][0] for one in rounds) for kind in KINDS}
    print(
        json.dumps(
            {
                "machine": describe(),
                "milliseconds": {kind: round(value, 2) for kind, value in cpu.items()},
                "of_one_process": {kind: round(value, 2) for kind, value in ratios.items()},
                "batch": asked.batch,
                "steps": asked.steps,
                "rounds": asked.rounds,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
