"""Variants whose rate or reconstruction is asked for, by a weight that is learned or by the posterior's family."""

from __future__ import annotations

from pydantic import Field

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.objectives.constraints import constrained
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.basic import vae
from vaekit.recipes.parts import flat_vae
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, Settings, SettingsOf
from vaekit.schedules import ScheduleSetting


class RateSettings(ObjectiveSettings):
    """The rate that is aimed at."""

    rate: ScheduleSetting = Field(default=10.0, description="KL that is aimed at, nats/example: β is found on the way")


class GecoSettings(ObjectiveSettings):
    """The reconstruction that is asked for."""

    distortion: float | str | None = Field(
        default=None,
        description="-E[log p(x|z)] that is asked for, nats/example or a schedule; by default 0.3 a data dimension",
    )


@recipe("rate-vae", reference="Alemi et al. 2018, arXiv:1711.00464; Rezende & Viola 2018, arXiv:1810.00597")
def rate_vae(settings: SettingsOf[ModelSettings, RateSettings], data: DataInfo) -> Built:
    """A VAE at a rate that is asked for: β is a multiplier, learned until the KL is the target."""
    o = settings.objective
    return Built.of(flat_vae(settings, data), constrained("rate", o.rate, o.k))


@recipe("geco-vae", reference="Rezende & Viola 2018, arXiv:1810.00597")
def geco_vae(settings: SettingsOf[ModelSettings, GecoSettings], data: DataInfo) -> Built:
    """GECO: the least rate at a reconstruction that is asked for, whose weight is a multiplier that is learned."""
    o = settings.objective
    distortion = 0.3 * data.dimensions if o.distortion is None else o.distortion
    return Built.of(flat_vae(settings, data), constrained("reconstruction", distortion, o.k))


@recipe("delta-vae", reference="Razavi et al. 2019, arXiv:1901.03416", model={"posterior": "committed-normal"})
def delta_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose posterior is committed to a rate: it cannot come nearer to the prior, whatever the decoder."""
    if settings.model.prior != "standard-normal":
        raise UserError("the rate that 'delta-vae' commits to is one from N(0, I): set model.prior=standard-normal")
    return vae(settings, data)
