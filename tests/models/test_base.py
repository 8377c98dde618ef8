"""The protocol of models: what is not defined raises one clear error, and can be asked for beforehand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from vaekit.errors import Unsupported, UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.base import Model
from vaekit.models.composed import Stacked, TwoStage
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.objectives.elbo import negative_elbo
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.training.stages import Stage

X = torch.zeros(2, 4)
CALLS: list[Callable[[Any], Any]] = [
    lambda m: m.trace(X),
    lambda m: m.encode(X),
    lambda m: m.posterior_mean(X),
    lambda m: m.features(X),
    lambda m: m.decode(X),
    lambda m: m.reconstruct(X),
    lambda m: m.sample(2),
    lambda m: m.prior_of(),
    lambda m: m.sample_latent(2),
    lambda m: m.log_joint(X, X),
    lambda m: m.class_log_probs(X),
    lambda m: m.predict(X),
    lambda m: m.codes(X),
    lambda m: m.code_count,
]


def flat(size: int, latent: int, likelihood: type = Bernoulli) -> VAE:
    return VAE(DiagonalNormal(mlp(size, latent)), StandardNormal(latent), likelihood(mlp(latent, size)))


@pytest.mark.parametrize("call", CALLS)
def test_what_a_model_does_not_define_is_unsupported(call: Callable[[Any], Any]) -> None:
    with pytest.raises(Unsupported, match=r"^Model \w+") as error:
        call(Model())
    assert isinstance(error.value, UserError)


def test_what_a_model_offers_can_be_asked() -> None:
    model = TwoStage(flat(4, 3), flat(3, 3, Gaussian))
    assert model.offers(Model.sample_latent) and not model.offers(Model.prior_of) and not model.offers(Model.codes)
    assert flat(4, 3).offers(Model.log_joint) and not flat(4, 3).offers(Model.predict)


def test_a_stage_traces_the_model_it_is_given() -> None:
    """The method is not bound: a copy of model and stages traces the copy, not the first model."""
    model = TwoStage(flat(4, 3), flat(3, 3, Gaussian))
    stage = Stage(negative_elbo(), trace=TwoStage.trace_first)
    twin, copied = copy.deepcopy((model, stage))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(torch.nan)
    assert bool(torch.isfinite(copied.tracer(twin)(X, k=2).log_px).all())
    assert not bool(torch.isfinite(stage.tracer(model)(X).log_px).any())
    assert Stage(negative_elbo()).of_data and not stage.of_data
    assert Stacked.trace_first is not TwoStage.trace_first  # a class that traces otherwise names its own method
