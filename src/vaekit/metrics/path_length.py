"""How smoothly images change along paths between latents."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit.errors import UserError
from vaekit.latents.interpolate import Kind, interpolate
from vaekit.metrics.base import Result, Subject, mean_of, metric, refuses
from vaekit.metrics.features import extractor
from vaekit.models.base import Model

STEPS = 100
"""A path is cut into this many steps. Karras et al. take 10,000, where float32 features are all rounding."""
PAIRS = 500
UNIT = "squared feature units"


def neighbours(start: Tensor, stop: Tensor, kind: Kind, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    """Return, for each path from start to stop (N, D), a random point of it and the one 1/steps farther: (N, D) each.

    >>> a, b = neighbours(torch.zeros(3, 2), torch.ones(3, 2), "linear")
    >>> bool(torch.allclose(b - a, torch.full((3, 2), 0.01), atol=1e-6))
    True
    """
    path = interpolate(start, stop, steps + 1, kind)
    rows = torch.arange(len(start), device=start.device)
    at = torch.randint(steps, (len(start),), device=start.device)
    return path[at, rows], path[at + 1, rows]


@metric(
    "path_length",
    group="interpolation",
    gives={
        "path_length_linear": ("perceptual path length along straight lines between prior samples", False),
        "path_length_spherical": ("perceptual path length along arcs between prior samples", False),
    },
    needs=("images",),
    reference="Karras et al. 2019, arXiv:1812.04948",
)
@refuses("path_length_linear", "path_length_spherical", unit=UNIT)
def path_length(subject: Subject) -> dict[str, Result]:
    """Perceptual path length: E ‖f(x(t + ε)) - f(x(t))‖² / ε² over random paths, f the named features, ε = 1/100."""
    extract, model = extractor(subject), subject.model
    _check(subject)
    n = int(subject.options.get("path_pairs", PAIRS))
    y = subject.labels(n)
    first, last = model.sample_latent(n, y), model.sample_latent(n, y)
    out: dict[str, Result] = {}
    kinds: tuple[Kind, ...] = ("linear", "spherical")
    for kind in kinds:
        lengths = []
        a, b = neighbours(first, last, kind)
        for rows in torch.arange(n).split(subject.batch_size):
            label = None if y is None else y[rows]
            near, far = (extract(subject.show(model.decode(z[rows], label).mean))[0] for z in (a, b))
            lengths.append((near - far).double().square().sum(1) * STEPS**2)
            subject.progress(f"path_length_{kind}", int(rows[-1]) + 1, n)
        facts = {"features": extract.name, "step": 1 / STEPS, **extract.facts}
        out[f"path_length_{kind}"] = mean_of(torch.cat(lengths), UNIT, **facts)
    return out


def _check(subject: Subject) -> None:
    """Raise a UserError unless the prior gives flat continuous latents that can be joined by a path."""
    if subject.model.offers(Model.sample_latent):
        latents = list(subject.model.trace(*subject.some(1), hard=True).latents.values())
        z = latents[0].z
        if len(latents) == 1 and z is latents[0].code and z.dim() == 3 and z.dtype.is_floating_point:
            return
    raise UserError("path lengths need a model with one continuous latent vector")
