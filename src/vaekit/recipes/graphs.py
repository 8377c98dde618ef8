"""Variants for graphs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.likelihoods.edges import Edges
from vaekit.models.graph import GraphVAE
from vaekit.nets.base import Activation, Widths
from vaekit.nets.graph import GraphNet
from vaekit.objectives.base import Objective
from vaekit.objectives.edges import EdgeReconstruction
from vaekit.objectives.elbo import Rate
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import posterior
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, SettingsOf, one_of
from vaekit.schedules import ScheduleSetting


class GraphModelSettings(ModelSettings):
    """Graph convolutions before, inner products after, and a latent a node between them."""

    latent: PositiveInt = Field(default=16, description="latent dimensions of a node")
    hidden: Widths | None = Field(default=(32,), description="features of the graph convolutions before the last")
    act: Activation = Field(default="relu", description="activation")
    net: Annotated[str, one_of("auto")] = Field(default="auto", description="not used")
    skip: Annotated[bool, one_of(False)] = Field(default=False, description="not used")
    posterior: Annotated[str, one_of("diagonal-normal", "delta")] = Field(
        default="diagonal-normal", description="family of q(z|x)"
    )
    prior: Annotated[str, one_of("standard-normal")] = Field(default="standard-normal", description="family of p(z)")
    likelihood: Annotated[str, one_of("auto", "edges")] = Field(default="auto", description="family of p(x|z): edges")
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


@recipe(
    "graph-vae",
    headline=("auc", "ap", "elbo", "degree_distance", "active_node_units"),
    reference="Kipf & Welling 2016, arXiv:1611.07308",
    takes="graphs",
    train={"epochs": 200, "lr": 1e-2, "warmup": 0, "decay": "none", "batch_size": 32, "validate_every": 10},
)
def graph_vae(settings: SettingsOf[GraphModelSettings, GraphObjectiveSettings], data: DataInfo) -> Built:
    """A latent for each node from graph convolutions, edges from their inner products; posterior delta is the GAE."""
    m, o, links = settings.model, settings.objective, bool(data.facts["links"])
    net = GraphNet(data.facts["inputs"], m.hidden or (), m.latent, act=m.act, dropout=m.dropout)
    auto = () if links else (64, 32)
    hidden = auto if m.decoder == "auto" else () if m.decoder == "inner-product" else m.decoder
    likelihood = Edges(m.latent, tuple(hidden), bias=not links if m.bias is None else m.bias)
    likelihood.start_at(float(data.facts["density"]))
    model = GraphVAE(posterior(m, net), likelihood, dict(data.facts["sizes"]))

    weight = o.pos_weight if o.pos_weight != "auto" else "balanced" if links else 1.0
    if m.posterior == "delta":
        return Built.of(model, Objective(EdgeReconstruction(weight)))
    beta = o.beta if o.beta != "auto" else 1.0 if links else "linear 0 1 50%"
    return Built.of(model, Objective(EdgeReconstruction(weight, o.k), Rate(beta, o.free_bits, "latent")))
