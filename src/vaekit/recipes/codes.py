"""Variants with quantised codes and a prior fitted to them, and the one with an autoregressive decoder of pixels."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.models.codes import CodeVAE, TwoLevelCodes
from vaekit.nets.build import decoder as build_decoder
from vaekit.nets.build import encoder as build_encoder
from vaekit.nets.conv import grids
from vaekit.nets.grid import GridNet
from vaekit.objectives.base import Objective
from vaekit.objectives.codes import Cost, quantised
from vaekit.objectives.elbo import Reconstruction
from vaekit.posteriors.base import POSTERIORS
from vaekit.posteriors.quantised import CodePosterior
from vaekit.priors.base import PRIORS, Prior
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.basic import vae
from vaekit.recipes.parts import likelihood, options
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, ScheduleSetting, Settings, Widths
from vaekit.training.stages import Stage

ATTENDED = 256
"""Codes up to which attention over all of them is the better prior: digits' 4 × 4 codes took 34.7 nats with it, 42.9
with a PixelCNN, after as many seconds."""


class CodeSettings(ModelSettings):
    """A model with quantised codes on a map."""

    latent: PositiveInt = Field(default=32, description="numbers in the vector of a code")
    posterior: str = Field(default="vector-quantised", description="the quantiser")
    prior: str = Field(
        default="auto", description="prior fitted to the codes; auto: causal-transformer up to 256 codes, else pixelcnn"
    )
    codes: PositiveInt = Field(default=128, description="codes of the codebook")
    grid: Widths | None = Field(default=None, description="the map of codes, e.g. 7,7; a quarter of the image's sides")
    quantisers: PositiveInt = Field(default=1, description="quantisers in a row (residual quantisation)")
    update: Literal["ema", "loss"] = Field(default="ema", description="how the codebook learns")
    decay: float = Field(default=0.99, gt=0, lt=1, description="decay of the codebook's moving averages")
    revive: NonNegativeFloat = Field(default=0.1, description="share of 1/K below which a code starts again; 0: never")
    prior_width: PositiveInt = Field(default=64, description="width of the prior's network")
    prior_layers: PositiveInt = Field(default=4, description="its layers")
    prior_radius: PositiveInt = Field(default=1, description="how far a layer of a pixelcnn sees")
    prior_heads: PositiveInt = Field(default=4, description="attention heads of a transformer")
    prior_share: float = Field(default=0.4, gt=0, lt=1, description="share of the run that fits the prior")


class ScalarSettings(CodeSettings):
    """A model with rounded codes."""

    posterior: str = Field(default="finite-scalar", description="the quantiser")
    levels: Widths = Field(default=(8, 6, 5), description="values of each number of a code")


class CodeObjective(ObjectiveSettings):
    """What keeps encoder and codebook together."""

    commitment: ScheduleSetting = Field(default=0.25, description="weight of the encoder's distance from its code")


class PixelSettings(ModelSettings):
    """A model with an autoregressive decoder."""

    likelihood: str = Field(default="pixelcnn", description="family of p(x|z)")
    mixtures: PositiveInt = Field(default=5, description="logistics in each pixel's mixture")
    pixel_width: PositiveInt = Field(default=32, description="width of the pixelcnn")
    pixel_layers: PositiveInt = Field(default=3, description="its layers")
    pixel_radius: PositiveInt = Field(default=1, description="how far a layer sees: the sight is layers × radius")
    pixel_context: PositiveInt = Field(default=8, description="maps that z gives it")


def code_grid(m: CodeSettings, data: DataInfo) -> tuple[int, ...]:
    """Return the shape of the map of codes: a quarter of the image's sides (a half of small ones), or 8 in a row."""
    if m.grid is not None:
        return m.grid
    if not data.is_image or min(data.shape[1:]) < 4:
        return (8,)
    return grids(data.shape, 1 if min(data.shape[1:]) < 16 else 2)[-1]


def quantiser(m: CodeSettings, net: Any) -> CodePosterior:
    """Return the quantiser of the settings around a network."""
    entry = POSTERIORS[m.posterior]
    part: Any = entry.part
    if not issubclass(part, CodePosterior):
        raise UserError(f"model.posterior={m.posterior} is no quantiser; use vector-quantised, or the recipe fsq")
    more: dict[str, Any] = {"levels": m.levels} if isinstance(m, ScalarSettings) else {}
    return part(net, **options(entry, m), **more)


def code_width(m: CodeSettings) -> int:
    """Return how many numbers the encoder gives for a code."""
    return len(m.levels) if isinstance(m, ScalarSettings) else m.latent


