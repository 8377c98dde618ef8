"""Metrics of tables: log-probability and imputation of hidden cells, beside filling in each column's mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vaekit import bounds
from vaekit.distributions.mixed import CHOICE, Layout
from vaekit.inference import batches, joined
from vaekit.metrics.base import Result, Subject, mean_of, metric, once, refuses
from vaekit.metrics.likelihood import weight_facts

HIDDEN = 0.2
"""The share of observed cells that are hidden to judge by."""
MAX_ROWS = 2**17
"""Decoder rows (examples times samples) at once."""
CELL = "nats a cell"
REFERENCE = "Mattei & Frellsen 2019, arXiv:1812.02633"


@dataclass(frozen=True)
class Hidden:
    """Cells that were hidden, (N, C): log p of their values given the rest of their row, and the values imputed.

    `weights` says how far the importance weights of the rows can be trusted: `weight_facts`.
    """

    cells: Tensor
    log_p: Tensor
    imputed: Tensor
    weights: Mapping[str, Any]


def hide(x: Tensor, seed: int, share: float = HIDDEN) -> Tensor:
    """Return which observed cells are hidden: the same for the same shape and seed, whatever is missing elsewhere.

    >>> bool(hide(torch.tensor([[torch.nan] * 50]), 0).any())
    False
    """
    draws = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    return (draws < share) & ~torch.isnan(x)


@once
def predicted(subject: Subject) -> Hidden:
    """Hide cells and predict them by the model.

    With normalised importance weights w̃ of the cells that stay, log p(x_j | rest) ≈ log Σ_k w̃_k p(x_j|z_k), and the
    imputed value is decided from Σ_k w̃_k E[x_j|z_k] (for levels, the likeliest).

    Raises:
        NotALikelihood: the model bounds no log p(x).
    """
    cells = hide(subject.x, subject.seed)
    # Where a cell is missing is no cell to be predicted: it is known beside one that is hidden.
    cells[:, [bool(column.get("gap_of")) for column in subject.info.facts["columns"]]] = False
    parts: list[tuple[Tensor, ...]] = []
    k = min(subject.k, MAX_ROWS)
    both = torch.stack([torch.where(cells, torch.nan, subject.x), subject.x], 1)
    progress = subject.progress_of("hidden cells")
    for pair, y in batches(subject.model, both, subject.y, size=max(1, MAX_ROWS // k), progress=progress):
        kept, whole = pair.unbind(1)
        trace = subject.model.trace(kept, y, k=k, hard=True)
        bounds.require(trace)
        px: Any = trace.px
        log_w = trace.log_w.log_softmax(0).unsqueeze(-1)
        log_p = torch.logsumexp(log_w + px.log_prob_elements(whole), 0)
        imputed = px.decide((log_w.exp() * px.expectation).sum(0))
        parts.append((log_p, imputed, bounds.effective_samples(trace.log_w), bounds.tail_shape(trace.log_w)))
    log_p, imputed, ess, shape = (joined(list(part)) for part in zip(*parts))
    return Hidden(cells, log_p, imputed, weight_facts(ess, shape))


@metric(
    "imputation",
    group="tables",
    gives={
        "cell_nll": ("−log p of a hidden cell given its row's other observed cells", False),
        "impute_rmse": ("root mean square error of imputed numbers, in the column's standard deviations", False),
        "impute_rmse_mean": ("the same, filling in each column's training mean", False),
        "impute_accuracy": ("share of imputed levels that are right", True),
        "impute_accuracy_mode": ("the same, filling in each column's commonest level", True),
    },
    needs=("table",),
    reference=REFERENCE,
)
@refuses("cell_nll", unit=CELL)
def imputation(subject: Subject) -> dict[str, Result]:
    """A fifth of the observed cells, hidden with the seed: their nats, and how well they are imputed."""
    hidden, columns = predicted(subject), subject.info.facts["columns"]
    choice = torch.tensor([column["type"] in CHOICE for column in columns])
    centre, scale = torch.tensor([_centre(column) for column in columns]), _scale(columns)
    out = {"cell_nll": over_cells(-hidden.log_p, hidden.cells, CELL, k=subject.k, **hidden.weights)}
    numbers, levels = hidden.cells & ~choice, hidden.cells & choice
    if bool(numbers.any()):
        values = in_units(subject.x, columns)
        out["impute_rmse"] = root_over_cells((in_units(hidden.imputed, columns) - values) / scale, numbers, k=subject.k)
        out["impute_rmse_mean"] = root_over_cells((centre - values) / scale, numbers)
    if bool(levels.any()):
        out["impute_accuracy"] = over_cells((hidden.imputed == subject.x).double(), levels, "of 1", k=subject.k)
        out["impute_accuracy_mode"] = over_cells((centre == subject.x).double(), levels, "of 1")
    return out


@metric(
    "columns",
    group="columns",
    gives={
        "column_nll": ("−log p of a column's hidden cells given the rest of their rows, in the column's units", False),
        "column_rmse": ("root mean square error of a column's imputed numbers, in its standard deviations", False),
        "column_accuracy": ("share of a column's imputed levels that are right", True),
    },
    needs=("table",),
    reference=REFERENCE,
    slow=True,
)
@refuses("column_nll", unit=CELL)
def columns(subject: Subject) -> dict[str, Result]:
    """The same for each column by itself: compare models by a column, never columns with each other."""
    hidden, every = predicted(subject), subject.info.facts["columns"]
    errors = (in_units(hidden.imputed, every) - in_units(subject.x, every)) / _scale(every)
    out: dict[str, Result] = {}
    for j, column in enumerate(every):
        cells, name = hidden.cells[:, j], column["name"]
        if not bool(cells.any()):
            continue
        out[f"column_nll.{name}"] = mean_of(-hidden.log_p[:, j][cells], CELL, k=subject.k, **hidden.weights)
        if column["type"] in CHOICE:
            right = (hidden.imputed == subject.x)[:, j][cells]
            out[f"column_accuracy.{name}"] = mean_of(right.double(), "of 1", k=subject.k)
        else:
            out[f"column_rmse.{name}"] = root_over_cells(errors[:, j : j + 1], cells.unsqueeze(1), k=subject.k)
    return out


def in_units(x: Tensor, columns: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return stored rows (N, C) with scores as values in standard deviations (of the logarithm where positive)."""
    layout = Layout.of(columns)
    if layout.curves is None:
        return x
    places = list(layout.curved)
    mean, sd = (torch.tensor([float(columns[j][name]) for j in places]) for name in ("mean", "sd"))
    out = x.clone()
    out[:, places] = ((layout.curves.value(x[:, places]) - mean) / sd).to(x)
    return out


