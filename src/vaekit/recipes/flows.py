"""Variants of the posterior: flows."""

from __future__ import annotations

from vaekit.data.info import DataInfo
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.basic import vae
from vaekit.recipes.settings import Settings


@recipe(
    "flow-vae",
    reference="Rezende & Mohamed 2015, arXiv:1505.05770; Kingma et al. 2016, arXiv:1606.04934",
    model={"posterior": "flow"},
)
def flow_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose posterior is a normal bent by planar, inverse autoregressive or spline steps."""
    return vae(settings, data)
