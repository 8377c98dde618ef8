"""Variants for sequences of tokens."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.likelihoods.tokens import Tokens
from vaekit.models.vae import VAE
from vaekit.nets.recurrent import GRUDecoder, GRUEncoder
from vaekit.nets.sequence import TokenDecoder, TokenEncoder, TransformerDecoder, TransformerEncoder
from vaekit.objectives.elbo import negative_elbo
from vaekit.priors.base import PRIORS
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import posterior, prior
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, SettingsOf, one_of


class SequenceSettings(ModelSettings):
    """Networks over tokens."""

    latent: PositiveInt = Field(default=32, description="latent dimensions")
    net: Annotated[str, one_of("gru", "transformer")] = Field(
        default="gru", description="networks of encoder and decoder"
    )
    act: Annotated[str, one_of("silu")] = Field(default="silu", description="not used")
    likelihood: Annotated[str, one_of("auto", "tokens")] = Field(default="auto", description="family of p(x|z): tokens")
    width: PositiveInt = Field(default=256, description="units of each layer")
    embedding: PositiveInt = Field(default=128, description="numbers that stand for a token (GRU)")
    layers: PositiveInt = Field(default=1, description="layers of encoder and decoder each")
    heads: PositiveInt = Field(default=4, description="heads of attention (transformer)")
    dropout: NonNegativeFloat = Field(default=0.2, lt=1, description="dropout inside the networks")
    word_dropout: NonNegativeFloat = Field(
        default=0.0, le=1, description="share of tokens hidden from the decoder in training, against collapse"
    )
    skip: bool = Field(default=True, description="feed z to the decoder at every step and layer, against collapse")


def token_encoder(m: SequenceSettings, tokens: int, length: int) -> TokenEncoder:
    """Return the encoder network that the settings name, for rows of up to `length` places."""
    if m.net == "gru":
        return GRUEncoder(tokens, m.latent, width=m.width, embedding=m.embedding, layers=m.layers, dropout=m.dropout)
    return TransformerEncoder(
        tokens, length, m.latent, width=m.width, layers=m.layers, heads=m.heads, dropout=m.dropout
    )


def token_decoder(m: SequenceSettings, tokens: int, length: int) -> TokenDecoder:
    """Return the decoder network that the settings name."""
    more: dict[str, Any] = {"skip": m.skip, "dropout": m.dropout, "word_dropout": m.word_dropout}
    if m.net == "gru":
        return GRUDecoder((length, tokens), m.latent, width=m.width, embedding=m.embedding, layers=m.layers, **more)
    return TransformerDecoder((length, tokens), m.latent, width=m.width, layers=m.layers, heads=m.heads, **more)


def token_vae(m: SequenceSettings, data: DataInfo) -> VAE:
    """Return the flat model of token rows; `data.levels` is the vocabulary's size, `data.shape` (places,).

    Raises:
        UserError: the prior is for other data, or heads do not divide the width.
    """
    if PRIORS[m.prior].facts.get("of_posterior"):
        raise UserError(f"the prior '{m.prior}' needs continuous pseudo-inputs; tokens are discrete; choose another")
    if m.net == "transformer" and m.width % m.heads:
        raise UserError(f"model.width={m.width} cannot be split among model.heads={m.heads}; make it a multiple")
    tokens, (length,) = data.levels or 0, data.shape
    q = posterior(m, token_encoder(m, tokens, length))
    truncated = bool(data.facts.get("truncated", False))
    return VAE(q, prior(m, data, q), Tokens(token_decoder(m, tokens, length), truncated=truncated))


@recipe(
    "sequence-vae",
    headline=("perplexity", "iw_bound", "token_accuracy", "active_units"),
    reference="Bowman et al. 2016, arXiv:1511.06349",
    takes="text",
    objective={"beta": "linear 0 1 30%", "free_bits": 0.2},
    train={"batch_size": 64, "lr": 2e-3, "clip": 5.0},
)
def sequence_vae(settings: SettingsOf[SequenceSettings, ObjectiveSettings], data: DataInfo) -> Built:
    """A VAE of text: GRU or transformer networks, with a warm-up of the KL and free bits."""
    o = settings.objective
    return Built.of(token_vae(settings.model, data), negative_elbo(o.beta, o.free_bits, o.free_per, o.k))
