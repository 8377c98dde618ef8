"""Variants with quantised codes and a prior fitted to them, and the one with an autoregressive decoder of pixels."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field, PositiveInt
from torch import nn

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.models.codes import CodeVAE, TwoLevelCodes
from vaekit.nets.base import Net, Widths
from vaekit.nets.build import NETS
from vaekit.nets.build import network as make_network
from vaekit.nets.conv import grids
from vaekit.nets.resnet import GridNet
from vaekit.objectives.base import Objective
from vaekit.objectives.codes import Cost, quantised
from vaekit.objectives.elbo import Reconstruction
from vaekit.posteriors.base import POSTERIORS
from vaekit.posteriors.quantised import CodePosterior
from vaekit.priors.base import PRIORS, Prior
from vaekit.recipes.base import OF_CODES, Built, recipe
from vaekit.recipes.basic import vae
from vaekit.recipes.parts import encoder, likelihood, of_data, posterior
from vaekit.recipes.settings import Choice, ModelSettings, ObjectiveSettings, Settings, SettingsOf
from vaekit.schedules import ScheduleSetting
from vaekit.training.stages import Stage

ATTENDED = 256
"""Codes up to which attention over all of them is the better prior: digits' 4 × 4 codes took 34.7 nats with it, 42.9
with a PixelCNN, after as many seconds."""


class CodeSettings(ModelSettings):
    """A model with quantised codes on a map."""

    latent: PositiveInt = Field(default=32, description="numbers in the vector of a code")
    posterior: Annotated[str, Choice(POSTERIORS)] = Field(default="vector-quantised", description="the quantiser")
    prior: Annotated[str, Choice(PRIORS, ("causal-transformer", "pixelcnn"))] = Field(
        default="auto", description="prior fitted to the codes; auto: causal-transformer up to 256 codes, else pixelcnn"
    )
    grid: Widths | None = Field(default=None, description="the map of codes, e.g. 7,7; a quarter of the image's sides")
    prior_share: float = Field(default=0.4, gt=0, lt=1, description="share of the run that fits the prior")


class CodeObjective(ObjectiveSettings):
    """What keeps encoder and codebook together."""

    commitment: ScheduleSetting = Field(default=0.25, description="weight of the encoder's distance from its code")


def code_grid(m: CodeSettings, data: DataInfo) -> tuple[int, ...]:
    """Return the shape of the map of codes: a quarter of the image's sides (a half of small ones), or 8 in a row."""
    if m.grid is not None:
        return m.grid
    if not data.is_image or min(data.shape[1:]) < 4:
        return (8,)
    return grids(data.shape, 1 if min(data.shape[1:]) < 16 else 2)[-1]


def code_width(m: CodeSettings) -> int:
    """Return how many numbers the encoder gives for a code: as many as it has levels, where the quantiser rounds."""
    return len(m.options(POSTERIORS[m.posterior]).get("levels", ())) or m.latent


def quantiser(m: CodeSettings, net: Net) -> CodePosterior:
    """Return the quantiser of the settings around a network."""
    if not issubclass(POSTERIORS[m.posterior].part, CodePosterior):
        raise UserError(f"model.posterior={m.posterior} is not a quantiser; use vector-quantised or finite-scalar")
    q = posterior(m, net)
    assert isinstance(q, CodePosterior)
    return q


def code_prior(m: CodeSettings, q: CodePosterior, context: int = 0) -> Prior:
    """Return the prior of the settings for the codes of `q`, given `context` maps."""
    name = m.prior
    if name == "auto":
        name = "pixelcnn" if len(q.code_shape) == 2 and math.prod(q.code_shape) > ATTENDED else "causal-transformer"
    entry = PRIORS[name]
    if not entry.facts.get("of_codes"):
        raise UserError(
            f"model.prior={name} is not a prior of codes; use pixelcnn, causal-transformer or uniform-codes"
        )
    if context and name == "uniform-codes":
        raise UserError("model.prior=uniform-codes takes no context; use causal-transformer or pixelcnn")
    part: Any = entry.part
    more = {"context": context} if context else {}
    return part(q.code_shape, codes=q.codes, **m.options(entry), **more)


def code_objective(m: CodeSettings, commitment: float | str = 0.0) -> Objective:
    """Return the objective of quantiser and decoder; a codebook that is learned is committed to."""
    entry = POSTERIORS[m.posterior]
    return quantised(commitment, codebook=m.options(entry).get("update") == "loss", commits="update" in entry.options)


