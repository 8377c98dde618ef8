"""MMD: 0 for equal distributions, whatever the batch; the brute-force sum; larger the further apart."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.objectives.mmd import MMD, SCALES, Kernel, mmd
from vaekit.trace import Latent, Trace

KERNELS: tuple[Kernel, ...] = ("imq", "rbf")


def by_hand(a: Tensor, b: Tensor, kind: Kernel) -> float:
    """The U-statistic by loops."""

    def k(u: Tensor, v: Tensor) -> float:
        d = float((u - v).square().sum())
        total = 0.0
        for s in SCALES:
            c = s * 2 * len(u)
            total += c / (c + d) if kind == "imq" else math.exp(-d / c)
        return total / len(SCALES)

    def within(rows: Tensor) -> float:
        n = len(rows)
        return sum(k(rows[i], rows[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    return within(a) + within(b) - 2 * sum(k(u, v) for u in a for v in b) / (len(a) * len(b))


@pytest.mark.parametrize("kind", KERNELS)
def test_it_is_the_u_statistic(kind: Kernel) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(5, 3, dtype=torch.float64), 1 + torch.randn(7, 3, dtype=torch.float64)
    assert float(mmd(a, b, kind)) == pytest.approx(by_hand(a, b, kind), abs=1e-12)
    assert SCALES == (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # Tolstikhin et al.'s seven


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("batch", [4, 16, 64])
def test_equal_distributions_give_zero_on_average(kind: Kernel, batch: int) -> None:
    torch.manual_seed(batch)
    values = torch.stack([mmd(torch.randn(batch, 4), torch.randn(batch, 4), kind) for _ in range(1000)])
    assert abs(float(values.mean())) < 4 * float(values.std()) / len(values) ** 0.5


@pytest.mark.parametrize("kind", KERNELS)
def test_its_mean_does_not_depend_on_the_batch_size(kind: Kernel) -> None:
    means, errors = [], []
    for batch in (8, 64):
        torch.manual_seed(1)
        values = torch.stack([mmd(0.7 + torch.randn(batch, 4), torch.randn(batch, 4), kind) for _ in range(1500)])
        means.append(float(values.mean()))
        errors.append(float(values.std()) / len(values) ** 0.5)
    assert means[0] > 10 * errors[1]
    assert abs(means[0] - means[1]) < 4 * math.hypot(*errors)


def test_it_grows_with_distance_and_a_lone_row_has_no_pair() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(200, 2), torch.randn(200, 2)
    assert mmd(a, b) < mmd(a + 1, b) < mmd(a + 2, b)
    assert float(mmd(a[:1], b)) == 0.0


def test_the_term_compares_codes_with_prior_draws_and_moves_the_codes() -> None:
    torch.manual_seed(0)
    loc = torch.full((300, 2), 3.0, requires_grad=True)
    q = DiagonalNormalFamily(loc, torch.zeros(300, 2))
    z = q.rsample((1,))
    p = StandardNormalFamily(torch.zeros(2))
    trace = Trace(torch.zeros(300, 1), None, {"z": Latent(q, p, z, z)}, DiagonalNormalFamily(z, torch.zeros_like(z)))
    value = MMD()(trace)
    (grad,) = torch.autograd.grad(value, loc)
    assert float(value.detach()) > 0.3 and bool((grad.mean(0) > 0).all())
