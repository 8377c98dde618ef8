"""Priors that are fitted to a trained model's codes: the stages that train such a model."""

from __future__ import annotations

from dataclasses import replace

from vaekit.conditional import Prior
from vaekit.errors import UserError
from vaekit.models.vae import VAE
from vaekit.objectives.base import Objective
from vaekit.objectives.matching import FlowMatching
from vaekit.recipes.base import Built
from vaekit.training.stages import Stage


def with_fitted_prior(built: Built) -> Built:
    """Return what a recipe makes with a last stage for a prior that is fitted last; without one, as it is.

    The recipe's own stage then has a standard normal for a prior, and leaves the fitted one alone.
    """
    model = built.model
    if not any(isinstance(part, Prior) and part.fitted_last for part in model.modules()):
        return built
    plain = isinstance(model, VAE) and type(model).trace is VAE.trace
    if not plain or len(built.stages) != 1 or built.stages[0].trace or built.stages[0].trainable:
        raise UserError(
            "model.prior: a prior that is fitted last is for recipes with one latent that are trained in one stage; "
            "choose another prior (flow, vamp, mixture) or another recipe (vae, iwae, beta-vae)"
        )
    first = replace(
        built.stages[0], name="model", trainable=("posterior", "likelihood"), trace=VAE.trace_plain, bounded=True
    )
    last = Stage(Objective(FlowMatching()), "prior", ("prior",), VAE.trace_codes)
    return replace(built, stages=(first, last))
