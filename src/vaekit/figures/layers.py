"""KL by stochastic layer: which layers of a hierarchy are used, and since when."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.errors import UserError
from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_WRITTEN = 24
_LEAST = 0.1  # nats an axis spans: what is left of a dead layer is not blown up
_DIFFERENT = "the runs have different layers ({} and {}); draw runs of one depth together"

Layers = Mapping[str, float]
History = Mapping[str, Sequence[Sequence[float]]]


def kl_layers(
    runs: Mapping[str, Layers],
    stderr: Mapping[str, Layers] | None = None,
    history: Mapping[str, History] | None = None,
    title: str | None = None,
) -> Figure:
    """KL(q ‖ p) of each stochastic layer, nats an example: bars beside one another over runs, lines over training.

    Args:
        runs: run name → layer name → nats, the top layer first; all runs have the same layers. A rate estimated from
            samples may come out slightly negative; it is drawn as it is.
        stderr: standard errors of the same, drawn as whiskers.
        history: run name → layer name → (steps, nats), a panel below the bars for each run that has one.

    >>> fig = kl_layers({"chain": {"z2": 0.0, "z1": 20.0}, "ladder": {"z2": 6.0, "z1": 15.0}})
    >>> [[float(b.get_height()) for b in bars] for bars in fig.axes[0].containers]
    [[0.0, 20.0], [6.0, 15.0]]
    """
    if not runs or not all(runs.values()):
        raise UserError("there are no layers to draw; give at least one run with the KL of its layers")
    names = list(next(iter(runs.values())))
    for layers in runs.values():
        if list(layers) != names:
            raise UserError(_DIFFERENT.format(", ".join(names), ", ".join(layers)))
    shown = {run: lines for run, lines in (history or {}).items() if lines}
    fig = style.figure(height=3.6 + (2.7 * math.ceil(len(shown) / 2) if shown else 0.0))
    rows = 1 + math.ceil(len(shown) / 2)
    columns = min(2, len(shown)) or 1
    spec = fig.add_gridspec(rows, columns, height_ratios=[1.3] + [1.0] * (rows - 1))
    _bars(fig.add_subplot(spec[0, :]), names, runs, stderr or {})
    for i, (run, lines) in enumerate(shown.items()):
        _lines(fig.add_subplot(spec[1 + i // columns, i % columns]), run, names, lines)
    style.heading(fig, title)
    return fig


def _bars(ax: Axes, names: Sequence[str], runs: Mapping[str, Layers], stderr: Mapping[str, Layers]) -> None:
    place, width = np.arange(len(names)), 0.82 / len(runs)
    written = len(names) * len(runs) <= _MOST_WRITTEN
    for i, ((run, layers), colour) in enumerate(zip(runs.items(), style.colours(len(runs)), strict=True)):
        heights = style.array([layers[n] for n in names], f"runs[{run}]", 1)
        at = place + (i - (len(runs) - 1) / 2) * width
        errors = [stderr[run][n] for n in names] if run in stderr else None
        whiskers: dict[str, Any] = {"ecolor": style.INK, "capsize": 2, "error_kw": {"linewidth": 0.9}}
        bars = ax.bar(at, heights, width * 0.94, yerr=errors, color=colour, label=style.plain(run), **whiskers)
        if written:
            ax.bar_label(bars, [_number(v) for v in heights], fontsize=style.TICK - 1, color=style.INK, padding=2)
    totals = " · ".join(f"{sum(layers.values()):.1f}" for layers in runs.values())
    style.dress(ax, f"KL by layer, in all {totals} nats", "layer, the top first", "KL (nats an example)", "y")
    style.ticks(ax.xaxis, place, [style.plain(n) for n in names])
    ax.set_xlim(-0.6, max(len(names) - 0.4, 1.6))
    ax.margins(y=0.12)
    ax.set_ylim(top=max(ax.get_ylim()[1], _LEAST))
    if len(runs) > 1:
        style.legend(ax)


def _number(value: float) -> str:
    """The value as it is written on its bar: three digits, and no more than three places.

    >>> _number(12.345), _number(0.0312), _number(0.0001)
    ('12.3', '0.031', '0')
    """
    return f"{value:.3g}" if abs(value) >= 1 else f"{round(value, 3) + 0.0:g}"


def _lines(ax: Axes, run: str, names: Sequence[str], lines: History) -> None:
    for name, colour in zip(names, style.colours(len(names)), strict=True):
        if name in lines:
            steps, nats = lines[name]
            ax.plot(steps, nats, color=colour, linewidth=1.3, label=style.plain(name))
    style.dress(ax, f"{run}, while training" if run else "While training", "step", "KL (nats an example)")
    low, high = ax.get_ylim()
    ax.set_ylim(min(0.0, low), max(high, _LEAST))
    if len(names) <= 12:
        style.legend(ax, ncols=1 + len(names) // 7)
