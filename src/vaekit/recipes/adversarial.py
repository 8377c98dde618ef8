"""Variants with a second player: a critic of codes or a discriminator of data, each with its own optimiser."""

from __future__ import annotations

from pydantic import Field

from vaekit.data.info import DataInfo
from vaekit.models.generating import Generating
from vaekit.models.vae import VAE
from vaekit.nets.base import Widths
from vaekit.nets.mlp import MLP, mlp
from vaekit.objectives.adversaries import (
    CRITIC,
    DensityRatioTC,
    FoolCode,
    FoolData,
    JudgeCode,
    JudgeData,
    Permuted,
    SimilarityFeatures,
)
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.objectives.perceptual import FeatureReconstruction
from vaekit.recipes.base import UNBOUNDED, Built, recipe
from vaekit.recipes.parts import encoder, flat_vae
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, SettingsOf
from vaekit.schedules import ScheduleSetting


class CriticSettings(ObjectiveSettings):
    """Settings of objectives with a critic of codes."""

    weight: ScheduleSetting = Field(default=3.0, description="weight of the critic's verdict in the model's loss")
    critic: Widths = Field(default=(128, 128), description="hidden widths of the critic")


class FactorSettings(CriticSettings):
    """Settings of FactorVAE's objective."""

    weight: ScheduleSetting = Field(default=10.0, description="γ, the weight of the total correlation")
    critic: Widths = Field(default=(512, 512, 512), description="hidden widths of the critic")


class VaeGanSettings(ObjectiveSettings):
    """Settings of VAE-GAN's objective."""

    similarity: ScheduleSetting = Field(default=1.0, description="weight of the reconstruction of features")
    adversarial: ScheduleSetting = Field(default=1.0, description="1/γ: weight of fooling the discriminator")


PACE = {"lr": 1e-3, "lr_players": 2e-4, "betas": (0.5, 0.999)}
"""Tolstikhin et al.'s momentum and a slow critic: codes run away from a quicker one (docs/gallery-regularised.md)."""


def critic_of_codes(objective: CriticSettings, model: VAE) -> MLP:
    """Return a critic of codes: an MLP to one logit."""
    return mlp(model.posterior.latent_shape, 1, objective.critic, act="silu")


@recipe("factor-vae", reference="Kim & Mnih 2018, arXiv:1802.05983", train={"lr_players": 1e-3})
def factor_vae(settings: SettingsOf[ModelSettings, FactorSettings], data: DataInfo) -> Built:
    """A VAE with the total correlation of its aggregate posterior, by a critic's density ratio, as a penalty."""
    o, model = settings.objective, flat_vae(settings, data)
    critic = critic_of_codes(o, model)
    terms = (Reconstruction(), Rate(o.beta, o.free_bits, o.free_per), DensityRatioTC(critic, o.weight))
    return Built.of(model, Objective(*terms, Permuted(critic), players={CRITIC: critic}))


@recipe(
    "wae-gan",
    headline=UNBOUNDED,
    reference="Tolstikhin et al. 2018, arXiv:1711.01558",
    model={"posterior": "delta"},
    train=PACE,
)
def wae_gan(settings: SettingsOf[ModelSettings, CriticSettings], data: DataInfo) -> Built:
    """A Wasserstein autoencoder whose aggregate posterior is held to the prior by a critic of codes."""
    o, model = settings.objective, flat_vae(settings, data)
    critic = critic_of_codes(o, model)
    terms = (Reconstruction(k=o.k), FoolCode(critic, o.weight), JudgeCode(critic))
    return Built.of(model, Objective(*terms, players={CRITIC: critic}))


@recipe(
    "adversarial-ae",
    headline=UNBOUNDED,
    reference="Makhzani et al. 2016, arXiv:1511.05644",
    model={"posterior": "delta"},
    train=PACE,
    objective={"weight": 1.0},
)
def adversarial_ae(settings: SettingsOf[ModelSettings, CriticSettings], data: DataInfo) -> Built:
    """An autoencoder and a critic of its codes: WAE-GAN with the critic's verdict weighing as much as one nat."""
    return wae_gan(settings, data)


@recipe(
    "vae-gan",
    headline=UNBOUNDED,
    reference="Larsen et al. 2016, arXiv:1512.09300",
    model={"likelihood": "bernoulli-soft"},
)
def vae_gan(settings: SettingsOf[ModelSettings, VaeGanSettings], data: DataInfo) -> Built:
    """A VAE that reconstructs the features of a discriminator, which tells its samples from data."""
    o, flat = settings.objective, flat_vae(settings, data)
    critic = encoder(settings.model, data, 1)
    similar = FeatureReconstruction(SimilarityFeatures(critic), o.similarity, k=o.k)
    terms = (similar, Rate(o.beta, o.free_bits, o.free_per), FoolData(critic, o.adversarial), JudgeData(critic))
    model = Generating(flat.posterior, flat.prior, flat.likelihood)
    return Built.of(model, Objective(*terms, players={CRITIC: critic}))
