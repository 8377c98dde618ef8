"""Piano rolls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST, COLUMNS = 8, 2
_END, _REST, _HOLD, _FIRST_PITCH = 2, 4, 5, 6
_LOWEST = 21
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def rolls(x: Any, facts: Mapping[str, Any]) -> Figure:
    """Draw rows of tokens (N, T) as piano rolls, a colour a voice; `facts` are the data set's (`voices`, `steps`).

    >>> import numpy as np
    >>> len(rolls(np.array([[45, 5, 47, 4, 2]]), {"voices": 1, "steps": 4}).axes)
    1
    """
    rows = x.tolist()[:MOST]
    columns = min(COLUMNS, len(rows))
    fig = style.figure(style.WIDTH, 1.75 * -(-len(rows) // columns) + 0.3)
    for ax, row in zip(style.panels(fig, len(rows), columns), rows):
        _roll(ax, row, facts)
    return fig


def _roll(ax: Axes, row: Sequence[int], facts: Mapping[str, Any]) -> None:
    voices, steps = int(facts["voices"]), int(facts["steps"])
    row = row[: row.index(_END)] if _END in row else row
    style.dress(ax, grid="y")
    pitches = []
    for voice in range(voices):
        for start, length, pitch in _notes(row[voice::voices]):
            ax.broken_barh([(start + 0.08, length - 0.16)], (pitch - 0.4, 0.8), color=style.PALETTE[voice])
            pitches.append(pitch)
    pitches = pitches or [60]
    low, high = min(pitches) - 2, max(pitches) + 2
    ax.set_ylim(low, high)
    ax.set_xlim(0, max(len(row) // voices, 1))
    for bar in range(0, len(row) // voices + 1, steps):
        ax.axvline(bar, color=style.MUTED, linewidth=0.6, zorder=0)
    octaves = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    ends = [end for end in (min(pitches), max(pitches)) if all(abs(end - c) > 3 for c in octaves)]
    ticks = sorted({*octaves, *ends})
    ax.set_yticks(ticks, [f"{_NAMES[pitch % 12]}{pitch // 12 - 1}" for pitch in ticks])
    ax.set_xticks([])


def _notes(voice: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (step, length in steps, pitch) of a voice's tokens; what is no word holds on."""
    start, pitch = 0, 0
    for step, token in enumerate([*voice, _REST]):
        if token < _REST or token == _HOLD:
            continue
        if pitch:
            yield start, step - start, pitch
        start, pitch = step, token - _FIRST_PITCH + _LOWEST if token >= _FIRST_PITCH else 0
