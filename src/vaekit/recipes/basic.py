"""The plain autoencoder, the VAE, and the variants that change one setting or one part of it."""

from __future__ import annotations

from vaekit.data.info import DataInfo
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Reconstruction, negative_elbo
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import checked, flat_vae, label_count
from vaekit.recipes.settings import Settings


@recipe("ae", reference="Hinton & Salakhutdinov 2006", model={"posterior": "delta"})
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


@recipe("cvae", reference="Sohn et al. 2015", needs_labels=True)
def cvae(settings: Settings, data: DataInfo) -> Built:
    """A VAE of x given its label y: encoder and decoder see y, samples are asked for by label."""
    o = settings.objective
    model = flat_vae(settings, data, context=label_count(data, "cvae"))
    return Built.of(model, negative_elbo(o.beta, o.free_bits, o.free_per, o.k))


@recipe("iwae", reference="Burda et al. 2016, arXiv:1509.00519", objective={"k": 5})
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
