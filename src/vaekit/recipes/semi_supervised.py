"""Variants that learn from a few labels and many examples without."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.likelihoods.base import Likelihood
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.composed import Stacked
from vaekit.models.semisupervised import SemiSupervised
from vaekit.nets.base import Net
from vaekit.nets.mlp import mlp
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import negative_elbo
from vaekit.objectives.semisupervised import Classification, HiddenLabels, ShownLabels
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import encoder, flat_vae, label_count, likelihood, network
from vaekit.recipes.settings import ModelSettings, ObjectiveSettings, SettingsOf
from vaekit.schedules import ScheduleSetting
from vaekit.training.labelled_source import LabelledSource
from vaekit.training.stages import Stage


class LabelledSettings(ModelSettings):
    """Settings of M2 and M1 + M2."""

    # Binarised, 8 × 8 digits leave M1's codes 4.5 nats: with all labels shown an SVC on them is right for 83%, on those
    # of the greys for 99%.
    small_greys: ClassVar[str] = "gaussian"

    labelled: PositiveInt = Field(default=100, description="training labels that are shown, as many of each class")
    latent: PositiveInt = Field(default=50, description="latent dimensions, of M1 and of M2")
    stack: bool = Field(default=True, description="M1 + M2: a VAE first, then M2 on its latents; false: M2 on the data")
    trunk: PositiveInt = Field(default=256, description="features of x that q(z|x,y) starts from")


class LabelledObjectiveSettings(ObjectiveSettings):
    """Settings of M2's objective."""

    alpha: ScheduleSetting = Field(
        default=1.0, description="weight of the classifier's own loss; the paper's α over the number of examples"
    )
    shown: float | None = Field(
        default=0.3,
        ge=0,
        description="weight of L, the bound where labels are shown; null: their share of the data, as in the paper, "
        "which with few labels takes long to tie the label to the decoder",
    )


def m2(m: LabelledSettings, encoder: Callable[[int], Net], classes: int, px: Likelihood) -> SemiSupervised:
    """Return M2, `encoder` making its networks of the data."""
    q = DiagonalNormal(mlp(m.trunk, m.latent, (m.trunk,), context=classes, act=m.act))
    trunk, classifier = encoder(m.trunk), encoder(classes)
    return SemiSupervised(trunk, classifier, q, StandardNormal(m.latent), px, classes)


@recipe(
    "semi-supervised-vae",
    headline=("accuracy", "elbo", "iw_bound", "active_units", "mse"),
    reference="Kingma et al. 2014, arXiv:1406.5298",
    needs_labels=True,
)
def semi_supervised_vae(settings: SettingsOf[LabelledSettings, LabelledObjectiveSettings], data: DataInfo) -> Built:
    """M1 + M2: the label is a latent, seen for a few examples and summed over for the rest (M2: model.stack=false)."""
    m, o, classes = settings.model, settings.objective, label_count(data, "semi-supervised-vae")
    share = m.labelled / data.n_train if o.shown is None else o.shown
    objective = Objective(HiddenLabels(), ShownLabels(share), Classification(o.alpha))
    source = partial(LabelledSource.of, n=m.labelled)
    if not m.stack:
        model = m2(m, lambda width: encoder(m, data, width), classes, likelihood(m, data, classes))
        return Built(model, (Stage(objective),), source)
    first, codes = flat_vae(settings, data), (m.latent,)
    px = Gaussian(mlp(m.latent, codes, (256, 256), context=classes, act=m.act), scale="dimension")
    model = Stacked(first, m2(m, lambda width: network(m).encoder(codes, width), classes, px))
    one = Stage(negative_elbo(o.beta), "m1", ("first",), Stacked.trace_first)
    return Built(model, (one, Stage(objective, "m2", ("second",), Stacked.trace_second)), source)
