"""Training on a GPU, in one run of at most six minutes: how fast, how busy, and whether graphs compute what steps do.

bash bench/gpu.sh                          on a machine with a CUDA device
bash bench/gpu.sh --device cpu --small     the same in a tiny form, to see that it runs

Parts, each with its own share of the time; what is not reached is said:

- steps: milliseconds a step of a plain eager loop, the same step captured by hand as one CUDA graph, vaekit without and
  with graphs; fp32 and bf16; batches of 128 and 1,024; and the share of the time that the GPU works (vaekit with
  graphs);
- equal: every recipe trained without graphs, with them, and with them cut and resumed: are weights and losses equal to
  the bit, and which recipes are computed without graphs, for which reason;
- whole: `vaekit train vae --epochs 20` and `vaekit evaluate --k 5000`, whole commands.

Results go to bench/results/gpu.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import machine
import torch
import torch.nn.functional as F
from torch import Tensor, nn

HERE = Path(__file__).parent
MODES = ("eager", "captured", "vaekit", "vaekit graph")
NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("vae", {"model.net": "mlp", "model.hidden": [512, 512], "model.latent": 20}),
    "conv": ("vae", {"model.net": "conv", "model.channels": [32, 64], "model.latent": 20}),
    "hierarchical": ("hierarchical-vae", {}),
    "very deep": ("very-deep-vae", {}),
    "sequence": ("sequence-vae", {}),
    "iwae, K=50": ("iwae", {"objective.k": 50}),
}
BARE = ("mlp", "conv")
"""The networks of which there is a hand-written loop."""


def wait(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def images() -> Tensor:
    """Return MNIST's training images, uint8 (N, 1, 28, 28); where it is not to be had, digits enlarged to its size."""
    from vaekit.data import load
    from vaekit.errors import UserError

    try:
        data = load("mnist")
        return torch.cat([data.train.x, data.valid.x]).reshape(-1, 1, 28, 28)
    except UserError:
        from sklearn.datasets import load_digits

        small = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1)
        large = F.interpolate(small, size=(28, 28), mode="bilinear").mul_(255 / 16).round_().to(torch.uint8)
        return large.repeat(-(-60_000 // len(large)), 1, 1, 1)[:60_000]


# -- the hand-written loop ---------------------------------------------------------------------------------------------


class Bare(nn.Module):
    """The VAE of the bench, as one would write it by hand."""

    def __init__(self, net: str, latent: int = 20) -> None:
        super().__init__()
        wide = 512
        if net == "mlp":
            ends = nn.Linear(784, wide), nn.SiLU(), nn.Linear(wide, wide), nn.SiLU(), nn.Linear(wide, 2 * latent)
            self.e = nn.Sequential(nn.Flatten(), *ends)
            back = nn.Linear(latent, wide), nn.SiLU(), nn.Linear(wide, wide), nn.SiLU(), nn.Linear(wide, 784)
            self.d = nn.Sequential(*back, nn.Unflatten(1, (1, 28, 28)))
        else:
            down = nn.Conv2d(1, 32, 4, 2, 1), nn.SiLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.SiLU(), nn.Flatten()
            self.e = nn.Sequential(*down, nn.Linear(3136, 2 * latent))
            up = nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.SiLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1)
            self.d = nn.Sequential(nn.Linear(latent, 3136), nn.Unflatten(1, (64, 7, 7)), nn.SiLU(), *up)

    def forward(self, x: Tensor) -> Tensor:
        """Return the negative ELBO."""
        mean, log_var = self.e(x).float().chunk(2, -1)
        logits = self.d(mean + (0.5 * log_var).exp() * torch.randn_like(mean)).float()
        rate = 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum(-1)
        return (F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(-1) + rate).mean()


def bare(net: str, stored: Tensor, batch: int, precision: str, captured: bool, steps: int) -> float:
    """Return milliseconds a step of the hand-written loop, in eager mode or as one CUDA graph."""
    device = stored.device
    torch.manual_seed(0)
    model = Bare(net).to(device)
    adam = torch.optim.Adam(model.parameters(), 1e-3, fused=True, capturable=captured)
    order, ahead = torch.randperm(len(stored), device=device), torch.arange(batch, device=device)
    number = torch.zeros((), dtype=torch.long, device=device)

    def step() -> None:
        x = stored[order[(number * batch) % (len(stored) - batch) + ahead]].float() / 255
        x = (torch.rand_like(x) < x).float()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = model(x)
        loss.backward()
        adam.step()
        adam.zero_grad(set_to_none=not captured)
        number.add_(1)

    run: Callable[[], None] = step
    if captured:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(5):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        run = graph.replay
    for _ in range(min(steps, 20)):
        run()
    wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        run()
    wait(device)
    return 1e3 * (time.perf_counter() - start) / steps


# -- vaekit ------------------------------------------------------------------------------------------------------------


class Stretch:
    """A callback that times, and may profile, the steps after the first `warm`."""

    def __init__(self, device: torch.device, warm: int, steps: int, profiled: bool) -> None:
        self.device, self.first, self.last = device, warm, warm + steps
        self.milliseconds, self.busy, self.kernels = float("nan"), float("nan"), float("nan")
        self._profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) if profiled else None

    def __call__(self, info: Any) -> None:
        """Look at the clock at both ends."""
        if info.step == self.first:
            wait(self.device)
            if self._profile is not None:
                self._profile.__enter__()
            self._start = time.perf_counter()
        if info.step == self.last:
            wait(self.device)
            self.milliseconds = 1e3 * (time.perf_counter() - self._start) / (self.last - self.first)
            if self._profile is not None:
                self._profile.__exit__(None, None, None)
                found = [e for e in self._profile.key_averages() if e.self_device_time_total]
                self.busy = sum(e.self_device_time_total for e in found) / 1e3 / (self.last - self.first)
                self.kernels = sum(e.count for e in found) / (self.last - self.first)


