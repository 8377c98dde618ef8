"""The log's sums against sums made at every step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from training.toys import toy_data, toy_vae
from vaekit import bounds
from vaekit.training.running_means import FEW, MOST_KEPT, Sums


def test_a_long_stretch_keeps_few_values_and_the_same_sum() -> None:
    sums, n = Sums(), 3 * MOST_KEPT + 7
    for i in range(n):
        sums.add("a", torch.tensor(float(i)))
        sums.add("b", torch.tensor(float(i), requires_grad=True) * 2)
    assert all(len(kept) <= MOST_KEPT for kept in sums._kept.values())
    assert sums.means(n) == {"a": pytest.approx((n - 1) / 2), "b": pytest.approx(n - 1)}


@pytest.mark.parametrize("shape", [(8,), (3, 8), (FEW + 1,)])
def test_means_of_batches_of_different_lengths(shape: tuple[int, ...]) -> None:
    sums, direct = Sums(), []
    for i in range(2 * MOST_KEPT + 3):
        values = torch.randn(*shape[:-1], shape[-1] - (3 if i == 99 else 0), requires_grad=True)
        sums.add_mean("a", values)
        direct.append(float(values.detach().mean()))
        assert all(len(kept) <= MOST_KEPT for kept in [*sums._rows.values(), *sums._kept.values()])
    assert sums.means(len(direct)) == {"a": pytest.approx(sum(direct) / len(direct), abs=1e-5)}


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("extra", [False, True])
def test_the_bound_is_made_of_its_parts(k: int, extra: bool) -> None:
    model, sums, direct = toy_vae(), Sums(), []
    for seed in range(3):
        trace = model.trace(toy_data(20, seed), k=k)
        if extra:
            trace = replace(trace, log_w_extra=torch.linspace(-1, 0, 20))
        sums.add_bound(trace)
        direct.append(float(bounds.elbo(trace).detach().mean()))
    found = sums.means(3)
    assert found["elbo"] == pytest.approx(sum(direct) / 3, rel=1e-5)
    assert set(found) == {"elbo", "kl"}


def test_what_is_not_finite_shows() -> None:
    sums = Sums()
    sums.add("a", torch.tensor(float("inf")))
    sums.add("a", torch.tensor(float("-inf")))
    assert sums.means(2)["a"] != sums.means(2)["a"]
