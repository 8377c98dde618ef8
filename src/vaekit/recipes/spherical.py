"""The spherical variant."""

from __future__ import annotations

from vaekit.data.info import DataInfo
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.basic import vae
from vaekit.recipes.settings import Settings


@recipe(
    "spherical-vae",
    reference="Davidson et al. 2018, arXiv:1804.00891",
    model={"posterior": "von-mises-fisher", "prior": "uniform-sphere", "latent": 10},
)
def spherical_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose latents are directions: von Mises-Fisher posteriors and a uniform prior on the sphere."""
    return vae(settings, data)
