"""From settings and data to parts: what the recipes have in common."""

from __future__ import annotations

from inspect import signature
from typing import Any, TypeVar

import torch

from vaekit.data.conditions import Conditions
from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.models.base import Model
from vaekit.models.vae import VAE
from vaekit.nets.base import Net
from vaekit.nets.build import NETS, Network
from vaekit.nets.build import network as make_network
from vaekit.nets.mlp import Shape, mlp
from vaekit.nets.stream import EveryResolution
from vaekit.objectives.base import Objective
from vaekit.posteriors.base import POSTERIORS, Posterior
from vaekit.priors.base import PRIORS, Prior
from vaekit.recipes.base import Built
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, SettingsOf
from vaekit.training.stages import Stage, TraceMethod

N = TypeVar("N", Net, EveryResolution)
BY_KIND = {
    "binary": "bernoulli",
    "levels": "bernoulli",
    "unit": "continuous-bernoulli",
    "counts": "negative-binomial",
    "real": "gaussian",
    "tokens": "tokens",
    "table": "mixed",
    "graph": "edges",
    "views": "views",
}

SMALL = 16 * 16
"""Pixels of a small image."""

LIMITS = {"binary": (0.0, 1.0), "unit": (0.0, 1.0), "levels": (0.0, 1.0), "counts": (0.0, float("inf"))}
"""Between which values data of a kind lie."""


def likelihood_name(settings: ModelSettings, data: DataInfo) -> str:
    """Return the likelihood's name; "auto" goes by what the data are.

    Grey images are binarised and get a Bernoulli (small ones what the recipe says), colour images a discretised
    logistic, real values a Gaussian.
    """
    if settings.likelihood != "auto":
        return settings.likelihood
    if data.kind == "levels" and (not data.is_image or data.shape[0] > 1):
        return "discretised-logistic"
    if data.kind == "levels" and data.dimensions <= SMALL:
        return settings.small_greys
    return BY_KIND[data.facts["values"] if data.kind == "series" else data.kind]


def network(m: ModelSettings) -> Network:
    """Return the kind of network that the settings name; it makes encoders and decoders."""
    return make_network(m.net, **m.options(NETS[m.net]))


def encoder(m: ModelSettings, data: DataInfo, out_shape: Shape, context: int = 0) -> Net:
    """Return the settings' network from data to features."""
    return of_data(network(m).encoder(data.shape, out_shape, context), data)


def of_data(net: N, data: DataInfo) -> N:
    """Return a network whose input are the data: it centres those that are not standardised."""
    if data.deviation and not data.standardised:
        net.centre.on(data.mean, data.deviation, data.shape)
    return net


def posterior(m: ModelSettings, net: Net) -> Posterior:
    """Return q(z|x) of the chosen family around a network."""
    entry = POSTERIORS[m.posterior]
    part: Any = entry.part
    return part(net, **m.options(entry))


def prior(m: ModelSettings, data: DataInfo, q: Posterior, labelled: bool = False) -> Prior:
    """Return p(z), or p(z|y) where the recipe says its data are `labelled`, for latents as the posterior has them."""
    entry = PRIORS[m.prior]
    part: Any = entry.part
    if entry.facts.get("of_posterior"):
        if q.takes_label:
            raise UserError(f"the prior '{entry.name}' has no labels to give a posterior q(z|x, y); choose another")
        return part(q, data.shape, limits=LIMITS.get(data.kind), **m.options(entry))
    if next(iter(signature(part).parameters)) == "net":
        if not labelled:
            raise UserError(f"the prior '{entry.name}' is conditional, and this recipe gives it no label")
        hidden = m.options(NETS[m.net]).get("hidden") or (64,)
        return part(mlp(Conditions.of(data).width, q.latent_shape, hidden, act=m.act), **m.options(entry))
    return part(q.latent_shape, **m.options(entry))


def likelihood(
    m: ModelSettings, data: DataInfo, context: int = 0, latent: Shape | None = None, net: Net | None = None
) -> Likelihood:
    """Return p(x|z) of the chosen family; `latent` is the shape of z if it is not (model.latent,).

    `net` is the network to put under it, where it is not the settings' decoder. Of real data it is in their own units.
    """
    entry = LIKELIHOODS[likelihood_name(m, data)]
    given = m.options(entry)
    if entry.facts.get("needs_levels"):
        if data.levels is None:
            raise UserError(f"the likelihood '{entry.name}' needs quantised data; {data.name} has real values")
        given["levels"] = data.levels
    part: Any = entry.part
    z = m.latent if latent is None else latent
    made = part(network(m).decoder(z, data.shape, context) if net is None else net, **given)
    if data.deviation:
        made.in_units(data.deviation, data.shape, data.standardised)
    return made


def flat_vae(settings: SettingsOf[ModelSettings, ObjectiveSettings], data: DataInfo, context: int = 0) -> VAE:
    """Return the flat model with the parts that the settings name."""
    m = settings.model
    q = posterior(m, encoder(m, data, m.latent, context))
    return VAE(q, prior(m, data, q, context > 0), likelihood(m, data, context, q.latent_shape))


def checked(model: Model, objective: Objective, data: DataInfo, trace: TraceMethod | None = None) -> Built:
    """Return the model with its one stage, after one trace of two blank examples through both.

    Combinations that an objective refuses are so refused before anything is written. `trace` is a method of the model
    that makes the stage's traces of the data, where its own would be relaxed.
    """
    y = torch.zeros(2, dtype=torch.long) if model.takes_label else None
    stage = Stage(objective, trace=trace, bounded=None if trace is None else True)
    with torch.no_grad():
        objective(stage.tracer(model.eval())(torch.zeros(2, *data.shape), y, k=2))
    return Built(model.train(), (stage,))


def label_count(data: DataInfo, name: str) -> int:
    """Return the number of classes; a data set whose labels are no classes is a UserError."""
    if data.n_classes:
        return data.n_classes
    if data.condition:
        raise UserError(
            f"the recipe '{name}' needs a class for each example, and the labels of {data.name} are "
            f"{Conditions.of(data)}; give class labels, or train cvae"
        )
    raise UserError(f"the recipe '{name}' needs labels, and {data.name} has none; use labelled data")


def condition(data: DataInfo, name: str) -> Conditions:
    """Return what a conditional model is given beside x; a data set without labels is a UserError."""
    found = Conditions.of(data)
    if not len(found):
        raise UserError(
            f"the recipe '{name}' needs labels, and {data.name} has none; use labelled data: (x, y) with y classes, "
            "numbers or attributes, or name columns of a table, data.label=status,amount"
        )
    return found
