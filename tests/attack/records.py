"""Records, weights and checkpoints of run folders, damaged or made up: used as before, or refused in a sentence."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from attack.mutate import damaged, facts_of, mutated, with_facts
from attack.tries import Try, attempt
from vaekit.runs.loading import load
from vaekit.runs.train import train

EARLIER = Path(__file__).parents[1] / "runs" / "earlier"
KINDS = ("vae", "vq-vae", "tabular", "sequence", "hierarchical", "graph")


def record(random: Random, folder: Path) -> Try:
    """Change run.json of a run of an earlier version, by its structure or byte by byte."""
    run = Path(shutil.copytree(EARLIER / random.choice(("577b6c1", "5e0e739")) / random.choice(KINDS), folder / "run"))
    path = run / "run.json"
    if random.random() < 0.2:
        path.write_bytes(damaged(path.read_bytes(), random))
    else:
        path.write_text(json.dumps(mutated(json.loads(path.read_text(encoding="utf-8")), random)[1]), encoding="utf-8")

    def use() -> None:
        loaded = load(run, "cpu")
        x = loaded.sample(2)
        if loaded.modality is not None:
            loaded.lines(x)
        assert repr(loaded) and isinstance(loaded.log, list)

    return attempt(use)


class Trained:
    """A run of today with everything that a folder has, copied for each try."""

    def __init__(self, folder: Path) -> None:
        small: dict[str, Any] = {"model.latent": 2, "model.hidden": [4], "train.log_every": 2, "train.ema": 0.9}
        self.run = folder / "run"
        made = train("vae", "digits", steps=6, set=small, out=self.run, pictures=False, device="cpu")
        made.keep_reference()
        made.evaluate(["elbo", "mse"], k=2, limit=10)

    def again(self, random: Random, folder: Path) -> Try:
        """Change what can be computed again: numbers, thresholds, log."""
        run = Path(shutil.copytree(self.run, folder / "run"))
        path = run / random.choice(("evaluation.json", "thresholds.json", "log.jsonl"))
        lines = [path.read_text(encoding="utf-8")] if path.suffix == ".json" else path.read_text("utf-8").splitlines()
        i = random.randrange(len(lines))
        lines[i] = json.dumps(mutated(json.loads(lines[i]), random)[1])
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

        def use() -> None:
            loaded = load(run, "cpu")
            loaded.write_report()
            loaded.detect(loaded.test.first(3))

        return attempt(use)

    def tensors(self, random: Random, folder: Path) -> Try:
        """Damage weights, checkpoint or values: nothing of a damaged file is used."""
        run = Path(shutil.copytree(self.run, folder / "run"))
        name = random.choice(("model.safetensors", "checkpoints/last.safetensors", "evaluation.safetensors"))
        data = (run / name).read_bytes()
        other = damaged(data, random)
        (run / name).write_bytes(other)
        if name.startswith("evaluation"):
            return attempt(lambda: load(run, "cpu").values(), lambda values: "used" if values and other != data else "")
        if name.startswith("model"):
            return attempt(lambda: load(run, "cpu"), lambda _: "" if other == data else f"a damaged {name} is used")
        return attempt(lambda: train(out=run, resume=True, pictures=False), lambda _: "" if other == data else "used")

    def checkpoint(self, random: Random, folder: Path) -> Try:
        """Change the facts of a checkpoint and seal it again, as a hostile author would."""
        run = Path(shutil.copytree(self.run, folder / "run"))
        last = run / "checkpoints" / "last.safetensors"
        data = last.read_bytes()
        last.write_bytes(with_facts(data, mutated(facts_of(data), random)[1]))
        return attempt(lambda: train(out=run, resume=True, steps=8, pictures=False))


@contextmanager
def ready(kind: str) -> Iterator[Callable[[int, Path], Try]]:
    """Give the tries of one kind, in the folder that the earlier runs' data are named from."""
    import tempfile

    here = Path.cwd()
    os.chdir(EARLIER / "data")
    try:
        if kind == "record":
            yield lambda seed, folder: record(Random(f"record {seed}"), folder)
            return
        with tempfile.TemporaryDirectory() as folder:
            one = getattr(Trained(Path(folder)), kind)
            yield lambda seed, place: one(Random(f"{kind} {seed}"), place)
    finally:
        os.chdir(here)
