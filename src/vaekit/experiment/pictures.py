"""The figures of a run's folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaekit import figures
from vaekit.collapse import ACTIVE, LatentWatch
from vaekit.data.prepare import as_input
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.experiment import folder as files
from vaekit.experiment.exploring import Exploration
from vaekit.experiment.showing import picture, write_lines
from vaekit.latents.manifold import grid, principal_plane, quantiles
from vaekit.models.graph import GraphVAE
from vaekit.models.hierarchy import Hierarchy
from vaekit.training.log import read

if TYPE_CHECKING:
    from vaekit.experiment.run import Run

MAP_POINTS = 5000
KL_EXAMPLES = 2000
TRAVERSED, FRAMES = 10, 9
MANIFOLD_SIDE = 15
LAYER_EXAMPLES = 1000
PICTURED = 12


def write_figures(run: Run) -> list[Path]:
    """Write every figure that applies to the run into RUN/figures and return their paths.

    A figure that cannot be made costs no other: it is left out with a warning that names it.
    """
    assert run.path is not None
    folder = run.path / files.FIGURES
    folder.mkdir(exist_ok=True)
    written: list[Path] = []
    for name, (make, of_arrays) in MAKERS.items():
        path = folder / f"{name}.png"
        path.unlink(missing_ok=True)
        with _costing_no_other(f"the figure {name}"):
            figure = make(run) if run.info.is_array or not of_arrays else None
            if figure is not None:
                written.append(figures.save(figure, path))
    if not run.info.is_array:
        with _costing_no_other("the text of samples and reconstructions"):
            written += write_lines(run)
    return written


@contextmanager
def _costing_no_other(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        warnings.warn(f"{what} was left out: {type(error).__name__}: {error}", stacklevel=4)


def _examples(run: Run, n: int) -> tuple[Tensor, Tensor | None]:
    split = run.test if len(run.test) else run.prepare.fixed(run.data.valid, 1)
    return as_input(split.x[:n]), None if split.y is None else split.y[:n]


def curves(run: Run) -> Any:
    """Training curves."""
    assert run.path is not None
    records = read(run.path / files.LOG)
    return figures.curves(records) if records else None


def reconstructions(run: Run) -> Any:
    """Inputs, outputs, differences."""
    x, y = _examples(run, 12)
    return figures.reconstructions(run.prepare.show(x).numpy(), run.prepare.show(run.reconstruct(x, y)).numpy())


def samples(run: Run) -> Any:
    """Samples from the prior, as the modality draws them if the data have one that does."""
    drawn = picture(run, PICTURED)
    if drawn is not None or not run.info.is_array:
        return drawn
    return figures.samples(run.sample(64).numpy())


def interpolation(run: Run) -> Any:
    """Paths between test examples."""
    if not run.info.is_image:
        return None
    x, y = _examples(run, 12)
    half = len(x) // 2
    paths = run.interpolate(x[:half], x[half : 2 * half], None if y is None else y[:half])
    return figures.interpolation(paths.numpy())


def _explored(run: Run) -> Exploration | None:
    """Return the run laid open, or None where its latent is not one code of numbers."""
    try:
        found = Exploration(run)
    except UserError:
        return None
    return None if found.discrete or not found.test_count else found


def traversals(run: Run) -> Any:
    """The most informative latents, one moved at a time about the code of the first test example."""
    found = _explored(run)
    if found is None:
        return None
    facts, start = found.facts, found.encode(0)
    z = torch.tensor(start["z"])
    chosen = facts["order"][:TRAVERSED]
    # Three standard deviations of the prior either way; of the codes themselves where nothing ties them to a prior.
    values = torch.linspace(-3, 3, FRAMES)
    ends = [(facts["low"][j], facts["high"][j]) for j in chosen]
    rows = []
    for j, (low, high) in zip(chosen, ends):
        at = torch.linspace(low, high, FRAMES) if found.point_mass else values
        moved = found.mean(found.traverse(z, j, at.tolist()), start["label"])
        rows.append(run.prepare.show(moved) if run.info.is_image else moved.flatten(1))
    kl = None if facts["kl"] is None else [facts["kl"][j] for j in chosen]
    names = [f"z{j + 1}" for j in chosen]
    return figures.traversals(torch.stack(rows).numpy(), names, kl, None if found.point_mass else values.numpy())


def manifold(run: Run) -> Any:
    """The decoded plane of a two-dimensional latent, at equal steps of the prior's probability."""
    found = _explored(run) if run.info.is_image else None
    if found is None or found.size != 2:
        return None
    if found.point_mass:
        low, high = (torch.tensor(found.facts[name]) for name in ("low", "high"))
        xs, ys = (torch.linspace(float(low[i]), float(high[i]), MANIFOLD_SIDE) / 2 for i in (0, 1))
    else:
        xs = ys = quantiles(MANIFOLD_SIDE)
    codes = grid(xs, ys)
    label = found.encode(0)["label"]
    pictures = run.prepare.show(found.mean(codes.flatten(0, 1), label)).unflatten(0, codes.shape[:2])
    return figures.manifold(pictures.numpy(), xs.numpy(), ys.numpy())


