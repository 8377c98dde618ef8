"""What a person asks of a run folder, each ending in a file that is whole or absent."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit import figures
from vaekit.atomic import write_text
from vaekit.data.dataset import Split
from vaekit.data.prepare import as_input
from vaekit.data.save import write_npz
from vaekit.distributions.tokens import Sampling
from vaekit.errors import UserError
from vaekit.experiment.run import Run, load
from vaekit.experiment.showing import formats, write_examples, write_paths
from vaekit.experiment.writing import check_out
from vaekit.latents.interpolate import Kind
from vaekit.likelihoods.tokens import Tokens
from vaekit.models.graph import GraphVAE


def _positive(name: str, value: int, least: int = 1) -> None:
    if value < least:
        raise UserError(f"{name} must be at least {least}, not {value}")


def _split(run: Run, data: str | None) -> Split:
    return run.test if data is None else run.prepared(data)


def sample(
    folder: Path,
    out: Path,
    *,
    n: int,
    label: str | None,
    temperature: float,
    draw: bool,
    seed: int,
    tokens: Mapping[str, Any] | None = None,
) -> str:
    """Write samples: a PNG grid, an NPZ (x, and y for conditional models), or in a form of the data's modality.

    `tokens`: how sequences are drawn, as `Sampling` takes it.
    """
    _positive("-n", n)
    if not 0 < temperature < math.inf:
        raise UserError(f"--temperature must be above 0 and finite, not {temperature:g}")
    run = load(folder)
    _checked_out(run, out)
    _pick_tokens(run, Sampling(**tokens or {}))
    x = run.drawn(n, label, temperature=temperature, draw=draw, seed=seed)
    write_examples(run, out, x, run.labels(n, label))
    return f"{n} samples in {out}"


def _pick_tokens(run: Run, sampling: Sampling) -> None:
    """Have the run's likelihoods of sequences draw so; a UserError if it has none and another way is asked for."""
    parts: list[Any] = [part for part in run.model.modules() if isinstance(part, Tokens)]
    for part in parts:
        part.draw_with(sampling)
    if not parts and sampling != Sampling():
        raise UserError(f"--greedy, --top-p and --token-temperature are for sequences, and {run.info.name} has none")


def encode(folder: Path, out: Path, *, data: str | None) -> str:
    """Write posterior means as NPZ (z, y) or CSV (z0, z1, ..., label); of one graph those of its nodes."""
    suffix = check_out(out, (".npz", ".csv"))
    run = load(folder)
    split = _split(run, data)
    z, y, classes = run.encode(split.x, split.y), split.y, run.info.classes
    if isinstance(run.model, GraphVAE) and run.info.facts["links"]:
        graph: Any = split.x
        with torch.no_grad():
            z, y, classes = run.model.node_codes(graph), graph.labels, run.info.facts["classes"]
    if suffix == ".npz":
        write_npz(out, z=z.numpy(), **({} if y is None else {"y": y.numpy()}))
    else:
        write_text(out, _csv(z, y, classes))
    return f"{len(z)} codes of {z.shape[1]} dimensions in {out}"


def _csv(z: Tensor, y: Tensor | None, classes: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(f"z{i}" for i in range(z.shape[1])), *(["label"] if y is not None else [])])
    names = None if y is None else [classes[i] if 0 <= i < len(classes) else str(i) for i in y.tolist()]
    for i, row in enumerate(z.tolist()):
        writer.writerow([*(f"{value:.9g}" for value in row), *([names[i]] if names is not None else [])])
    return text.getvalue()


def reconstruct(folder: Path, out: Path, *, data: str | None, n: int) -> str:
    """Write inputs beside their reconstructions, as a figure or as NPZ (x, reconstruction)."""
    _positive("-n", n)
    run = load(folder)
    suffix = check_out(out, (*formats(run), ".png") if run.modality is None else formats(run))
    split = _split(run, data).first(n)
    x, made = split.inputs, run.reconstruct(split.x, split.y)
    if run.modality is not None and suffix in run.modality.formats:
        write_examples(run, out, made)
        return f"{len(x)} reconstructions in {out}"
    shown = run.prepare.show(made)
    if suffix == ".png":
        figures.save(figures.reconstructions(run.prepare.show(x).numpy(), shown.numpy(), limit=n), out)
    else:
        write_npz(out, x=run.prepare.show(x).numpy(), reconstruction=shown.numpy())
    return f"{len(x)} reconstructions in {out}"


def interpolate(
    folder: Path, out: Path, *, data: str | None, n: int, steps: int, kind: Kind, examples: str | None
) -> str:
    """Write decoded paths between examples, as a figure or as NPZ (paths)."""
    _positive("-n", n)
    _positive("--steps", steps, 2)
    run = load(folder)
    suffix = _checked_out(run, out)
    split = _split(run, data)
    if len(split) < 2:
        raise UserError(f"a path needs two examples, and {data} has {len(split)}; give more data")
    chosen = _numbers(examples, len(split)) if examples else list(range(min(2 * n, len(split) // 2 * 2)))
    starts, stops = (chosen[:-1], chosen[1:]) if examples else (chosen[::2], chosen[1::2])
    a, b = torch.tensor(starts), torch.tensor(stops)
    y = None if split.y is None else split.y[a]
    paths = run.interpolate(as_input(split.x[a]), as_input(split.x[b]), y, steps, kind)
    if run.modality is not None and suffix in run.modality.formats:
        write_paths(run, out, paths)
    elif suffix == ".png":
        figures.save(figures.interpolation(paths.numpy()), out)
    else:
        write_npz(out, paths=np.asarray(paths.numpy()))
    return f"{len(paths)} paths of {steps} points in {out}"


def _numbers(text: str, count: int) -> list[int]:
    try:
        numbers = [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise UserError(f"--examples {text}: write numbers with commas, e.g. 3,17,42") from None
    if len(numbers) < 2:
        raise UserError(f"--examples {text}: name at least two examples")
    bad = next((i for i in numbers if not 0 <= i < count), None)
    if bad is not None:
        raise UserError(f"--examples {text}: there is no example {bad}; they go from 0 to {count - 1}")
    return numbers


def _checked_out(run: Run, out: Path) -> str:
    """Return the suffix of the file to write, one of those that the run's examples can be written in."""
    found = formats(run)
    if out.suffix.lower() == ".png" and ".png" not in found:
        raise UserError(
            f"{run.info.name} are not images, so there is no picture to write; use --out FILE{' or FILE'.join(found)}"
        )
    return check_out(out, found)
