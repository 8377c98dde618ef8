"""A second VAE on the first one's latents."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.composed import TwoStage
from vaekit.models.vae import VAE
from vaekit.nets.base import Widths
from vaekit.nets.mlp import mlp
from vaekit.objectives.elbo import negative_elbo
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import flat_vae
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, SettingsOf
from vaekit.training.stages import Stage


class TwoStageSettings(ModelSettings):
    """Settings of the two models."""

    second_hidden: Widths = Field(default=(512, 512), description="hidden widths of the second model")
    second_latent: PositiveInt | None = Field(default=None, description="its latent dimensions; default: as many")


# The argument for a second stage is of a Gaussian whose γ = σ² is learned and goes to 0 on a manifold's data: there
# the first stage's optimum has the data's manifold right and only the density on it wrong.
@recipe(
    "two-stage-vae",
    reference="Dai & Wipf 2019, arXiv:1903.05789",
    model={"likelihood": "gaussian", "scale": "shared"},
)
def two_stage_vae(settings: SettingsOf[TwoStageSettings, ObjectiveSettings], data: DataInfo) -> Built:
    """A VAE, then a second VAE of its latents through which samples are drawn; the bound is the hierarchy's.

    Other likelihoods than the Gaussian with a learned σ train and bound too; the paper's argument is not of them.
    """
    m, o = settings.model, settings.objective
    first = flat_vae(settings, data)
    z, u, hidden = first.posterior.latent_shape, m.second_latent or m.latent, m.second_hidden
    q, px = mlp(z, u, hidden, act=m.act), mlp(u, z, hidden[::-1], act=m.act, skip=True)
    second = VAE(DiagonalNormal(q), StandardNormal(u), Gaussian(px, scale="dimension"))
    objective = negative_elbo(o.beta, o.free_bits, o.free_per, o.k)
    stages = (
        Stage(objective, "first", ("first",), TwoStage.trace_first),
        Stage(negative_elbo(), "second", ("second",), TwoStage.trace_second),
    )
    return Built(TwoStage(first, second), stages)
