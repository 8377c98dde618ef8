"""The variants whose latent is a state at each step of a series: linear, and recurrent."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.likelihoods.series import OfSeries
from vaekit.models.vae import VAE
from vaekit.nets.series import SeriesDecoder
from vaekit.nets.states import LinearStateDecoder, StateDecoder, StateEncoder
from vaekit.objectives.elbo import negative_elbo
from vaekit.posteriors.base import POSTERIORS
from vaekit.posteriors.states import States
from vaekit.priors.base import PRIORS
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import likelihood, prior
from vaekit.recipes.series import SeriesModel
from vaekit.recipes.settings import Choice, ObjectiveSettings, SettingsOf, one_of

HEADLINE = ("iw_bound", "forecast_rmse", "forecast_coverage", "gap_rmse", "forecast_rmse_last")


class StateModel(SeriesModel):
    """The parts of models of states."""

    latent: PositiveInt = Field(default=4, description="numbers of the state at each step")
    net: Annotated[str, one_of("gru")] = Field(default="gru", description="network of the encoder")
    posterior: Annotated[str, Choice(POSTERIORS, ("states",), only=True)] = Field(
        default="states", description="family of q(z|x): a normal chain"
    )
    layers: PositiveInt = Field(default=1, description="layers of encoder and decoder each")
    drop: float = Field(
        default=0.1, ge=0, lt=1, description="share hidden from the encoder in training: runs of steps, single values"
    )


class LinearStateModel(StateModel):
    """A linear decoder and a linear chain of states."""

    prior: Annotated[str, Choice(PRIORS, ("linear-states",), only=True)] = Field(
        default="linear-states", description="family of p(z): a linear chain"
    )
    likelihood: Annotated[str, Choice(LIKELIHOODS, ("gaussian",), only=True)] = Field(
        default="gaussian", description="family of a cell given its state"
    )


class RecurrentStateModel(StateModel):
    """A recurrent decoder and a recurrent chain of states."""

    prior: Annotated[str, Choice(PRIORS, ("recurrent-states",), only=True)] = Field(
        default="recurrent-states", description="family of p(z): a recurrent chain"
    )


@recipe(
    "state-space-vae",
    headline=HEADLINE,
    reference="Kalman 1960, doi:10.1115/1.3662552; Krishnan et al. 2017, arXiv:1609.09869",
    takes="series",
    model={"scale": "channel"},
    train={"batch_size": 64, "lr": 5e-3, "clip": 5.0, "keep": "best"},
)
def state_space_vae(settings: SettingsOf[LinearStateModel, ObjectiveSettings], data: DataInfo) -> Built:
    """A linear state-space model of series, z_t = A z_t-1 + noise, x_t = C z_t + noise, inferred by a network."""
    m, o = settings.model, settings.objective
    decoder = LinearStateDecoder(m.latent, (data.shape[0], data.shape[1]))
    return Built.of(state_vae(m, data, decoder), negative_elbo(o.beta, o.free_bits, o.free_per, o.k))


@recipe(
    "variational-rnn",
    headline=HEADLINE,
    reference="Chung et al. 2015, arXiv:1506.02216; Krishnan et al. 2017, arXiv:1609.09869",
    takes="series",
    model={"scale": "channel"},
    objective={"beta": "linear 0 1 20%"},
    train={"batch_size": 64, "lr": 2e-3, "clip": 5.0, "keep": "best"},
)
def variational_rnn(settings: SettingsOf[RecurrentStateModel, ObjectiveSettings], data: DataInfo) -> Built:
    """A recurrent model of series with a latent state at each step: filtering, smoothing and forecasts."""
    m, o = settings.model, settings.objective
    decoder = StateDecoder(m.latent, (data.shape[0], data.shape[1]), width=m.width, layers=m.layers)
    return Built.of(state_vae(m, data, decoder), negative_elbo(o.beta, o.free_bits, o.free_per, o.k))


def state_vae(m: StateModel, data: DataInfo, decoder: SeriesDecoder) -> VAE:
    """Return the flat model whose latent are the states z (T, D) of a series."""
    encoder = StateEncoder((data.shape[0], data.shape[1]), m.latent, width=m.width, layers=m.layers)
    encoder.drop = m.drop
    q, p = States(encoder), OfSeries(likelihood(m, data, net=decoder), data.facts)
    if p.wants == "counts":
        p.start_from(torch.tensor(data.facts["mean"]))
    return VAE(q, prior(m, data, q), p)
