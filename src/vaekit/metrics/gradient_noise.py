"""How much of the encoder's gradient is signal: its ratio to the noise of the posterior's samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaekit import bounds
from vaekit.metrics.base import Result, Subject, metric, refuses

DRAWS, EXAMPLES, NUMBERS = 40, 50, 100_000
"""Gradients drawn, test examples in each, and at most so many of a gradient's numbers."""
SAMPLES = (1, 5, 50)
UNIT = "signal to noise"


def signal_to_noise(gradients: Tensor) -> tuple[float, float]:
    """Return √(‖E g‖² / tr Cov g) of independent gradients (R, P), and its standard error by the jackknife.

    ‖E g‖² is estimated without bias, by the mean product of two different draws; below 0 it is taken as 0.

    >>> signal_to_noise(torch.tensor([[2.0], [3.0], [4.0]]))[0] ** 2  # (3² - 1/3) / 1
    8.66...
    """
    products = (gradients @ gradients.T).double()
    r, total, own = len(products), products.sum(), products.diagonal()
    if not float(own.sum()):
        return 0.0, 0.0

    def ratio(n: int, total: Tensor, own: Tensor) -> Tensor:
        signal = (total - own) / (n * (n - 1))
        return (signal / (own / n - signal)).clamp(min=0).sqrt()

    left_out = ratio(r - 1, total - 2 * products.sum(1) + own, own.sum() - own)
    error = ((r - 1) * left_out.var(correction=0)).sqrt()
    return float(ratio(r, total, own.sum())), float(error)


@metric(
    "encoder_snr",
    group="gradients",
    gives={
        f"encoder_snr_{k}": (f"signal-to-noise ratio of the encoder's gradient of the bound of {k}", True)
        for k in SAMPLES
    },
    reference="Rainforth et al. 2018, arXiv:1802.04537",
    slow=True,
)
@refuses(*(f"encoder_snr_{k}" for k in SAMPLES), unit=UNIT)
def encoder_snr(subject: Subject) -> dict[str, Result]:
    """√(‖E g‖² / tr Cov g) over the noise of q, for the encoder's gradient g = ∇_φ mean_x log (1/K) Σ_k w_k."""
    model = subject.model
    x, y = subject.some(EXAMPLES)
    bounds.require(model.trace(x, y, hard=True))
    parameters = [one for one in getattr(model, "posterior", model).parameters() if one.requires_grad]
    every = max(1, math.ceil(sum(one.numel() for one in parameters) / NUMBERS))
    draws, out = int(subject.options.get("snr_draws", DRAWS)), {}
    for k in SAMPLES:
        drawn = []
        for i in range(draws):
            with torch.enable_grad():
                bound = bounds.importance_weighted(model.trace(x, y, k=k)).mean()
                found = torch.autograd.grad(bound, parameters, allow_unused=True)
            drawn.append(torch.cat([one.flatten() for one in found if one is not None])[::every])
            subject.progress(f"encoder_snr_{k}", i + 1, draws)
        value, error = signal_to_noise(torch.stack(drawn))
        out[f"encoder_snr_{k}"] = Result(value, UNIT, len(x), error, facts={"draws": draws})
    return out
