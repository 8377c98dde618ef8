"""Variants for graphs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.likelihoods.edges import Edges
from vaekit.models.graph import GraphVAE
from vaekit.nets.graph import GraphNet
from vaekit.objectives.base import Objective
from vaekit.objectives.edges import EdgeReconstruction, negative_graph_elbo
from vaekit.posteriors.base import POSTERIORS
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.hierarchical import own
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, ScheduleSetting, Settings, Widths

FOREIGN = ("channels", "scale", "skip", "net")
"""Settings of other networks, which mean nothing here."""


class GraphModelSettings(ModelSettings):
    """Graph convolutions before, inner products after."""

    latent: PositiveInt = Field(default=16, description="latent dimensions of a node")
    hidden: Widths | None = Field(default=(32,), description="features of the graph convolutions before the last")
    act: Literal["relu", "silu", "gelu", "tanh", "elu"] = Field(default="relu", description="activation")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout between graph convolutions")
    decoder: Widths | Literal["auto", "inner-product"] = Field(
        default="auto",
        description="hidden features before the inner product, or 'inner-product' of the latents themselves; auto: the "
        "latter for the links of one graph, 64,32 for many graphs",
    )
    bias: bool | None = Field(
        default=None, description="learn a constant in the edges' log-odds; default: for many graphs, not for links"
    )


class GraphObjectiveSettings(ObjectiveSettings):
    """What is minimised."""

    beta: Literal["auto"] | ScheduleSetting = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default="auto",
        description="weight of the KL, a number or schedule; auto: 1 for the links of one graph, for many graphs a "
        "warm-up, without which the latents of small graphs collapse",
    )
    pos_weight: PositiveFloat | Literal["auto", "balanced"] = Field(
        default="auto",
        description="weight of the edges in training (never in a bound): a number, or 'balanced' with the pairs not "
        "joined; auto: balanced for the links of one graph, 1 for many graphs",
    )


def graph_model(settings: Settings, data: DataInfo) -> GraphVAE:
    """Return the model that the settings name.

    Raises:
        UserError: a setting, posterior or prior is for other data.
    """
    m = own(settings, GraphModelSettings, *FOREIGN)
    links = bool(data.facts["links"])
    if m.prior != "standard-normal" or m.posterior not in ("diagonal-normal", "delta"):
        raise UserError(
            "a model of graphs has a latent a node: set model.posterior to diagonal-normal or delta, and leave "
            "model.prior at standard-normal"
        )
    if m.likelihood not in ("auto", "edges"):
        raise UserError(f"model.likelihood={m.likelihood} is not of graphs; leave it out, or set it to edges")
    net = GraphNet(data.facts["inputs"], m.hidden or (), m.latent, act=m.act, dropout=m.dropout)
    auto = () if links else (64, 32)
    hidden = auto if m.decoder == "auto" else () if m.decoder == "inner-product" else m.decoder
    entry: Any = POSTERIORS[m.posterior]
    likelihood = Edges(m.latent, tuple(hidden), bias=not links if m.bias is None else m.bias)
    likelihood.start_at(float(data.facts["density"]))
    return GraphVAE(entry.part(net), likelihood, dict(data.facts["sizes"]))


@recipe(
    "graph-vae",
    reference="Kipf & Welling 2016, arXiv:1611.07308",
    takes="graphs",
    model_settings=GraphModelSettings,
    objective_settings=GraphObjectiveSettings,
    train={"epochs": 200, "lr": 1e-2, "warmup": 0, "decay": "none", "batch_size": 32, "validate_every": 10},
)
def graph_vae(settings: Any, data: DataInfo) -> Built:
    """A latent for each node from graph convolutions, edges from their inner products; posterior delta is the GAE."""
    o, links = settings.objective, data.facts["links"]
    weight = o.pos_weight if o.pos_weight != "auto" else "balanced" if links else 1.0
    beta = o.beta if o.beta != "auto" else 1.0 if links else "linear 0 1 50%"
    model = graph_model(settings, data)
    if settings.model.posterior == "delta":
        return Built.of(model, Objective(EdgeReconstruction(weight)))
    return Built.of(model, negative_graph_elbo(weight, beta, o.free_bits, o.k))
