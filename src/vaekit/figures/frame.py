"""Ticks, tick labels, axis labels and grid of an Axes, measured without drawing and drawn in a few strokes.

Matplotlib makes each tick an object of five artists that is laid out several times a drawing; in figures of many small
panels that is most of the work. A `Frame` reads the axes' own locators, formatters and tick parameters, so whatever is
set on the axes afterwards (limits, scale, ticks, labels, `tick_params`) is what it draws. Imported with the first
figure, like matplotlib itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.ticker import Formatter, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox, IdentityTransform

from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAD, APART = 3.5, 4.0
"""Points between a mark and its label, and at least between neighbouring labels."""
LEADING = 1.15
"""From one line of a label to the next, in heights of a line."""
_SMALL = 8.5
_MOST_PLACES = 8
_MOST_SIZES = 2000
_sizes: dict[Any, tuple[float, float, float]] = {}


class Numbers(Formatter):
    """Ticks as plain numbers, all with the same decimals; very large and very small ones as 2.5e−7.

    There is no offset above the axis to be added in the head.

    >>> Numbers().format_ticks([-0.5, 0.0, 0.5]), Numbers().format_ticks([0, 2.5e-7, 5e-7])
    (['−0.5', '0.0', '0.5'], ['0', '2.5e−7', '5.0e−7'])
    """

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Return the words of the ticks at `values`."""
        at = np.asarray(values, float)
        if not at.size:
            return []
        largest = float(np.abs(at).max())
        steps = np.diff(np.sort(at))
        step = float(steps[steps > 0].min()) if (steps > 0).any() else largest
        if largest and (largest >= 1e6 or largest < 1e-3):
            made = [f"{v:.0e}" for v in at]
            for digits in range(_MOST_PLACES):
                made = [f"{v:.{digits}e}" for v in at]
                if np.abs(np.array(made, float) - at).max() < 1e-3 * step:
                    break
            made = ["0" if v == 0 else _short(word) for v, word in zip(at, made, strict=True)]
        else:
            places = next((p for p in range(_MOST_PLACES) if np.abs(np.round(at, p) - at).max() < 1e-3 * step), 8)
            made = [f"{v + 0.0:.{places}f}" for v in np.round(at, places)]
        return [word.replace("-", "−") for word in made]

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return `x` alone, in as many digits as it needs."""
        return f"{x:g}".replace("-", "−")


def _short(word: str) -> str:
    head, power = word.split("e")
    return f"{head}e{int(power)}"


class Frame(Artist):
    """Draws what surrounds the data of one Axes, in place of the Axes' own two axis artists."""

    def __init__(self, ax: Axes) -> None:
        super().__init__()
        self.zorder = 0.5
        self.above: tuple[float, str] | None = None
        """A second scale along the top: how many units of x are one of it, and its name."""
        ax.add_artist(self)
        ax.xaxis.set_visible(False)
        ax.yaxis.set_visible(False)
        self._words = Text(0, 0, "")
        self._words.set_figure(ax.figure)

    # ------------------------------------------------------------ what there is

    def _marks(self, axis: Any) -> tuple[np.ndarray, list[str]]:
        """Where the ticks in view are, in pixels of the figure, and their words."""
        low, high = sorted(axis.get_view_interval())
        at = np.asarray(axis.get_majorticklocs(), float)
        words = axis.get_major_formatter().format_ticks(at)
        slack = 1e-9 * (high - low)
        keep = (at >= low - slack) & (at <= high + slack)
        return self._pixels(axis, at[keep]), [word for word, kept in zip(words, keep, strict=True) if kept]

    def _pixels(self, axis: Any, at: np.ndarray) -> np.ndarray:
        ax: Any = self.axes
        across = axis.axis_name == "x"
        other = np.full(len(at), (ax.yaxis if across else ax.xaxis).get_view_interval()[0])
        points = ax.transData.transform(np.column_stack([at, other] if across else [other, at]))
        return points[:, 0 if across else 1]

    def _upper(self) -> tuple[np.ndarray, list[str], str]:
        """The ticks of the scale along the top."""
        assert self.above is not None
        ax: Any = self.axes
        ratio, name = self.above
        low, high = sorted(v / ratio for v in ax.get_xlim())
        at = np.asarray(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
        words = Numbers().format_ticks(at.tolist())
        keep = (at >= low) & (at <= high)
        return self._pixels(ax.xaxis, at[keep] * ratio), [w for w, kept in zip(words, keep, strict=True) if kept], name

    def _size(self, renderer: Any, word: str, font: FontProperties, turn: float = 0.0) -> tuple[float, float]:
        """Width and height of a label in pixels."""
        if not turn and _plain(word):
            lines = word.split("\n")
            height = self._line(renderer, font)[0] * (1 + LEADING * (len(lines) - 1))
            return max(_measured(renderer, line, font)[0] for line in lines), height
        self._words.set(text=word, fontproperties=font, rotation=turn, position=(0, 0))
        box = self._words.get_window_extent(renderer)
        return box.width, box.height

    def _line(self, renderer: Any, font: FontProperties) -> tuple[float, float]:
        """Height of a line of text and how much of it lies below the foot of the letters."""
        _, height, descent = _measured(renderer, "lp", font)
        return height, descent

    # ------------------------------------------------------------ how much room it takes

    def vertical(self, renderer: Any) -> tuple[float, float]:
        """Pixels that labels take below the axes and above them."""
        ax: Any = self.axes
        unit, kw = renderer.points_to_pixels(1.0), _look(ax.xaxis)
        below = above = 0.0
        if kw["shown"]:
            words = self._marks(ax.xaxis)[1]
            tall = max((self._size(renderer, w, kw["font"], kw["turn"])[1] for w in set(words)), default=0.0)
            below = (kw["length"] + PAD) * unit + tall if words else 0.0
        label = ax.xaxis.label
        if label.get_text():
            below += ax.xaxis.labelpad * unit + label.get_window_extent(renderer).height
        if self.above is not None:
            above = (kw["length"] + 2 * PAD) * unit + 2 * self._line(renderer, FontProperties(size=style.TICK))[0]
        return below, above

    def left(self, renderer: Any) -> float:
        """Pixels that the labels up the side take."""
        ax: Any = self.axes
        unit, kw, taken = renderer.points_to_pixels(1.0), _look(ax.yaxis), 0.0
        if kw["shown"]:
            words = self._marks(ax.yaxis)[1]
            wide = max((self._size(renderer, w, kw["font"], kw["turn"])[0] for w in set(words)), default=0.0)
            taken = (kw["length"] + PAD) * unit + wide if words else 0.0
        label = ax.yaxis.label
        return taken + (ax.yaxis.labelpad * unit + label.get_window_extent(renderer).width if label.get_text() else 0.0)

    def beyond(self, renderer: Any) -> tuple[float, float]:
        """Pixels by which the labels along the foot and the top reach out left and right."""
        ax: Any = self.axes
        left, right, kw, box = 0.0, 0.0, _look(ax.xaxis), ax.bbox
        rows = [(*self._marks(ax.xaxis), kw["font"], kw["turn"])] if kw["shown"] else []
        if self.above is not None:
            rows.append((*self._upper()[:2], FontProperties(size=_SMALL), 0.0))
        for at, words, font, turn in rows:
            # Only the labels at the ends can stick out, unless they are turned: then they hang to the left.
            for x, word in zip(at, words) if turn else [*zip(at, words)][:: max(1, len(words) - 1)]:
                wide = self._size(renderer, word, font, turn)[0]
                start = x - wide if turn else x - wide / 2
                left = max(left, box.x0 - start)
                right = max(right, start + wide - box.x1)
        return left, right

    def get_window_extent(self, renderer: Any = None) -> Bbox:
        """Return the box around the axes and its labels."""
        ax: Any = self.axes
        renderer = renderer or ax.figure._get_renderer()
        (below, above), (left, right), box = self.vertical(renderer), self.beyond(renderer), ax.bbox
        left = max(left, self.left(renderer))
        return Bbox.from_extents(box.x0 - left, box.y0 - below, box.x1 + right, box.y1 + above)

    # ------------------------------------------------------------ drawing

    def draw(self, renderer: Any) -> None:
        """Draw the grid, the marks and the words."""
        if not self.get_visible():
            return
        ax: Any = self.axes
        box = ax.bbox
        x, y = _look(ax.xaxis), _look(ax.yaxis)
        (across, below), (up, left) = self._marks(ax.xaxis), self._marks(ax.yaxis)
        grid = [((v, box.y0), (v, box.y1)) for v in across if x["grid"]]
        grid += [((box.x0, v), (box.x1, v)) for v in up if y["grid"]]
        _strokes(renderer, grid, style.GRID)
        unit = renderer.points_to_pixels(1.0)
        marks = [((v, box.y0), (v, box.y0 - n * unit)) for v, n in self._ends(ax.xaxis, across, x)]
        marks += [((box.x0, v), (box.x0 - n * unit, v)) for v, n in self._ends(ax.yaxis, up, y)]
        foot = box.y0 - (x["length"] + PAD) * unit
        tall = self._row(renderer, across, below, foot, x) if x["shown"] else 0.0
        self._name(renderer, ax.xaxis, y=(foot if tall else box.y0) - tall - ax.xaxis.labelpad * unit)
        edge = box.x0 - (y["length"] + PAD) * unit
        wide = self._column(renderer, up, left, edge, y) if y["shown"] else 0.0
        self._name(renderer, ax.yaxis, x=(edge if wide else box.x0) - wide - ax.yaxis.labelpad * unit)
        if self.above is not None:
            marks += self._top(renderer, x, unit)
        _strokes(renderer, marks, style.MUTED)
        self.stale = False

    def _ends(self, axis: Any, at: np.ndarray, kw: dict[str, Any]) -> list[tuple[float, float]]:
        """Where marks are and how long they are in points: the minor ones are shorter."""
        if not kw["length"]:
            return []
        made = [(v, kw["length"]) for v in at]
        if not isinstance(axis.get_minor_locator(), NullLocator):
            low, high = sorted(axis.get_view_interval())
            minor = np.array([v for v in axis.get_minorticklocs() if low <= v <= high], float)
            made += [(v, 0.6 * kw["length"]) for v in self._pixels(axis, minor)]
        return made

    def _row(self, renderer: Any, at: np.ndarray, words: Sequence[str], top: float, kw: dict[str, Any]) -> float:
        """Write labels below `top`, those that fit beside one another; return the tallest's height."""
        font, turn = kw["font"], kw["turn"]
        sizes = [self._size(renderer, word, font, turn) for word in words]
        every = 1 if turn else _every(at, [w for w, _ in sizes], APART * renderer.points_to_pixels(1.0))
        height, descent = self._line(renderer, font)
        for x, word in [*zip(at, words)][::every]:
            if not turn and _plain(word):
                for i, line in enumerate(word.split("\n")):
                    start = x - _measured(renderer, line, font)[0] / 2
                    self._write(renderer, start, top - (height - descent) - i * LEADING * height, line, kw)
            else:
                self._set(renderer, x, top, word, kw, "right" if turn else "center", "top")
        return max((tall for _, tall in sizes), default=0.0)

    def _column(self, renderer: Any, at: np.ndarray, words: Sequence[str], edge: float, kw: dict[str, Any]) -> float:
        """Write labels left of `edge`, those that fit above one another; return the widest's width."""
        font, turn = kw["font"], kw["turn"]
        sizes = [self._size(renderer, word, font, turn) for word in words]
        every = _every(at, [h for _, h in sizes], 0.0)
        half = _measured(renderer, "0", font)[1] / 2
        height, _ = self._line(renderer, font)
        for y, word in [*zip(at, words)][::every]:
            if not turn and _plain(word):
                lines = word.split("\n")
                for i, line in enumerate(lines):
                    foot = y - half + LEADING * height * ((len(lines) - 1) / 2 - i)
                    self._write(renderer, edge - _measured(renderer, line, font)[0], foot, line, kw)
            else:
                self._set(renderer, edge, y, word, kw, "right", "center")
        return max((wide for wide, _ in sizes), default=0.0)

    def _top(self, renderer: Any, kw: dict[str, Any], unit: float) -> list[Any]:
        at, words, name = self._upper()
        ax: Any = self.axes
        box, small = ax.bbox, dict(kw, font=FontProperties(size=_SMALL), colour=style.MUTED, turn=0.0)
        height, _ = self._line(renderer, small["font"])
        foot = box.y1 + (kw["length"] + PAD) * unit
        self._row(renderer, at, words, foot + height, small)
        large = dict(small, font=FontProperties(size=style.TICK))
        descent = self._line(renderer, large["font"])[1]
        wide = self._size(renderer, name, large["font"])[0]
        self._write(renderer, (box.x0 + box.x1 - wide) / 2, foot + height + PAD * unit / 2 + descent, name, large)
        return [((v, box.y1), (v, box.y1 + kw["length"] * unit)) for v in at]

    def _write(self, renderer: Any, x: float, y: float, word: str, kw: dict[str, Any]) -> None:
        """Write a word from (x, y), its foot."""
        gc = renderer.new_gc()
        gc.set_foreground(kw["colour"])
        y = renderer.height - y if renderer.flipy() else y
        renderer.draw_text(gc, x, y, word, kw["font"], 0.0)
        gc.restore()

    def _set(self, renderer: Any, x: float, y: float, word: str, kw: dict[str, Any], ha: str, va: str) -> None:
        """Write what is turned, has several lines or a formula."""
        self._words.set(text=word, fontproperties=kw["font"], rotation=kw["turn"], color=kw["colour"], position=(x, y))
        self._words.set(ha=ha, va=va, multialignment="right" if ha == "right" else "center")
        self._words.draw(renderer)

    def _name(self, renderer: Any, axis: Any, **place: float) -> None:
        if axis.label.get_text():
            axis.label.set(**place)
            axis.label.draw(renderer)


def _measured(renderer: Any, word: str, font: FontProperties) -> tuple[float, float, float]:
    """Width, height and descent of a word in pixels; numbers recur from panel to panel and from layout to drawing."""
    kind = (word, font, renderer.points_to_pixels(1.0), type(renderer))
    found = _sizes.get(kind)
    if found is None:
        if len(_sizes) > _MOST_SIZES:
            _sizes.clear()
        found = _sizes[kind] = renderer.get_text_width_height_descent(word, font, False)
    return found


def _plain(word: str) -> bool:
    return "$" not in word


def _look(axis: Any) -> dict[str, Any]:
    """How the ticks of an axis are to look, from its tick parameters."""
    kw = axis.get_tick_params()
    return {
        "shown": kw.get("labelbottom" if axis.axis_name == "x" else "labelleft", True),
        "font": FontProperties(size=kw.get("labelsize", style.TICK)),
        "colour": kw.get("labelcolor", style.INK),
        "turn": float(kw.get("rotation", kw.get("labelrotation", 0.0))),
        "length": float(kw.get("length", 3.0)),
        "grid": bool(kw.get("gridOn", False)),
    }


def _every(at: np.ndarray, sizes: Sequence[float], apart: float) -> int:
    """Return the least k for which every k-th label leaves `apart` between it and the next."""
    for k in range(1, len(at)):
        places, wide = np.asarray(at)[::k], np.asarray(sizes)[::k]
        if (np.abs(np.diff(places)) >= (wide[1:] + wide[:-1]) / 2 + apart).all():
            return k
    return max(1, len(at))


def _strokes(renderer: Any, lines: Sequence[Any], colour: str) -> None:
    """Draw straight lines, pairs of points in pixels, on whole pixels and in one stroke."""
    if not lines:
        return
    gc = renderer.new_gc()
    gc.set_foreground(colour)
    gc.set_linewidth(0.8)
    gc.set_capstyle("butt")
    gc.set_snap(True)
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], Path.code_type), len(lines))
    renderer.draw_path(gc, Path(np.asarray(lines, float).reshape(-1, 2), codes), IdentityTransform())
    gc.restore()