def _scale(columns: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the training standard deviation of each column as stored, (C,)."""
    return torch.tensor([float(column["sd"]) if _is_plain_count(column) else 1.0 for column in columns])


def _centre(column: Mapping[str, Any]) -> float:
    """Return the training mean or commonest level of a column as stored."""
    if column["type"] in CHOICE:
        return float(max(range(len(column["probs"])), key=column["probs"].__getitem__))
    return float(column["mean"]) if _is_plain_count(column) else 0.0


def _is_plain_count(column: Mapping[str, Any]) -> bool:
    return column["type"] == "count" and not column.get("curve")


def over_cells(values: Tensor, cells: Tensor, unit: str, **facts: Any) -> Result:
    """Return the mean over chosen cells (N, C). Rows are independent: stderr √Σ_i (Σ_j v_ij - mean)² / cells."""
    mean = values[cells].double().mean()
    off = torch.where(cells, values.double() - mean, 0.0).sum(1)
    n = int(cells.sum())
    stderr = float(off.square().sum().sqrt()) / n if int(cells.any(1).sum()) > 1 else None
    return Result(float(mean), unit, n, stderr, facts=facts)


def root_over_cells(errors: Tensor, cells: Tensor, **facts: Any) -> Result:
    """Return the root mean square over chosen cells (N, C); its standard error by the delta method."""
    square = over_cells(errors.square(), cells, "standard deviations", **facts)
    root = float(square.value or 0.0) ** 0.5
    stderr = None if square.stderr is None else square.stderr / max(2 * root, 1e-12)
    return Result(root, square.unit, square.n, stderr, facts=facts)