def fitted(
    name: str, data: Any, batch: int, precision: str, graph: bool, device: torch.device, steps: int, profiled: bool
) -> Stretch:
    """Train for some steps and return what was measured."""
    import vaekit

    recipe, more = NETS[name]
    warm = min(20, steps)
    stretch = Stretch(device, warm, steps, profiled)
    vaekit.train(
        recipe, data, steps=warm + steps + 1, batch_size=batch, device=str(device), precision=precision, pictures=False,
        callbacks=[stretch], progress=False,
        set={**more, "train.graph": graph, "train.validate_every": 100_000, "train.accumulate": 1, "data.valid": 50},
    )  # fmt: skip
    return stretch


def text(folder: Path) -> Path:
    """Write lines of letters, for the sequence model."""
    path = folder / "lines.txt"
    words = ["the", "of", "and", "to", "in", "that", "is", "was", "he", "for", "it", "with", "as", "his", "on", "be"]
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(len(words), (20_000, 8), generator=draw).tolist()
    path.write_text("".join(" ".join(words[i] for i in row) + "\n" for row in rows))
    return path


def steps_part(asked: argparse.Namespace, stored: Tensor, folder: Path, until: float) -> list[dict[str, Any]]:
    """Return milliseconds a step and the busy share, network by network."""
    device, rows = torch.device(asked.device), list[dict[str, Any]]()
    on_device, host = stored.to(device), stored.numpy()
    lines = text(folder)
    cells = [(name, batch) for batch in asked.batches for name in NETS]
    for name, batch in cells:
        steps = asked.steps if name not in ("very deep", "sequence") else max(2, asked.steps // 5)
        for precision in ("fp32", "bf16"):
            row: dict[str, Any] = {"net": name, "batch": batch, "precision": precision}
            rows.append(row)
            for mode in MODES:
                if time.monotonic() > until:
                    row[mode] = "no time"
                    continue
                try:
                    if mode in ("eager", "captured"):
                        if name in BARE and (device.type == "cuda" or mode == "eager"):
                            row[mode] = bare(name, on_device, batch, precision, mode == "captured", steps)
                    elif mode == "vaekit" or device.type == "cuda":
                        data: Any = lines if name == "sequence" else host
                        graph = mode == "vaekit graph"
                        row[mode] = fitted(name, data, batch, precision, graph, device, steps, False).milliseconds
                        if graph:
                            seen = fitted(name, data, batch, precision, graph, device, min(steps, 40), True)
                            row["busy_ms"], row["kernels"] = seen.busy, seen.kernels
                            row["busy_share"] = seen.busy / row[mode]
                except Exception as error:
                    row[mode] = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
            print(json.dumps(row, default=str), flush=True)
    return rows


# -- are they equal ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def stopped_at(step: int) -> Iterator[None]:
    """Let a run be interrupted when it is about to take this step."""
    from vaekit.training.loop import Fit

    whole = Fit._step

    def stops(self: Fit, x: Any, y: Tensor | None) -> None:
        if self.at.step == step:
            raise KeyboardInterrupt
        whole(self, x, y)

    Fit._step = stops  # type: ignore[method-assign]
    try:
        yield
    finally:
        Fit._step = whole  # type: ignore[method-assign]


def outcome(folder: Path) -> tuple[dict[str, Tensor], list[dict[str, Any]], str | None]:
    """Return a run's weights, its log without times, and why it had no graphs."""
    from safetensors.torch import load_file

    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    told = [record["graph"] for record in records if "graph" in record]
    kept = [{k: v for k, v in r.items() if k not in ("examples_per_second", "graph")} for r in records]
    return load_file(folder / "model.safetensors"), kept, told[0] if told else None


def compare(name: str, device: str, steps: int) -> dict[str, Any]:
    """Train a recipe without graphs, with them, and with them cut and resumed; return what is equal."""
    import vaekit
    from recipes import examples

    torch.set_num_threads(1)
    graph = device.startswith("cuda")
    settings = {k: v for k, v in examples.SETTINGS.get(name, {}).items() if k != "train.steps"}
    made: dict[str, Any] = {
        "steps": steps, "batch_size": 64, "device": device, "precision": "fp32", "pictures": False, "progress": False,
    }  # fmt: skip
    own = {"train.checkpoint_steps": 1, "train.log_every": 10, **settings}
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder, source = Path(place), examples.source(name)
        for kind in ("eager", "again"):
            vaekit.train(name, source, out=folder / kind, set={**own, "train.graph": False}, **made)
        replays = {**own, "train.graph": graph}
        vaekit.train(name, source, out=folder / "graph", set=replays, **made)
        with stopped_at(steps * 2 // 3), contextlib.suppress(KeyboardInterrupt):
            vaekit.train(name, source, out=folder / "cut", set=replays, **made)
        vaekit.train(name, source, out=folder / "cut", resume=True, set=replays, **made)
        kinds = ("eager", "again", "graph", "cut")
        eager, again, replayed, cut = (outcome(folder / kind) for kind in kinds)

    def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
        return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)

    apart = [float((v.float() - replayed[0][k].float()).abs().max()) for k, v in eager[0].items() if v.numel()]
    return {
        "weights": same(eager[0], replayed[0]),
        "log": eager[1] == replayed[1],
        "resumed": same(replayed[0], cut[0]),
        "eager_repeats": same(eager[0], again[0]),
        "difference": max(apart, default=0.0),
        "without": replayed[2],
    }


def equal_part(asked: argparse.Namespace, until: float) -> dict[str, Any]:
    """Return `compare` of every recipe."""
    from vaekit.recipes.catalogue import RECIPES

    names = asked.only or (["vae", "factor-vae"] if asked.small else list(RECIPES.names))
    found: dict[str, Any] = {}
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        jobs = {name: pool.submit(compare, name, asked.device, 12 if asked.small else 40) for name in names}
        for name, job in jobs.items():
            try:
                found[name] = job.result(timeout=max(0.1, until - time.monotonic()))
            except TimeoutError:
                found[name] = {"error": "no time"}
                job.cancel()
            except Exception as error:
                found[name] = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
            print(f"{name}: {json.dumps(found[name])}", flush=True)
        for process in (pool._processes or {}).values() if time.monotonic() > until else ():
            process.terminate()
    return found


# -- whole commands ----------------------------------------------------------------------------------------------------


def command(*words: str, limit: float) -> dict[str, Any]:
    """Run a command of vaekit; return its seconds and what it printed as JSON."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vaekit", *words, "--json"], capture_output=True, text=True, timeout=max(limit, 1)
        )
    except subprocess.TimeoutExpired:
        return {"error": "no time"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["?"])[-1][:300]}
    return {"seconds": time.monotonic() - start, "result": json.loads(done.stdout.splitlines()[-1])}


def whole_part(asked: argparse.Namespace, stored: Tensor, folder: Path, until: float) -> dict[str, Any]:
    """Return the seconds of 20 epochs, and of an importance-weighted bound by many samples."""
    import numpy as np

    np.savez(folder / "images.npz", x=stored[:300].numpy() if asked.small else stored.numpy())
    length, k = ("1", "20") if asked.small else ("20", "5000")
    out: dict[str, Any] = {}
    for graph in (False, True) if asked.device.startswith("cuda") else (False,):
        run = str(folder / f"run-{graph}")
        words = "train", "vae", "--data", str(folder / "images.npz"), "--epochs", length, "--device", asked.device
        held = f"data.test={50 if asked.small else 10_000}"
        more = "--out", run, "--set", f"train.graph={str(graph).lower()}", "--set", held
        out[f"train, graph={graph}"] = command(*words, *more, limit=until - time.monotonic())
    out["evaluate"] = command("evaluate", run, "--metrics", "iw_bound", "--k", k, limit=until - time.monotonic())
    for name, row in out.items():
        print(f"{name}: {row.get('error') or format(row['seconds'], '.1f') + ' s'}", flush=True)
    return out


# -- the table ---------------------------------------------------------------------------------------------------------


def show(rows: Sequence[Mapping[str, Any]], equal: Mapping[str, Any]) -> None:
    """Print milliseconds a step, and what is not equal."""

    def cell(value: Any) -> str:
        return f"{value:.2f}" if isinstance(value, float) else "-" if value is None else str(value)[:30]

    titles = ["network", "batch", "precision", *(f"{m}, ms" for m in MODES), "GPU busy", "graph / captured"]
    print("\n| " + " | ".join(titles) + " |\n" + "| --- " * len(titles) + "|")
    for row in rows:
        busy, hand, ours = (row.get(name) for name in ("busy_share", "captured", "vaekit graph"))
        ratio = ours / hand if isinstance(ours, float) and isinstance(hand, float) else None
        share = f"{busy:.0%}" if isinstance(busy, float) else "-"
        print(f"| {row['net']} | {row['batch']} | {row['precision']} | "
              + " | ".join(cell(row.get(m)) for m in MODES) + f" | {share} | {cell(ratio)} |")  # fmt: skip
    facts = ("weights", "log", "resumed")
    off = {name: row for name, row in equal.items() if not all(row.get(fact) for fact in facts)}
    print(f"\nequal to the bit, resumed too: {len(equal) - len(off)} of {len(equal)} recipes")
    for name, row in off.items():
        print(f"  not {name}: {json.dumps(row)}")
    for name, row in equal.items():
        if row.get("without"):
            print(f"  {name}: {row['without']}")


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a tiny form, to see that everything runs")
    parser.add_argument("--minutes", type=float, default=5.5, help="what it may take")
    parser.add_argument("--parts", nargs="+", default=["steps", "equal", "whole"], choices=["steps", "equal", "whole"])
    parser.add_argument("--only", nargs="*", help="recipes that are compared; all by default")
    parser.add_argument("--jobs", type=int, default=8, help="recipes compared at once")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "gpu.json")
    asked = parser.parse_args()
    asked.steps, asked.batches = (2, [32]) if asked.small else (200, [128, 1024])
    asked.jobs, asked.minutes = (1, 30.0) if asked.small else (asked.jobs, asked.minutes)
    started = time.monotonic()
    stored = images()[:400] if asked.small else images()
    out: dict[str, Any] = {"machine": machine.describe(), "device": asked.device, "small": asked.small}
    # Whole commands first: they say most, and take what they take. Each part ends where its share does.
    shares = {"whole": 0.3, "equal": 0.65, "steps": 1.0}
    with tempfile.TemporaryDirectory() as place:
        for part, share in shares.items():
            if part in asked.parts:
                until = started + 60 * asked.minutes * share
                if part == "whole":
                    out[part] = whole_part(asked, stored, Path(place), until)
                elif part == "equal":
                    out[part] = equal_part(asked, until)
                else:
                    out[part] = steps_part(asked, stored, Path(place), until)
    out["seconds"] = round(time.monotonic() - started)
    show(out.get("steps", []), out.get("equal", {}))
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(out, indent=1, default=str) + "\n")
    print(f"\n{out['seconds']} s; written to {asked.out}")


if __name__ == "__main__":
    main()
