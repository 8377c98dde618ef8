"""log p of series: the observed cells' alone, in the source's units, whatever pads them; and an exact imputation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import contracts
from vaekit.conditional import Likelihood
from vaekit.distributions.observed import ObservedCells
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.likelihoods.series import OfSeries
from vaekit.nets.mlp import mlp

FAMILIES = ("gaussian", "student-t", "laplace", "negative-binomial", "poisson")
INF, NAN = torch.inf, torch.nan


def facts(counts: bool = False, **more: Any) -> dict[str, Any]:
    return {"mean": [1.0, 2.0], "sd": None if counts else [0.5, 20.0], "lengths": [[2, 30], [4, 10]]} | more


def make(name: str, shape: tuple[int, int] = (2, 4), **more: Any) -> OfSeries:
    torch.manual_seed(0)
    part: Any = LIKELIHOODS[name].part
    return OfSeries(part(mlp(3, shape, (8,))), facts(part.wants == "counts", **more))


def test_it_is_the_sum_over_observed_cells_in_the_source_s_units() -> None:
    part, z = make("gaussian"), torch.randn(2, 3)
    sd, mean = np.array([[0.5], [20.0]]), np.array([[1.0], [2.0]])
    raw = np.array([[[1.2, np.nan, 0.4, np.inf], [30, -5, np.nan, np.inf]], [[1, 2, 3, 4], [np.nan] * 4]])
    x = torch.tensor((raw - mean) / sd, dtype=torch.float32)
    d = part(z)
    loc, scale = d.base.mean.detach().numpy() * sd + mean, d.base.stddev.detach().numpy() * sd
    wanted = [stats.norm.logpdf(a, m, s)[np.isfinite(a)].sum() for a, m, s in zip(raw, loc, scale)]
    np.testing.assert_allclose(d.log_prob(x).detach().numpy(), wanted, rtol=1e-5)
    elements = d.log_prob_elements(x)
    assert elements.shape == (2, 2, 4) and bool((elements[~torch.isfinite(x)] == 0).all())


@pytest.mark.parametrize("name", FAMILIES)
def test_unobserved_cells_have_no_factor_and_no_gradient(name: str) -> None:
    part, z = make(name), torch.randn(3, 3)
    x = part(z).sample()
    few = x.clone()
    few[:, 0, 1], few[:, :, 3] = NAN, INF
    whole, left = part(z).log_prob_elements(x), part(z).log_prob_elements(few)
    torch.testing.assert_close(left.sum((1, 2)), part(z).log_prob(few))
    kept = torch.isfinite(few)
    torch.testing.assert_close(left[kept], whole[kept])
    part(z).log_prob(few).sum().backward()
    grads = [p.grad for p in part.parameters() if p.grad is not None]
    assert grads and all(bool(torch.isfinite(g).all()) for g in grads)
    part.zero_grad()
    part(z).log_prob(torch.full_like(few, NAN)).sum().backward()
    assert all(p.grad is None or not bool(p.grad.any()) for p in part.parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_of_series_keeps_the_contract_of_likelihoods(name: str) -> None:
    """As registered parts do, for series that are whole."""

    class Whole(OfSeries):
        def __init__(self, net: Any) -> None:
            part: Any = LIKELIHOODS[name].part
            kind = "counts" if part.wants == "counts" else "real"
            units = None if kind == "counts" else [1.0] * net.out_shape[0]
            lengths = [[net.out_shape[-1], 1]]
            super().__init__(part(net), {"mean": [1.0] * net.out_shape[0], "sd": units, "lengths": lengths})

    registry: Any = contracts.Registry("likelihood")
    registry.register("whole", summary="whole", reference="none")(Whole)
    case = contracts.Case(registry, next(iter(registry)))

    def build(shape: tuple[int, ...] = (1, 4), seed: int = 0) -> Any:
        torch.manual_seed(seed)
        shape = shape if len(shape) == 2 else (1, *shape)
        return Whole(mlp(3, shape, (8,))), (torch.randn(contracts.B, 3),)

    object.__setattr__(case, "build", build)
    for check in (contracts.check_shapes, contracts.check_elements, contracts.check_moments, contracts.check_batch):
        check(case)


def test_samples_end_like_training_series_and_reconstructions_like_their_own() -> None:
    d = make("gaussian")(torch.zeros(4000, 3))
    assert isinstance(d, ObservedCells)
    torch.manual_seed(0)
    lengths = (~torch.isinf(d.ended(d.sample())).all(1)).sum(1)
    assert set(lengths.tolist()) == {2, 4}
    assert abs(float((lengths == 2).double().mean()) - 0.75) < 4 * (0.75 * 0.25 / 4000) ** 0.5
    like = torch.zeros(4000, 2, 4)
    like[:, 0, 1], like[:, :, 3:] = NAN, INF
    made = d.ended(d.mean, like)
    assert bool(torch.isinf(made[:, :, 3]).all()) and bool(torch.isfinite(made[:, :, :3]).all())


def test_a_scale_fitted_to_batches_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.scale=optimal"):
        OfSeries(Gaussian(mlp(3, (2, 4)), scale="optimal"), facts())


def test_counts_start_at_the_channels_means() -> None:
    part = make("poisson")
    part.start_from(torch.tensor([0.5, 40.0]))
    assert isinstance(part.of, Likelihood) and part.of.net is not None
    head: Any = part.of.net.head
    with torch.no_grad():
        head.weight.zero_()
    mean: Tensor = part(torch.zeros(1, 3)).mean
    torch.testing.assert_close(mean[0, :, 0], torch.tensor([0.5, 40.0]), rtol=1e-4, atol=0)
