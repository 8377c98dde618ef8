"""Metrics of time series: reconstruction, and the prediction of hidden steps and of the last ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vaekit import bounds
from vaekit.inference import batches, joined
from vaekit.metrics.base import Result, Subject, metric, refuses
from vaekit.metrics.likelihood import weight_facts
from vaekit.metrics.tables import CELL, REFERENCE, over_cells, root_over_cells

HIDDEN = 0.2
"""The share of observed cells that are hidden; of the steps, where the last ones are."""
LEVEL, DRAWS = 0.9, 200
MOST_CELLS = 2**23
"""Decoded cells (examples times samples) at once."""
SHARE = "of 1"


@dataclass(frozen=True)
class Predicted:
    """Hidden cells (N, C, T): log p of their values given the rest, the mean, and the ends of the central interval.

    `weights` says how far the importance weights of the series can be trusted: `weight_facts`.
    """

    cells: Tensor
    log_p: Tensor
    mean: Tensor
    low: Tensor
    high: Tensor
    weights: Mapping[str, Any] = field(default_factory=dict)


def hidden_cells(x: Tensor, seed: int) -> Tensor:
    """Return which observed cells of (N, C, T) are hidden at random."""
    draws = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    return (draws < HIDDEN) & torch.isfinite(x)


def last_cells(x: Tensor, seed: int) -> Tensor:
    """Return the observed cells of the last steps of each series, a fifth of them; none of a series of one step.

    >>> last_cells(torch.tensor([[[1.0, 2, 3, 4, 5, torch.inf]]]), 0).long().tolist()
    [[[0, 0, 0, 0, 1, 0]]]
    """
    length = (~torch.isinf(x).all(1)).sum(1).view(-1, 1, 1)
    first = (length * (1 - HIDDEN)).floor().clamp(min=1)
    return (torch.arange(x.shape[-1]) >= first) & torch.isfinite(x)


def predict(subject: Subject, choose: Callable[[Tensor, int], Tensor], name: str) -> Predicted:
    """Hide cells and predict them: with importance weights w̃ of those that stay, by Σ_k w̃_k p(x_cell|z_k).

    Raises:
        NotALikelihood: the model bounds no log p(x).
    """
    cells = choose(subject.x, subject.seed)
    both = torch.stack([torch.where(cells, torch.nan, subject.x), subject.x], 1)
    size = max(1, MOST_CELLS // (max(subject.k, DRAWS) * subject.x[0].numel()))
    parts: list[tuple[Tensor, ...]] = []
    for pair, _ in batches(subject.model, both, size=size, progress=subject.progress_of(name)):
        kept, whole = pair.unbind(1)
        trace = subject.model.trace(kept, k=subject.k, hard=True)
        bounds.require(trace)
        px: Any = trace.px
        log_w = trace.log_w.log_softmax(0)
        weights = log_w[..., None, None]
        log_p = torch.logsumexp(weights + px.log_prob_elements(whole), 0)
        mean = (weights.exp() * px.mean).sum(0)
        chosen = torch.multinomial(log_w.exp().T, DRAWS, replacement=True).T
        z = next(iter(trace.latents.values())).z[chosen, torch.arange(len(kept), device=chosen.device)]
        draws = subject.model.decode(z).sample()
        ends = torch.quantile(draws, torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], device=draws.device), 0)
        sizes, shapes = bounds.effective_samples(trace.log_w), bounds.tail_shape(trace.log_w)
        parts.append((log_p, mean, ends[0], ends[1], sizes, shapes))
    *found, ess, shape = (joined(list(part)) for part in zip(*parts))
    return Predicted(cells, *found, weights=weight_facts(ess, shape))


def judged(subject: Subject, found: Predicted, plain: Tensor, name: str, against: str) -> dict[str, Result]:
    """Return the numbers of a prediction; `plain` (N, C, T) is what it is compared with, NaN where it has no value."""
    x, cells = subject.x.flatten(1), found.cells.flatten(1)
    scale = _units(subject).expand(subject.x.shape[1:]).flatten()
    error = torch.where(cells, (found.mean.flatten(1) - x) / scale, 0.0)
    base = torch.where(cells, (plain.flatten(1) - x) / scale, 0.0)
    inside = (x >= found.low.flatten(1)) & (x <= found.high.flatten(1))
    return {
        f"{name}_nll": over_cells(
            torch.where(cells, -found.log_p.flatten(1), 0.0), cells, CELL, k=subject.k, **found.weights
        ),
        f"{name}_rmse": root_over_cells(error, cells, k=subject.k),
        f"{name}_rmse_{against}": root_over_cells(base.nan_to_num(0.0), cells & ~base.isnan()),
        f"{name}_coverage": over_cells(inside.double(), cells, SHARE, k=subject.k),
    }


def _units(subject: Subject) -> Tensor:
    """Return each channel's deviation as the model sees it, (C, 1): 1 where it was standardised."""
    if subject.info.facts["sd"] is not None:
        return torch.ones(subject.x.shape[1], 1)
    spread = [float(one[torch.isfinite(one)].double().std()) or 1.0 for one in subject.x.unbind(1)]
    return torch.tensor(spread).unsqueeze(1)


