"""Variants with several stochastic layers: bottom-up, the ladder, and the very deep one."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.models.hierarchy import BottomUp
from vaekit.models.topdown import Rung, TopDown, Upward, levels
from vaekit.nets.base import Widths
from vaekit.nets.conv import grids
from vaekit.nets.mlp import mlp
from vaekit.nets.stream import EveryResolution, Grid, StreamHead
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import negative_elbo
from vaekit.objectives.importance import ImportanceWeighted, PathGradient
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import ConditionalNormal
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import encoder, likelihood, of_data
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, SettingsOf, one_of


class LayeredSettings(ModelSettings):
    """Several stochastic layers, normal each."""

    posterior: Annotated[str, one_of("diagonal-normal")] = Field(default="diagonal-normal", description="not used")
    prior: Annotated[str, one_of("standard-normal")] = Field(default="standard-normal", description="not used")


class HierarchySettings(LayeredSettings):
    """A chain of stochastic layers."""

    latent: PositiveInt = Field(default=32, description="dimensions of the bottom latent")
    upper: Widths = Field(default=(16,), description="dimensions of the latents above it, upwards, e.g. 16,8,4")
    between: Widths = Field(default=(256, 256), description="hidden widths of the networks between latents")


class LadderSettings(HierarchySettings):
    """A ladder."""

    norm: Literal["batch", "layer"] = Field(
        default="batch", description="what the ladder's layers are normalised over: the batch (Sønderby et al.), itself"
    )


class HierarchyObjective(ObjectiveSettings):
    """What is minimised, free bits being a group's."""

    free_per: Literal["dimension", "latent"] = Field(default="latent", description="what the free bits belong to")
    bound: Literal["elbo", "importance"] = Field(default="elbo", description="train the ELBO or the bound of k samples")
    gradient: PathGradient = Field(default="plain", description="estimator of that bound's gradient")


class DeepSettings(LayeredSettings):
    """Many groups of latents on maps."""

    net: Annotated[str, one_of("auto")] = Field(default="auto", description="not used")
    skip: Annotated[bool, one_of(False)] = Field(default=False, description="not used")
    latent: PositiveInt = Field(default=4, description="channels of each group of latents")
    groups: Widths = Field(default=(2, 3, 3), description="groups on 1 × 1, then on ever finer grids")
    finest: Literal["auto", "half", "full"] = Field(
        default="auto", description="the finest grid: the image's, or half of it (auto: from 16 pixels a side)"
    )
    width: PositiveInt = Field(default=32, description="channels of the stream")
    middle: PositiveInt = Field(default=16, description="channels inside a block")
    blocks: PositiveInt = Field(default=1, description="residual blocks of the encoder on every grid")


def objective(o: HierarchyObjective) -> Objective:
    """Return the negative ELBO or, where the settings say so, the importance-weighted bound."""
    if o.bound == "importance":
        return Objective(ImportanceWeighted(o.k, gradient=o.gradient))
    if o.gradient != "plain":
        raise UserError(f"objective.gradient={o.gradient} is of the bound of k samples: set objective.bound=importance")
    return negative_elbo(o.beta, o.free_bits, o.free_per, o.k)


@recipe(
    "hierarchical-vae",
    reference="Burda et al. 2016, arXiv:1509.00519; Rezende et al. 2014, arXiv:1401.4082",
    objective={"beta": "linear 0 1 30%"},
)
def hierarchical_vae(settings: SettingsOf[HierarchySettings, HierarchyObjective], data: DataInfo) -> Built:
    """Two or more stochastic layers: inferred bottom-up, generated top-down."""
    m = settings.model
    sizes = (m.latent, *m.upper)
    chain = list(zip(sizes, m.upper))
    posteriors = [
        DiagonalNormal(encoder(m, data, m.latent)),
        *(DiagonalNormal(mlp(a, b, m.between, act=m.act)) for a, b in chain),
    ]
    priors = [ConditionalNormal(mlp(b, a, m.between[::-1], act=m.act)) for a, b in chain]
    return Built.of(BottomUp(posteriors, priors, likelihood(m, data)), objective(settings.objective))


@recipe("ladder-vae", reference="Sønderby et al. 2016, arXiv:1602.02282", objective={"beta": "linear 0 1 30%"})
def ladder_vae(settings: SettingsOf[LadderSettings, HierarchyObjective], data: DataInfo) -> Built:
    """Inference top-down by precision-weighted products with the prior, and a warm-up of the KL."""
    m = settings.model
    if m.norm == "batch" and settings.objective.gradient != "plain":
        raise UserError("objective.gradient is of samples that a batch does not mix: set model.norm=layer")
    chain, width = list(zip((m.latent, *m.upper), m.upper)), m.between[-1]
    more: dict[str, Any] = {"act": m.act, "normalise": m.norm == "batch"}
    up = [encoder(m, data, width), *(mlp(width, width, m.between[:-1], **more) for _ in m.upper)]
    top = Rung(m.upper[-1], width, 0)
    priors = [mlp(b, a, m.between[::-1], **more) for a, b in reversed(chain)]
    rungs = [top, *(Rung(p.out_shape[0], width, i, p) for i, p in enumerate(priors, 1))]
    return Built.of(TopDown(Upward(up, m.act, m.norm), rungs, likelihood(m, data)), objective(settings.objective))


def stream_grids(m: DeepSettings, data: DataInfo) -> list[Grid]:
    """Return the grids of the settings' groups, coarsest (1 × 1) first."""
    if not data.is_image or min(data.shape[1:]) < 4:
        raise UserError(f"the recipe 'very-deep-vae' needs images of at least 4 × 4; {data.name} has {data.shape}")
    half = m.finest == "half" or (m.finest == "auto" and min(data.shape[1:]) >= 16)
    count = len(m.groups) - 1
    most = int(math.log2(min(data.shape[1:]))) - half
    if not 1 <= count <= most:
        raise UserError(f"model.groups has {len(m.groups)} grids; {data.name} takes 2 to {most + 1}, e.g. 2,3")
    finer = grids(data.shape, max(1, count - 1 + half))[int(half) :][:count]
    return [(1, 1), *finer[::-1]]


NORMS = {"clip": 150_000.0, "skip_above": 300_000.0}
"""Child's 200 and 400 for CIFAR-10 are of a loss a dimension; ours is summed, over 784 of them in a 28 × 28 image. With
the paper's numbers themselves two of three steps on 8-bit images were skipped."""


@recipe(
    "very-deep-vae",
    reference="Child 2021, arXiv:2011.10650",
    objective={"beta": "linear 0 1 30%"},
    train={"ema": 0.999, **NORMS},
)
def very_deep_vae(settings: SettingsOf[DeepSettings, HierarchyObjective], data: DataInfo) -> Built:
    """Top-down residual blocks with many groups of latents on several grids, each block owning its p and q."""
    m = settings.model
    sizes = stream_grids(m, data)
    up = of_data(EveryResolution(data.shape, sizes, m.width, m.middle, blocks=m.blocks, act=m.act), data)
    blocks = levels(m.groups, sizes, width=m.width, middle=m.middle, latent=m.latent, act=m.act)
    head = StreamHead((m.width, *sizes[-1]), data.shape, m.act)
    return Built.of(TopDown(up, blocks, likelihood(m, data, net=head)), objective(settings.objective))
