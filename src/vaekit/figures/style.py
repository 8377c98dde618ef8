"""The look that all figures share, and the two ways out: `png` (bytes) and `save` (a file, whole or absent).

Nothing here touches pyplot or rcParams. Each figure is a free-standing `matplotlib.figure.Figure` with its own Agg
canvas, so figures may be made in several threads, need no closing, and look the same whatever style the caller has
chosen. Matplotlib is imported when the first figure is made.
"""

from __future__ import annotations

import io
import os
import threading
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

# Matplotlib's font and text caches are shared by all figures: laying out and drawing is done by one thread at a time.
_drawing = threading.Lock()


def figure(width: float = WIDTH, height: float = 4.0) -> Figure:
    """An empty white figure of `width` × `height` inches with its own canvas and constrained layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=100, layout="constrained", facecolor="white", edgecolor="white")
    FigureCanvasAgg(made)
    made.get_layout_engine().set(w_pad=0.06, h_pad=0.07)  # type: ignore[union-attr, call-arg]
    return made


def plain(text: object) -> str:
    """`text` as it is to be read: a dollar sign starts no formula."""
    return str(text).replace("$", r"\$")


def dress(ax: Axes, title: str = "", x: str = "", y: str = "", grid: str = "both") -> Axes:
    """Give `ax` its title, its axis labels, quiet spines and a light grid (`both`, `x`, `y` or `none`)."""
    ax.set_facecolor("white")
    if title:
        ax.set_title(plain(title), fontsize=TITLE, color=INK, loc="left", fontweight="bold")
    ax.set_xlabel(plain(x), fontsize=LABEL, color=INK)
    ax.set_ylabel(plain(y), fontsize=LABEL, color=INK)
    ax.tick_params(labelsize=TICK, colors=MUTED, labelcolor=INK, length=3)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
        spine.set_linewidth(0.8)
    ax.grid(False)
    if grid != "none":
        ax.grid(True, axis=grid, color=GRID, linewidth=0.8, linestyle="-")  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    return ax


def bare(ax: Axes) -> Axes:
    """Strip `ax` for pictures: no ticks, no spines, no grid."""
    ax.set_facecolor("white")
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.tick_params(length=0, labelsize=TICK, labelcolor=INK)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


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
    from PIL import Image

    with _drawing:
        before = fig.dpi
        fig.set_dpi(dpi)
        try:
            canvas: Any = fig.canvas
            canvas.draw()
            pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        finally:
            fig.set_dpi(before)
    rows, columns = (np.flatnonzero((pixels != 255).any(2).any(axis)) for axis in (1, 0))
    if len(rows):
        pad = round(MARGIN * dpi)
        drawn = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        pixels = np.pad(drawn, ((pad, pad), (pad, pad), (0, 0)), constant_values=255)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", dpi=(dpi, dpi))
    return out.getvalue()


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
