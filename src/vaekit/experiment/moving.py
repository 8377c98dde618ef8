"""Moving through a run's latent space: samples of the aggregate posterior, traversals, planes, sums of codes."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from vaekit import figures
from vaekit.collapse import LatentWatch
from vaekit.data.dataset import Split
from vaekit.data.prepare import as_input
from vaekit.data.save import write_images, write_npz
from vaekit.errors import UserError
from vaekit.experiment.run import TEST_SEED, Run, load
from vaekit.experiment.showing import joined
from vaekit.experiment.writing import check_out, example_numbers, split_of
from vaekit.latents.aggregate import fit_mixture
from vaekit.latents.arithmetic import combine, direction, shift
from vaekit.latents.manifold import grid, principal_plane, quantiles
from vaekit.latents.traverse import by_information, traverse
from vaekit.models.base import point

STUDIED = 5000


def training_split(run: Run, most: int | None = STUDIED) -> Split:
    """Return the run's training examples as the model sees them, the first `most`."""
    split = run.data.train.in_memory if most is None else run.data.train.first(most)
    return run.prepare.fixed(split, TEST_SEED - 2)


def codes(run: Run, split: Split) -> Tensor:
    """Return posterior means in the decoder's own shape, (N, D); a model whose codes are not vectors is a UserError."""
    z = run.encode(split.x, split.y)
    flat = run.model.posterior_mean(as_input(split.x[:1]), None if split.y is None or not takes(run) else split.y[:1])
    if flat.dim() != 2 or flat.shape[1] != z.shape[1]:
        raise UserError(f"the codes of {run.recipe} are no plain vectors of numbers, so they cannot be moved along")
    return z


def takes(run: Run) -> bool:
    """Whether the run's model is conditioned on labels."""
    return run.model.takes_label


@torch.no_grad()
def decoded(run: Run, z: Tensor, y: Tensor | None = None, batch: int = 500) -> Tensor:
    """Return the points (the means) of p(x|z) of codes (N, D), displayable: (N, *shape)."""
    if takes(run) and y is None:
        raise UserError(f"this run's model ({run.recipe}) is conditioned on labels; name one with --label")
    rows = range(0, len(z), batch)
    return joined(
        [
            run.prepare.show(point(run.model.decode(z[i : i + batch], None if y is None else y[i : i + batch])))
            for i in rows
        ]
    )


def sample_aggregate(
    folder: Path, out: Path, *, n: int, components: int, label: str | None, temperature: float, draw: bool, seed: int
) -> str:
    """Write samples whose codes come from a mixture fitted to the training codes: PNG or NPZ (x, z)."""
    if temperature != 1 or draw:
        raise UserError(
            "--temperature and --draw belong to sampling from the prior; leave them out with --from aggregate"
        )
    suffix = check_out(out, (".png", ".npz"))
    if n < 1:
        raise UserError(f"-n must be at least 1, not {n}")
    run = load(folder)
    needs_pictures(run, suffix)
    y = run.labels(n, label)
    split = training_split(run)
    z = posterior_samples(run, split, seed)
    drawn = fit_mixture(z, components, seed).sample(n, seed)
    x = decoded(run, drawn, y)
    if suffix == ".png":
        write_images(out, x)
    else:
        write_npz(out, x=x.numpy(), z=drawn.numpy(), **({} if y is None else {"y": y.numpy()}))
    return f"{n} samples of the aggregate posterior ({components} normals fitted to {len(z)} codes) in {out}"


@torch.no_grad()
def posterior_samples(run: Run, split: Split, seed: int, batch: int = 500) -> Tensor:
    """Return one posterior sample an example, (N, D): samples of the aggregate posterior."""
    codes(run, split.first(1))
    parts: list[Tensor] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for i in range(0, len(split), batch):
            y = None if split.y is None or not takes(run) else split.y[i : i + batch]
            trace = run.model.trace(as_input(split.x[i : i + batch]), y, hard=True)
            parts.append(next(iter(trace.latents.values())).z[0])
    return torch.cat(parts)


def needs_pictures(run: Run, suffix: str) -> None:
    """Refuse a picture of data that are no images."""
    if suffix == ".png" and not run.info.is_image:
        raise UserError(f"{run.info.name} are not images, so there is no picture to write; use --out FILE.npz")


def traverse_run(
    folder: Path,
    out: Path,
    *,
    data: str | None,
    example: int,
    dimensions: str | None,
    top: int,
    steps: int,
    reach: float,
) -> str:
    """Write decoded traversals from one example's code, the most informative dimensions first: PNG or NPZ."""
    suffix = check_out(out, (".png", ".npz"))
    if steps < 2 or top < 1 or not 0 < reach < math.inf:
        raise UserError("a traversal needs --steps of at least 2, --top of at least 1 and a --reach above 0")
    run = load(folder)
    needs_pictures(run, suffix)
    split = split_of(run, data)
    one = example_numbers(str(example), len(split))
    chosen = Split(split.x[one], None if split.y is None else split.y[one])
    z = codes(run, chosen)[0]
    kl = _informative(run, split.first(STUDIED), len(z))
    order = by_information(kl)[:top] if dimensions is None else example_numbers(dimensions, len(z), "--dimensions")
    values = torch.linspace(-reach, reach, steps)
    rows = traverse(z, order, values)
    y = None if not takes(run) or chosen.y is None else chosen.y.expand(rows[..., 0].numel())
    x = decoded(run, rows.flatten(0, 1), y).unflatten(0, (len(order), steps))
    if suffix == ".png":
        names = [f"z{d}" for d in order]
        figures.save(figures.traversals(x.numpy(), names, kl[order].numpy(), values.numpy()), out)
    else:
        write_npz(out, x=x.numpy(), dimensions=order, values=values.numpy(), kl=kl[order].numpy())
    return f"{len(order)} traversals of {steps} points from example {one[0]} in {out}"


