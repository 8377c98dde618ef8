"""What bf16 costs in quality: held-out ELBO after training in fp32 and in bf16, paired by seed.

python bench/precision.py [--net mlp] [--data mnist] [--epochs 20] [--seeds 5] [--limit N]

Every pair starts from the same weights and sees the same batches; evaluation is in fp32, on the held-out split (never
the test split) with the same noise. Results go to bench/results/precision-NET.json after each run, and a run that is
there already is not repeated. `vaekit.training.precision` holds the rule that rests on them.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import machine
import torch

import vaekit

RESULTS = Path(__file__).parent / "results"


def measured(name: str, data: str, epochs: int, seed: int, precision: str, limit: int | None) -> dict[str, Any]:
    """Train once and return what came of it."""
    start = time.process_time()
    settings: dict[str, Any] = {"model.net": name}
    if limit is not None:
        settings["data.limit"] = limit
    run = vaekit.train("vae", data, epochs=epochs, seed=seed, precision=precision, set=settings)
    result = run.record["result"]
    return {
        "seed": seed,
        "precision": precision,
        "elbo": result["elbo"],
        "elbo_stderr": result["elbo_stderr"],
        "held_out_n": result["held_out_n"],
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the paired differences (bf16 - fp32, nats; below 0 is worse), their mean and its standard error."""
    elbo = {(run["seed"], run["precision"]): run["elbo"] for run in runs}
    seeds = sorted({seed for seed, _ in elbo if (seed, "fp32") in elbo and (seed, "bf16") in elbo})
    differences = [elbo[seed, "bf16"] - elbo[seed, "fp32"] for seed in seeds]
    if len(differences) < 2:
        return {"seeds": seeds, "differences": differences}
    return {
        "seeds": seeds,
        "differences": differences,
        "mean": mean(differences),
        "stderr": stdev(differences) / len(differences) ** 0.5,
        "fp32": mean(elbo[seed, "fp32"] for seed in seeds),
        "fp32_sd_over_seeds": stdev(elbo[seed, "fp32"] for seed in seeds),
    }


def main() -> None:
    """Run what is missing, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", default="mlp")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--most", type=int, default=1000, help="stop after so many runs; the next call goes on")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    path = RESULTS / f"precision-{asked.net}.json"
    path.parent.mkdir(exist_ok=True)
    what = {"net": asked.net, "data": asked.data, "epochs": asked.epochs, "limit": asked.limit}
    runs: list[dict[str, Any]] = []
    if path.exists():
        before = json.loads(path.read_text())
        runs = before["runs"] if before["what"] == what else []
    most = len(runs) + asked.most
    for seed in range(asked.seeds):
        for precision in ("fp32", "bf16"):
            done = any(run["seed"] == seed and run["precision"] == precision for run in runs)
            if not done and len(runs) < most:
                runs.append(measured(asked.net, asked.data, asked.epochs, seed, precision, asked.limit))
                out = {"what": what, "machine": machine.describe(), "summary": summary(runs), "runs": runs}
                path.write_text(json.dumps(out, indent=1) + "\n")
    print(json.dumps(summary(runs), indent=1))


if __name__ == "__main__":
    main()
