"""Variants whose examples come in sets: inference learned across tasks."""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.models.sets import SetVAE
from vaekit.nets.base import Widths
from vaekit.nets.mlp import mlp
from vaekit.nets.pool import AttentionPool
from vaekit.objectives.elbo import negative_elbo
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import ConditionalNormal
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.hierarchical import LayeredSettings
from vaekit.recipes.parts import encoder, label_count, likelihood
from vaekit.recipes.settings import ObjectiveSettings, SettingsOf
from vaekit.training.set_source import SetSource
from vaekit.training.stages import Stage


class SetSettings(LayeredSettings):
    """A context shared by a set, and a latent for each of its members."""

    latent: PositiveInt = Field(default=16, description="dimensions of each member's own latent z")
    context: PositiveInt = Field(default=16, description="dimensions of the context c that a set's members share")
    members: PositiveInt = Field(default=10, description="members of a set while training: 1 to this many")
    turns: bool = Field(
        default=False, description="turn and mirror each set's square pictures together: eight classes of every class"
    )
    trunk: PositiveInt = Field(default=256, description="features of an example that both posteriors start from")
    heads: PositiveInt = Field(default=4, description="learned queries of the attention that pools a set")
    between: Widths = Field(default=(256,), description="hidden widths of q(z|x,c) and p(z|c)")


class SetObjective(ObjectiveSettings):
    """What is minimised, free bits being a latent's."""

    free_per: Literal["dimension", "latent"] = Field(default="latent", description="what the free bits belong to")


@recipe(
    "set-vae",
    headline=("elbo", "iw_bound", "few_shot_accuracy", "few_shot_log_px", "active_units"),
    reference="Edwards & Storkey 2017, arXiv:1606.02185; attention pooling: Lee et al. 2019, arXiv:1810.00825",
    needs_labels=True,
)
def set_vae(settings: SettingsOf[SetSettings, SetObjective], data: DataInfo) -> Built:
    """The neural statistician: sets of one class share a context, inferred from any number of its examples."""
    m, o = settings.model, settings.objective
    label_count(data, "set-vae")
    context = DiagonalNormal(AttentionPool(m.trunk, m.context, m.heads, act=m.act))
    q = DiagonalNormal(mlp(m.trunk, m.latent, m.between, context=m.context, act=m.act))
    p = ConditionalNormal(mlp(m.context, m.latent, m.between, act=m.act))
    px = likelihood(m, data, latent=m.context + m.latent)
    model = SetVAE(encoder(m, data, m.trunk), context, q, p, px)
    stage = Stage(negative_elbo(o.beta, o.free_bits, o.free_per, o.k), trace=SetVAE.trace_members, bounded=True)
    return Built(model, (stage,), partial(SetSource.of, most=m.members, turns=m.turns))
