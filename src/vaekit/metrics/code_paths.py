"""Paths between the codes of test examples: how long they are when decoded, and how far from data they lead."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vaekit.data.shuffling import epoch_order
from vaekit.errors import UserError
from vaekit.latents.interpolate import interpolate
from vaekit.metrics.base import Result, Subject, mean_of, metric, refuses
from vaekit.models.base import point

PAIRS, POINTS, CODES, TRAINING, NEIGHBOURS = 200, 11, 400, 2000, 8
"""Pairs of examples, points of a path, codes that a path may go through, training examples, neighbours of a code."""
KINDS = {"linear": "straight", "spherical": "spherical", "neighbours": "through neighbouring codes"}
UNIT = "the data's units, Euclidean"
GIVES: dict[str, tuple[str, bool | None]] = {
    **{
        f"code_path_{kind}": (f"length of decoded paths between test examples, {how}", None)
        for kind, how in KINDS.items()
    },
    **{
        f"off_data_{kind}": (f"distance to the nearest training example along decoded paths, {how}", False)
        for kind, how in KINDS.items()
    },
    "off_data_pixels": ("the same along cross-fades of the examples themselves, without a model", False),
}


def neighbour_paths(codes: Tensor, first: Tensor, last: Tensor, points: int, k: int = NEIGHBOURS) -> Tensor:
    """Return shortest paths through the aggregate posterior, (points, P, D), from codes[first] to codes[last].

    The graph joins each code (N, D) with its k nearest; a path runs along its edges, cut into steps of equal length.
    Codes of parts of the graph that are not joined get a straight path.

    >>> ring = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]]) * 2
    >>> neighbour_paths(ring, torch.tensor([0]), torch.tensor([2]), 5, k=2)[2, 0].abs()
    tensor([0., 2.])
    """
    n = len(codes)
    apart = torch.cdist(codes, codes)
    near = apart.topk(min(k + 1, n), largest=False).indices
    joined = torch.zeros_like(apart, dtype=torch.bool).scatter_(1, near, True)
    length = torch.where(joined | joined.T, apart, torch.inf)
    step = torch.arange(n, device=codes.device).expand(n, n).clone()
    for via in range(n):  # Floyd & Warshall
        through = length[:, via : via + 1] + length[via : via + 1]
        shorter = through < length
        length = torch.where(shorter, through, length)
        step = torch.where(shorter, step[:, via : via + 1], step)
    paths = []
    for a, b in zip(first.tolist(), last.tolist(), strict=True):
        stops = [a]
        while stops[-1] != b and bool(torch.isfinite(length[a, b])):
            stops.append(int(step[stops[-1], b]))
        if stops[-1] != b:
            stops = [a, b]
        paths.append(_even(codes[stops], points))
    return torch.stack(paths, 1)


def _even(stops: Tensor, points: int) -> Tensor:
    """Return as many points at equal distances along the line through the stops, (S, D) → (points, D)."""
    legs = (stops[1:] - stops[:-1]).norm(dim=1)
    if len(stops) < 2 or not float(legs.sum()):
        return stops[:1].expand(points, -1)
    ends = torch.cat([legs.new_zeros(1), legs.cumsum(0)])
    at = torch.linspace(0, 1, points, dtype=stops.dtype, device=stops.device) * ends[-1]
    leg = torch.searchsorted(ends, at.contiguous()).clamp(1, len(stops) - 1) - 1
    share = ((at - ends[leg]) / legs[leg].clamp(min=1e-12)).unsqueeze(1)
    return torch.lerp(stops[leg], stops[leg + 1], share)


@metric(
    "code_paths",
    group="interpolation",
    gives=GIVES,
    needs=("array", "train"),
    slow=True,
    reference="shortest paths: after Chen et al. 2018, arXiv:1711.01204; arcs: White 2016, arXiv:1609.04468",
)
@refuses(*GIVES, unit=UNIT)
def code_paths(subject: Subject) -> dict[str, Result]:
    """Decoded paths between codes of test examples: Σ_t ‖x̂(t+1) - x̂(t)‖, and the mean over t of min_i ‖x̂(t) - x_i‖."""
    model, show = subject.model, _seen(subject)
    _check(subject)
    x, _ = subject.some(CODES)
    codes = model.posterior_mean(x)
    pairs = min(int(subject.options.get("code_pairs", PAIRS)), len(x) // 2)
    order = epoch_order(len(x), 0, 0).to(codes.device)  # the same pairs for every model
    first, last = order[:pairs], order[pairs : 2 * pairs]
    assert subject.train is not None
    training = show(subject.train()[0][:TRAINING].to(codes.device).to(x.dtype)).flatten(1)
    ways = {
        "linear": interpolate(codes[first], codes[last], POINTS, "linear"),
        "spherical": interpolate(codes[first], codes[last], POINTS, "spherical"),
        "neighbours": neighbour_paths(codes, first, last, POINTS),
    }
    out: dict[str, Result] = {}
    for i, (kind, way) in enumerate(ways.items()):
        seen = torch.stack([show(point(model.decode(z))).flatten(1) for z in way])
        out[f"code_path_{kind}"] = mean_of((seen[1:] - seen[:-1]).norm(dim=2).sum(0), UNIT)
        out[f"off_data_{kind}"] = mean_of(_off(seen, training), UNIT)
        subject.progress("code_paths", i + 1, len(ways))
    faded = interpolate(show(x[first]).flatten(1), show(x[last]).flatten(1), POINTS)
    out["off_data_pixels"] = mean_of(_off(faded, training), UNIT)
    return out


def _off(seen: Tensor, training: Tensor) -> Tensor:
    """Return the mean distance of each path's inner points (points, P, F) to the nearest training example, (P,)."""
    return torch.stack([torch.cdist(points, training).amin(1) for points in seen[1:-1]]).mean(0)


def _seen(subject: Subject) -> Callable[[Tensor], Tensor]:
    """Return what brings examples as the model has them to the data's units."""
    return subject.show if subject.info.is_image else subject.in_units


def _check(subject: Subject) -> None:
    """Raise a UserError unless examples have one flat continuous code that alone is decoded."""
    latents = list(subject.model.trace(*subject.some(1), hard=True).latents.values())
    z = latents[0].z if len(latents) == 1 else None
    if z is None or z is not latents[0].code or z.dim() != 3 or not z.dtype.is_floating_point:
        raise UserError("paths between codes need a model with one continuous latent vector")
    if subject.model.takes_label:
        raise UserError("the decoder is given labels too, which paths between examples of two labels do not have")
    if len(subject.x) < 4:
        raise UserError("paths between codes need four test examples or more")