def latent_map(run: Run) -> Any:
    """The test examples' codes in a plane, by label."""
    x, y = _examples(run, MAP_POINTS)
    z, names = run.encode(x, y), run.info.classes
    if isinstance(run.model, GraphVAE):
        z, y, names = *_nodes(run.model, x), run.info.facts["classes"]
    found = principal_plane(z)
    plane, share = (z.numpy(), None) if z.shape[1] == 2 else (found.project(z).numpy(), found.share)
    return figures.latent_map(plane, None if y is None else y.numpy(), names, "PCA" if share else "latent", share)


@torch.no_grad()
def _nodes(model: GraphVAE, x: Any) -> tuple[Tensor, Tensor | None]:
    """Return the codes of the graphs' nodes and the nodes' labels."""
    return model.node_codes(x)[:MAP_POINTS], None if x.labels is None else x.labels[:MAP_POINTS]


@torch.no_grad()
def kl(run: Run) -> Any:
    """KL of each latent dimension over test examples."""
    watch = LatentWatch()
    x, y = _examples(run, KL_EXAMPLES)
    for start in range(0, len(x), 500):
        label = y[start : start + 500] if y is not None and run.model.takes_label else None
        watch.add(run.model.trace(x[start : start + 500], label, hard=True))
    found = watch.kl_elements()
    if not found:
        return None
    values: Any = found if len(found) > 1 else next(iter(found.values()))
    return figures.kl_per_dimension(values, ACTIVE)


@torch.no_grad()
def kl_layers(run: Run) -> Any:
    """KL of each stochastic layer of a hierarchy, over test examples and over training."""
    if not isinstance(run.model, Hierarchy):
        return None
    x, _ = _examples(run, LAYER_EXAMPLES)
    found: dict[str, list[Tensor]] = {name: [] for name in run.model.names}
    for start in range(0, len(x), 250):
        for name, value in run.model.trace(x[start : start + 250], hard=True).kl.items():
            # Below the top of a chain the rate is a sample's, (K, B).
            found[name].append((value if value.dim() == 1 else value.mean(0)).double())
    values = {name: torch.cat(parts) for name, parts in found.items()}
    means = {name: float(v.mean()) for name, v in values.items()}
    errors = {name: float(v.std() / len(v) ** 0.5) for name, v in values.items()} if len(x) > 1 else None
    history = _layer_history(run, run.model.names)
    return figures.kl_layers(means, errors, history)


def _layer_history(run: Run, names: Sequence[str]) -> dict[str, tuple[list[float], list[float]]]:
    """Return (steps, nats) of each layer from the run's log; empty where it has fewer than two records of them."""
    path = None if run.path is None else run.path / files.LOG
    records = [r for r in read(path) if f"kl.{names[0]}" in r] if path is not None and path.exists() else []
    if len(records) < 2:
        return {}
    steps = [r["step"] for r in records]
    return {name: (steps, [r[f"kl.{name}"] for r in records]) for name in names}


@torch.no_grad()
def aggregate(run: Run) -> Any:
    """The aggregate posterior's marginals against the prior, for a diagonal normal posterior and standard prior."""
    x, y = _examples(run, 1000)
    label = y if y is not None and run.model.takes_label else None
    trace = run.model.trace(x, label, hard=True)
    latent = next(iter(trace.latents.values()))
    if len(trace.latents) > 1 or not isinstance(latent.q, DiagonalNormalFamily) or latent.p.batch_shape:
        return None
    if latent.q.loc.dim() != 2:
        return None
    return figures.aggregate_posterior(latent.q.mean.numpy(), latent.q.scale.numpy())


def rate_distortion(run: Run) -> Any:
    """The decoder's rate-distortion curve, where the metric of that name has been computed."""
    entry = run.evaluation().get("rate_distortion", {})
    return figures.rate_distortion(entry["rate"], entry["distortion"]) if "rate" in entry else None


MAKERS: dict[str, tuple[Callable[[Run], Any], bool]] = {
    "curves": (curves, False),
    "reconstructions": (reconstructions, True),
    "samples": (samples, False),
    "interpolation": (interpolation, True),
    "traversals": (traversals, True),
    "manifold": (manifold, True),
    "latent_map": (latent_map, False),
    "kl": (kl, False),
    "kl_layers": (kl_layers, False),
    "aggregate_posterior": (aggregate, False),
    "rate_distortion": (rate_distortion, False),
}
"""Every figure's maker, and whether it draws arrays of numbers only."""
