"""Time series as lines, with bands of what is likely and dots for what was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.errors import UserError
from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4
MOST_SIDE = 5
"""Series side by side, of those whose channels have panels of their own."""
MOST_CHANNELS = 6
"""Channels drawn of each series."""
DOTTED = 80
"""Observed steps up to which they are drawn as dots, beyond as a thin line."""


def curves(
    x: Any, facts: Mapping[str, Any], *, sd: Any = None, observed: Any = None, titles: Sequence[str] = ()
) -> Figure:
    """Draw series (N, C, T), a panel each, NaN and infinite values left out; a line for each channel.

    Channels of different scales, which one axis would flatten, have a row of panels each; then five series are drawn.

    `sd` (N, C, T): a band of two standard deviations about the line. `observed` (N, C, T): values beside it, as dots
    (or a thin line, of long series). `facts`: `channels`, the names, and `rate`, steps a second or None.

    >>> fig = curves(np.zeros((3, 2, 20)), {"channels": ["x", "y"], "rate": None}, sd=np.ones((3, 2, 20)))
    >>> len(fig.axes), len(fig.axes[0].lines)
    (3, 2)
    """
    values = _series(x)
    band, seen = (None if part is None else _series(part) for part in (sd, observed))
    if scales_differ(values if seen is None else seen):
        return _by_channel(values[:MOST_SIDE], facts, band, seen, titles)
    fig, axes = _panels(len(values))
    for i, ax in enumerate(axes):
        for c in range(min(values.shape[1], MOST_CHANNELS)):
            name = facts["channels"][c] if i == 0 and values.shape[1] > 1 else None
            _line(ax, values[i, c], facts, style.PALETTE[c], None if band is None else band[i, c], name)
            if seen is not None:
                _dots(ax, seen[i, c], facts, style.PALETTE[c])
        _dress(ax, i, len(values), facts, titles[i] if titles else "")
    count = values.shape[1]
    if count > 1:
        title = f"{MOST_CHANNELS} of {count} channels" if count > MOST_CHANNELS else None
        how = {"ncols": MOST_CHANNELS, "fontsize": style.TICK, "title_fontsize": style.TICK, "frameon": False}
        fig.legend(loc="outside upper left", title=title, alignment="left", **how)
    return fig


def scales_differ(values: np.ndarray) -> bool:
    """Return whether some channel of series (N, C, T) would fill less than a fifth of an axis that all channels share.

    >>> scales_differ(np.stack([np.arange(9.0), 100 * np.arange(9.0)])[None])
    True
    """
    known = np.where(np.isfinite(values), values, np.nan)
    ends = [(np.nanmin(one), np.nanmax(one)) for one in known.swapaxes(0, 1) if np.isfinite(one).any()][:MOST_CHANNELS]
    spans = [high - low for low, high in ends if high > low]
    if len(spans) < 2:
        return False
    return bool(min(spans) < (max(high for _, high in ends) - min(low for low, _ in ends)) / 5)


def _by_channel(values: np.ndarray, facts: Mapping[str, Any], band: Any, seen: Any, titles: Sequence[str]) -> Figure:
    """Draw a column of panels for each series, a row for each channel, whose panels share their axis."""
    channels = min(values.shape[1], MOST_CHANNELS)
    fig = style.figure(1.75 * len(values) + 0.6, 1.5 * channels + 0.6)
    grid = fig.subplots(channels, len(values), squeeze=False, sharex=True, sharey="row")
    for c in range(channels):
        for i, ax in enumerate(grid[c]):
            _line(ax, values[i, c], facts, style.PALETTE[c], None if band is None else band[i, c])
            if seen is not None:
                _dots(ax, seen[i, c], facts, style.PALETTE[c])
            below = ("s" if facts.get("rate") else "step") if c == channels - 1 else ""
            title = titles[i] if titles and c == 0 else ""
            style.dress(ax, title, below, style.short(facts["channels"][c], 16) if i == 0 else "", "both", small=True)
    return fig


def paths(x: Any, facts: Mapping[str, Any], titles: Sequence[str], values: Any = None) -> Figure:
    """Draw rows of series (R, S, C, T), a panel each: S lines of the first channel from dark to light.

    `values` (S,): what the lines differ in, for the colour bar; without them the steps of a path from 0 to 1.

    >>> paths(np.zeros((2, 9, 1, 20)), {"channels": ["x"], "rate": None}, ["z1", "z2"]).axes[0].get_title(loc="left")
    'z1'
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    rows = np.asarray(x, np.float64)
    steps = np.linspace(0, 1, rows.shape[1]) if values is None else np.asarray(values, np.float64)
    shade = Normalize(float(steps.min()), float(steps.max()))
    fig, axes = _panels(len(rows))
    for i, (ax, row) in enumerate(zip(axes, rows)):
        for value, one in zip(steps, row):
            _line(ax, one[0], facts, colormaps[style.SEQUENTIAL](shade(value)))
        _dress(ax, i, len(rows), facts, titles[i])
    label = "from the first to the second" if values is None else "value of the latent"
    style.colour_bar(fig, ScalarMappable(shade, style.SEQUENTIAL), axes, label)
    return fig


def _series(x: Any) -> np.ndarray:
    values = np.asarray(x, np.float64)
    if values.ndim != 3 or not values.size:
        raise UserError(f"series to draw are (N, C, T), not {values.shape}")
    return values


def _columns(count: int) -> int:
    return 3 if count in (5, 6, 9) else min(COLUMNS, count)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = _columns(count)
    fig = style.figure(2.25 * columns + 0.6, 1.7 * -(-count // columns) + 0.5)
    return fig, list(style.panels(fig, count, columns, shared=True))


def _across(n: int, facts: Mapping[str, Any]) -> np.ndarray:
    return np.arange(n) / (facts.get("rate") or 1.0)


def _line(
    ax: Axes, values: np.ndarray, facts: Mapping[str, Any], colour: Any, sd: np.ndarray | None = None, name: Any = None
) -> None:
    t, shown = _across(len(values), facts), np.where(np.isfinite(values), values, np.nan)
    ax.plot(t, shown, color=colour, linewidth=1.3, label=name)
    if sd is not None:
        ax.fill_between(t, shown - 2 * sd, shown + 2 * sd, color=colour, alpha=0.22, linewidth=0)


def _dots(ax: Axes, values: np.ndarray, facts: Mapping[str, Any], colour: Any) -> None:
    t, shown = _across(len(values), facts), np.where(np.isfinite(values), values, np.nan)
    if len(values) <= DOTTED:
        ax.plot(t, shown, ".", color=style.INK, markersize=3.2, markerfacecolor=colour, markeredgewidth=0.4)
    else:
        ax.plot(t, shown, color=style.INK, linewidth=0.5, alpha=0.7)


def _dress(ax: Axes, i: int, count: int, facts: Mapping[str, Any], title: str) -> None:
    below = i + _columns(count) >= count
    style.dress(ax, title, ("s" if facts.get("rate") else "step") if below else "", "", "both", small=True)
