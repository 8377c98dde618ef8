"""What the contract of recipes (test_contract.py) trains each recipe on. A recipe absent from here gets the defaults.

Adding a recipe needs nothing here when it trains on the digits (8×8 greys with ten labels, so `needs_labels` is met)
within `SECONDS` of processor time. Otherwise add one line under its name:

- `DATA`: a function that returns the source `vaekit.train` takes (a name, a path, or arrays x or (x, y));
- `SETTINGS`: settings that make it small enough for a test, as `--set` takes them;
- `FALLS`: the term of the model's loss that must fall, where the total need not, or "mse" for the squared error of
  its reconstructions. By default that is the total, or the first of the model's terms where there are other players.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

STEPS = 60
SECONDS = 5.0


@cache
def lines(n: int = 400) -> Path:
    """Return a file of short sentences of a small grammar, from a fixed seed."""
    rng = random.Random(0)
    who, does, what = ["the king", "a lady", "my lord"], ["sees", "loves", "calls"], ["the sea", "a crown", "no man"]
    path = Path(tempfile.mkdtemp()) / "lines.txt"
    path.write_text("".join(f"{rng.choice(who)} {rng.choice(does)} {rng.choice(what)}\n" for _ in range(n)))
    return path


@cache
def smiles() -> Path:
    """Return a file of small molecules: chains with one or two groups on them."""
    ends = ("", "O", "N", "Cl", "C(=O)O", "c1ccccc1")
    found = [f"{'C' * n}{a}" for n in range(1, 9) for a in ends]
    found += [f"OC{'C' * n}{a}" for n in range(1, 9) for a in ends[1:]]
    path = Path(tempfile.mkdtemp()) / "molecules.smi"
    path.write_text("".join(f"{one}\n" for one in found))
    return path


@cache
def tunes() -> Path:
    """Return a folder of MIDI files: scales up and down from different notes."""
    from vaekit.data.music.midi import Note, write_midi

    folder = Path(tempfile.mkdtemp())
    for first in range(48, 72):
        up = [first + step for step in (0, 2, 4, 5, 7, 9, 11, 12)]
        pitches = up + up[::-1] if first % 2 else up[::-1] + up
        write_midi(folder / f"{first}.mid", [[Note(i, 1, pitch) for i, pitch in enumerate(pitches)]])
    return folder


@cache
def table() -> Path:
    """Return a table with columns of every kind that follow one hidden number, with gaps."""
    rng = random.Random(0)
    hidden = [rng.gauss(0, 1) for _ in range(300)]
    columns: dict[str, list[Any]] = {
        "age": [round(40 + 10 * f + rng.gauss(0, 2), 1) for f in hidden],
        "visits": [int(4 ** (1 + f / 2) * rng.uniform(0.8, 1.2)) for f in hidden],
        "town": ["York" if f + rng.gauss(0, 0.3) > 0 else "Hull" for f in hidden],
        "stars": [min(5, max(1, round(3 + f))) for f in hidden],
        "joined": [f"2021-{min(12, max(1, round(6 + 2 * f))):02d}-15" for f in hidden],
    }
    rows = [["" if rng.random() < 0.2 else str(cell) for cell in row] for row in zip(*columns.values())]
    path = Path(tempfile.mkdtemp()) / "table.csv"
    path.write_text("".join(",".join(row) + "\n" for row in [list(columns), *rows]))
    return path


@cache
def communities(count: int = 60) -> Path:
    """Return a file of graphs of 6 to 10 nodes in two halves, dense within and sparse between."""
    import numpy as np

    rng = np.random.default_rng(0)
    sizes, edges, start = [], [], 0
    for _ in range(count):
        n = int(rng.integers(6, 11))
        half = np.arange(n) < n // 2
        chance = np.where(half[:, None] == half, 0.8, 0.05)
        i, j = np.nonzero(np.triu(rng.random((n, n)) < chance, 1))
        edges.append(np.stack([i, j], 1) + start)
        sizes.append(n)
        start += n
    path = Path(tempfile.mkdtemp()) / "communities.npz"
    np.savez(path, sizes=np.array(sizes), edges=np.concatenate(edges))
    return path


@cache
def waves(count: int = 120) -> Path:
    """Return a `.ts` file of waves of two channels and two classes, of 12 to 20 steps, with gaps."""
    import numpy as np

    rng = np.random.default_rng(0)
    lines = ["@problemName waves", "@univariate false", "@classLabel true slow fast", "@data"]
    for i in range(count):
        t, phase, kind = np.arange(rng.integers(12, 21)), rng.uniform(0, 6), i % 2
        one = np.stack([3 * np.sin(t * (0.4 + 0.4 * kind) + phase), 50 + 10 * np.cos(t * 0.3 + phase)])
        one += rng.normal(size=one.shape) * [[0.2], [1.0]]
        gap = rng.random(one.shape) < 0.1
        cells = [",".join("?" if lost else f"{v:.3f}" for v, lost in zip(*both)) for both in zip(one, gap)]
        lines.append(":".join([*cells, ("slow", "fast")[kind]]))
    path = Path(tempfile.mkdtemp()) / "waves.ts"
    path.write_text("\n".join(lines))
    return path


DATA: dict[str, Callable[[], Any]] = {
    "graph-vae": communities,
    "molecule-vae": smiles,
    "music-vae": tunes,
    "sequence-vae": lines,
    "multimodal-vae": lambda: "captioned-digits",
    "tabular-cvae": table,
    "series-vae": waves,
    "state-space-vae": waves,
    "variational-rnn": waves,
    "tabular-vae": table,
}

SETTINGS: dict[str, Mapping[str, Any]] = {
    "very-deep-vae": {"model.finest": "half", "model.width": 12, "model.groups": [1, 1, 2], "train.batch_size": 16},
    "vq-vae": {"model.prior_width": 16, "model.prior_layers": 1},
    "fsq": {"model.prior_width": 16, "model.prior_layers": 1},
    "vq-vae-2": {"model.prior_width": 16, "model.prior_layers": 1, "model.latent": 8},
    "molecule-vae": {"model.width": 24, "model.embedding": 16, "model.latent": 6, "data.property": "logp"},
    "multimodal-vae": {"model.width": 24, "model.latent": 4, "objective.k": 3},
    "music-vae": {"model.width": 24, "model.embedding": 16, "model.conductor": 16, "model.latent": 6, "data.bars": 1},
    "pixel-vae": {"model.pixel_width": 16, "model.pixel_layers": 2, "train.batch_size": 64},
    "sequence-vae": {"data.unit": "words", "model.width": 24, "model.embedding": 16, "model.latent": 6},
    "tabular-cvae": {"model.hidden": [32], "model.latent": 2, "objective.k": 5, "train.lr": 5e-3, "data.label": "town"},
    "series-vae": {"model.width": 16, "model.latent": 3, "model.layers": 1},
    "state-space-vae": {"model.width": 12, "model.latent": 2, "train.lr": 1e-2},
    "variational-rnn": {"model.width": 12, "model.latent": 2, "model.prior_width": 8, "train.lr": 5e-3},
    "tabular-vae": {"model.hidden": [32], "model.latent": 2, "objective.k": 5, "train.lr": 5e-3},
    "semi-amortised-vae": {"model.steps": 2},
    "vae-gan": {"train.steps": 200},  # its critic begins to teach late
    "vimco": {"train.steps": 200},  # its scores are noise while the decoder does not use the bits
    "vamp-vae": {"train.steps": 160},  # its prior starts far from the codes
}

FALLS: dict[str, str] = {
    "vae-gan": "mse",  # its reconstruction term is in the features of a critic that changes
}


def source(name: str) -> Any:
    """Return what the recipe is trained on."""
    return DATA[name]() if name in DATA else "digits"
