"""Figures of studies: numbers against a setting or by variant, with intervals over seeds and every seed's own value."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vaekit.errors import UserError
from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MARKERS = "osD^vPX"


@dataclass(frozen=True)
class Spot:
    """A mean over seeds at `x`, half its interval (None of a single seed), and each seed's value."""

    x: Any
    mean: float
    half: float | None
    each: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """One number of a study: its name, its unit, and its spots by line (a group of points)."""

    title: str
    unit: str
    lines: Mapping[str, Sequence[Spot]]


def number_of(value: Any) -> float | None:
    """The number that a setting's value is, a share ("25%") in percent; None of any other value.

    >>> number_of(4), number_of("25%"), number_of("mlp"), number_of(True)
    (4.0, 25.0, None, None)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and not value.endswith("%"):
        return None
    try:
        return float(value.removesuffix("%") if isinstance(value, str) else value)
    except (TypeError, ValueError):
        return None


def along(panels: Sequence[Panel], axis: str) -> Figure:
    """Numbers along a numeric setting: means joined by lines, intervals over seeds as bars, each seed as a dot.

    The axis is logarithmic where its values are positive and span a factor of 10 or more.

    >>> fig = along([Panel("kl", "nats", {"": [Spot(1, 5.0, 0.2, [4.9, 5.1]), Spot(4, 2.0, 0.1, [2.0, 2.1])]})], "β")
    >>> fig.axes[0].get_xlabel()
    'β'
    """
    fig, axes = _panels(panels)
    for ax, panel in zip(axes, panels, strict=True):
        style.dress(ax, _wrapped(panel.title), axis, panel.unit)
        xs = sorted({spot.x for line in panel.lines.values() for spot in line})
        for colour, (name, line) in zip(style.colours(len(panel.lines)), panel.lines.items()):
            bars = [spot.half or 0.0 for spot in line]
            options: dict[str, Any] = {"color": colour, "capsize": 3, "linewidth": 1.6, "marker": "o", "markersize": 4}
            ax.errorbar([s.x for s in line], [s.mean for s in line], bars, label=style.plain(name), **options)
            for spot in line:
                ax.scatter([spot.x] * len(spot.each), spot.each, s=9, color=colour, alpha=0.45, zorder=3)
        if xs and xs[0] > 0 and xs[-1] >= 10 * xs[0]:
            ax.set_xscale("log")
            ax.minorticks_off()
        if len(xs) <= 8:
            ax.set_xticks(xs, [f"{x:g}" for x in xs])
    _legend(axes, panels)
    return fig


def by_name(panels: Sequence[Panel]) -> Figure:
    """Numbers of variants: a row a variant, its mean with the interval over seeds, each seed as a dot.

    >>> spots = [Spot("VAE", 5.0, 0.2, [4.9, 5.1]), Spot("AE", 2.0, None, [2.0])]
    >>> [text.get_text() for text in by_name([Panel("mse", "", {"": spots})]).axes[0].get_yticklabels()]
    ['VAE', 'AE']
    """
    names = list(dict.fromkeys(spot.x for panel in panels for line in panel.lines.values() for spot in line))
    fig, axes = _panels(panels, height=0.9 + 0.34 * len(names))
    for ax, panel in zip(axes, panels, strict=True):
        style.dress(ax, _wrapped(panel.title), panel.unit, "", "x")
        count = len(panel.lines)
        places = [spot.x for line in panel.lines.values() for spot in line]
        beside = len(set(places)) < len(places)
        for i, (colour, (name, line)) in enumerate(zip(style.colours(count), panel.lines.items())):
            off = 0.5 * (i / (count - 1) - 0.5) if beside else 0.0
            at = [names.index(spot.x) + off for spot in line]
            bars = [spot.half or 0.0 for spot in line]
            options: dict[str, Any] = {
                "color": colour,
                "capsize": 3,
                "linestyle": "none",
                "marker": "o",
                "markersize": 5,
            }
            ax.errorbar([spot.mean for spot in line], at, xerr=bars, label=style.plain(name), **options)
            for y, spot in zip(at, line, strict=True):
                ax.scatter(spot.each, [y] * len(spot.each), s=9, color=colour, alpha=0.45, zorder=3)
        ax.set_yticks(range(len(names)), [style.plain(style.short(str(name))) for name in names])
        ax.set_ylim(len(names) - 0.4, -0.6)
    _legend(axes, panels)
    return fig


def plane(points: Mapping[str, tuple[Spot, Spot]], x: str, y: str) -> Figure:
    """Points in the plane of two numbers: means with both intervals over seeds, named beside the plane.

    >>> plane({"β = 1": (Spot(0, 5.0, 0.2, []), Spot(0, -80.0, 1.0, []))}, "rate", "log p(x|z)").axes[0].get_xlabel()
    'rate'
    """
    if not points:
        raise UserError("there is no point to draw")
    fig = style.figure(8.6, max(4.4, 0.8 + 0.24 * len(points)))
    ax = style.dress(fig.add_subplot(), "", x, y)
    for i, (colour, (name, (a, b))) in enumerate(zip(style.colours(len(points)), points.items())):
        options: dict[str, Any] = {"color": colour, "capsize": 3, "marker": MARKERS[i % len(MARKERS)], "markersize": 6}
        label = style.plain("\n".join(textwrap.wrap(name, 26)))
        ax.errorbar(a.mean, b.mean, b.half or 0.0, a.half or 0.0, label=label, linestyle="none", **options)
    style.legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.margins(0.08)
    return fig


def _wrapped(title: str) -> str:
    return "\n".join(textwrap.wrap(title, 36))


def _panels(panels: Sequence[Panel], height: float = 3.0) -> tuple[Figure, list[Axes]]:
    if not panels:
        raise UserError("there is no number to draw")
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    fig = style.figure(4.6 * columns if columns > 1 else 6.4, height * rows)
    return fig, style.panels(fig, len(panels), columns)


def _legend(axes: Sequence[Axes], panels: Sequence[Panel]) -> None:
    """A legend in the first panel, and in each whose lines are others than those of the one before."""
    before: list[str] = []
    for ax, panel in zip(axes, panels, strict=True):
        names = list(panel.lines)
        if len(names) > 1 and names != before:
            style.legend(ax)
        before = names
