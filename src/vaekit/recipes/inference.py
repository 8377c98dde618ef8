"""Variants of inference: refined posteriors, and priors given side information."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.models.semi_amortised import SemiAmortisedVAE
from vaekit.models.vae import VAE
from vaekit.objectives.elbo import negative_elbo
from vaekit.recipes import parts
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, Settings, SettingsOf


class RefinedSettings(ModelSettings):
    """A model that refines its encoder's answer."""

    steps: PositiveInt = Field(default=5, description="gradient steps that refine the posterior of each example")
    rate: PositiveFloat = Field(default=0.05, description="step size at the start of training; it is learned")


@recipe("semi-amortised-vae", reference="Kim et al. 2018, arXiv:1802.02550")
def semi_amortised_vae(settings: SettingsOf[RefinedSettings, ObjectiveSettings], data: DataInfo) -> Built:
    """A VAE whose encoder only starts inference: gradient steps on the ELBO refine each example's posterior."""
    m, o = settings.model, settings.objective
    flat = parts.flat_vae(settings, data)
    model = SemiAmortisedVAE(flat.posterior, flat.prior, flat.likelihood, m.steps, m.rate)
    return parts.checked(model, negative_elbo(o.beta, o.free_bits, o.free_per, o.k), data)


@recipe(
    "identifiable-vae",
    headline=("mcc", "elbo", "iw_bound", "active_units", "mse"),
    reference="Khemakhem et al. 2020, arXiv:1907.04809",
    needs_labels=True,
    model={"prior": "conditional-normal"},
)
def identifiable_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose prior depends on the label, p(z|u): sources are then identified up to order, scale and shift."""
    m, o = settings.model, settings.objective
    width = parts.condition(data, "identifiable-vae").width
    q = parts.posterior(m, parts.encoder(m, data, m.latent, width))
    p, px = parts.prior(m, data, q, labelled=True), parts.likelihood(m, data, latent=q.latent_shape)
    return Built.of(VAE(q, p, px), negative_elbo(o.beta, o.free_bits, o.free_per, o.k))
