"""The variant for examples in several modalities, any of which may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.data.text.tokeniser import Tokeniser
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.discretised_logistic import DiscretisedLogistic
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.likelihoods.mixed import Mixed
from vaekit.likelihoods.scale import ScaleKind
from vaekit.likelihoods.tokens import Tokens
from vaekit.likelihoods.views import Views
from vaekit.models.views import HidingViews, MultimodalVAE
from vaekit.nets.base import Activation, Net
from vaekit.nets.mlp import mlp
from vaekit.nets.recurrent import GRUDecoder, GRUEncoder
from vaekit.nets.table import TableMLP
from vaekit.objectives.agreement import Agreement
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.posteriors.base import POSTERIORS
from vaekit.posteriors.experts import Experts
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.base import PRIORS
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import network, prior
from vaekit.recipes.settings import Choice, ModelSettings, ObjectiveSettings, SettingsOf
from vaekit.views import CELLS, TEXT, View, views_of


class ViewModelSettings(ModelSettings):
    """The parts, and what only several modalities have."""

    posterior: Annotated[str, Choice(POSTERIORS, ("experts",), only=True)] = Field(
        default="experts", description="experts: one for each modality"
    )
    likelihood: Annotated[str, Choice(LIKELIHOODS, ("views",), only=True)] = Field(
        default="auto", description="views: a family for each modality, by its kind"
    )
    act: Activation = Field(default="relu", description="activation")
    scale: PositiveFloat | ScaleKind = Field(
        default="shared", description="σ of sounds and numbers: a number, or how it is learned"
    )
    hide: float = Field(
        default=0.25, ge=0, le=1, description="share of examples that lose modalities in training, each with chance 1/2"
    )
    width: PositiveInt = Field(default=64, description="units of the networks of texts (GRU), and of cells")
    word_dropout: float = Field(
        default=0.25, ge=0, le=1, description="share of tokens hidden from a text's decoder in training"
    )


class ViewObjectiveSettings(ObjectiveSettings):
    """What is minimised."""

    k: PositiveInt = Field(default=3, description="posterior samples an example, shared out among the experts")
    agree: NonNegativeFloat = Field(
        default=0.0, description="weight of the mean KL(q ‖ expert) of the modalities, of model.fusion=product"
    )


@recipe(
    "multimodal-vae",
    headline=("iw_bound", "cross_coherence", "joint_coherence", "conditional_log_p", "active_units"),
    reference="Wu & Goodman 2018, arXiv:1802.05335; Shi et al. 2019, arXiv:1911.03393; Sutter et al. 2021, "
    "arXiv:2105.02470; Hwang et al. 2021, NeurIPS 34",
    takes="views",
    objective={"beta": "linear 0 1 20%"},
    train={"batch_size": 128, "lr": 1e-3, "clip": 100.0, "keep": "best"},
)
def multimodal_vae(settings: SettingsOf[ViewModelSettings, ViewObjectiveSettings], data: DataInfo) -> Built:
    """A VAE of several modalities, any of them missing: products, mixtures, or mixtures of products of experts."""
    m, o = settings.model, settings.objective
    if PRIORS[m.prior].facts.get("of_posterior"):
        raise UserError(f"the prior '{m.prior}' needs whole pseudo-inputs, and modalities may be missing; use another")
    every, facts = views_of(data.facts["views"]), data.facts["views"]
    experts = [DiagonalNormal(view_encoder(m, view, own)) for view, own in zip(every, facts)]
    q = Experts(experts, every, **m.options(POSTERIORS["experts"]))
    p = Views([view_likelihood(m, view, own) for view, own in zip(every, facts)], every)
    model = MultimodalVAE(q, prior(m, data, q), p)
    model.hiding = HidingViews(m.hide, every)
    if o.agree and q.fusion != "product":
        raise UserError("objective.agree is of products of experts; set model.fusion=product")
    terms = [Reconstruction(k=o.k), Rate(o.beta, o.free_bits, o.free_per)]
    return Built.of(model, Objective(*terms, *([Agreement(o.agree)] if o.agree else [])))


def view_encoder(m: ViewModelSettings, view: View, facts: Mapping[str, Any]) -> Net:
    """Return the network from one modality to the latent."""
    if view.kind == CELLS:
        return TableMLP(facts["columns"], m.latent, (m.width, m.width), act=m.act)
    if view.kind == TEXT:
        return GRUEncoder(tokens_of(facts), m.latent, width=m.width, embedding=m.width)
    return network(m).encoder(view.shape, m.latent)


def view_likelihood(m: ViewModelSettings, view: View, facts: Mapping[str, Any]) -> Likelihood:
    """Return p(x_m|z) of one modality, by its kind and in its own units."""
    if view.kind == CELLS:
        wide = (m.width, m.width)
        return Mixed(lambda outputs: mlp(m.latent, outputs, wide, act=m.act), columns=facts["columns"])
    if view.kind == TEXT:
        rows = (view.shape[0], tokens_of(facts))
        net = GRUDecoder(rows, m.latent, width=m.width, embedding=m.width, word_dropout=m.word_dropout)
        return Tokens(net, truncated=facts["truncated"])
    net = network(m).decoder(m.latent, view.shape)
    if view.kind == "picture":
        return Bernoulli(net) if facts["values"] == "binary" else DiscretisedLogistic(net, levels=256)
    made = Gaussian(net, scale=m.scale)
    made.in_units(facts["sd"], view.shape, True)
    return made


def tokens_of(facts: Mapping[str, Any]) -> int:
    """Return how many tokens a text has, the special ones among them."""
    return Tokeniser.from_dict(facts["tokeniser"]).size
