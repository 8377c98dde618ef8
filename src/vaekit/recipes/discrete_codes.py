"""Variants with discrete latents: by a relaxation and evaluated on hard codes, or by hard codes alone."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.models.joint import Given, JointVAE
from vaekit.models.vae import VAE
from vaekit.objectives.base import Objective
from vaekit.objectives.capacity import Capacity
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.objectives.scores import Rebar, Reinforce, WakeSleep
from vaekit.posteriors.categorical import CategoricalPosterior
from vaekit.priors.categorical import UniformCategorical
from vaekit.recipes import parts
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.basic import vae
from vaekit.recipes.parts import checked, flat_vae
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


class SampledSettings(ObjectiveSettings):
    """Objectives whose baselines or weights are an example's other samples."""

    k: int = Field(default=4, ge=2, description="posterior samples an example, at least 2")


class RebarSettings(ObjectiveSettings):
    """How much of the relaxation is the control variate."""

    eta: float = Field(default=1.0, ge=0, description="η, the weight of the relaxation as control variate")


BITS = {"posterior": "bernoulli", "prior": "bernoulli", "latent": 50}
"""Bits as latents, more of them than numbers."""


@recipe(
    "categorical-vae",
    reference="Jang et al. 2017, arXiv:1611.01144; Maddison et al. 2017, arXiv:1611.00712",
    model={"posterior": "categorical", "prior": "uniform-categorical"},
)
def categorical_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE with categorical latents, trained through the Gumbel-softmax relaxation and evaluated on hard codes."""
    return vae(settings, data)


@recipe("vimco", reference="Mnih & Rezende 2016, arXiv:1602.06725", model=BITS)
def vimco(settings: SettingsOf[ModelSettings, SampledSettings], data: DataInfo) -> Built:
    """The importance-weighted autoencoder of discrete latents, by unbiased score-function gradients of the bound."""
    bound = ImportanceWeighted(settings.objective.k, gradient="vimco")
    return checked(flat_vae(settings, data), Objective(bound), data, VAE.trace_hard)


@recipe("reinforce", reference="Kool et al. 2019, openreview:r1lgTGL5DE", model=BITS)
def reinforce(settings: SettingsOf[ModelSettings, SampledSettings], data: DataInfo) -> Built:
    """A VAE of discrete latents by score-function gradients of the ELBO, each sample's baseline the others' mean."""
    o = settings.objective
    terms = Reinforce(o.k), Rate(o.beta, o.free_bits, o.free_per)
    return checked(flat_vae(settings, data), Objective(*terms), data, VAE.trace_hard)


@recipe("rebar", reference="Tucker et al. 2017, arXiv:1703.07370", model={**BITS, "temperature": 0.5})
def rebar(settings: SettingsOf[ModelSettings, RebarSettings], data: DataInfo) -> Built:
    """A VAE of discrete latents by score-function gradients with a relaxation as their control variate."""
    o = settings.objective
    terms = Rebar(o.k, o.eta), Rate(o.beta, o.free_bits, o.free_per)
    return checked(flat_vae(settings, data), Objective(*terms), data, VAE.trace_coupled)


@recipe(
    "wake-sleep", reference="Bornschein & Bengio 2015, arXiv:1406.2751; Le et al. 2019, arXiv:1805.10469", model=BITS
)
def wake_sleep(settings: SettingsOf[ModelSettings, SampledSettings], data: DataInfo) -> Built:
    """Reweighted wake-sleep: the decoder by the importance-weighted bound, the encoder by the same samples' weights."""
    objective = Objective(WakeSleep(settings.objective.k))
    return checked(flat_vae(settings, data), objective, data, VAE.trace_hard)


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
