"""The look that all figures share, and the two ways out: `png` (bytes) and `save` (a file, whole or absent).

Nothing here touches pyplot or rcParams. Each figure is a free-standing `matplotlib.figure.Figure` with its own Agg
canvas, so figures may be made in several threads, need no closing, and look the same whatever style the caller has
chosen. Matplotlib is imported when the first figure is made.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit import atomic
from vaekit.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

    from vaekit.figures.frame import Frame
    from vaekit.figures.picture import Picture

#: Ten colours that stay apart under the common colour-vision deficiencies (Petroff 2021, arXiv:2107.02270).
PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
BLUE, ORANGE, RED, GREY, PURPLE = PALETTE[:5]
INK, MUTED, GRID, GAP = "#1f2328", "#57606a", "#e3e6ea", 0.85
SEQUENTIAL, DIVERGING, CONTINUOUS = "viridis", "RdBu_r", "cividis"
TITLE, LABEL, TICK = 12.0, 10.5, 9.5
#: Inches. At 150 dots an inch a full-width figure has 1350 pixels: sharp in a 900-pixel column on a dense screen.
WIDTH = 9.0
DPI = 150
#: Inches of white around what is drawn.
MARGIN = 0.12

_RGB = np.frombuffer(b"\xff\xff\xff\x00", np.uint32)[0]  # in this machine's order of bytes

# Matplotlib's font and text caches are shared by all figures: laying out and drawing is done by one thread at a time.
_drawing = threading.Lock()


def figure(width: float = WIDTH, height: float = 4.0) -> Figure:
    """An empty white figure of `width` × `height` inches with its own canvas and layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from vaekit.figures.layout import Layout

    made = Figure(figsize=(width, height), dpi=100, layout=Layout(), facecolor="white", edgecolor="white")
    FigureCanvasAgg(made)
    return made


def plain(text: object) -> str:
    """`text` as it is to be read: a dollar sign starts no formula."""
    return str(text).replace("$", r"\$")


def dress(ax: Axes, title: str = "", x: str = "", y: str = "", grid: str = "both", small: bool = False) -> Axes:
    """Give `ax` its title, its axis labels, quiet spines and a light grid (`both`, `x`, `y` or `none`).

    A `small` panel, one of many, has a smaller title and three to five numbers an axis.
    """
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    from vaekit.figures.frame import Numbers

    ax.set_facecolor("white")
    ax.set_title(plain(title), fontsize=LABEL if small else TITLE, color=INK, loc="left", fontweight="bold", y=1.0)
    ax.set_xlabel(plain(x), fontsize=LABEL, color=INK)
    ax.set_ylabel(plain(y), fontsize=LABEL, color=INK)
    ax.tick_params(labelsize=TICK, colors=MUTED, labelcolor=INK, length=3)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
        spine.set_linewidth(0.8)
    ax.grid(False)
    if grid != "none":
        ax.grid(True, axis=grid)  # type: ignore[arg-type]
    for axis in (ax.xaxis, ax.yaxis):
        if isinstance(axis.get_major_formatter(), ScalarFormatter):
            axis.set_major_formatter(Numbers())
            if small:
                axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
    frame_of(ax)
    return ax