def code_stages(
    share: float, kind: type[CodeVAE] | type[TwoLevelCodes], prior: nn.Module, objective: Objective, *more: Cost
) -> tuple[Stage, ...]:
    """Return the stages of a model of `kind`: quantiser and decoder, then for a `share` the prior."""
    if not list(prior.parameters()):
        return (Stage(objective, trainable=("posterior", "likelihood")),)
    return (
        Stage(objective, "codes", ("posterior", "likelihood"), kind.trace_uniform, 1 - share, bounded=True),
        Stage(Objective(Reconstruction(), *more), "prior", ("prior",), kind.trace_prior, share),
    )


def code_vae(m: CodeSettings, data: DataInfo, commitment: float | str = 0.0) -> Built:
    """Return the model of one map of codes with its stages."""
    shape = (code_width(m), *code_grid(m, data))
    q = quantiser(m, encoder(m, data, shape))
    prior = code_prior(m, q)
    model = CodeVAE(q, prior, likelihood(m, data, latent=shape))
    return Built(model, code_stages(m.prior_share, CodeVAE, prior, code_objective(m, commitment)))


CODES = {"codes": 128, "prior_layers": 4}
"""Sizes that suit small images."""


@recipe("vq-vae", headline=OF_CODES, reference="van den Oord et al. 2017, arXiv:1711.00937", model=CODES)
def vq_vae(settings: SettingsOf[CodeSettings, CodeObjective], data: DataInfo) -> Built:
    """Codes from a learned codebook on a map, then an autoregressive prior fitted to them; quantisers in a row."""
    return code_vae(settings.model, data, settings.objective.commitment)


@recipe(
    "fsq",
    headline=OF_CODES,
    reference="Mentzer et al. 2023, arXiv:2309.15505",
    model=CODES | {"posterior": "finite-scalar", "levels": (8, 6, 5)},
)
def fsq(settings: SettingsOf[CodeSettings, ObjectiveSettings], data: DataInfo) -> Built:
    """Finite scalar quantisation: codes by rounding a few numbers, then an autoregressive prior fitted to them."""
    return code_vae(settings.model, data)


@recipe("vq-vae-2", headline=OF_CODES, reference="Razavi et al. 2019, arXiv:1906.00446", model=CODES)
def vq_vae_2(settings: SettingsOf[CodeSettings, CodeObjective], data: DataInfo) -> Built:
    """Coarse and fine codes, then a prior of the coarse ones and one of the fine ones given them."""
    m, model = settings.model, two_levels(settings.model, data)
    objective = code_objective(m, settings.objective.commitment)
    return Built(model, code_stages(m.prior_share, TwoLevelCodes, model.prior["top"], objective, Cost("fine")))


def two_levels(m: CodeSettings, data: DataInfo) -> TwoLevelCodes:
    """Return the model of coarse and fine codes."""
    grid, quantisers = code_grid(m, data), m.options(POSTERIORS[m.posterior]).get("quantisers", 1)
    if len(grid) != 2 or min(grid) < 4 or quantisers > 1:
        raise UserError(
            f"the recipe 'vq-vae-2' needs images whose map of codes is at least 4 × 4, and one quantiser a level; not "
            f"{' × '.join(map(str, grid))} and {quantisers}"
        )
    width, d = 2 * m.latent, code_width(m)
    fine, coarse = (grid[0], grid[1]), (-(-grid[0] // 2), -(-grid[1] // 2))
    channels = m.options(NETS[m.net]).get("channels")
    features = of_data(make_network("auto", channels=channels, act=m.act).encoder(data.shape, (width, *fine)), data)
    between = make_network("conv", channels=(width,), act=m.act)
    top = quantiser(m, between.encoder((width, *fine), (d, *coarse)))
    up = between.decoder((d, *coarse), (d, *fine))
    bottom = quantiser(m, GridNet((width + d, *fine), (d, *fine), width=width, act=m.act))
    priors = code_prior(m, top), code_prior(m, bottom, context=d)
    return TwoLevelCodes(features, top, up, bottom, *priors, likelihood(m, data, latent=(2 * d, *fine)))


@recipe(
    "pixel-vae",
    reference="Gulrajani et al. 2017, arXiv:1611.05013",
    model={"likelihood": "pixelcnn"},
    objective={"beta": "linear 0.1 1 25%", "free_bits": 0.1},
)
def pixel_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose decoder draws pixel after pixel, near-sighted, with KL warm-up and free bits against collapse."""
    return vae(settings, data)
