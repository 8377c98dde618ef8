"""Sound as pictures: log-mel spectrograms over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.figures.style import INK, MUTED, TICK, dress, figure, heading, ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4
DECIBEL = 10 / np.log(10)
SHOWN = 60.0
"""Decibels below the loudest that are told apart."""


def spectrograms(x: Any, facts: Mapping[str, Any], titles: Sequence[str] = (), title: str = "") -> Figure:
    """Draw standardised log-mel spectrograms (N, 1, mels, frames) in decibels, bands in hertz, seconds across."""
    mel, plain = facts["mel"], np.asarray(x, np.float64)
    values = plain.reshape(-1, mel["mels"], mel["frames"]) * facts["sd"] + facts["mean"]
    count = len(values)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    fig = figure(2.3 * columns + 0.7, 1.75 * rows + 0.5)
    spec = fig.add_gridspec(rows, columns + 1, width_ratios=[1] * columns + [0.04])
    last = None
    for i in range(count):
        ax = fig.add_subplot(spec[i // columns, i % columns])
        level = values[i] * DECIBEL
        level = np.maximum(level - level.max(), -SHOWN)
        extent = (0.0, mel["frames"] * mel["hop"] / mel["rate"], 0.0, float(mel["mels"]))
        dress(ax, grid="none")
        last = ax.imshow(level, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-SHOWN, vmax=0)
        ticks(ax.yaxis, *_ticks(mel))
        ax.tick_params(labelleft=i % columns == 0, labelbottom=i + columns >= count)
        if i < len(titles):
            ax.set_title(titles[i], fontsize=TICK, color=MUTED, y=1.0)
        if i // columns == rows - 1 or i + columns >= count:
            ax.set_xlabel("s", fontsize=TICK, color=INK)
        if i % columns == 0:
            ax.set_ylabel("Hz", fontsize=TICK, color=INK)
    if last is not None:
        bar = fig.colorbar(last, cax=fig.add_subplot(spec[:, columns]))
        bar.set_label("dB below the loudest", fontsize=TICK, color=INK)
        bar.ax.tick_params(labelsize=TICK)
    heading(fig, title)
    return fig


def _ticks(mel: Mapping[str, Any]) -> tuple[list[float], list[str]]:
    """Return where a few round frequencies lie among the bands, and their names."""

    def pitch(f: float) -> float:
        return 2595 * np.log10(1 + f / 700)

    low, top = pitch(mel["low"]), pitch(mel["rate"] / 2)
    chosen = [f for f in (250, 1000, 2000, 4000, 8000, 16000) if f <= mel["rate"] / 2]
    return [float((pitch(f) - low) / (top - low) * mel["mels"]) for f in chosen], [f"{f:,}" for f in chosen]
