"""Ratios against a textbook loop, pythae and the machine's limit, measured in one run, turn about.

make bench                                   all of it, about ten minutes on a quiet machine
make bench ARGS=--quick                      a first look in about two
make bench ARGS='--pythae-python PATH'       with pythae 0.1.2, by the Python of an environment of its own:
    python3 -m venv bench/.venv-pythae && bench/.venv-pythae/bin/pip install pythae==0.1.2

Every contender is a process of its own with one thread, which waits; blocks of its training steps are run in turns, and
each block is timed by the process's own CPU time. Ratios are taken within a round and their median over rounds is
shown with the quartiles, so that whatever else the machine does bears on all alike. Results go to
bench/results/training.json, then spin.py and startup.py are run, and page.py makes docs/performance.md of it all. Not
part of it: streaming.py (writes 20 GB) and precision.py (half an hour of training).
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
from statistics import median, quantiles
from typing import Any

import machine
import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / "results"
EPOCH = 60_000 / 128
NAMES = {
    "textbook": "textbook loop",
    "pythae": "pythae 0.1.2",
    "vaekit-fp32": "vaekit, fp32",
    "vaekit-bf16": "vaekit, bf16",
    "vaekit-auto": "vaekit, default",
    "limit-fp32": "products and memory alone, fp32",
    "limit-bf16": "products and memory alone, bf16",
}


class Contender:
    """A waiting process."""

    def __init__(self, name: str, net: str, data: Path, python: str) -> None:
        self.name, self.blocks = name, []
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = [python, str(HERE / "contenders.py"), name, net, str(data)]
        self.started = time.perf_counter()
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        self.blocks: list[dict[str, float]] = []
        self._answer("ready")

    def _answer(self, key: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                found = json.loads(line)
                if key in found:
                    return found
        raise SystemExit(f"the contender {self.name} ended early; run it alone: python bench/contenders.py {self.name}")

    def _say(self, words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()

    def go(self, steps: int, keep: bool = True) -> None:
        """Run a block."""
        self._say(f"go {steps}")
        found = self._answer("steps")
        if keep:
            self.blocks.append(found)

    def first(self) -> dict[str, float]:
        """Run to the end of the first epoch; return CPU and wall seconds from the process's start."""
        self._say("first")
        found = self._answer("first")
        return {"cpu": found["cpu"], "wall": time.perf_counter() - self.started, "peak_mib": found["peak_mib"]}

    def end(self) -> dict[str, Any]:
        """End the process and return its peak memory and ELBO."""
        self._say("end")
        found = self._answer("done")
        self._process.wait()
        return {name: value for name, value in found.items() if name != "done"}

    @property
    def cpu(self) -> list[float]:
        """CPU seconds a step, block by block."""
        return [block["cpu"] / block["steps"] for block in self.blocks]

    @property
    def wall(self) -> list[float]:
        """Wall seconds a step, block by block."""
        return [block["wall"] / block["steps"] for block in self.blocks]


def images(folder: Path, n: int) -> Path:
    """Write n training images of MNIST, binarised once, and 2,000 held-out ones."""
    from vaekit.data import DataSettings, load

    data = load("mnist", DataSettings(binarise="fixed"), wants="binary")
    x, held = (np.ascontiguousarray(split.x.numpy() > 0).astype(np.uint8) for split in (data.train, data.valid))
    path = folder / "images.npz"
    np.savez(path, x=x[:n], held=held[:2000])
    return path


def spread(values: list[float]) -> dict[str, float]:
    """Return median and quartiles."""
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return {"median": middle, "low": low, "high": high}


