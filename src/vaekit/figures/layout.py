"""Where the panels of a figure lie: each label is measured once, and the panels share what is left.

Columns and rows of a grid keep the ratios they were given, and every panel of a column starts at one line. Matplotlib's
constrained layout gives much the same, but lays out all ticks of all panels several times to find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.layout_engine import LayoutEngine
from matplotlib.transforms import Bbox

from vaekit.figures.frame import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpecBase
    from matplotlib.legend import Legend

EDGE, BESIDE, BELOW = 0.05, 0.16, 0.13
"""Inches left free at the figure's edge, between columns and between rows."""
_LEAST = 0.2
_SMALLEST = 7.0


class Layout(LayoutEngine):
    """Places the panels of a figure, its heading and the one legend beside or below them."""

    _adjust_compatible = False
    _colorbar_gridspec = False

    def __init__(self) -> None:
        super().__init__()
        self.right: Legend | None = None
        self.below: Legend | None = None

    def execute(self, fig: Figure) -> None:
        """Place everything; called by each drawing of the figure."""
        canvas: Any = fig.canvas
        renderer = canvas.get_renderer() if hasattr(canvas, "get_renderer") else fig._get_renderer()  # type: ignore[attr-defined]
        width, height = fig.bbox.size
        edge, apart = EDGE * fig.dpi, BESIDE * fig.dpi
        room = Bbox.from_extents(edge, edge, width - edge, height - edge)
        heading = getattr(fig, "_suptitle", None)
        if heading is not None and heading.get_text():
            fold(heading, width - 2 * edge, renderer)
            heading.set(x=edge / width, y=room.y1 / height, va="top")
            room.y1 -= heading.get_window_extent(renderer).height + 0.08 * fig.dpi
        if self.right is not None:
            self.right.set_bbox_to_anchor((room.x1 / width, room.y1 / height))
            room.x1 -= self.right.get_window_extent(renderer).width + apart
        if self.below is not None:
            self.below.set_bbox_to_anchor(((room.x0 + room.x1) / 2 / width, room.y0 / height))
            room.y0 += self.below.get_window_extent(renderer).height + 0.5 * apart
        grids: dict[Any, list[Axes]] = {}
        for ax in fig.axes:
            spec = ax.get_subplotspec()
            if spec is not None and ax.get_visible() and ax.get_in_layout():
                grids.setdefault(spec.get_gridspec(), []).append(ax)
        for grid, axes in grids.items():
            _Grid(grid, axes, room, renderer).place()


