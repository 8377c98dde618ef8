"""The recipes for tables: mixed columns with missing cells, of themselves or given some columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from vaekit.data.info import DataInfo
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.likelihoods.mixed import Mixed
from vaekit.models.table import ConditionedTableVAE, Hiding, TableVAE
from vaekit.nets.base import Activation, Widths
from vaekit.nets.mlp import MLP, mlp
from vaekit.nets.table import StraightMLP, TableMLP, places, through
from vaekit.objectives.base import Objective
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.posteriors.base import Posterior
from vaekit.priors.base import PRIORS, Prior
from vaekit.priors.chain import AutoregressivePrior
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import condition, posterior, prior
from vaekit.recipes.settings import DROP_CONDITION, Choice, ModelSettings, ObjectiveSettings, SettingsOf

EARLIER: Mapping[str, Mapping[str, Any]] = {
    "model": {"straight": False, "hide": 0.0},
    "data": {"marginals": "moments", "gaps": "ignore"},
    "train": {"least_steps": 2000},
}
TRAIN: Mapping[str, Any] = {"batch_size": 256, "warmup": "2%", "clip": 5.0, "keep": "best", "least_steps": 4000}


class TableModelSettings(ModelSettings):
    """The parts, and what only tables have."""

    latent: PositiveInt | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default=None, description="latent dimensions; default: as many as the columns have places"
    )
    prior: Annotated[str, Choice(PRIORS)] = Field(default="autoregressive", description="family of p(z)")
    hidden: Widths | None = Field(default=(128, 128), description="hidden widths of the encoder; the decoder mirrors")
    act: Activation = Field(default="relu", description="activation")
    likelihood: Annotated[str, Choice(LIKELIHOODS, ("mixed",), only=True)] = Field(
        default="auto", description="mixed: one family a column, by its type"
    )
    mask: bool = Field(default=True, description="tell the encoder which cells are observed")
    drop: float = Field(
        default=0.0, ge=0, lt=1, description="share of observed cells hidden from the encoder in training"
    )
    hide: float = Field(
        default=0.25, ge=0, le=1, description="share of rows that lose cells in training, from none to all of them"
    )
    straight: bool = Field(
        default=True,
        description="a linear path from cells to codes and back, which starts with a place for each column",
    )


class TableObjectiveSettings(ObjectiveSettings):
    """What is minimised."""

    k: int = Field(default=1, ge=1, description="importance samples an example")
    gradient: Literal["plain", "stl", "dreg"] = Field(
        default="plain", description="estimator of the encoder's gradient"
    )


@recipe(
    "tabular-vae",
    headline=("iw_bound", "impute_rmse", "impute_rmse_mean", "impute_accuracy", "impute_accuracy_mode"),
    reference="Mattei & Frellsen 2019, arXiv:1812.02633; Nazábal et al. 2020, arXiv:1807.03653",
    takes="tables",
    earlier=EARLIER,
    train=TRAIN,
)
def tabular_vae(settings: SettingsOf[TableModelSettings, TableObjectiveSettings], data: DataInfo) -> Built:
    """A VAE of table rows, mixed columns with missing cells: the importance-weighted bound on log p(observed cells)."""
    o = settings.objective
    return Built.of(table_vae(settings.model, data), Objective(ImportanceWeighted(o.k, gradient=o.gradient)))


class ConditionedTableSettings(TableModelSettings):
    """The parts, and what only a conditioned model has."""

    drop_condition: float = DROP_CONDITION


@recipe(
    "tabular-cvae",
    headline=("iw_bound", "impute_rmse", "impute_rmse_mean", "impute_accuracy", "impute_accuracy_mode"),
    reference="Sohn et al. 2015; Mattei & Frellsen 2019, arXiv:1812.02633",
    takes="tables",
    needs_labels=True,
    earlier=EARLIER,
    train=TRAIN,
)
def tabular_cvae(settings: SettingsOf[ConditionedTableSettings, TableObjectiveSettings], data: DataInfo) -> Built:
    """A VAE of table rows given some of their columns (data.label=status,amount), by which samples are asked for."""
    m, o, y = settings.model, settings.objective, condition(data, "tabular-cvae")
    flat = table_vae(m, data, y.width)
    model = ConditionedTableVAE(flat.posterior, flat.prior, flat.likelihood, y.widths, m.drop_condition, y.missing)
    model.hiding = flat.hiding
    return Built.of(model, Objective(ImportanceWeighted(o.k, gradient=o.gradient)))


def table_vae(model: TableModelSettings, data: DataInfo, context: int = 0) -> TableVAE:
    """Return the flat model between a table's encoder and its mixed likelihood, both given `context` numbers more."""
    columns = data.facts["columns"]
    hidden = model.hidden or ()
    wanted = places(columns)
    codes = wanted.shape[1] if model.latent is None else model.latent
    net = TableMLP(
        columns,
        codes,
        hidden,
        context=context,
        act=model.act,
        mask=model.mask,
        drop=model.drop,
        straight=model.straight,
    )
    q = posterior(model, net)

    def decoder(outputs: int) -> MLP:
        if model.straight:
            return StraightMLP(q.latent_shape, outputs, hidden[::-1], context=context, act=model.act, skip=model.skip)
        return mlp(q.latent_shape, outputs, hidden[::-1], context=context, act=model.act, skip=model.skip)

    p = Mixed(decoder, columns=columns, **model.options(LIKELIHOODS["mixed"]))
    if model.straight:
        p.follow(columns, through(wanted, codes))
    made = TableVAE(q, table_prior(model, data, q, context), p)
    made.hiding = Hiding(model.hide, [j for j, column in enumerate(columns) if column.get("gap_of")])
    return made


def table_prior(model: TableModelSettings, data: DataInfo, q: Posterior, context: int) -> Prior:
    """Return p(z), or p(z|y) of an autoregressive prior where there is a condition of `context` numbers."""
    entry = PRIORS[model.prior]
    if entry.part is AutoregressivePrior:
        return AutoregressivePrior(q.latent_shape, context=context, **model.options(entry))
    return prior(model, data, q, context > 0)
