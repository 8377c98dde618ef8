"""Variants whose latents are concepts that cause one another."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field, PositiveInt

from vaekit.data.conditions import Conditions
from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.models.causal import CausalVAE
from vaekit.objectives.base import Objective
from vaekit.objectives.causal import Concepts, MechanismFit
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.causal import CausalPrior
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import condition, encoder, likelihood
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, SettingsOf, one_of
from vaekit.schedules import ScheduleSetting
from vaekit.training.concept_source import some_labelled
from vaekit.training.stages import Stage


class CausalSettings(ModelSettings):
    """Concepts, and what else a picture has."""

    latent: PositiveInt = Field(default=4, description="latent dimensions beside the concepts")
    posterior: Annotated[str, one_of("diagonal-normal")] = Field(default="diagonal-normal", description="not used")
    prior: Annotated[str, one_of("standard-normal")] = Field(default="standard-normal", description="not used")
    labelled: float = Field(
        default=0.1, gt=0, le=1, description="share of the training examples whose concepts are shown"
    )
    edge: float = Field(default=0.1, ge=0, description="what an edge of the graph must be worth, nats an example")
    mechanism: PositiveInt = Field(default=32, description="hidden width of the mechanisms")


class CausalObjective(ObjectiveSettings):
    """What is minimised."""

    alpha: ScheduleSetting = Field(default=10.0, description="weight of -log q(u = y|x) where labels are shown")
    fit: ScheduleSetting = Field(default=1.0, description="weight of the mechanisms' own loss on shown labels")


def concepts(data: DataInfo) -> int:
    """Return how many concepts the labels are; labels that are not all numbers are a UserError."""
    found: Conditions = condition(data, "causal-vae")
    if found.classes or any(width != 2 for width in found.widths):
        raise UserError(f"the recipe 'causal-vae' needs numbers as labels, and those of {data.name} are {found}")
    return len(found)


@recipe(
    "causal-vae",
    headline=("elbo", "iw_bound", "graph_distance", "intervention_error", "mcc"),
    reference="Yang et al. 2021, arXiv:2004.08697; the search: Silander & Myllymäki 2006, arXiv:1206.6875",
    needs_labels=True,
)
def causal_vae(settings: SettingsOf[CausalSettings, CausalObjective], data: DataInfo) -> Built:
    """Concepts with a learned graph and mechanisms, from few labels: interventions and counterfactual pictures."""
    m, o, n = settings.model, settings.objective, concepts(data)
    q = DiagonalNormal(encoder(m, data, n + m.latent))
    model = CausalVAE(q, CausalPrior(n, m.latent, m.mechanism, m.edge, m.act), likelihood(m, data, latent=n + m.latent))
    terms = (Reconstruction(k=o.k), Rate(o.beta, o.free_bits, o.free_per), Concepts(o.alpha), MechanismFit(o.fit))
    stage = Stage(Objective(*terms), trace=CausalVAE.trace_concepts, bounded=True)
    return Built(model, (stage,), partial(some_labelled, share=m.labelled))