def race(net: str, names: dict[str, str], data: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Run every contender's blocks in turns; return what each took, and ratios within rounds."""
    running = [Contender(name, net, data, python) for name, python in names.items()]
    for contender in running:
        contender.go(5, keep=False)
    for number in range(asked.rounds):
        for contender in running if number % 2 == 0 else running[::-1]:
            contender.go(asked.block[net])
    out: dict[str, Any] = {}
    for contender in running:
        rest = asked.total[net] - asked.rounds * asked.block[net] - 5
        if rest > 0 and not contender.name.startswith("limit"):
            contender.go(rest, keep=False)
        found = contender.end()
        out[contender.name] = {
            "cpu_seconds_an_epoch": EPOCH * median(contender.cpu),
            "images_per_second": 128 / median(contender.wall),
            "blocks": contender.blocks,
            **found,
        }
    for base in ("textbook", "pythae", "limit-fp32"):
        if base in out:
            before = next(c for c in running if c.name == base).cpu
            for contender in running:
                own = contender.cpu
                out[contender.name][f"x_{base}"] = spread([b / a for a, b in zip(own, before)])
    return out


def firsts(net: str, names: dict[str, str], data: Path, repeats: int) -> dict[str, Any]:
    """Return seconds from a process's start to the end of its first epoch, turn about."""
    out: dict[str, list[dict[str, float]]] = {name: [] for name in names if not name.startswith("limit")}
    for number in range(repeats):
        for name in list(out)[:: 1 if number % 2 == 0 else -1]:
            contender = Contender(name, net, data, names[name])
            out[name].append(contender.first())
    return {
        name: {what: median(run[what] for run in runs) for what in ("wall", "cpu", "peak_mib")}
        for name, runs in out.items()
    }


def paired(what: str, data: Path, precision: str, rounds: int) -> dict[str, float]:
    """Return the CPU time of `fit`, or of a bare loop with a trace, over the bare loop's: turn about in one process."""
    contender = Contender(f"{what}-{precision}", "mlp", data, sys.executable)
    contender.go(30, keep=False)
    for _ in range(rounds):
        contender.go(12)
    contender.end()
    return spread([block["cpu"] / block["bare"] for block in contender.blocks])


def show(out: dict[str, Any]) -> None:
    """Print the tables."""
    for net, found in out["nets"].items():
        print(
            f"\n{net}: {out['what'][net]}, one thread; ratios of CPU time, median [quartiles] of {out['rounds']} rounds"
        )
        header = ["", "CPU s/epoch", "images/s", "x textbook", "x pythae", "of the fp32 limit", "first epoch s", "MiB"]
        print(" | ".join([*header, "held-out ELBO"]))
        for name, row in found.items():
            ratios = [row.get(f"x_{base}") for base in ("textbook", "pythae", "limit-fp32")]
            cells = [f"{r['median']:.2f} [{r['low']:.2f}, {r['high']:.2f}]" if r else "not measured" for r in ratios]
            first = out["first"][net].get(name)
            elbo = f"{row['elbo']:.1f} ± {row['elbo_stderr']:.1f}" if "elbo" in row else "-"
            print(" | ".join([
                NAMES[name], f"{row['cpu_seconds_an_epoch']:.2f}", f"{row['images_per_second']:,.0f}", *cells,
                f"{first['wall']:.1f}" if first else "-", f"{row['peak_mib']:.0f}", elbo,
            ]))  # fmt: skip
    for what, name in (("trace", "a trace and its objective in the bare loop"), ("overhead", "fit")):
        for precision, r in out[what].items():
            print(f"\n{name} over the bare loop, {precision}: {r['median']:.3f} [{r['low']:.3f}, {r['high']:.3f}]")


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--nets", nargs="+", default=["mlp", "conv"], choices=["mlp", "conv"])
    parser.add_argument("--pythae-python", default=os.environ.get("VAEKIT_BENCH_PYTHAE", ""))
    parser.add_argument("--out", type=Path, default=RESULTS / "training.json")
    asked = parser.parse_args()
    asked.rounds = 4 if asked.quick else 16
    asked.block = {"mlp": 12, "conv": 4} if asked.quick else {"mlp": 20, "conv": 6}
    asked.total = {"mlp": 0, "conv": 0} if asked.quick else {"mlp": 800, "conv": 240}
    beside = HERE / ".venv-pythae" / "bin" / "python"
    pythae = asked.pythae_python or (str(beside) if beside.exists() else "")
    names = {name: sys.executable for name in NAMES if name != "pythae"}
    if pythae:
        names = {"textbook": names.pop("textbook"), "pythae": pythae, **names}
    else:
        print("pythae is not measured: give --pythae-python, the Python of an environment that has it (see --help)")
    started = time.perf_counter()
    n = 2560 if asked.quick else 12_800
    out: dict[str, Any] = {
        "machine": machine.describe(),
        "quick": asked.quick,
        "rounds": asked.rounds,
        "images": n,
        "what": {"mlp": "784-512-256-20, batch 128", "conv": "1-32-64 k4s2, dense 256, batch 128"},
        "pythae_measured": bool(pythae),
    }
    with tempfile.TemporaryDirectory() as folder:
        data = images(Path(folder), n)
        out["nets"] = {net: race(net, names, data, asked) for net in asked.nets}
        out["first"] = {net: firsts(net, names, data, 1 if asked.quick else 3) for net in asked.nets}
        for what in ("trace", "overhead"):
            out[what] = {p: paired(what, data, p, 8 if asked.quick else 60) for p in ("fp32", "bf16")}
    out["seconds"] = round(time.perf_counter() - started)
    show(out)
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(out, indent=1) + "\n")
    print(f"\n{out['seconds']} s; written to {asked.out}\n", flush=True)
    if asked.out.parent == RESULTS:
        for script in ("spin.py", "startup.py", "page.py"):
            more = [] if script == "page.py" else ["--rounds", "1" if asked.quick else "4"]
            subprocess.run([sys.executable, str(HERE / script), *more], check=True)


if __name__ == "__main__":
    main()