@torch.no_grad()
def _informative(run: Run, split: Split, size: int) -> Tensor:
    """Return the mean KL of each latent dimension, or the codes' variance where the KL does not factorise."""
    watch = LatentWatch()
    y = split.y if takes(run) else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for i in range(0, len(split), 500):
            label = None if y is None else y[i : i + 500]
            watch.add(run.model.trace(as_input(split.x[i : i + 500]), label, hard=True))
    found = watch.kl_elements()
    kl = None if found is None else torch.as_tensor(next(iter(found.values())) if isinstance(found, dict) else found)
    return run.encode(split.x, split.y).var(0) if kl is None or kl.numel() != size else kl.flatten().float()


def manifold_run(folder: Path, out: Path, *, size: int, label: str | None, reach: float) -> str:
    """Write the decoded plane: of a two-dimensional latent at the prior's quantiles, else of the codes' main axes."""
    suffix = check_out(out, (".png", ".npz"))
    if size < 2 or not 0 < reach < math.inf:
        raise UserError("a plane needs a --size of at least 2 and a --reach above 0")
    run = load(folder)
    if not run.info.is_image:
        raise UserError(f"{run.info.name} are not images; a plane is drawn from images")
    z = codes(run, split_of(run, None))
    plane = principal_plane(z)
    two = z.shape[1] == 2
    spread = plane.project(z).std(0)
    xs, ys = (quantiles(size), quantiles(size)) if two else (torch.linspace(-reach, reach, size) * s for s in spread)
    points = plane.lift(grid(xs, ys).flatten(0, 1))
    x = decoded(run, points, run.labels(len(points), label)).unflatten(0, (size, size))
    if suffix == ".png":
        names = ("z0", "z1") if two else ("first principal axis", "second principal axis")
        figures.save(figures.manifold(x.numpy(), xs.numpy(), ys.numpy(), names), out)
    else:
        write_npz(out, x=x.numpy(), z=points.unflatten(0, (size, size)).numpy(), xs=xs.numpy(), ys=ys.numpy())
    return f"a plane of {size} × {size} points in {out}"


def arithmetic_run(
    folder: Path, out: Path, *, data: str | None, examples: str, attribute: str | None, amounts: str
) -> str:
    """Write a - b + c of three examples' codes, or examples moved along a class's direction: PNG or NPZ."""
    suffix = check_out(out, (".png", ".npz"))
    run = load(folder)
    needs_pictures(run, suffix)
    split = split_of(run, data)
    chosen = example_numbers(examples, len(split))
    part = Split(split.x[chosen], None if split.y is None else split.y[chosen])
    z = codes(run, part)
    if attribute is None:
        if len(chosen) != 3:
            raise UserError(f"--examples {examples}: a - b + c takes three examples, e.g. 3,17,42")
        rows = torch.cat([z, combine(z[0], z[1], z[2])[None]])[None]
        y = None if part.y is None else torch.cat([part.y, part.y[2:]])
        done = "a, b, c and a - b + c"
    else:
        steps = _amounts(amounts)
        rows = shift(z, attribute_direction(run, attribute), steps)
        y = None if part.y is None else part.y.repeat_interleave(len(steps))
        done = f"{len(z)} examples moved towards '{attribute}'"
    x = decoded(run, rows.flatten(0, 1), y if takes(run) else None).unflatten(0, rows.shape[:2])
    if suffix == ".png":
        figures.save(figures.interpolation(x.numpy(), title=done), out)
    else:
        write_npz(out, x=x.numpy(), z=rows.numpy())
    return f"{done} in {out}"


def attribute_direction(run: Run, label: str) -> Tensor:
    """Return the direction of a class in the codes of the training data."""
    split = training_split(run)
    if split.y is None or not run.info.classes:
        raise UserError(f"{run.info.name} has no labels, so there is no direction of '{label}'; leave --attribute out")
    has = split.y == run.class_number(label)
    if not bool(has.any()) or bool(has.all()):
        raise UserError(f"all or none of the training examples are '{label}', which gives no direction")
    return direction(codes(run, split), has)


def _amounts(text: str) -> Tensor:
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if not values or not all(math.isfinite(v) for v in values):
        raise UserError(f"--amounts {text}: write numbers with commas, e.g. 0,0.5,1")
    return torch.tensor(values)
