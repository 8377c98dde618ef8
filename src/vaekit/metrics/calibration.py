"""Simulation-based calibration: is q(z|x) the posterior of the model, judged on examples that the model made itself?"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vaekit import bounds
from vaekit.distributions.base import measure_of
from vaekit.errors import NotALikelihood, UserError
from vaekit.inference import Progress, joined
from vaekit.metrics.base import PIECE, Result, Subject, mean_of, metric, refuses
from vaekit.models.base import Model, shown

BINS, LEAST = 20, 10
"""Bars of a rank histogram at most, and examples expected in each at least."""
PICTURED = 9
"""Dimensions whose histograms are kept, the worst first."""
LEVEL = 0.05
"""The p-value below which it is said what is wrong."""
SIMULATED = "examples simulated by the model"
"""What numbers are of that no test example has a part in."""


def simulate(model: Model, n: int, y: Tensor | None = None) -> tuple[Tensor, Any]:
    """Draw z ~ p(z) and x ~ p(x|z), (n, ...) each: z is then an exact sample of p(z|x)."""
    z = model.sample_latent(n, y)
    return z, shown(model.decode(z, y), draw=True)


def require(model: Model, x: Any, y: Tensor | None = None) -> None:
    """Raise NotALikelihood with the reason unless the model has one continuous latent and can simulate its examples."""
    if not all(model.offers(one) for one in (Model.sample_latent, Model.decode, Model.encode)):
        raise NotALikelihood("calibration needs a model that simulates examples from codes and encodes them")
    with torch.no_grad():
        trace = model.trace(x, y, hard=True)
        bounds.require(trace)
        latents = list(trace.latents.values())
        if len(latents) != 1 or measure_of(latents[0].p) != "density" or latents[0].z is not latents[0].code:
            raise NotALikelihood(
                "calibration ranks the values of one continuous latent variable, which this model lacks"
            )
        if model.encode(x, y).event_shape != model.sample_latent(1, None if y is None else y[:1]).shape[1:]:
            raise NotALikelihood("q(z|x) is not of the whole code that the decoder takes")


@torch.no_grad()
def ranks(
    model: Model, n: int, draws: int = 99, y: Tensor | None = None, *, progress: Progress | None = None
) -> Tensor:
    """Return how many of `draws` samples of q(z|x) lie below the z that x was simulated from: (n, D), 0 to `draws`.

    z ~ p(z), x ~ p(x|z). Were q(z|x) the posterior p(z|x), the rank of each dimension would be uniform on 0, …, L: low
    and high ones are too many where q is too narrow, too few where it is too wide, and one end has more where its mean
    is off. Labels (n,) are needed by conditional models. Call it in eval mode.

    Source: Talts et al. 2018, arXiv:1804.06788.

    >>> from vaekit.likelihoods.gaussian import Gaussian
    >>> from vaekit.models.vae import VAE
    >>> from vaekit.nets.mlp import mlp
    >>> from vaekit.posteriors.normal import DiagonalNormal
    >>> from vaekit.priors.normal import StandardNormal
    >>> model = VAE(DiagonalNormal(mlp(3, 2, ())), StandardNormal(2), Gaussian(mlp(2, 3, ()), scale=0.5)).eval()
    >>> ranks(model, 50, draws=9).shape
    torch.Size([50, 2])
    """
    parts: list[Tensor] = []
    for start in range(0, n, PIECE):
        size = min(PIECE, n - start)
        label = None if y is None else y[start : start + size]
        z, x = simulate(model, size, label)
        drawn = model.encode(x, label).sample(torch.Size((draws,)))
        parts.append((drawn < z).sum(0).flatten(1))
        if progress is not None:
            progress(start + size, n)
    return joined(parts)


def histogram(ranks: Tensor, draws: int) -> Tensor:
    """Return how many of the ranks (n, D) fall into each bar, (D, bars): bars of as many ranks each, 20 at most.

    Raises:
        UserError: 0, …, `draws` cannot be divided so.

    >>> histogram(torch.arange(100).unsqueeze(1), 99).tolist()[0][:3]
    [10, 10, 10]
    """
    most = max(2, min(BINS, len(ranks) // LEAST))
    bars = max(count for count in range(1, most + 1) if (draws + 1) % count == 0)
    if bars < 2:
        raise UserError(
            f"{draws} draws have {draws + 1} ranks, which no {BINS} bars or fewer share evenly; take 99 draws"
        )
    each = ranks.T * bars // (draws + 1)
    return torch.stack([torch.bincount(row, minlength=bars) for row in each])


def chi_square(counts: Tensor) -> Tensor:
    """Return the p-value of Pearson's χ² test that the counts (D, bars) are of a uniform distribution, (D,).

    >>> chi_square(torch.tensor([[50, 50], [60, 40]])).tolist()
    [1.0, 0.0455...]
    """
    expected = counts.sum(1, keepdim=True).double() / counts.shape[1]
    statistic = ((counts - expected).square() / expected).sum(1)
    half = torch.tensor((counts.shape[1] - 1) / 2, dtype=torch.float64, device=counts.device)
    return torch.special.gammaincc(half, statistic / 2)


def spread(ranks: Tensor, draws: int) -> Tensor:
    """Return 12 (u - ½)² of each rank at u = (r + ½)/(L + 1), over its mean of uniform ranks: (n, D), 1 on average."""
    u = (ranks.double() + 0.5) / (draws + 1)
    return 12 * (u - 0.5).square() / (1 - (draws + 1) ** -2)


@metric(
    "sbc",
    group="calibration",
    gives={
        "sbc_p_value": ("p-value that q(z|x) is the model's own posterior: worst dimension, times their number", None),
        "sbc_spread": (
            "spread of the ranks of z among draws of q(z|x): 1 is calibrated, above it q is too narrow, below too wide",
            None,
        ),
    },
    reference="Talts et al. 2018, arXiv:1804.06788",
    slow=True,
)
@refuses("sbc_p_value", "sbc_spread", unit="of 1")
def sbc(subject: Subject) -> dict[str, Result]:
    """Simulation-based calibration: ranks of z among draws of q(z|x), for z and x drawn from the model itself.

    Settings: `sbc_simulated` (1000) examples, `sbc_draws` (99) draws of each posterior.
    """
    n, draws = (int(subject.options.get(f"sbc_{name}", value)) for name, value in (("simulated", 1000), ("draws", 99)))
    if n < 2 * LEAST or draws < 1:
        raise UserError(f"a rank histogram needs at least {2 * LEAST} simulated examples and a draw of each posterior")
    require(subject.model, *subject.some(2))
    found = ranks(subject.model, n, draws, subject.labels(n), progress=subject.progress_of("sbc"))
    counts, each = histogram(found, draws), spread(found, draws)
    p_values = chi_square(counts)
    order = p_values.argsort(stable=True)
    worst = int(order[0])
    p_value = min(1.0, float(p_values[worst]) * len(p_values))
    facts: dict[str, Any] = {"draws": draws, "of": SIMULATED}
    shape = _shape(found[:, worst], draws)
    more = {
        "p_values": p_values.tolist(),
        "worst": f"z{worst + 1}",
        "caution": f"z{worst + 1} is the worst of {len(p_values)}" + (f": {shape}" if p_value < LEVEL else ""),
        "dimensions": [int(j) + 1 for j in order[:PICTURED]],
        "counts": counts[order[:PICTURED]].tolist(),
    }
    return {
        "sbc_p_value": Result(p_value, "of 1", n, facts=facts | more),
        "sbc_spread": mean_of(each.mean(1), "of 1", **facts),
    }


def _shape(ranks: Tensor, draws: int) -> str:
    """Return in words how one dimension's ranks (n,) differ most from uniform ones."""
    u, n = (ranks.double() + 0.5) / (draws + 1), len(ranks)
    off = float(u.mean() - 0.5) * math.sqrt(12 * n)
    wide = float(spread(ranks, draws).mean() - 1) * math.sqrt(n / 0.8)  # Var 12 (u - ½)² is 0.8 of uniform ones
    if max(abs(off), abs(wide)) < 3:
        return "its shape differs"
    if abs(off) > abs(wide):
        return f"its mean is too {'low' if off > 0 else 'high'}"
    return f"it is too {'narrow' if wide > 0 else 'wide'}"
