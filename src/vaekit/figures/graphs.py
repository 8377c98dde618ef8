"""Graphs as pictures: nodes and the lines between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, MOST = 4, 12
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


def graphs(x: Any, facts: Any = None) -> Figure:
    """Draw the first twelve graphs as nodes and lines, larger ones on a circle with some of their edges."""
    count = min(len(x), MOST)
    columns = min(COLUMNS, count)
    fig = style.figure(2.25 * columns, 2.35 * -(-count // columns))
    for i, ax in enumerate(style.panels(fig, count, columns)):
        n, edges = int(x.sizes[i]), np.asarray(x[i].edges)
        _draw(style.bare(ax), n, edges)
        ax.set_title(f"{n:,} nodes, {len(edges):,} edges", fontsize=style.TICK, color=style.MUTED)
    return fig


def part(n: int, edges: np.ndarray, classes: np.ndarray | None = None, names: Any = ()) -> Figure:
    """Draw some nodes of a large graph, those nearest to one with many links, and the links (E, 2) between them.

    `classes` (n,): whole numbers, -1 where missing, by which nodes are coloured; `names` are what they are called.

    >>> len(part(500, np.stack([np.arange(499), np.arange(1, 500)], 1)).axes)
    1
    """
    chosen = near(n, edges)
    place = np.full(n, -1)
    place[chosen] = np.arange(len(chosen))
    within = place[edges[(place[edges] >= 0).all(1)]]
    title = f"{len(chosen):,} of {n:,} nodes, {len(within):,} of {len(edges):,} links"
    fig = style.figure(style.WIDTH * 0.75, style.WIDTH * 0.6, title)
    ax = style.bare(fig.add_subplot())
    _draw(ax, len(chosen), within)
    if classes is not None:
        spots, own = spring(len(chosen), within), np.asarray(classes)[chosen]
        for number in np.unique(own[own >= 0]):
            colour = style.PALETTE[number % len(style.PALETTE)]
            look = {"s": 34.0, "color": colour, "edgecolors": "white", "linewidths": 0.6, "zorder": 3}
            ax.scatter(*spots[own == number].T, label=style.plain(names[number]) if len(names) else None, **look)
        if len(names):
            style.legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0)
    return fig


def near(n: int, edges: np.ndarray, most: int = 60, links: int = 15) -> np.ndarray:
    """Return up to `most` nodes nearest to the one with most links of those that have at most `links`."""
    joined: list[list[int]] = [[] for _ in range(n)]
    for i, j in edges.tolist():
        joined[i].append(j)
        joined[j].append(i)
    counts = np.array([len(one) for one in joined])
    found = [int(np.argmax(np.where(counts <= max(links, counts.min(initial=0)), counts, -1)))]
    known = set(found)
    for node in found:  # grows while it is gone through: breadth first
        for other in joined[node]:
            if other not in known and len(found) < most:
                known.add(other)
                found.append(other)
    return np.array(found)


def _draw(ax: Any, n: int, edges: np.ndarray) -> None:
    from matplotlib.collections import LineCollection

    shown = edges if len(edges) <= MOST_LINES else edges[np.linspace(0, len(edges) - 1, MOST_LINES).astype(int)]
    place = spring(n, edges) if n <= MOST_SPRUNG else circle(n)
    ax.add_collection(
        LineCollection(list(place[shown]), colors=style.GREY, linewidths=0.9 if n <= 60 else 0.2, zorder=1)
    )
    ax.scatter(*place.T, s=max(4.0, 36 - n / 2), color=style.BLUE, edgecolors="white", linewidths=0.6, zorder=2)
    ax.set_xlim(-1.12, 1.12)
    ax.set_ylim(-1.12, 1.12)
    ax.set_aspect("equal")
