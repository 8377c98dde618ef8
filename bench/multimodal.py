"""`multimodal-vae` against MultiVae's models of the same kinds: MNIST's digits with spoken ones, equal nets and time.

python bench/multimodal.py [--peer-python PATH] [--seconds 15] [--seeds 0 1 2] [--only NAME ...] [--show]

The same pairs, splits, encoders and decoders (one hidden layer of 256), latent size 20, batch 128, Adam with learning
rate 1e-3, and the same seconds of processor time on one core for each training. Both have p(picture|z) of bits and
p(sound|z) = N(μ(z), σ²) with one σ that is not learned (MultiVae's are not): what 20 principal components leave of the
training sounds. Both keep the weights that were best on the validation pairs. Everything else is each one's default.

PATH is the Python of an environment with multivae 1.0.3; without it ours alone are run. Measured on the test pairs:
log p(picture, sound) as the bound of 100 samples, shared out among the posterior's components, nats in the data's own
units; whether a sound made from a picture, and the reverse, has the pair's class, and whether both halves of a sample
from the prior have one class, by one and the same classifiers, fitted to real training pairs.

Each training is kept in bench/results/multimodal.json and not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import vaekit
from vaekit.atomic import write_text
from vaekit.metrics.views import classifiers, only
from vaekit.runs.run import Run
from vaekit.views import views_of

RESULTS = Path(__file__).with_name("results") / "multimodal.json"
HIDDEN, LATENT, K = 256, 20, 100
SOUND = ("data.mels=16", "data.frames=32", "data.seconds=0.5")
NETS = (f"model.latent={LATENT}", "model.net=mlp", f"model.hidden={HIDDEN}", "train.batch_size=128", "train.lr=1e-3")
OURS: dict[str, tuple[str, ...]] = {
    "product": ("model.fusion=product",),
    "product, agreeing": ("model.fusion=product", "objective.agree=1", "objective.k=1"),
    "mixture": ("model.fusion=mixture",),
    "mixture-of-products": ("model.fusion=mixture-of-products",),
    "mixture-of-products, one sample": ("model.fusion=mixture-of-products", "objective.k=1"),
}
"""Settings of ours beside those of the comparison."""
PEERS = {"MVAE": "product", "MMVAE": "mixture", "MoPoE": "mixture-of-products", "MVTCAE": "product"}
"""MultiVae's models, and the fusion of each."""
NUMBERS = {
    "bound": "log p(picture, sound)",
    "picture_to_sound": "class kept, picture to sound",
    "sound_to_picture": "class kept, sound to picture",
    "joint": "samples of one class",
}


def train(data: Any, seed: int, steps: int, sets: tuple[str, ...], callback: Callable[[Any], Any] | None = None) -> Run:
    """Train ours for so many steps."""
    more: Any = {} if callback is None else {"callbacks": [callback]}
    changes = [*NETS, *sets]
    return vaekit.train("multimodal-vae", data, seed=seed, steps=steps, set=changes, pictures=False, **more)


def timed(data: Any, seed: int, steps: int, sets: tuple[str, ...]) -> tuple[Run, float]:
    """Return a trained run and the processor time of its steps and validations, from the first step on."""
    at: list[float] = []
    run = train(data, seed, steps, sets, lambda info: at.append(time.process_time()))
    return run, (at[-1] - at[0]) * steps / (len(at) - 1)


