"""Training on a file larger than memory: resident memory, and speed against the same rows in memory.

python bench/streaming.py [--gib 18.7] [--steps 1500] [--rounds 3] [--folder /tmp]

Writes a file of 20 GB (deleted afterwards), reads it once so that the system has it cached, then trains the MLP on it
and on 60,000 of its rows in memory, each in a process of its own, alternating. Resident memory is the kernel's
high-water mark of the whole process (VmHWM), which counts everything: anonymous memory, the libraries' files, and
mapped files, of which there are none here, since rows are read into buffers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"
WIDTH, ROWS_IN_MEMORY = 784, 60_000


def write(path: Path, rows: int) -> None:
    """Write rows of bits with some structure: a random block, shifted at each repetition so that no two are alike."""
    import numpy as np

    rng = np.random.default_rng(0)
    block = (rng.random((65_536, WIDTH)) < rng.random(WIDTH)).astype(np.uint8)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (rows, WIDTH)})
        done = 0
        while done < rows:
            part = np.roll(block, done // len(block), axis=1)[: rows - done]
            part.tofile(file)
            done += len(part)


def memory() -> dict[str, float]:
    """Return this process's resident memory, MiB: at its highest, and its kinds now."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {name: round(int(fields[name].split()[0]) / 1024, 1) for name in ("VmHWM", "RssAnon", "RssFile", "RssShmem")}


def steady(records: list[dict[str, Any]]) -> float:
    """Return images a second after the first 100 steps: an epoch's order is drawn before them, once in 199,000."""
    timed = [r for r in records if "examples_per_second" in r and r["step"] >= 100]
    (a, start), (b, end) = ((r["step"], r["step"] * 128 / r["examples_per_second"]) for r in (timed[0], timed[-1]))
    return (b - a) * 128 / (end - start)


def work(path: str, steps: int) -> None:
    """Train and print what it took."""
    from vaekit import _env

    _env.prepare()
    import torch

    import vaekit

    torch.set_num_threads(1)
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"model.act": "relu", "train.validate_every": 1000}
        run = vaekit.train(
            "vae", path, out=f"{folder}/run", steps=steps, precision="fp32", pictures=False, set=settings
        )
        records = [json.loads(line) for line in Path(f"{folder}/run/log.jsonl").read_text().splitlines()]
    result = run.record["result"]
    print(
        json.dumps(
            {
                "images_per_second": steady(records),
                "from_the_start": result["examples_per_second"],
                "whole_seconds": time.perf_counter() - start,
                "cpu_seconds": time.process_time() - cpu,
                "elbo": result["elbo"],
                "train_rows": run.info.n_train,
                **memory(),
            }
        )
    )


def measured(path: Path, steps: int) -> dict[str, Any]:
    """Return what a process of its own prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "500"}
    command = [sys.executable, __file__, "--work", str(path), "--steps", str(steps)]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(out.splitlines()[-1])


def main() -> None:
    """Write, measure in turns, delete, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=20e9 / 2**30)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--file", type=Path, help="a file made before (it is kept), instead of writing one")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--work")
    asked = parser.parse_args()
    if asked.work:
        work(asked.work, asked.steps)
        return
    import machine
    import numpy as np

    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        large, small = asked.file or Path(folder) / "large.npy", Path(folder) / "small.npy"
        if asked.file is None:
            write(large, int(asked.gib * 2**30) // WIDTH)
        np.save(small, np.lib.format.open_memmap(large, mode="r")[:ROWS_IN_MEMORY])
        with large.open("rb") as file:
            while file.read(64 << 20):
                pass
        rounds = []
        for number in range(asked.rounds):
            order = (large, small) if number % 2 == 0 else (small, large)
            names = {large: "large", small: "small"}
            found = {names[path]: measured(path, asked.steps) for path in order}
            rounds.append(found)
            print(json.dumps(found), flush=True)
        size = large.stat().st_size
    ratio = [r["large"]["images_per_second"] / r["small"]["images_per_second"] for r in rounds]
    out = {
        "what": {"bytes": size, "rows": rounds[0]["large"]["train_rows"], "row_bytes": WIDTH, "steps": asked.steps},
        "machine": machine.describe(),
        "rounds": rounds,
        "speed_against_memory": median(ratio),
        "peak_mib": max(r["large"]["VmHWM"] for r in rounds),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "streaming.json").write_text(json.dumps(out, indent=1) + "\n")
    print(f"{size / 1e9:.1f} GB: {out['speed_against_memory']:.2f} of the speed in memory, {out['peak_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
