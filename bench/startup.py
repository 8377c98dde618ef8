"""The whole command `vaekit train vae --data mnist --epochs 1` against importing torch and one epoch of the best loop.

python bench/startup.py [--rounds 3] [--threads 1]

The best loop is a bare one of the same model, on the same batches, in the same arithmetic as the command chooses (see
`contenders.bare_step`): no log, no held-out evaluation, no figures. Each is a process of its own, turn about. Written
to bench/results/startup.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results"


def best_epoch() -> None:
    """Train one epoch of the command's default model in a bare loop, and print its wall and CPU seconds."""
    from vaekit import _env

    _env.prepare()
    from contenders import bare_step

    from vaekit.data import load
    from vaekit.recipes.base import RECIPES
    from vaekit.runs.base import build
    from vaekit.training.data_source import DataSource
    from vaekit.training.loop import Fit

    recipe = RECIPES["vae"].part
    settings = recipe.settings({"train": {"epochs": 1}})
    data = load("mnist", settings.data, wants="binary")
    built = build(recipe, settings, data.info)
    precision = Fit(built.model, built.stages, DataSource(data), settings.train).precision
    step = bare_step(built, precision)
    wall, cpu = time.perf_counter(), time.process_time()
    for x, _ in DataSource(data).train(128, seed=0, epoch=0, skip=0):
        step(x)
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "precision": precision}))


def timed(command: list[str], environment: dict[str, str]) -> tuple[dict[str, float], str]:
    """Return a process's wall and CPU seconds, and what it printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu}, done.stdout


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", action="store_true")
    asked = parser.parse_args()
    if asked.work:
        best_epoch()
        return
    import machine

    environment = {**os.environ, "OMP_NUM_THREADS": str(asked.threads)}
    rounds = []
    for _ in range(asked.rounds):
        with tempfile.TemporaryDirectory() as folder:
            train = ["-m", "vaekit", "train", "vae", "--data", "mnist", "--epochs", "1", "--out", f"{folder}/run"]
            whole, _ = timed([sys.executable, *train], environment)
        torch, _ = timed([sys.executable, "-c", "import torch"], environment)
        _, printed = timed([sys.executable, __file__, "--work"], environment)
        epoch = json.loads(printed.splitlines()[-1])
        rounds.append({"command": whole, "import_torch": torch, "best_epoch": epoch})
    ratios = {
        kind: median(r["command"][kind] / (r["import_torch"][kind] + r["best_epoch"][kind]) for r in rounds)
        for kind in ("wall", "cpu")
    }
    out = {"machine": machine.describe(), "threads": asked.threads, "rounds": rounds, "ratio": ratios}
    print(
        f"the command takes {ratios['wall']:.2f} of import torch + the best epoch in wall, {ratios['cpu']:.2f} in CPU"
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "startup.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
