"""Tables as pictures: what a column's values are in the data and in samples, and how columns go together in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, BINS, LEVELS = 3, 24, 8
MOST, MOST_CORRELATED = 18, 20
"""Columns that are drawn."""


@dataclass(frozen=True)
class Column:
    """A column: its name and type, its values in the data and in samples (NaN is missing), and its levels if any.

    Dates are days since 1970.
    """

    name: str
    kind: str
    real: np.ndarray
    made: np.ndarray
    levels: Sequence[str] = ()


def marginals(columns: Sequence[Column]) -> Figure:
    """Draw each column's values in the data (filled) and in samples (a line), with type and missing share.

    Numbers are histograms between their 1st and 99th percentile, levels are bars: ordered ones in their order, else the
    commonest first.
    """
    shown = columns[:MOST]
    rows = -(-len(shown) // COLUMNS)
    fig = style.figure(style.WIDTH, 2.1 * rows + 0.7, "Each column: the data (filled) and samples (line)")
    for ax, column in zip(style.panels(fig, len(shown), min(COLUMNS, len(shown))), shown):
        style.dress(ax, column.name, grid="y", small=not column.levels)
        _bars(ax, column) if column.levels else _histogram(ax, column)
        ax.set_title(style.plain(style.short(column.name)), loc="left", fontsize=style.LABEL, fontweight="bold", pad=18)
        at = {"xycoords": "axes fraction", "xytext": (0, 5), "textcoords": "offset points"}
        ax.annotate(style.plain(_about(column)), (0, 1), fontsize=style.TICK - 1, color=style.MUTED, **at)
        ax.set_yticks([])
    return fig


def _about(column: Column) -> str:
    gaps = [float(np.isnan(values).mean()) if len(values) else 0.0 for values in (column.real, column.made)]
    return column.kind + (f", missing {gaps[0]:.0%}, {gaps[1]:.0%} in samples" if any(gaps) else "")


def _histogram(ax: Axes, column: Column) -> None:
    real, made = (values[np.isfinite(values)] for values in (column.real, column.made))
    if not len(real):
        return
    low, high = np.percentile(real, [1, 99])
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    for values, filled in ((real, True), (made, False)):
        if len(values):
            counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
            look = {"color": style.BLUE, "alpha": 0.45} if filled else {"color": style.RED, "linewidth": 1.6}
            ax.stairs(counts, edges, fill=filled, **look)
    if column.kind == "date":
        _date_ticks(ax)


def _date_ticks(ax: Axes) -> None:
    """Write numbers of days as dates: Matplotlib counts them from 1970 too."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=5)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    ax.xaxis.get_offset_text().set_fontsize(style.TICK - 1)


def _bars(ax: Axes, column: Column) -> None:
    real, made = (
        np.bincount(values[np.isfinite(values)].astype(int), minlength=len(column.levels))
        for values in (column.real, column.made)
    )
    ordered = column.kind == "ordinal" and len(column.levels) <= LEVELS
    order = list(range(len(column.levels))) if ordered else np.argsort(-real, kind="stable")[:LEVELS].tolist()
    places = np.arange(len(order))
    ax.bar(places, real[order] / max(real.sum(), 1), 0.8, color=style.BLUE, alpha=0.45)
    for place, share in zip(places, made[order] / max(made.sum(), 1)):
        ax.plot([place - 0.4, place + 0.4], [share, share], color=style.RED, linewidth=1.8)
    names = [style.plain(style.short(str(column.levels[i]), 10)) for i in order]
    turned: dict[str, Any] = {"rotation": 25, "ha": "right"} if max(map(len, names)) * len(names) > 28 else {}
    ax.set_xticks(places, names, fontsize=style.TICK - 1.5, **turned)


def rank_correlations(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return Spearman's rank correlations (C, C) of columns, over the rows where both are known; NaN where none is.

    >>> rank_correlations([np.array([1.0, 2, 3, 4]), np.array([1.0, 4, 9, np.nan])]).round(3).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    out = np.eye(len(columns))
    for i in range(len(columns)):
        for j in range(i):
            known = np.isfinite(columns[i]) & np.isfinite(columns[j])
            a, b = _ranks(columns[i][known]), _ranks(columns[j][known])
            spread = a.std() * b.std() if len(a) > 1 else 0.0
            out[i, j] = out[j, i] = ((a - a.mean()) * (b - b.mean())).mean() / spread if spread > 0 else np.nan
    return out


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks, the mean rank for equal values."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def correlations(columns: Sequence[Column]) -> Figure | None:
    """Draw rank correlations between columns of numbers and ordered levels: data, samples, and their difference."""
    ranked = [column for column in columns if column.kind == "ordinal" or len(column.levels) <= 2]
    shown = ranked[:MOST_CORRELATED]
    if len(shown) < 2:
        return None
    real, made = (rank_correlations(part) for part in ([c.real for c in shown], [c.made for c in shown]))
    fig = style.figure(style.WIDTH, 3.9, "Rank correlations between columns")
    axes = style.panels(fig, 3, 3)
    drawn = None
    for ax, matrix, title in zip(axes, (real, made, made - real), ("data", "samples", "samples − data")):
        style.dress(ax, title, grid=None)
        drawn = ax.imshow(matrix, cmap=style.DIVERGING, vmin=-1, vmax=1)
        names = [style.plain(style.short(column.name, 12)) for column in shown]
        ax.set_xticks(range(len(shown)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
        ax.set_yticks(range(len(shown)), names if ax is axes[0] else [], fontsize=7)
    style.colour_bar(fig, drawn, axes, "Spearman's ρ")
    return fig