def bare(ax: Axes) -> Axes:
    """Strip `ax` for pictures: no ticks, no spines, no grid."""
    ax.set_facecolor("white")
    ax.grid(False)
    ticks(ax.xaxis, [], [])
    ticks(ax.yaxis, [], [])
    ax.tick_params(length=0, labelsize=TICK, labelcolor=INK)
    ax.set_title("", y=1.0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    frame_of(ax)
    return ax


def show(ax: Axes, values: np.ndarray, **options: Any) -> Picture:
    """Show an image (H, W, 3) or (H, W), as `ax.imshow` does, in less time."""
    from vaekit.figures.picture import show

    return show(ax, values, **options)


def frame_of(ax: Axes) -> Frame:
    """What draws the ticks, labels and grid of `ax`; made if it has none yet."""
    from vaekit.figures.frame import Frame

    return next((artist for artist in ax.artists if isinstance(artist, Frame)), None) or Frame(ax)


def ticks(axis: Any, places: Sequence[float] | np.ndarray, words: Sequence[str], turn: float = 0.0) -> None:
    """Put `words` at `places` of an axis and nothing else, turned by `turn` degrees.

    The axes' own `set_xticks` makes its tick objects at once; these are made by whoever asks for them.
    """
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    axis.set_major_locator(FixedLocator(list(places)))
    axis.set_major_formatter(FixedFormatter(list(words)))
    axis.set_minor_locator(NullLocator())
    if turn:
        axis.set_tick_params(rotation=turn)


def key(fig: Figure, handles: Sequence[Any], names: Sequence[str], below: bool = False, columns: int = 1) -> Legend:
    """A legend without a frame beside all panels, or below them."""
    made = fig.legend(
        list(handles),
        [plain(name) for name in names],
        loc="lower center" if below else "upper right",
        fontsize=TICK,
        frameon=False,
        labelcolor=INK,
        ncols=columns,
        borderaxespad=0,
    )
    layout: Any = fig.get_layout_engine()
    setattr(layout, "below" if below else "right", made)
    return made


def heading(fig: Figure, text: str | None) -> None:
    """A title over the whole figure."""
    if text:
        fig.suptitle(plain(text), fontsize=TITLE + 0.5, color=INK, fontweight="bold", x=0.01, ha="left")


def legend(ax: Axes, **options: Any) -> Legend:
    """A legend in the shared type, without a frame that hides data."""
    made = ax.legend(fontsize=TICK, labelcolor=INK, frameon=True, framealpha=0.85, edgecolor="none", **options)
    made.get_frame().set_facecolor("white")
    return made


def log_ticks(axis: Any, low: float, high: float) -> None:
    """Write the ticks of a logarithmic axis over `low` … `high` as plain numbers (0.01, 1, 100)."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5) if high < 150 * low else (1,), numticks=9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def colours(n: int) -> list[Any]:
    """`n` colours for categories: the palette up to ten, then steps along a perceptually uniform map."""
    if n <= len(PALETTE):
        return list(PALETTE[:n])
    from matplotlib import colormaps

    return [tuple(c) for c in colormaps[SEQUENTIAL](np.linspace(0, 0.95, n))]


def array(x: Any, what: str, ndim: int | Sequence[int]) -> np.ndarray:
    """`x` as a floating array with one of the allowed numbers of dimensions, and at least one entry.

    Raises:
        UserError: when `x` is empty or has another number of dimensions.

    >>> array([[1, 2]], "z", 2).dtype
    dtype('float64')
    """
    made = np.asarray(x)
    if made.dtype == object or not (np.issubdtype(made.dtype, np.number) or made.dtype == bool):
        raise UserError(f"{what} must be numbers, not {made.dtype}; convert it first")
    if made.dtype not in (np.float32, np.float64):
        made = made.astype(np.float64)
    allowed = (ndim,) if isinstance(ndim, int) else tuple(ndim)
    if made.ndim not in allowed:
        wanted = " or ".join(str(n) for n in allowed)
        raise UserError(f"{what} has shape {made.shape}; give an array with {wanted} dimensions")
    if made.size == 0:
        raise UserError(f"{what} is empty (shape {made.shape}); give at least one entry")
    return made


def png(fig: Figure, dpi: int = DPI) -> bytes:
    """`fig` as the bytes of a PNG, cut down to what is drawn and a margin; the same figure gives the same bytes.

    Matplotlib's own `bbox_inches="tight"` lays every text out a second time to find the same edges.
    """
    with _drawing:
        before = fig.dpi
        fig.set_dpi(dpi)
        try:
            canvas: Any = fig.canvas
            canvas.draw()
            # A pixel is one number, compared at once.
            pixels = np.asarray(canvas.buffer_rgba()).view(np.uint32)[..., 0]
        finally:
            fig.set_dpi(before)
    drawn = (pixels & _RGB) != _RGB
    rows, columns = (np.flatnonzero(drawn.any(axis)) for axis in (1, 0))
    pad = 0
    if len(rows):
        pad, pixels = round(MARGIN * dpi), pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = pixels.shape
    made = np.full((height + 2 * pad, width + 2 * pad, 3), 255, np.uint8)
    channels = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, width, 4)
    for channel in range(3):
        made[pad : pad + height, pad : pad + width, channel] = channels[..., channel]
    return pack(made, dpi)


def pack(pixels: np.ndarray, dpi: int = DPI) -> bytes:
    """Pixels (H, W, 3) of bytes as a PNG: each row as its difference from the row above, deflated.

    In figures most rows are like those above them; an encoder that tries five filters on every row takes three times
    as long and saves little. Source: Portable Network Graphics Specification, third edition, W3C 2025.

    >>> pack(np.zeros((2, 3, 3), np.uint8))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    height, width, _ = pixels.shape
    flat = pixels.reshape(height, 3 * width)
    rows = np.empty((height, 3 * width + 1), np.uint8)
    rows[:, 0] = 2  # the filter "up", modulo 256
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    dots = round(dpi / 0.0254)  # a metre
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"pHYs": struct.pack(">IIB", dots, dots, 1),
        b"IDAT": zlib.compress(rows.data, 3),
        b"IEND": b"",
    }
    chunks = (struct.pack(">I", len(v)) + k + v + struct.pack(">I", zlib.crc32(k + v)) for k, v in parts.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def save(fig: Figure, path: str | os.PathLike[str], dpi: int = DPI) -> Path:
    """Write `fig` to `path` as a PNG, whole or not at all, and return the path; folders are made as needed.

    Raises:
        UserError: when the name does not end in `.png`.

    >>> import tempfile
    >>> from vaekit.figures import kl_per_dimension
    >>> path = save(kl_per_dimension([2.0, 0.001]), tempfile.mkdtemp() + "/kl.png")
    >>> path.read_bytes()[1:4]
    b'PNG'
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UserError(f"{path.name}: figures are written as PNG; end the name in .png")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, png(fig, dpi))
    return path
