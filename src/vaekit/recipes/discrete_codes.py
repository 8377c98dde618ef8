"""Variants with categorical latents, trained through a relaxation and evaluated on hard codes."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.models.joint import Given, JointVAE
from vaekit.objectives.base import Objective
from vaekit.objectives.capacity import Capacity
from vaekit.objectives.elbo import Reconstruction
from vaekit.posteriors.categorical import CategoricalPosterior
from vaekit.priors.categorical import UniformCategorical
from vaekit.recipes import parts
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.basic import vae
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, Settings, SettingsOf
from vaekit.schedules import ScheduleSetting


class JointSettings(ModelSettings):
    """A model with continuous latents, of the family that is chosen, and categorical ones."""

    latent: PositiveInt = Field(default=10, description="continuous latent dimensions")
    discrete: PositiveInt = Field(default=1, description="categorical latents")
    classes: PositiveInt = Field(default=10, description="values of each categorical latent")
    temperature: ScheduleSetting = Field(default="linear 1 0.3 80%", description="temperature of the relaxation")
    straight_through: bool = Field(default=False, description="decode one-hot codes while training too")


class JointObjective(ObjectiveSettings):
    """Capacities of the two kinds of latents."""

    gamma: ScheduleSetting = Field(default=10.0, description="weight of a KL's distance from its capacity")
    capacity: ScheduleSetting | None = Field(
        default=None,
        description="KL of the continuous latents, nats; by default up to 25, or a twentieth of the data's dimensions",
    )
    discrete_capacity: ScheduleSetting = Field(default="linear 0 1.5 80%", description="KL of the categorical latents")


@recipe(
    "categorical-vae",
    reference="Jang et al. 2017, arXiv:1611.01144; Maddison et al. 2017, arXiv:1611.00712",
    model={"posterior": "categorical", "prior": "uniform-categorical"},
)
def categorical_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE with categorical latents, trained through the Gumbel-softmax relaxation and evaluated on hard codes."""
    return vae(settings, data)


@recipe("joint-vae", reference="Dupont 2018, arXiv:1804.00104")
def joint_vae(settings: SettingsOf[JointSettings, JointObjective], data: DataInfo) -> Built:
    """A VAE with continuous and categorical latents, each kind's KL held at a capacity of its own."""
    m, o = settings.model, settings.objective
    z = parts.posterior(m, Given((m.latent,)))
    c = CategoricalPosterior(Given((m.discrete,)), m.classes, m.temperature, m.straight_through)
    priors = {"z": parts.prior(m, data, z), "c": UniformCategorical(c.latent_shape)}
    px = parts.likelihood(m, data, latent=m.latent + m.discrete * m.classes)
    model = JointVAE(lambda width: parts.encoder(m, data, width), {"z": z, "c": c}, priors, px)
    most = f"linear 0 {min(25, data.dimensions / 20):.3g} 80%" if o.capacity is None else o.capacity
    terms = Capacity(o.gamma, most, ["z"], "rate.z"), Capacity(o.gamma, o.discrete_capacity, ["c"], "rate.c")
    return Built.of(model, Objective(Reconstruction(k=o.k), *terms))
