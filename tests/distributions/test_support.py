"""Which data each family can give: values inside its support, at its ends, and outside."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Distribution

from vaekit.distributions.base import in_support
from vaekit.distributions.bernoulli import BernoulliFamily, SoftBernoulliFamily
from vaekit.distributions.categorical import OneHot
from vaekit.distributions.continuous_bernoulli import ContinuousBernoulliFamily
from vaekit.distributions.counts import NegativeBinomialFamily, PoissonFamily
from vaekit.distributions.laplace import LaplaceFamily
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.distributions.student import StudentTFamily

ZERO = torch.zeros(1, 2)
REAL = ([[0.0, -1e6], [3.5, 1.0]], [[0.0, math.nan], [math.inf, 0.0], [0.0, -math.inf]])
UNIT = ([[0.0, 1.0], [0.5, 0.25]], [[-0.1, 0.5], [0.5, 1.1], [math.nan, 0.5]])
COUNT = ([[0.0, 7.0], [1.0, 0.0]], [[-1.0, 2.0], [0.5, 2.0], [math.inf, 1.0]])


@pytest.mark.parametrize(
    ("family", "inside", "outside"),
    [
        (DiagonalNormalFamily(ZERO, ZERO), *REAL),
        (LaplaceFamily(ZERO, ZERO), *REAL),
        (StudentTFamily(ZERO, ZERO, torch.tensor(3.0)), *REAL),
        (BernoulliFamily(ZERO), [[0.0, 1.0], [1.0, 1.0]], [[0.0, 0.5], [2.0, 0.0], [-1.0, 1.0]]),
        (SoftBernoulliFamily(ZERO), *UNIT),
        (ContinuousBernoulliFamily(ZERO), *UNIT),
        (PoissonFamily(ZERO), *COUNT),
        (NegativeBinomialFamily(ZERO, ZERO), *COUNT),
        (OneHot(ZERO), [[0.0, 1.0], [1.0, 0.0]], [[1.0, 1.0], [0.0, 0.0], [0.5, 0.5]]),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Distribution) else "",
)
def test_support(family: Distribution, inside: list[list[float]], outside: list[list[float]]) -> None:
    assert in_support(family, torch.tensor(inside)).tolist() == [True, True]
    assert in_support(family, torch.tensor(outside)).tolist() == [False] * len(outside)
