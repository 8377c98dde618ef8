"""Sound as pictures: log-mel spectrograms over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4
DECIBEL = 10 / np.log(10)
SHOWN = 60.0
"""Decibels below the loudest that have a colour of their own."""


def spectrograms(x: Any, facts: Mapping[str, Any], titles: Sequence[str] = ()) -> Figure:
    """Draw log-mel spectrograms (N, 1, mels, frames) in decibels, hertz up, seconds across; `titles` name them."""
    mel = facts["mel"]
    values = np.asarray(x, np.float64).reshape(-1, mel["mels"], mel["frames"]) * facts["sd"] + facts["mean"]
    count, columns = len(values), min(COLUMNS, len(values))
    fig = style.figure(2.1 * columns + 0.7, 1.75 * -(-count // columns) + 0.5)
    axes = style.panels(fig, count, columns, shared=True)
    extent = (0.0, mel["frames"] * mel["hop"] / mel["rate"], 0.0, float(mel["mels"]))
    drawn = None
    for i, (ax, level) in enumerate(zip(axes, values * DECIBEL)):
        level = level - level.max()
        drawn = ax.imshow(level, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-SHOWN, vmax=0)
        style.dress(
            ax,
            titles[i] if titles else "",
            "s" if i + columns >= count else "",
            "Hz" if i % columns == 0 else "",
            None,
            small=bool(titles),
        )
    axes[0].set_yticks(*_ticks(mel))
    style.colour_bar(fig, drawn, axes, "dB below the loudest")
    return fig


def _ticks(mel: Mapping[str, Any]) -> tuple[list[float], list[str]]:
    """Return where a few round frequencies lie among the bands, and their names."""

    def pitch(f: float) -> float:
        return 2595 * np.log10(1 + f / 700)

    low, top = pitch(mel["low"]), pitch(mel["rate"] / 2)
    chosen = [f for f in (250, 1000, 2000, 4000, 8000, 16000) if f <= mel["rate"] / 2]
    return [float((pitch(f) - low) / (top - low) * mel["mels"]) for f in chosen], [f"{f:,}" for f in chosen]
