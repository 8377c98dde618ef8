"""Variants of the posterior: flows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.basic import vae
from vaekit.recipes.settings import ModelSettings, Settings


class FlowSettings(ModelSettings):
    """A model whose posterior, or prior, is a flow."""

    flow: Literal["planar", "iaf", "nsf"] = Field(default="iaf", description="kind of the posterior's flow")
    transforms: PositiveInt = Field(default=4, description="steps of the posterior's flow")
    prior_flow: Literal["realnvp", "nsf"] = Field(default="realnvp", description="kind of flow under model.prior=flow")
    prior_transforms: PositiveInt = Field(default=6, description="steps of the prior's flow under model.prior=flow")


@recipe(
    "flow-vae",
    reference="Rezende & Mohamed 2015, arXiv:1505.05770; Kingma et al. 2016, arXiv:1606.04934",
    model_settings=FlowSettings,
    model={"posterior": "flow"},
)
def flow_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose posterior is a normal bent by planar, inverse autoregressive or spline steps."""
    return vae(settings, data)
