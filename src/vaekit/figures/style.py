"""The look that all figures share, and the two ways out: `png` (bytes) and `save` (a file, whole or absent).

Figures are free-standing `matplotlib.figure.Figure`s under Matplotlib's constrained layout: no pyplot, no rcParams, so
nothing global changes and nothing has to be closed. Matplotlib is imported when the first figure is made.
"""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vaekit import atomic
from vaekit.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Ten colours that stay apart under the common colour-vision deficiencies (Petroff 2021, arXiv:2107.02270).
PALETTE = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
BLUE, ORANGE, RED, GREY, PURPLE = PALETTE[:5]
INK, MUTED, GRID = "#1f2328", "#57606a", "#e3e6ea"
#: Stands out from white as from a dark page, 4.2 to 1 or more.
MIDDLE = "#737a83"
SEQUENTIAL, DIVERGING, CONTINUOUS = "viridis", "RdBu_r", "cividis"
TITLE, LABEL, TICK = 12.0, 10.5, 9.5
#: Inches. At 150 dots an inch a full-width figure has 1350 pixels: sharp in a 900-pixel column on a dense screen.
WIDTH = 9.0
DPI = 150


def figure(width: float = WIDTH, height: float = 4.0, title: str | None = None, *, clear: bool = False) -> Figure:
    """An empty white figure of `width` × `height` inches under constrained layout, with a title over the whole.

    One that is `clear` has no ground, and letters that can be read on a white one as on a dark one: for pictures, whose
    colours cannot be turned into those of a dark page.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.05)
    made = Figure(figsize=(width, height), layout=layout, facecolor="white")
    if clear:
        made.patch.set_alpha(0)
    if title:
        text = "\n".join(textwrap.wrap(title, int(9.4 * width)))
        made.suptitle(plain(text), x=0.01, ha="left", fontsize=TITLE + 0.5, fontweight="bold", color=INK)
    return made


def plain(text: object) -> str:
    """`text` as it is to be read: a dollar sign starts no formula."""
    return str(text).replace("$", r"\$")


def short(text: str, length: int = 24) -> str:
    """`text` without its middle where it is longer than `length` characters.

    >>> short("a.rather.long.name.of.a.metric", 13)
    'a.rath…metric'
    """
    half = length // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def dress(
    ax: Axes,
    title: str = "",
    x: str = "",
    y: str = "",
    grid: Literal["both", "x", "y"] | None = "both",
    small: bool = False,
) -> Axes:
    """Give `ax` its title, its axis labels, two quiet spines and a light grid; a `small` panel has fewer ticks."""
    ax.set_facecolor("white")
    ax.set_title(
        plain("\n".join(map(short, title.split("\n"))) if small else title),
        loc="left",
        fontsize=LABEL if small else TITLE,
        fontweight="bold",
        color=INK,
    )
    ax.set_xlabel(plain(x), fontsize=LABEL, color=INK)
    ax.set_ylabel(plain(y), fontsize=LABEL, color=INK)
    ax.tick_params(labelsize=TICK, color=MUTED, labelcolor=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.set_axisbelow(True)
    ax.grid(False)
    if grid is not None:
        ax.grid(True, axis=grid, color=GRID)
    if small:
        ax.locator_params(nbins=4, min_n_ticks=3)
        ax.ticklabel_format(scilimits=(-4, 6))
    return ax


def name_ticks(ax: Axes, names: Sequence[str]) -> None:
    """Write names along a full-width axis at 0, 1, …: as many as fit side by side, long ones turned."""
    longest = max(len(name) for name in names)
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if longest > 4 else {}
    most = 20 if turned else 96 // (longest + 1)
    shown = range(0, len(names), -(-len(names) // most))
    ax.set_xticks(shown, [plain(short(names[i])) for i in shown], **turned)


def bare(ax: Axes) -> Axes:
    """Strip `ax` for pictures: no ticks, no spines, no grid."""
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.tick_params(length=0, labelsize=TICK, labelcolor=INK)
    ax.spines[:].set_visible(False)
    return ax


def legend(ax: Axes, **options: Any) -> None:
    """A legend in the shared type, without a frame that hides data."""
    ax.legend(fontsize=TICK, labelcolor=INK, facecolor="white", framealpha=0.85, edgecolor="none", **options)


def colour_bar(fig: Figure, drawn: Any, axes: Any, label: str) -> Axes:
    """A colour bar at the right of `axes` (one or several), in the shared type."""
    bar = fig.colorbar(drawn, ax=axes, fraction=0.04, pad=0.02, aspect=30)
    bar.set_label(plain(label), fontsize=TICK, color=INK)
    bar.ax.tick_params(labelsize=TICK - 1, color=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return bar.ax


def panels(fig: Figure, count: int, columns: int, shared: bool = False) -> list[Axes]:
    """`count` panels in rows of `columns`; where they share their scales, only the outer ones label their ticks."""
    rows = -(-count // columns)
    grid = list(fig.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).flat)
    for ax in grid[count:]:
        ax.remove()
    for ax in grid[max(0, count - columns) : count]:  # those above a gap in the last row too
        ax.tick_params(labelbottom=True)
    return grid[:count]


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


def png(fig: Figure) -> bytes:
    """`fig` as the bytes of a PNG, cropped to what is drawn; the same figure gives the same bytes."""
    from matplotlib.text import Text

    if not fig.patch.get_alpha() and fig.patch.get_alpha() is not None:
        for ax in fig.axes:
            ax.patch.set_alpha(0)
        for text in fig.findobj(Text):
            text.set_color(MIDDLE)  # type: ignore[attr-defined]
    out = io.BytesIO()
    fig.savefig(out, format="png", dpi=DPI, facecolor=fig.get_facecolor(), bbox_inches="tight", pad_inches=0.12)
    return out.getvalue()


def save(fig: Figure, path: str | os.PathLike[str]) -> Path:
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
    atomic.write_bytes(path, png(fig))
    return path
