"""DIP-VAE: covariances over the batch, by hand and against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vaekit.distributions.normal import DiagonalNormalFamily, FullNormalFamily, StandardNormalFamily
from vaekit.objectives.covariance import Covariance, covariance
from vaekit.trace import Latent, Trace


def traced(q: DiagonalNormalFamily | FullNormalFamily) -> Trace:
    z = q.rsample(torch.Size((1,)))
    p = StandardNormalFamily(torch.zeros(q.event_shape))
    return Trace(
        torch.zeros(len(z[0]), 1), None, {"z": Latent(q, p, z, z)}, DiagonalNormalFamily(z, torch.zeros_like(z))
    )


def test_covariance_is_over_the_batch() -> None:
    torch.manual_seed(0)
    mean = torch.randn(50, 3, dtype=torch.float64) * torch.tensor([1.0, 2.0, 3.0]) + 5
    np.testing.assert_allclose(covariance(mean).numpy(), np.cov(mean.numpy().T, bias=True), rtol=1e-12)


@pytest.mark.parametrize(("kind", "variances"), [("i", (4.0, 1.0)), ("ii", (4.25, 1.25))])
def test_a_case_by_hand(kind: str, variances: tuple[float, float]) -> None:
    """Means (±2, ±1): covariance [[4, 2], [2, 1]]; posterior variances of ¼ are added by DIP-VAE-II alone."""
    q = DiagonalNormalFamily(torch.tensor([[2.0, 1.0], [-2.0, -1.0]]), torch.full((2, 2), math.log(0.5)))
    value = Covariance(kind, off_diagonal=3.0, diagonal=5.0)(traced(q))  # pyright: ignore[reportArgumentType]
    expected = 3 * 2 * 2.0**2 + 5 * sum((v - 1) ** 2 for v in variances)
    assert float(value) == pytest.approx(expected, rel=1e-6)


def test_full_covariances_are_added_whole() -> None:
    diagonal = torch.zeros(2, 2)
    below = torch.zeros(2, 2, 2)
    below[:, 1, 0] = 0.5
    q = FullNormalFamily(torch.zeros(2, 2), diagonal, below)
    value = Covariance("ii", off_diagonal=1.0, diagonal=0.0)(traced(q))
    assert float(value) == pytest.approx(2 * 0.5**2)


def test_standardised_codes_cost_nothing() -> None:
    square = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(Covariance("i")(traced(DiagonalNormalFamily(square, torch.zeros(4, 2))))) == pytest.approx(
        0, abs=1e-12
    )
