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
PREDICTED = "#c2410c"
"""Of links that a model predicts: as in the explorer."""


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


def part(
    n: int,
    edges: np.ndarray,
    classes: np.ndarray | None = None,
    names: Any = (),
    predicted: np.ndarray | None = None,
    chance: np.ndarray | None = None,
) -> Figure:
    """Draw some nodes of a graph, those nearest to one with many links, and the links (E, 2) between them.

    `classes` (n,): whole numbers, -1 where missing, by which nodes are coloured; `names` are what they are called.
    `predicted` (P, 2): pairs that are no link, of which those between the nodes drawn are dashed; `chance` (P,) are
    their probabilities.

    >>> line = np.stack([np.arange(499), np.arange(1, 500)], 1)
    >>> fig = part(500, line, predicted=np.array([[0, 2]]), chance=np.array([0.9]))
    >>> [text.get_text() for text in fig.legends[0].get_texts()]
    ['link', 'predicted, no link in the data (p = 0.90)']
    """
    chosen = near(n, edges)
    within, (found, sure) = _between(chosen, n, edges), (np.empty((0, 2), int), np.empty(0))
    if predicted is not None and chance is not None:
        found, sure = _between(chosen, n, predicted), chance[np.isin(predicted, chosen).all(1)]
    whole = f"{n:,} nodes, {len(edges):,} links"
    some = f"{len(chosen):,} of {n:,} nodes, {len(within):,} of {len(edges):,} links"
    fig = style.figure(style.WIDTH * 0.75, style.WIDTH * 0.72, whole if len(chosen) == n else some)
    ax, place = style.bare(fig.add_subplot()), spring(len(chosen), within)
    _draw(ax, len(chosen), within)
    look: dict[str, Any] = {"s": 34.0, "edgecolors": "white", "linewidths": 0.6, "zorder": 3}
    own = np.full(len(chosen), -1) if classes is None else np.asarray(classes)[chosen]
    ax.scatter(*place[own < 0].T, color=style.BLUE if classes is None else style.MUTED, **look)
    for number in np.unique(own[own >= 0]):
        label = style.plain(names[number]) if len(names) else None
        ax.scatter(*place[own == number].T, color=style.PALETTE[number % len(style.PALETTE)], label=label, **look)
    if len(found):
        low, high = f"{sure.min():.2f}", f"{sure.max():.2f}"
        ax.plot([], [], color=style.GREY, linewidth=0.9, label="link")
        dashes: dict[str, Any] = {"color": PREDICTED, "linewidth": 1.4, "linestyle": (0, (4, 3)), "zorder": 1.5}
        label = f"predicted, no link in the data (p = {low if low == high else f'{low} to {high}'})"
        for pair in found:
            ax.plot(*place[pair].T, label=label, **dashes)
            label = None
    if len(found) or (classes is not None and len(names)):
        fig.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=style.TICK, labelcolor=style.INK)
    return fig


def _between(chosen: np.ndarray, n: int, pairs: np.ndarray) -> np.ndarray:
    """Return those of `pairs` that lie between `chosen` nodes of n, by their places among the chosen."""
    place = np.full(n, -1)
    place[chosen] = np.arange(len(chosen))
    return place[pairs[(place[pairs] >= 0).all(1)]]


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
