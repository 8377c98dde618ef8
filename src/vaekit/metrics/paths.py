"""How smoothly images change along paths between latents."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit.latents.interpolate import Kind, interpolate
from vaekit.metrics.base import Result, Subject, mean_of, metric, refused
from vaekit.metrics.features import extractor
from vaekit.metrics.samples import by_features
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
    at, rows = torch.randint(steps, (len(start),)), torch.arange(len(start))
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
@by_features("path_length_linear", "path_length_spherical", unit=UNIT)
@torch.no_grad()
def path_length(subject: Subject) -> dict[str, Result]:
    """Perceptual path length: E ‖f(x(t + ε)) - f(x(t))‖² / ε² over random paths, f the named features, ε = 1/100."""
    found, model = extractor(subject), _model(subject)
    if model is None:
        reason = "paths lead between samples of one continuous latent variable, which this model has not"
        return {name: refused(reason, UNIT) for name in ("path_length_linear", "path_length_spherical")}
    n = int(subject.options.get("path_pairs", PAIRS))
    y = None if subject.y is None else subject.y[torch.arange(n) % len(subject.y)]
    y = subject.label(y)
    first, last = model.sample_latent(n, y), model.sample_latent(n, y)
    out: dict[str, Result] = {}
    kinds: tuple[Kind, ...] = ("linear", "spherical")
    for kind in kinds:
        lengths = []
        a, b = neighbours(first, last, kind)
        for start in range(0, n, subject.batch_size):
            rows = slice(start, start + subject.batch_size)
            label = None if y is None else y[rows]
            near, far = (found(subject.show(model.decode(z[rows], label).mean))[0] for z in (a, b))
            lengths.append((near - far).double().square().sum(1) * STEPS**2)
            subject.progress(f"path_length_{kind}", min(start + subject.batch_size, n), n)
        facts = {"features": found.name, "step": 1 / STEPS, **found.facts}
        out[f"path_length_{kind}"] = mean_of(torch.cat(lengths), UNIT, **facts)
    return out


def _model(subject: Subject) -> Model | None:
    """Return the model if its prior gives flat continuous latents that can be joined by a path."""
    model = subject.model
    if not model.offers(Model.sample_latent):
        return None
    x, y = subject.x[:1], None if subject.y is None else subject.y[:1]
    latents = model.trace(x, subject.label(y), hard=True).latents
    (latent,) = latents.values() if len(latents) == 1 else (None,)
    if latent is None or latent.z is not latent.code or latent.z.dim() != 3 or not latent.z.dtype.is_floating_point:
        return None
    return model
