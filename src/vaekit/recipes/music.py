"""The variant for music."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.likelihoods.tokens import Tokens
from vaekit.models.vae import VAE
from vaekit.nets.conductor import ConductorDecoder
from vaekit.objectives.elbo import negative_elbo
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.sequences import SequenceSettings, token_vae
from vaekit.recipes.settings import ObjectiveSettings, SettingsOf


class MusicModel(SequenceSettings):
    """Networks over music."""

    decoder: Literal["conductor", "flat"] = Field(
        default="conductor", description="'conductor' goes from bar to bar over a decoder of each; 'flat' has one level"
    )
    conductor: PositiveInt = Field(default=128, description="units of the conductor")


def conducted(flat: VAE, m: MusicModel, data: DataInfo) -> VAE:
    """Return the model with its decoder replaced by one in two levels."""
    net = ConductorDecoder(
        (data.shape[0], data.levels or 0),
        m.latent,
        bar=data.facts["bar"],
        width=m.width,
        embedding=m.embedding,
        conductor=m.conductor,
        dropout=m.dropout,
        word_dropout=m.word_dropout,
    )
    return VAE(flat.posterior, flat.prior, Tokens(net))


@recipe(
    "music-vae",
    headline=("iw_bound", "note_f1", "frame_accuracy", "active_units"),
    reference="Roberts et al. 2018, arXiv:1803.05428",
    takes="music",
    model={"latent": 64, "embedding": 64, "dropout": 0.1, "word_dropout": 0.0},
    objective={"beta": "linear 0 0.2 30%", "free_bits": 0.05},
    train={"batch_size": 128, "lr": 2e-3, "clip": 5.0},
    data={"transpose": 3},
)
def music_vae(settings: SettingsOf[MusicModel, ObjectiveSettings], data: DataInfo) -> Built:
    """A VAE of some bars of music, decoded in two levels: a conductor over bars, and each bar's notes under it."""
    m, o = settings.model, settings.objective
    flat = token_vae(m, data)
    model = flat if m.decoder == "flat" else conducted(flat, m, data)
    return Built.of(model, negative_elbo(o.beta, o.free_bits, o.free_per, o.k))
