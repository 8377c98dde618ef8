"""From settings and data to parts: what the recipes have in common."""

from __future__ import annotations

from typing import Any

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.models.vae import VAE
from vaekit.nets.base import Net
from vaekit.nets.build import decoder as build_decoder
from vaekit.nets.build import encoder as build_encoder
from vaekit.posteriors.base import POSTERIORS, Posterior
from vaekit.priors.base import PRIORS, Prior
from vaekit.recipes.settings import ModelSettings, Settings

BY_KIND = {
    "binary": "bernoulli",
    "levels": "bernoulli",
    "unit": "continuous-bernoulli",
    "counts": "negative-binomial",
    "real": "gaussian",
}


def likelihood_name(settings: ModelSettings, data: DataInfo) -> str:
    """Return the likelihood's name; "auto" goes by what the data are.

    Grey images are binarised and get a Bernoulli, colour images a discretised logistic, real values a Gaussian.
    """
    if settings.likelihood != "auto":
        return settings.likelihood
    if data.kind == "levels" and (not data.is_image or data.shape[0] > 1):
        return "discretised-logistic"
    return BY_KIND[data.kind]


def encoder(settings: ModelSettings, data: DataInfo, context: int = 0) -> Net:
    """Return the encoder network from the data to the latent."""
    return build_encoder(
        settings.net,
        data.shape,
        (settings.latent,),
        hidden=settings.hidden,
        channels=settings.channels,
        context=context,
        act=settings.act,
    )


def decoder(settings: ModelSettings, data: DataInfo, context: int = 0) -> Net:
    """Return the decoder network, the encoder's mirror."""
    return build_decoder(
        settings.net,
        (settings.latent,),
        data.shape,
        hidden=settings.hidden,
        channels=settings.channels,
        context=context,
        act=settings.act,
        skip=settings.skip,
    )


def posterior(settings: ModelSettings, data: DataInfo, context: int = 0) -> Posterior:
    """Return q(z|x) of the chosen family."""
    part: Any = POSTERIORS[settings.posterior].part
    return part(encoder(settings, data, context))


def prior(settings: ModelSettings) -> Prior:
    """Return p(z) of the chosen family."""
    part: Any = PRIORS[settings.prior].part
    return part(settings.latent)


def likelihood(settings: ModelSettings, data: DataInfo, context: int = 0) -> Likelihood:
    """Return p(x|z) of the chosen family."""
    entry = LIKELIHOODS[likelihood_name(settings, data)]
    options: dict[str, Any] = {}
    if settings.scale is not None:
        if "scale" not in entry.facts.get("options", ()):
            raise UserError(f"model.scale={settings.scale} does not apply to the likelihood '{entry.name}'; drop it")
        options["scale"] = settings.scale
    if entry.facts.get("needs_levels"):
        if data.levels is None:
            raise UserError(f"the likelihood '{entry.name}' needs quantised data; {data.name} has real values")
        options["levels"] = data.levels
    part: Any = entry.part
    return part(decoder(settings, data, context), **options)


def flat_vae(settings: Settings, data: DataInfo, context: int = 0) -> VAE:
    """Return the flat model with the parts that the settings name."""
    model = settings.model
    return VAE(posterior(model, data, context), prior(model), likelihood(model, data, context))


def label_count(data: DataInfo, name: str) -> int:
    """Return the number of classes; a data set without labels is a UserError."""
    if not data.n_classes:
        raise UserError(f"the recipe '{name}' needs labels, and {data.name} has none; use labelled data")
    return data.n_classes
