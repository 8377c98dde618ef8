"""The plain autoencoder, the VAE, and the variants that change one setting or one part of it."""

from __future__ import annotations

from vaekit.data.info import DataInfo
from vaekit.models.conditioned import ConditionedVAE
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Reconstruction, negative_elbo
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.recipes.base import UNBOUNDED, WEIGHTED, Built, recipe
from vaekit.recipes.parts import checked, condition, flat_vae
from vaekit.recipes.settings import DROP_CONDITION, ModelSettings, ObjectiveSettings, Settings, SettingsOf


@recipe("ae", headline=UNBOUNDED, reference="Hinton & Salakhutdinov 2006", model={"posterior": "delta"})
def ae(settings: Settings, data: DataInfo) -> Built:
    """A plain autoencoder: a point-mass code and no prior to keep to, so no bound on log p(x)."""
    return Built.of(flat_vae(settings, data), Objective(Reconstruction()))


@recipe("vae", reference="Kingma & Welling 2014, arXiv:1312.6114")
def vae(settings: Settings, data: DataInfo) -> Built:
    """The variational autoencoder: maximises the ELBO."""
    o = settings.objective
    return Built.of(flat_vae(settings, data), negative_elbo(o.beta, o.free_bits, o.free_per, o.k))


@recipe("beta-vae", reference="Higgins et al. 2017, openreview:Sy2fzU9gl", objective={"beta": 4.0})
def beta_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose KL is weighted by β > 1: lower rate, latents that tend to align with factors."""
    return vae(settings, data)


@recipe(
    "sigma-vae", reference="Rybkin et al. 2021, arXiv:2006.13202", model={"likelihood": "gaussian", "scale": "optimal"}
)
def sigma_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE with a Gaussian likelihood whose σ is set to its analytic optimum, which balances the two terms."""
    return vae(settings, data)


@recipe(
    "flow-vae",
    reference="Rezende & Mohamed 2015, arXiv:1505.05770; Kingma et al. 2016, arXiv:1606.04934",
    model={"posterior": "flow"},
)
def flow_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose posterior is a normal bent by planar, inverse autoregressive or spline steps."""
    return vae(settings, data)


@recipe(
    "spherical-vae",
    reference="Davidson et al. 2018, arXiv:1804.00891",
    model={"posterior": "von-mises-fisher", "prior": "uniform-sphere", "latent": 10},
)
def spherical_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose latents are directions: von Mises-Fisher posteriors and a uniform prior on the sphere."""
    return vae(settings, data)


@recipe("vamp-vae", reference="Tomczak & Welling 2018, arXiv:1705.07120", model={"prior": "vamp"})
def vamp_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose prior is the mixture of its own posteriors at learned pseudo-inputs."""
    return vae(settings, data)


@recipe("gmm-vae", reference="Jiang et al. 2017, arXiv:1611.05148", model={"prior": "gaussian-mixture"})
def gmm_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose prior is a learned mixture of normals: p(c|z) assigns codes to clusters."""
    return vae(settings, data)


class ConditionedSettings(ModelSettings):
    """The parts, and what only a conditioned model has."""

    drop_condition: float = DROP_CONDITION


@recipe("cvae", reference="Sohn et al. 2015", needs_labels=True, on_tables="tabular-cvae")
def cvae(settings: SettingsOf[ConditionedSettings, ObjectiveSettings], data: DataInfo) -> Built:
    """A VAE of x given its label, numbers or attributes y: encoder and decoder see y, samples are asked for by it."""
    o, y = settings.objective, condition(data, "cvae")
    flat = flat_vae(settings, data, context=y.width)
    drop = settings.model.drop_condition
    model = ConditionedVAE(flat.posterior, flat.prior, flat.likelihood, y.widths, drop, y.missing)
    return Built.of(model, negative_elbo(o.beta, o.free_bits, o.free_per, o.k))


@recipe("iwae", headline=WEIGHTED, reference="Burda et al. 2016, arXiv:1509.00519", objective={"k": 5})
def iwae(settings: Settings, data: DataInfo) -> Built:
    """The importance-weighted autoencoder: maximises the bound of K samples."""
    return checked(flat_vae(settings, data), Objective(ImportanceWeighted(settings.objective.k)), data)


@recipe(
    "linear-vae",
    reference="Lucas et al. 2019, arXiv:1911.02469",
    model={"net": "linear", "likelihood": "gaussian", "scale": "shared", "latent": 5},
    train={"epochs": 800, "batch_size": 256, "lr": 2e-2, "validate_every": 10},
)
def linear_vae(settings: Settings, data: DataInfo) -> Built:
    """Linear encoder and decoder with a Gaussian likelihood: its optimum is probabilistic PCA."""
    return vae(settings, data)
