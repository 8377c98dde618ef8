"""The variant for time series."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.likelihoods.series import OfSeries
from vaekit.models.vae import VAE
from vaekit.nets.series import series_nets
from vaekit.objectives.elbo import negative_elbo
from vaekit.priors.base import PRIORS
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import likelihood, posterior, prior
from vaekit.recipes.settings import Choice, ModelSettings, ObjectiveSettings, SettingsOf, one_of

FAMILIES = ("gaussian", "student-t", "laplace", "negative-binomial", "poisson")


class SeriesModel(ModelSettings):
    """Networks over series, and the family of a cell."""

    latent: PositiveInt = Field(default=16, description="latent dimensions")
    net: Annotated[str, one_of("conv", "gru", "transformer")] = Field(
        default="conv", description="networks of encoder and decoder"
    )
    act: Annotated[str, one_of("silu")] = Field(default="silu", description="not used")
    skip: Annotated[bool, one_of(False)] = Field(default=False, description="not used")
    likelihood: Annotated[str, Choice(LIKELIHOODS, FAMILIES, only=True)] = Field(
        default="auto", description="family of a cell given z: gaussian, or negative-binomial for counts"
    )
    width: PositiveInt = Field(default=64, description="units or channels of each layer")
    layers: PositiveInt = Field(default=3, description="layers of encoder and decoder each; conv: times to halve")
    heads: PositiveInt = Field(default=4, description="heads of attention (transformer)")
    drop: float = Field(
        default=0.2, ge=0, lt=1, description="share hidden from the encoder in training: runs of steps, single values"
    )


@recipe(
    "series-vae",
    headline=("iw_bound", "gap_rmse", "gap_rmse_line", "forecast_rmse", "active_units"),
    reference="Kingma & Welling 2014, arXiv:1312.6114; missing cells: Mattei & Frellsen 2019, arXiv:1812.02633",
    takes="series",
    model={"scale": "channel"},
    train={"batch_size": 64, "clip": 5.0},
)
def series_vae(settings: SettingsOf[SeriesModel, ObjectiveSettings], data: DataInfo) -> Built:
    """A VAE of time series, ragged and with gaps: convolutions, GRU or transformer; log p is given the length."""
    m, o = settings.model, settings.objective
    if PRIORS[m.prior].facts.get("of_posterior"):
        raise UserError(f"the prior '{m.prior}' needs whole pseudo-inputs, and series have gaps and ends; use another")
    channels, steps = data.shape
    how = {"width": m.width, "layers": m.layers, "heads": m.heads}
    encoder, decoder = series_nets(m.net, (channels, steps), m.latent, **how)  # type: ignore[arg-type]
    encoder.drop = m.drop
    q, p = posterior(m, encoder), OfSeries(likelihood(m, data, net=decoder), data.facts)
    if p.wants == "counts":
        p.start_from(torch.tensor(data.facts["mean"]))
    return Built.of(VAE(q, prior(m, data, q), p), negative_elbo(o.beta, o.free_bits, o.free_per, o.k))