class _Grid:
    """The panels of one grid in the room there is for it, all in pixels."""

    def __init__(self, grid: GridSpecBase, axes: list[Axes], room: Bbox, renderer: Any) -> None:
        self.axes, self.room, self.renderer = axes, room, renderer
        self.fig: Any = axes[0].figure
        self.frames = [next((a for a in ax.artists if isinstance(a, Frame)), None) for ax in axes]
        specs: list[Any] = [ax.get_subplotspec() for ax in axes]
        self.columns = [(s.colspan.start, s.colspan.stop - 1) for s in specs]
        self.rows = [(s.rowspan.start, s.rowspan.stop - 1) for s in specs]
        wide, tall = grid.get_width_ratios(), grid.get_height_ratios()
        self.wide = np.array(wide if wide is not None else [1] * grid.ncols, float)
        self.tall = np.array(tall if tall is not None else [1] * grid.nrows, float)

    def place(self) -> None:
        """Place the rows first: how many ticks a panel has up its side follows from its height."""
        dpi = self.fig.dpi
        others = [None if frame else _around(ax, self.renderer) for ax, frame in zip(self.axes, self.frames)]
        sides = [o[2:] if o else f.vertical(self.renderer) for o, f in zip(others, self.frames)]  # type: ignore[union-attr]
        sides = [(below, above + self._title(ax)) for ax, (below, above) in zip(self.axes, sides)]
        # From the top down: what is above a row comes before it.
        ups = _shares(self.room.height, self.tall, self.rows, [(a, b) for b, a in sides], BELOW * dpi)
        ys = [(self.room.y1 - stop, self.room.y1 - start) for start, stop in ups]
        beside = [o[:2] if o else (0.0, 0.0) for o in others]
        self._columns(ys, beside)
        lefts = [f.left(self.renderer) if f else b[0] for f, b in zip(self.frames, beside)]
        beside = [(left, b[1]) for left, b in zip(lefts, beside)]
        for _ in range(3):
            self._columns(ys, beside)
            now = [f.left(self.renderer) if f and _widens(ax) else 0.0 for ax, f in zip(self.axes, self.frames)]
            reach = [f.beyond(self.renderer) if f else b for f, b in zip(self.frames, beside)]
            beside = [(max(left, n, r[0]), r[1]) for left, n, r in zip(lefts, now, reach)]
            # Turned labels reach further, and values in equal units go further, where the axes get narrower for them.
            if all(b[0] <= left for left, b in zip(lefts, beside)):
                break
            lefts = [max(left, n) for left, n in zip(lefts, now)]
        xs = self._columns(ys, beside)
        for i, (ax, (x0, _), (y0, y1)) in enumerate(zip(self.axes, xs, ys)):
            beyond = [a for (a, _), (c, _) in zip(xs, self.columns) if c > self.columns[i][1]]
            frame = self.frames[i]
            if frame and frame.above is not None:
                for text in titles(ax):
                    text.set_y(1.0 + frame.vertical(self.renderer)[1] / (y1 - y0))
            end = min(beyond) - 0.5 * BESIDE * dpi if beyond else self.room.width
            for text in titles(ax):
                shrink(text, end - x0, self.renderer)

    def _columns(self, ys: list[Any], beside: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """Move the panels to where they are with `beside` left and right of them; return where they start and stop."""
        xs = _shares(self.room.width, self.wide, self.columns, beside, BESIDE * self.fig.dpi)
        for ax, (x0, x1), (y0, y1) in zip(self.axes, xs, ys):
            self._move(ax, self.room.x0 + x0, y0, self.room.x0 + x1, y1)
            if _widens(ax):
                ax.apply_aspect()
        return xs

    def _move(self, ax: Axes, x0: float, y0: float, x1: float, y1: float) -> None:
        width, height = self.fig.bbox.size
        ax.set_position((x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height))
        ax.set_in_layout(True)  # set_position takes it out

    def _title(self, ax: Axes) -> float:
        tall = [t.get_window_extent(self.renderer).height for t in titles(ax) if t.get_text()]
        return max(tall) + self.renderer.points_to_pixels(6.0) if tall else 0.0


def _widens(ax: Axes) -> bool:
    """Whether equal units on both axes widen the range of values, and so change its ticks."""
    return ax.get_adjustable() == "datalim" and ax.get_aspect() != "auto"


def titles(ax: Any) -> tuple[Any, ...]:
    """Return the three titles of an Axes that may hold words."""
    return tuple(t for t in (ax.title, ax._left_title, ax._right_title) if t.get_text())


def _around(ax: Axes, renderer: Any) -> tuple[float, float, float, float]:
    """Pixels taken left, right, below and above an Axes without a frame (a colour bar)."""
    box, all_ = ax.get_window_extent(renderer), ax.get_tightbbox(renderer)
    if all_ is None:
        return 0.0, 0.0, 0.0, 0.0
    gaps = (box.x0 - all_.x0, all_.x1 - box.x1, box.y0 - all_.y0, all_.y1 - box.y1)
    left, right, below, above = (max(0.0, gap) for gap in gaps)
    return left, right, below, above


def _shares(
    length: float, ratios: np.ndarray, spans: list[Any], sides: list[Any], apart: float
) -> list[tuple[float, float]]:
    """Where each panel starts and stops along `length`, its `sides` (before, after) outside of it."""
    n = len(ratios)
    before, after = np.zeros(n), np.zeros(n)
    for (first, last), (one, other) in zip(spans, sides):
        before[first] = max(before[first], one)
        after[last] = max(after[last], other)
    free = max(length - before.sum() - after.sum() - apart * (n - 1), _LEAST * length)
    sizes = free * ratios / ratios.sum()
    starts = np.cumsum(before) + np.concatenate([[0.0], np.cumsum(sizes + after + apart)[:-1]])
    return [(float(starts[a]), float(starts[b] + sizes[b])) for a, b in spans]


def fold(text: Any, width: float, renderer: Any) -> None:
    """Break a heading into lines no wider than `width` pixels."""
    if text.get_window_extent(renderer).width <= width:
        return
    words, lines = text.get_text().split(), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        text.set_text(longer)
        if lines[-1] and text.get_window_extent(renderer).width > width:
            lines.append(word)
        else:
            lines[-1] = longer
    text.set_text("\n".join(lines))


def shrink(text: Any, width: float, renderer: Any) -> None:
    """Make a panel's title smaller until it fits `width` pixels, then leave out its middle."""
    wide = text.get_window_extent(renderer).width
    if wide <= width:
        return
    text.set_fontsize(max(_SMALLEST, 0.98 * text.get_fontsize() * width / wide))
    words = text.get_text()
    keep = len(words) // 2
    while keep > 2 and text.get_window_extent(renderer).width > width:
        keep -= 1
        text.set_text(f"{words[:keep]}…{words[-keep:]}")
