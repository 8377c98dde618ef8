"""The figures of a run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaekit import figures
from vaekit.collapse import ACTIVE, LatentWatch
from vaekit.distributions.normal import DiagonalNormal
from vaekit.experiment import folder as files
from vaekit.training.log import read

if TYPE_CHECKING:
    from vaekit.experiment.run import Run

MAP_POINTS = 5000


def principal_plane(z: Tensor) -> tuple[np.ndarray, list[float]]:
    """Return the codes' first two principal components (N, 2), and the share of variance each explains."""
    centred = (z - z.mean(0)).double()
    _, s, vh = torch.linalg.svd(centred, full_matrices=False)
    share = (s.square() / s.square().sum().clamp(min=1e-12))[:2].tolist()
    plane = centred @ vh[:2].T
    if plane.shape[1] < 2:
        plane = torch.cat([plane, torch.zeros(len(plane), 2 - plane.shape[1], dtype=plane.dtype)], 1)
    return plane.numpy(), share


def write_figures(run: Run) -> list[Path]:
    """Write every figure that applies to the run into RUN/figures and return their paths."""
    assert run.path is not None
    folder = run.path / files.FIGURES
    folder.mkdir(exist_ok=True)
    drawn: list[Path] = []
    makers: dict[str, Callable[[Run], Any]] = {
        "curves": curves,
        "reconstructions": reconstructions,
        "samples": samples,
        "interpolation": interpolation,
        "latent_map": latent_map,
        "kl": kl,
        "aggregate_posterior": aggregate,
    }
    for name, make in makers.items():
        figure = make(run)
        path = folder / f"{name}.png"
        if figure is None:
            path.unlink(missing_ok=True)
            continue
        figures.save(figure, path)
        drawn.append(path)
    return drawn


def _examples(run: Run, n: int) -> tuple[Tensor, Tensor | None]:
    split = run.test if len(run.test) else run.prepare.fixed(run.data.valid, 1)
    return split.x[:n].float(), None if split.y is None else split.y[:n]


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
    """Samples from the prior."""
    return figures.samples(run.sample(64).numpy())


def interpolation(run: Run) -> Any:
    """Paths between test examples."""
    if not run.info.is_image:
        return None
    x, y = _examples(run, 12)
    half = len(x) // 2
    return figures.interpolation(run.interpolate(x[:half], x[half : 2 * half], None if y is None else y[:half]).numpy())


def latent_map(run: Run) -> Any:
    """The test examples' codes in a plane, by label."""
    x, y = _examples(run, MAP_POINTS)
    z = run.encode(x, y)
    plane, share = (z.numpy(), None) if z.shape[1] == 2 else principal_plane(z)
    return figures.latent_map(
        plane, None if y is None else y.numpy(), run.info.classes, "PCA" if share else "latent", share
    )


@torch.no_grad()
def kl(run: Run) -> Any:
    """KL of each latent dimension over test examples."""
    watch = LatentWatch()
    x, y = _examples(run, MAP_POINTS)
    for start in range(0, len(x), 500):
        label = y[start : start + 500] if y is not None and run.model.takes_label else None
        watch.add(run.model.trace(x[start : start + 500], label, hard=True))
    found = watch.kl_elements()
    if not found:
        return None
    values: Any = found if len(found) > 1 else next(iter(found.values()))
    return figures.kl_per_dimension(values, threshold=ACTIVE)


@torch.no_grad()
def aggregate(run: Run) -> Any:
    """The aggregate posterior's marginals against the prior, for a diagonal normal posterior and standard prior."""
    x, y = _examples(run, 1000)
    label = y if y is not None and run.model.takes_label else None
    trace = run.model.trace(x, label, hard=True)
    latent = next(iter(trace.latents.values()))
    if len(trace.latents) > 1 or not isinstance(latent.q, DiagonalNormal) or latent.p.batch_shape:
        return None
    if latent.q.loc.dim() != 2:
        return None
    return figures.aggregate_posterior(latent.q.mean.numpy(), latent.q.scale.numpy())
