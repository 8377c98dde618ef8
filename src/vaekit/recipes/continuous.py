"""Variants of the objective for continuous latents: capacity, importance-weighted gradients and bounds."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.models.vae import VAE
from vaekit.objectives.base import Objective
from vaekit.objectives.capacity import Capacity
from vaekit.objectives.elbo import Reconstruction
from vaekit.objectives.importance import (
    CombinedImportanceWeighted,
    ImportanceWeighted,
    MultipleImportanceWeighted,
    PathGradient,
)
from vaekit.objectives.thermodynamic import Thermodynamic
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import checked, flat_vae
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, SettingsOf
from vaekit.schedules import ScheduleSetting


class CapacitySettings(ObjectiveSettings):
    """What the capacity objective takes."""

    gamma: ScheduleSetting = Field(default=10.0, description="weight of the KL's distance from its capacity")
    capacity: ScheduleSetting | None = Field(
        default=None, description="the KL aimed at, nats; by default up to 25, or a twelfth of the data's dimensions"
    )


class GradientSettings(ObjectiveSettings):
    """How the gradient of the importance-weighted bound is estimated."""

    k: PositiveInt = Field(default=8, description="posterior samples an example")
    gradient: PathGradient = Field(default="dreg", description="estimator of the posterior's gradient")


class ThermodynamicSettings(ObjectiveSettings):
    """Where the integral from the ELBO to log p(x) is summed, and with how many samples."""

    k: int = Field(default=16, ge=2, description="posterior samples an example, at least 2")
    points: PositiveInt = Field(default=5, description="points above 0 at which the integrand is taken; 1: the ELBO")
    first: float = Field(default=0.05, gt=0, lt=1, description="the first of them; the others equal ratios apart")


class MultipleSettings(ObjectiveSettings):
    """How many bounds are averaged, and of how many samples each."""

    k: PositiveInt = Field(default=8, description="posterior samples in each bound")
    m: PositiveInt = Field(default=4, description="bounds that are averaged")


class CombinedSettings(ObjectiveSettings):
    """How ELBO and importance-weighted bound are mixed."""

    k: PositiveInt = Field(default=8, description="posterior samples an example")
    mix: float = Field(default=0.5, ge=0, le=1, description="weight of the ELBO; the rest is the bound of K samples")


@recipe("capacity-vae", reference="Burgess et al. 2018, arXiv:1804.03599")
def capacity_vae(settings: SettingsOf[ModelSettings, CapacitySettings], data: DataInfo) -> Built:
    """A VAE whose KL is held at a capacity that grows while training: latents open one after another."""
    o = settings.objective
    capacity = f"linear 0 {min(25, data.dimensions / 12):.3g} 80%" if o.capacity is None else o.capacity
    return Built.of(flat_vae(settings, data), Objective(Reconstruction(k=o.k), Capacity(o.gamma, capacity)))


@recipe("dreg", reference="Tucker et al. 2019, arXiv:1810.04152")
def dreg(settings: SettingsOf[ModelSettings, GradientSettings], data: DataInfo) -> Built:
    """The importance-weighted autoencoder trained with doubly reparameterised (or STL) gradients, which vary less."""
    o = settings.objective
    return checked(flat_vae(settings, data), Objective(ImportanceWeighted(o.k, gradient=o.gradient)), data)


@recipe("miwae", reference="Rainforth et al. 2018, arXiv:1802.04537")
def miwae(settings: SettingsOf[ModelSettings, MultipleSettings], data: DataInfo) -> Built:
    """Maximises the mean of M importance-weighted bounds of K samples, whose gradients serve the encoder better."""
    o = settings.objective
    return checked(flat_vae(settings, data), Objective(MultipleImportanceWeighted(o.m, o.k)), data)


@recipe("ciwae", reference="Rainforth et al. 2018, arXiv:1802.04537")
def ciwae(settings: SettingsOf[ModelSettings, CombinedSettings], data: DataInfo) -> Built:
    """Maximises a mixture of the ELBO and the importance-weighted bound of K samples."""
    o = settings.objective
    return checked(flat_vae(settings, data), Objective(CombinedImportanceWeighted(o.k, o.mix)), data)


@recipe("thermodynamic-vae", reference="Masrani et al. 2019, arXiv:1907.00031")
def thermodynamic_vae(settings: SettingsOf[ModelSettings, ThermodynamicSettings], data: DataInfo) -> Built:
    """Maximises a sum under the integral that log p(x) is, whose gradients need no path: latents may be discrete."""
    o = settings.objective
    return checked(flat_vae(settings, data), Objective(Thermodynamic(o.points, o.first, o.k)), data, VAE.trace_hard)