def code_prior(m: CodeSettings, q: CodePosterior, context: int = 0) -> Prior:
    """Return the prior of the settings for the codes of `q`, given `context` maps."""
    name = m.prior
    if name == "auto":
        name = "pixelcnn" if len(q.code_shape) == 2 and math.prod(q.code_shape) > ATTENDED else "causal-transformer"
    entry = PRIORS[name]
    if "codes" not in entry.facts.get("options", ()):
        raise UserError(f"model.prior={name} is no prior of codes; use pixelcnn, causal-transformer or uniform-codes")
    if context and name == "uniform-codes":
        raise UserError("model.prior=uniform-codes takes no context; use causal-transformer or pixelcnn")
    part: Any = entry.part
    return part(q.code_shape, **(options(entry, m) | {"codes": q.codes} | ({"context": context} if context else {})))


def code_stages(
    settings: Settings, kind: type[CodeVAE] | type[TwoLevelCodes], prior: Prior, *more: Cost
) -> tuple[Stage, ...]:
    """Return the stages of a model of `kind`: quantiser and decoder against the uniform prior, then the prior."""
    m, o = settings.model, settings.objective
    assert isinstance(m, CodeSettings)
    learned = m.posterior == "vector-quantised"
    weight = o.commitment if isinstance(o, CodeObjective) else 0.0
    objective = quantised(weight, codebook=learned and m.update == "loss", commits=learned)
    if not list(prior.parameters()):
        return (Stage(objective, trainable=("posterior", "likelihood")),)
    return (
        Stage(objective, "codes", ("posterior", "likelihood"), kind.trace_uniform, 1 - m.prior_share, bounded=True),
        Stage(Objective(Reconstruction(), *more), "prior", ("prior",), kind.trace_prior, m.prior_share),
    )


@recipe(
    "vq-vae",
    reference="van den Oord et al. 2017, arXiv:1711.00937",
    model_settings=CodeSettings,
    objective_settings=CodeObjective,
)
def vq_vae(settings: Settings, data: DataInfo) -> Built:
    """Codes from a learned codebook on a map, then an autoregressive prior fitted to them; quantisers in a row."""
    m = settings.model
    assert isinstance(m, CodeSettings)
    shape = (code_width(m), *code_grid(m, data))
    net = build_encoder(m.net, data.shape, shape, hidden=m.hidden, channels=m.channels, act=m.act)
    q = quantiser(m, net)
    prior = code_prior(m, q)
    return Built(CodeVAE(q, prior, likelihood(m, data, latent=shape)), code_stages(settings, CodeVAE, prior))


@recipe("fsq", reference="Mentzer et al. 2023, arXiv:2309.15505", model_settings=ScalarSettings)
def fsq(settings: Settings, data: DataInfo) -> Built:
    """Finite scalar quantisation: codes by rounding a few numbers, then an autoregressive prior fitted to them."""
    return vq_vae(settings, data)


@recipe(
    "vq-vae-2",
    reference="Razavi et al. 2019, arXiv:1906.00446",
    model_settings=CodeSettings,
    objective_settings=CodeObjective,
)
def vq_vae_2(settings: Settings, data: DataInfo) -> Built:
    """Coarse and fine codes, then a prior of the coarse ones and one of the fine ones given them."""
    m = settings.model
    assert isinstance(m, CodeSettings)
    model = two_levels(m, data)
    return Built(model, code_stages(settings, TwoLevelCodes, model.coarse_prior, Cost("fine")))


def two_levels(m: CodeSettings, data: DataInfo) -> TwoLevelCodes:
    """Return the model of coarse and fine codes."""
    grid = code_grid(m, data)
    if len(grid) != 2 or min(grid) < 4 or m.quantisers > 1:
        raise UserError(
            f"the recipe 'vq-vae-2' needs images whose map of codes is at least 4 × 4, and one quantiser a level; not "
            f"{' × '.join(map(str, grid))} and {m.quantisers}"
        )
    width, d = 2 * m.latent, code_width(m)
    fine, coarse = (grid[0], grid[1]), (-(-grid[0] // 2), -(-grid[1] // 2))
    features = build_encoder("auto", data.shape, (width, *fine), channels=m.channels, act=m.act)
    top = quantiser(m, build_encoder("conv", (width, *fine), (d, *coarse), channels=(width,), act=m.act))
    up = build_decoder("conv", (d, *coarse), (d, *fine), channels=(width,), act=m.act)
    bottom = quantiser(m, GridNet((width + d, *fine), (d, *fine), width=width, act=m.act))
    priors = code_prior(m, top), code_prior(m, bottom, context=d)
    return TwoLevelCodes(features, top, up, bottom, *priors, likelihood(m, data, latent=(2 * d, *fine)))


@recipe(
    "pixel-vae",
    reference="Gulrajani et al. 2017, arXiv:1611.05013",
    model_settings=PixelSettings,
    objective={"beta": "linear 0.1 1 25%", "free_bits": 0.1},
)
def pixel_vae(settings: Settings, data: DataInfo) -> Built:
    """A VAE whose decoder draws pixel after pixel, near-sighted, with KL warm-up and free bits against collapse."""
    return vae(settings, data)