class Comparison:
    """The pairs, the sound's σ and the classifiers that all are judged by."""

    def __init__(self) -> None:
        run = train("spoken-mnist", 0, 1, SOUND)
        self.data, self.step = run.data, dict[str, float]()
        subject = run.subject(k=K)
        assert subject.train is not None and subject.y is not None
        self.judges, self.views = classifiers(subject), views_of(run.info.facts["views"])
        self.x, self.y = subject.x, subject.y
        self.rows = {"train": subject.train()[0], "valid": run.prepare.fixed(run.data.valid, 1).x, "test": self.x}
        sound = self.rows["train"][:, 784:].double()
        values = torch.linalg.svdvals(sound - sound.mean(0)).square()
        self.sigma = float((values[LATENT:].sum() / sound.numel()).sqrt())
        (self.sd,) = run.info.facts["views"][1]["sd"]

    def judged(self, sounds: Tensor, pictures: Tensor, drawn: Tensor) -> dict[str, float]:
        """Return the shares of right classes of rows of which the made modality is looked at."""
        picture, sound = self.judges
        return {
            "picture_to_sound": (sound(sounds) == self.y).double().mean().item(),
            "sound_to_picture": (picture(pictures) == self.y).double().mean().item(),
            "joint": (picture(drawn) == sound(drawn)).double().mean().item(),
        }

    def ours(self, name: str, seed: int, seconds: float) -> dict[str, Any]:
        """Train ours for the seconds and measure it."""
        sets = (*OURS[name], f"model.scale={self.sigma * self.sd}")
        if name not in self.step:
            self.step[name] = timed(self.data, seed, 95, sets)[1] / 95
        run, cpu = timed(self.data, seed, int(seconds / self.step[name]), sets)
        self.step[name] = cpu / run.record["result"]["steps"]
        torch.manual_seed(0)
        with torch.no_grad():
            made = [run.model.reconstruct(only(self.x, self.views, [m]), sample=True) for m in (0, 1)]
            drawn = run.model.sample(1000)
        bound = run.evaluate(["iw_bound"], k=K)["iw_bound"].value
        weights = sum(p.numel() for p in run.model.parameters())
        facts = {"cpu": cpu, "steps": run.record["result"]["steps"], "weights": weights}
        return {"bound": bound, **self.judged(*made, drawn), **facts}

    def theirs(self, python: str, kind: str, seed: int, seconds: float) -> dict[str, Any]:
        """Have MultiVae's model trained for the seconds by its own trainer, and judge what it makes."""
        with tempfile.TemporaryDirectory() as folder:
            data, out = Path(folder) / "data.npz", Path(folder) / "made.npz"
            rows = {name: x.numpy().astype(np.float32) for name, x in self.rows.items()}
            np.savez(data, **rows, sigma=self.sigma, widths=[HIDDEN, LATENT])  # pyright: ignore[reportArgumentType]
            script = str(Path(__file__).with_name("multimodal_peer.py"))
            command = [python, "-W", "ignore", script, kind, str(data), str(out), str(seed), str(seconds), str(K)]
            ran = subprocess.run(command, capture_output=True, text=True)
            if ran.returncode:
                sys.exit(f"{kind}: {ran.stderr[-2000:]}")
            found, made = json.loads(ran.stdout.strip().splitlines()[-1]), np.load(out)
            sounds, pictures = self.x.clone(), self.x.clone()
            sounds[:, 784:] = torch.from_numpy(made["sounds"]).flatten(1)
            pictures[:, :784] = torch.from_numpy(made["pictures"]).flatten(1)
            shares = self.judged(sounds, pictures, torch.from_numpy(made["drawn"]))
        unit = self.views[1].shape[-1] * self.views[1].shape[-2] * math.log(self.sd)
        return found | {"bound": found["bound"] - unit, "own_nll": found["own_nll"] - unit} | shares


def add(name: str, entry: dict[str, Any]) -> None:
    """Keep one more training."""
    results = kept() | {name: {n: round(v, 4) if isinstance(v, float) else v for n, v in entry.items()}}
    write_text(RESULTS, json.dumps(dict(sorted(results.items())), indent=1) + "\n")


def kept() -> dict[str, Any]:
    """Return what is there."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}


def table() -> list[str]:
    """Return means over training seeds ± their deviation, as lines of Markdown."""
    results = kept()
    rows = [("vaekit", name) for name in OURS] + [("MultiVae", name) for name in PEERS]
    lines = [f"| | {' | '.join(NUMBERS.values())} | processor s | steps | seeds |", "|---" * (len(NUMBERS) + 4) + "|"]
    for who, name in rows:
        found = [entry for key, entry in results.items() if key.rsplit(" | ", 1)[0] == f"{who} | {name}"]
        if not found:
            continue
        cells = [_mean([one[number] for one in found], 1 if number == "bound" else 2) for number in NUMBERS]
        cells += [_mean([one["cpu"] for one in found], 1), f"{statistics.fmean(o['steps'] for o in found):.0f}"]
        fusion = f" ({PEERS[name]})" if who == "MultiVae" else ""
        lines.append(f"| {who}, {name}{fusion} | {' | '.join(cells)} | {len(found)} |")
    return lines


def _mean(values: list[float], digits: int) -> str:
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}".replace("-", "−")


def main() -> None:
    """Make the trainings that are missing, ours and theirs in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="Python of an environment with multivae 1.0.3")
    parser.add_argument("--seconds", type=float, default=15.0, help="processor time of a training; default 15")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2], help="training seeds; default 0 1 2")
    parser.add_argument("--only", nargs="*", default=[], help="fusions of ours or models of MultiVae; default all")
    parser.add_argument("--show", action="store_true", help="print the table of what is there and train nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    wanted = [("vaekit", name) for name in OURS] + ([("MultiVae", n) for n in PEERS] if args.peer_python else [])
    wanted = [(who, name) for who, name in wanted if not args.only or name in args.only]
    todo = [(*one, s) for s in args.seeds for one in wanted if f"{one[0]} | {one[1]} | seed {s}" not in kept()]
    if todo and not args.show:
        same = Comparison()
        print(f"σ of the sound: {same.sigma:.4f} of its deviation, {same.sd:.4f}", flush=True)
        for who, name, seed in todo:
            if who == "vaekit":
                entry = same.ours(name, seed, args.seconds)
            else:
                entry = same.theirs(args.peer_python, name, seed, args.seconds)
            add(f"{who} | {name} | seed {seed}", entry)
            print(f"{who} | {name} | seed {seed}: {json.dumps(kept()[f'{who} | {name} | seed {seed}'])}", flush=True)
    print("\n".join(table()))


if __name__ == "__main__":
    main()
