"""Variants of the prior: mixtures and flows, which stay close to the aggregate posterior."""

from __future__ import annotations

from vaekit.data.info import DataInfo
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.basic import vae
from vaekit.recipes.settings import Settings


@recipe("vamp-vae", reference="Tomczak & Welling 2018, arXiv:1705.07120", model={"prior": "vamp"})
def vamp_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose prior is the mixture of its own posteriors at learned pseudo-inputs."""
    return vae(settings, data)


@recipe("gmm-vae", reference="Jiang et al. 2017, arXiv:1611.05148", model={"prior": "gaussian-mixture"})
def gmm_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose prior is a learned mixture of normals: p(c|z) assigns codes to clusters."""
    return vae(settings, data)
