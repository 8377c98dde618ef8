"""Variants with a penalty on the aggregate posterior: its dependence, its covariance, its distance from p(z)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.objectives.base import Objective
from vaekit.objectives.covariance import Covariance
from vaekit.objectives.decomposition import decomposed_kl
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.objectives.mmd import MMD
from vaekit.recipes.base import UNBOUNDED, Built, recipe
from vaekit.recipes.parts import flat_vae
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, Settings, SettingsOf
from vaekit.schedules import ScheduleSetting


class BetaTcSettings(ObjectiveSettings):
    """Settings of β-TCVAE's objective."""

    alpha: ScheduleSetting = Field(default=1.0, description="weight of the index-code mutual information")
    beta: ScheduleSetting = Field(default=6.0, description="weight of the total correlation")
    gamma: ScheduleSetting = Field(default=1.0, description="weight of the dimension-wise KL")
    estimator: Literal["mws", "mss"] = Field(
        default="mss", description="of log q(z) in a batch: minibatch-weighted (biased) or -stratified"
    )


class DipSettings(ObjectiveSettings):
    """Settings of DIP-VAE's objective."""

    kind: Literal["i", "ii"] = Field(default="ii", description="covariance of q's means (i), or of q(z) itself (ii)")
    off_diagonal: ScheduleSetting = Field(default=10.0, description="weight of squared covariances")
    diagonal: ScheduleSetting = Field(default=10.0, description="weight of squared (variance - 1)")


class MmdSettings(ObjectiveSettings):
    """Settings of objectives with a maximum mean discrepancy."""

    kernel: Literal["imq", "rbf"] = Field(default="imq", description="inverse multiquadratic or Gaussian, seven scales")
    weight: ScheduleSetting = Field(
        default=30.0, description="λ, the weight of MMD²(q(z), p(z)), its kernel a mean (k ≤ 1)"
    )


class InfoSettings(MmdSettings):
    """Settings of InfoVAE's objective."""

    weight: ScheduleSetting = Field(
        default=100.0, description="λ: the MMD² weighs α + λ - 1, its kernel a mean (k ≤ 1)"
    )
    alpha: ScheduleSetting = Field(default=0.9, description="α: the KL weighs 1 - α (1: no KL, as in MMD-VAE)")


def needs_factors(settings: Settings, name: str) -> None:
    """Raise UserError unless q(z|x) and p(z) factorise over the latent's dimensions."""
    for part, known in (("posterior", ("diagonal-normal",)), ("prior", ("standard-normal",))):
        if getattr(settings.model, part) not in known:
            raise UserError(
                f"'{name}' needs a {part} that factorises over the latent's dimensions: set model.{part} to {known[0]}"
            )


@recipe("beta-tc-vae", reference="Chen et al. 2018, arXiv:1802.04942")
def beta_tc_vae(settings: SettingsOf[ModelSettings, BetaTcSettings], data: DataInfo) -> Built:
    """A VAE whose KL is split in three, with the total correlation of the aggregate posterior weighted by β."""
    needs_factors(settings, "beta-tc-vae")
    o = settings.objective
    terms = decomposed_kl(data.n_train, o.alpha, o.beta, o.gamma, o.estimator)
    return Built.of(flat_vae(settings, data), Objective(Reconstruction(), *terms))


@recipe("dip-vae", reference="Kumar et al. 2018, arXiv:1711.00848")
def dip_vae(settings: SettingsOf[ModelSettings, DipSettings], data: DataInfo) -> Built:
    """A VAE whose aggregate posterior is pulled towards identity covariance, of its means (I) or of itself (II)."""
    o = settings.objective
    terms = (Reconstruction(), Rate(o.beta, o.free_bits, o.free_per))
    return Built.of(flat_vae(settings, data), Objective(*terms, Covariance(o.kind, o.off_diagonal, o.diagonal)))


@recipe("info-vae", reference="Zhao et al. 2019, arXiv:1706.02262")
def info_vae(settings: SettingsOf[ModelSettings, InfoSettings], data: DataInfo) -> Built:
    """A VAE with KL weight 1 - α and an MMD of weight α + λ - 1 that holds the aggregate posterior to the prior."""
    o = settings.objective
    alpha, weight = fixed(o.alpha, "alpha"), fixed(o.weight, "weight")
    terms = (Reconstruction(), Rate(1 - alpha, o.free_bits, o.free_per), MMD(alpha + weight - 1, o.kernel))
    return Built.of(flat_vae(settings, data), Objective(*terms))


def fixed(value: float | str, name: str) -> float:
    """Return a setting that has to be one number; a schedule is a UserError."""
    try:
        return float(value)
    except ValueError:
        raise UserError(f"objective.{name}='{value}' has to be one number here, not a schedule") from None


@recipe(
    "wae-mmd", headline=UNBOUNDED, reference="Tolstikhin et al. 2018, arXiv:1711.01558", model={"posterior": "delta"}
)
def wae_mmd(settings: SettingsOf[ModelSettings, MmdSettings], data: DataInfo) -> Built:
    """A Wasserstein autoencoder: reconstruction, and an MMD that holds the aggregate posterior to the prior."""
    o = settings.objective
    return Built.of(flat_vae(settings, data), Objective(Reconstruction(k=o.k), MMD(o.weight, o.kernel)))
