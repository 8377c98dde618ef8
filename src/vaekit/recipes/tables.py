"""The recipes for tables: mixed columns with missing cells, of themselves or given some columns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vaekit.data.info import DataInfo
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.likelihoods.mixed import Mixed
from vaekit.models.conditioned import ConditionedVAE
from vaekit.models.vae import VAE
from vaekit.nets.base import Activation, Widths
from vaekit.nets.mlp import MLP, mlp
from vaekit.nets.table import TableMLP
from vaekit.objectives.base import Objective
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.recipes.base import Built, recipe
from vaekit.recipes.parts import condition, posterior, prior
from vaekit.recipes.settings import DROP_CONDITION, Choice, ModelSettings, ObjectiveSettings, SettingsOf


class TableModelSettings(ModelSettings):
    """The parts, and what only tables have."""

    latent: int = Field(default=10, ge=1, description="latent dimensions")
    hidden: Widths | None = Field(default=(128, 128), description="hidden widths of the encoder; the decoder mirrors")
    act: Activation = Field(default="relu", description="activation")
    likelihood: Annotated[str, Choice(LIKELIHOODS, ("mixed",), only=True)] = Field(
        default="auto", description="mixed: one family a column, by its type"
    )
    mask: bool = Field(default=True, description="tell the encoder which cells are observed")
    drop: float = Field(
        default=0.0, ge=0, lt=1, description="share of observed cells hidden from the encoder in training"
    )


class TableObjectiveSettings(ObjectiveSettings):
    """What is minimised."""

    k: int = Field(default=20, ge=1, description="importance samples an example")
    gradient: Literal["plain", "stl", "dreg"] = Field(
        default="plain", description="estimator of the encoder's gradient"
    )


@recipe(
    "tabular-vae",
    headline=("iw_bound", "impute_rmse", "impute_rmse_mean", "impute_accuracy", "impute_accuracy_mode"),
    reference="Mattei & Frellsen 2019, arXiv:1812.02633; Nazábal et al. 2020, arXiv:1807.03653",
    takes="tables",
    train={"batch_size": 64, "lr": 1e-3, "warmup": 0, "decay": "none"},
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
    train={"batch_size": 64, "lr": 1e-3, "warmup": 0, "decay": "none"},
)
def tabular_cvae(settings: SettingsOf[ConditionedTableSettings, TableObjectiveSettings], data: DataInfo) -> Built:
    """A VAE of table rows given some of their columns (data.label=status,amount), by which samples are asked for."""
    m, o, y = settings.model, settings.objective, condition(data, "tabular-cvae")
    flat = table_vae(m, data, y.width)
    model = ConditionedVAE(flat.posterior, flat.prior, flat.likelihood, y.widths, m.drop_condition, y.missing)
    return Built.of(model, Objective(ImportanceWeighted(o.k, gradient=o.gradient)))


def table_vae(model: TableModelSettings, data: DataInfo, context: int = 0) -> VAE:
    """Return the flat model between a table's encoder and its mixed likelihood, both given `context` numbers more."""
    columns = data.facts["columns"]
    hidden = model.hidden or ()
    net = TableMLP(columns, model.latent, hidden, context=context, act=model.act, mask=model.mask, drop=model.drop)
    q = posterior(model, net)

    def decoder(outputs: int) -> MLP:
        return mlp(q.latent_shape, outputs, hidden[::-1], context=context, act=model.act, skip=model.skip)

    p = Mixed(decoder, columns=columns, **model.options(LIKELIHOODS["mixed"]))
    return VAE(q, prior(model, data, q, context > 0), p)
