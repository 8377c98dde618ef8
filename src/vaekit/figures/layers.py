"""KL by stochastic layer: which layers of a hierarchy are used, and since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vaekit.errors import UserError
from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_WRITTEN = 24
_LEAST = 0.1  # nats an axis spans: what is left of a dead layer is not blown up


def kl_layers(
    layers: Mapping[str, float],
    stderr: Mapping[str, float] | None = None,
    history: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
) -> Figure:
    """KL(q ‖ p) of each stochastic layer, nats/example: bars, and below them lines over training.

    Args:
        layers: layer name → nats, the top layer first. A rate estimated from samples may come out slightly negative;
            it is drawn as it is.
        stderr: standard errors of the same, drawn as whiskers.
        history: layer name → (steps, nats).

    >>> fig = kl_layers({"z2": 6.0, "z1": 15.0})
    >>> [float(bar.get_height()) for bar in fig.axes[0].patches]
    [6.0, 15.0]
    """
    if not layers:
        raise UserError("there are no layers to draw; give the KL of at least one layer")
    fig = style.figure(height=6.3 if history else 3.6)
    axes = fig.subplots(2, 1, height_ratios=[1.3, 1.0]) if history else [fig.add_subplot()]
    title = f"KL by layer, {sum(layers.values()):.1f} nats in all"
    ax = style.dress(axes[0], title, "layer, the top first", "KL (nats/example)", "y")
    place, nats = range(len(layers)), list(layers.values())
    errors = None if stderr is None else [stderr[name] for name in layers]
    whiskers: dict[str, Any] = {"ecolor": style.INK, "capsize": 2, "error_kw": {"linewidth": 0.9}}
    bars = ax.bar(place, nats, 0.77, yerr=errors, color=style.BLUE, **whiskers)
    if len(layers) <= _MOST_WRITTEN:
        ax.bar_label(bars, [_number(v) for v in nats], fontsize=style.TICK - 1, color=style.INK, padding=2)
    style.name_ticks(ax, list(layers))
    ax.set_xlim(-0.6, max(len(layers) - 0.4, 1.6))
    ax.margins(y=0.12)
    ax.set_ylim(top=max(ax.get_ylim()[1], _LEAST))
    if history:
        ax = style.dress(axes[1], "While training", "step", "KL (nats/example)")
        for (name, (steps, rates)), colour in zip(history.items(), style.colours(len(history)), strict=True):
            ax.plot(steps, rates, color=colour, linewidth=1.3, label=style.plain(name))
        ax.set_ylim(min(0.0, ax.get_ylim()[0]), max(ax.get_ylim()[1], _LEAST))
        if len(history) <= 12:
            style.legend(ax, ncols=1 + len(history) // 7)
    return fig


def _number(value: float) -> str:
    """The value as it is written on its bar: three digits, and no more than three places.

    >>> _number(11.02), _number(0.0312), _number(0.0001)
    ('11.0', '0.031', '0')
    """
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 1 else f"{round(value, 3) + 0.0:g}"