def interpolated(x: Tensor, cells: Tensor) -> Tensor:
    """Return series with hidden cells on straight lines between the observed ones beside them, level at the ends.

    >>> x = torch.tensor([[[1.0, 9, 3, 9, 9]]])
    >>> interpolated(x, torch.tensor([[[False, True, False, True, True]]])).tolist()
    [[[1.0, 2.0, 3.0, 3.0, 3.0]]]
    """
    seen = torch.isfinite(x) & ~cells
    t = torch.arange(x.shape[-1]).expand(x.shape)
    before = torch.where(seen, t, -1).cummax(-1).values
    after = torch.where(seen, t, x.shape[-1]).flip(-1).cummin(-1).values.flip(-1)
    low, high = torch.where(before < 0, after, before), torch.where(after == x.shape[-1], before, after)
    known = torch.where(seen, x, 0.0)
    none = (low < 0) | (low >= x.shape[-1])
    low, high = low.clamp(0, x.shape[-1] - 1), high.clamp(0, x.shape[-1] - 1)
    a, b = known.gather(-1, low), known.gather(-1, high)
    share = (t - low) / (high - low).clamp(min=1)
    return torch.where(none, torch.nan, a + share * (b - a))


@metric(
    "cell_mse",
    group="series",
    gives={"cell_mse": ("squared error of the deterministic reconstruction a cell, in squared deviations", False)},
    needs=("series",),
)
def cell_mse(subject: Subject) -> dict[str, Result]:
    """The squared error of the reconstruction at the observed cells."""
    made = subject.per_example("cell_mse", subject.model.reconstruct)
    seen = torch.isfinite(subject.x)
    error = torch.where(seen, (made - subject.x) / _units(subject), 0.0).square()
    return {"cell_mse": over_cells(error.flatten(1), seen.flatten(1), "squared standard deviations")}


@metric(
    "gap_prediction",
    group="series",
    gives={
        "gap_nll": ("−log p of a hidden cell given the series' other observed cells", False),
        "gap_rmse": ("root mean square error of hidden cells' predicted means, in the channel's deviations", False),
        "gap_rmse_line": ("the same, for straight lines between the observed neighbours", False),
        "gap_coverage": ("share of hidden cells inside the central 90% of what is predicted; 0.9 is calibrated", None),
    },
    needs=("series",),
    reference=REFERENCE,
)
@refuses("gap_nll", unit=CELL)
def gap_prediction(subject: Subject) -> dict[str, Result]:
    """A fifth of the observed cells, hidden with the seed: their nats, error and coverage."""
    found = predict(subject, hidden_cells, "gaps")
    return judged(subject, found, interpolated(subject.x, found.cells), "gap", "line")


@metric(
    "forecast",
    group="series",
    gives={
        "forecast_nll": ("−log p of a cell of the last steps given those before", False),
        "forecast_rmse": (
            "root mean square error of the last steps' predicted means, in the channel's deviations",
            False,
        ),
        "forecast_rmse_last": ("the same, for the last value before them", False),
        "forecast_coverage": (
            "share of those cells inside the central 90% of what is predicted; 0.9 is calibrated",
            None,
        ),
    },
    needs=("series",),
    reference=REFERENCE,
)
@refuses("forecast_nll", unit=CELL)
def forecast(subject: Subject) -> dict[str, Result]:
    """The last fifth of the steps of each series given the others: their nats, error and coverage."""
    found = predict(subject, last_cells, "forecast")
    return judged(subject, found, interpolated(subject.x, found.cells), "forecast", "last")
