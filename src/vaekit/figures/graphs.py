"""Graphs as pictures: nodes and the lines between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.figures.style import BLUE, GREY, MUTED, TICK, bare, figure, heading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4
MOST_SPRUNG = 300
MOST_LINES = 4000


def circle(n: int) -> np.ndarray:
    """Return n places on the unit circle, (n, 2)."""
    angle = 2 * np.pi * np.arange(n) / max(n, 1)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def spring(n: int, edges: np.ndarray, steps: int = 200, seed: int = 0) -> np.ndarray:
    """Return places (n, 2) in [-1, 1] where joined nodes pull and all push: Fruchterman & Reingold 1991.

    >>> spring(3, np.array([[0, 1]])).shape
    (3, 2)
    """
    if n < 3:
        return circle(n)
    place = circle(n) + 0.05 * np.random.default_rng(seed).standard_normal((n, 2))
    a = np.zeros((n, n))
    a[edges[:, 0], edges[:, 1]] = a[edges[:, 1], edges[:, 0]] = 1
    ideal = 2 / np.sqrt(n)
    for heat in np.linspace(0.2, 0.002, steps):
        apart = place[:, None] - place
        far = np.maximum(np.linalg.norm(apart, axis=-1), 1e-3)
        pull = (ideal**2 / far**2 - a * far / ideal)[..., None] * apart
        move = pull.sum(1) - 0.05 * place
        length = np.maximum(np.linalg.norm(move, axis=1, keepdims=True), 1e-9)
        place += move / length * np.minimum(length, heat)
    place -= (place.max(0) + place.min(0)) / 2
    return place / max(np.abs(place).max(), 1e-9)


def graphs(x: Any, facts: Any = None, titles: Sequence[str] = (), limit: int = 12) -> Figure:
    """Draw up to `limit` graphs as nodes and lines, larger ones on a circle with some of their edges."""
    count = min(len(x), limit)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    fig = figure(2.25 * columns, 2.35 * rows)
    for i in range(count):
        ax = bare(fig.add_subplot(rows, columns, i + 1))
        n, edges = int(x.sizes[i]), np.asarray(x[i].edges)
        _draw(ax, n, edges)
        words = titles[i] if i < len(titles) else f"{n:,} nodes, {len(edges):,} edges"
        ax.set_title(words, fontsize=TICK, color=MUTED)
    return fig


def _draw(ax: Any, n: int, edges: np.ndarray) -> None:
    from matplotlib.collections import LineCollection

    shown = edges if len(edges) <= MOST_LINES else edges[np.linspace(0, len(edges) - 1, MOST_LINES).astype(int)]
    place = spring(n, edges) if n <= MOST_SPRUNG else circle(n)
    ax.add_collection(LineCollection(list(place[shown]), colors=GREY, linewidths=0.9 if n <= 60 else 0.2, zorder=1))
    ax.scatter(*place.T, s=max(4.0, 36 - n / 2), color=BLUE, edgecolors="white", linewidths=0.6, zorder=2)
    ax.set_xlim(-1.12, 1.12)
    ax.set_ylim(-1.12, 1.12)
    ax.set_aspect("equal")


def beside(ours: Any, theirs: Any, title: str = "") -> Figure:
    """Draw graphs of the data above as many drawn ones."""
    count = min(len(ours), len(theirs), 5)
    fig = figure(1.9 * count, 4.4)
    for row, (x, word) in enumerate(((theirs, "data"), (ours, "drawn"))):
        for i in range(count):
            ax = bare(fig.add_subplot(2, count, row * count + i + 1))
            edges = np.asarray(x[i].edges)
            _draw(ax, int(x.sizes[i]), edges)
            ax.set_title(f"{word}: {int(x.sizes[i])} nodes, {len(edges)} edges", fontsize=TICK - 1, color=MUTED)
    heading(fig, title)
    return fig
