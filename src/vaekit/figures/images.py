"""Pictures of examples: grids, reconstructions, interpolations, traversals and the decoded manifold.

Images are (…, C, H, W) or (…, H, W) in [0, 1] with C = 1 or 3; values outside are clipped, missing values (NaN) are
drawn in red. All pictures of one figure share one grey scale. Vectors (…, D) are drawn as lines, or bars when D ≤ 16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.errors import UserError
from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MISSING = (0.74, 0.12, 0.0)


def mosaic(x: np.ndarray, columns: int) -> np.ndarray:
    """Images (N, C, H, W) in rows of `columns`: one picture (rows·(H+g)−g, columns·(W+g)−g, 3), gaps g light grey.

    >>> mosaic(np.zeros((3, 1, 8, 8)), 2).shape
    (17, 17, 3)
    """
    n, _, h, w = x.shape
    gap, rows = gap_of(x), math.ceil(n / columns)
    out = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), style.GAP)
    if n % columns:
        out[(rows - 1) * (h + gap) - gap :, (n % columns) * (w + gap) - gap :] = 1.0
    for i, image in enumerate(rgb(x)):
        top, left = (i // columns) * (h + gap), (i % columns) * (w + gap)
        out[top : top + h, left : left + w] = image
    return out


def gap_of(x: np.ndarray) -> int:
    """Pixels between neighbours in a mosaic."""
    return max(1, x.shape[-1] // 16)


def rgb(x: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) as (N, H, W, 3) in [0, 1]; NaN becomes red."""
    last = np.moveaxis(x, 1, -1)
    last = np.repeat(last, 3, axis=-1) if last.shape[-1] == 1 else last
    missing = ~np.isfinite(last).all(axis=-1)
    shown = np.clip(np.nan_to_num(last), 0, 1).astype(np.float64)
    shown[missing] = _MISSING
    return shown


def as_images(x: Any, what: str, lead: int = 1) -> np.ndarray:
    """`x` with `lead` leading axes and then (C, H, W), (H, W) made (1, H, W), or (D,) left alone.

    Raises:
        UserError: for another number of dimensions or of channels.
    """
    made = style.array(x, what, (lead + 1, lead + 2, lead + 3))
    if made.ndim == lead + 2:
        made = made[(slice(None),) * lead + (None,)]
    if made.ndim == lead + 3 and made.shape[lead] not in (1, 3):
        raise UserError(f"{what} has {made.shape[lead]} channels (shape {made.shape}); pictures need 1 or 3")
    return made


def images(x: Any, columns: int | None = None, title: str | None = None) -> Figure:
    """A grid of examples (N, C, H, W) in [0, 1], or of vectors (N, D).

    >>> fig = images(np.zeros((6, 1, 8, 8)), columns=3)
    >>> fig.axes[0].images[0].get_array().shape
    (17, 26, 3)
    """
    made = as_images(x, "x")
    if made.ndim == 2:
        return _vectors(made, columns or 4, title)
    n, _, h, w = made.shape
    across = min(n, columns or _columns(n, h / w))
    picture = mosaic(made, across)
    fig = _picture_figure(picture, across)
    ax = style.bare(fig.add_subplot())
    style.show(ax, picture)
    ax.set_anchor("N")  # what room is left is left below, and cut off
    style.heading(fig, title)
    return fig


def samples(x: Any, columns: int | None = None, title: str | None = "Samples from the prior") -> Figure:
    """A grid of decoded draws from p(z), (N, C, H, W) in [0, 1] or (N, D).

    >>> len(samples(np.zeros((4, 1, 8, 8))).axes)
    1
    """
    return images(x, columns, title)


def reconstructions(x: Any, recon: Any, limit: int = 12, title: str | None = None) -> Figure:
    """Input, output and their difference (output − input), one column an example, the first `limit` of them.

    `x` and `recon` have one shape, (N, C, H, W) in [0, 1] or (N, D). The difference is averaged over channels and
    shares one scale, symmetric about zero, with a colour bar.

    >>> fig = reconstructions(np.zeros((4, 1, 8, 8)), np.full((4, 1, 8, 8), 0.25))
    >>> float(fig.axes[2].images[0].get_clim()[1])
    0.25
    """
    a, b = as_images(x, "x"), as_images(recon, "recon")
    if a.shape != b.shape:
        raise UserError(f"x has shape {a.shape} but recon has {b.shape}; give the same examples to both")
    error = float(np.nanmean((b - a) ** 2))
    title = title or f"Input, reconstruction and difference (mean squared error {error:.3g} over the {len(a)} given)"
    a, b = a[:limit], b[:limit]
    if a.ndim == 2:
        return _vectors(a, 3, title, b)
    n, _, h, w = a.shape
    cell = min(1.3, (style.WIDTH - 1.7) / n)
    fig = style.figure(max(5.0, n * cell + 1.6), 3 * cell * h / w + 0.8)
    spec = fig.add_gridspec(3, 2, width_ratios=[1, 0.018])
    axes = [style.bare(fig.add_subplot(spec[i, 0])) for i in range(3)]
    difference = (b - a).mean(axis=1)
    bound = float(np.nanmax(np.abs(difference), initial=0.0)) or 1.0
    style.show(axes[0], mosaic(a, n))
    style.show(axes[1], mosaic(b, n))
    drawn = style.show(axes[2], _strip(difference, gap_of(a)), cmap=style.DIVERGING)
    drawn.set_clim(-bound, bound)
    for ax, name in zip(axes, ("input", "output", "output\n− input"), strict=True):
        ax.set_ylabel(name, fontsize=style.LABEL, color=style.INK, rotation=0, ha="right", va="center")
    _colour_bar(fig, drawn, fig.add_subplot(spec[2, 1]))
    style.heading(fig, title)
    return fig


def _strip(difference: np.ndarray, gap: int) -> np.ndarray:
    """Maps (N, H, W) side by side, gaps left empty (NaN)."""
    n, h, w = difference.shape
    out = np.full((h, n * (w + gap) - gap), np.nan)
    for i, one in enumerate(difference):
        out[:, i * (w + gap) : i * (w + gap) + w] = one
    return out


def interpolation(rows: Any, title: str | None = "Interpolation between encoded examples") -> Figure:
    """Decoded paths between examples: (R, S, C, H, W), each row from t = 0 to t = 1 in S steps; or (R, S, D).

    >>> interpolation(np.zeros((2, 5, 1, 8, 8))).axes[0].get_xlabel()
    't (fraction of the way)'
    """
    made = as_images(rows, "rows", lead=2)
    t = np.linspace(0, 1, made.shape[1])
    labels = [f"{v:.2g}" for v in t]
    if made.ndim == 3:
        return _families(made, [f"path {i + 1}" for i in range(len(made))], t, "t", title)
    return _rows(made, None, labels, "t (fraction of the way)", title)


def traversals(
    rows: Any,
    names: Sequence[str] | None = None,
    kl: Any = None,
    values: Any = None,
    title: str | None = "Traversals, most informative latent first",
) -> Figure:
    """One row a latent: decoded images as that latent moves, the others held; rows sorted by KL, the largest first.

    Args:
        rows: (L, S, C, H, W) in [0, 1], or (L, S, D).
        names: the L latents' names; z1 … zL when absent.
        kl: (L,) each latent's mean KL, nats an example; rows keep their order when absent.
        values: (S,) the latent's value in each column, in units of the latent.

    >>> fig = traversals(np.zeros((2, 3, 1, 8, 8)), ["z1", "z2"], [0.5, 2.0], [-2, 0, 2])
    >>> [t.get_text() for t in fig.axes[0].get_yticklabels()]
    ['z2\\n2.00 nats', 'z1\\n0.50 nats']
    """
    made = as_images(rows, "rows", lead=2)
    names = [f"z{i + 1}" for i in range(len(made))] if names is None else list(names)
    order, labels = np.arange(len(made)), names
    if len(names) != len(made):
        raise UserError(f"there are {len(made)} traversals but {len(names)} names; give one name a row")
    if kl is not None:
        nats = style.array(kl, "kl", 1)
        if len(nats) != len(made):
            raise UserError(f"there are {len(made)} traversals but {len(nats)} KL values; give one a row")
        order = np.argsort(-nats, kind="stable")
        labels = [f"{names[i]}\n{nats[i]:.2f} nats" for i in order]
    columns = None if values is None else style.array(values, "values", 1)
    if made.ndim == 3:
        steps = np.linspace(0, 1, made.shape[1]) if columns is None else columns
        return _families(made[order], [n.replace("\n", ", ") for n in labels], steps, "latent value", title)
    below = None if columns is None else [f"{v:.2g}".replace("-", "−") for v in columns]
    return _rows(made[order], labels, below, "value of the latent" if below else "", title)


def manifold(
    grid: Any, xs: Any = None, ys: Any = None, names: tuple[str, str] = ("z1", "z2"), title: str | None = None
) -> Figure:
    """The decoded plane of two latents: (n, m, C, H, W), `grid[i, j]` decoded at first latent `xs[j]`, second `ys[i]`.

    The second latent grows upwards. `xs` (m,) and `ys` (n,) default to an even grid over [−2, 2]; they may be uneven
    (quantiles of the prior, say): each picture is labelled by its own value.

    >>> fig = manifold(np.zeros((3, 3, 1, 8, 8)))
    >>> [t.get_text() for t in fig.axes[0].get_xticklabels()]
    ['−2', '0', '2']
    """
    made = as_images(grid, "grid", lead=2)
    if made.ndim == 3:
        raise UserError(f"grid has shape {made.shape}; a manifold is drawn from images (n, m, C, H, W)")
    n, m, _, h, w = made.shape
    across = np.linspace(-2, 2, m) if xs is None else style.array(xs, "xs", 1)
    up = np.linspace(-2, 2, n) if ys is None else style.array(ys, "ys", 1)
    if (len(up), len(across)) != (n, m):
        raise UserError(f"the grid is {n} × {m} but ys and xs have {len(up)} and {len(across)} values")
    picture = mosaic(made[::-1].reshape(n * m, *made.shape[2:]), m)
    width = 6.8
    fig = style.figure(width + 0.75, width * picture.shape[0] / picture.shape[1] + 0.85)
    ax = style.bare(fig.add_subplot())
    style.show(ax, picture)
    ax.set_anchor("N")  # what room is left is left below, and cut off
    gap = gap_of(made)
    for axis, coordinates, size in ((ax.xaxis, across, w), (ax.yaxis, up[::-1], h)):
        shown = np.arange(0, len(coordinates), math.ceil(len(coordinates) / 9))
        style.ticks(axis, shown * (size + gap) + (size - 1) / 2, [_tick(float(coordinates[i])) for i in shown])
    ax.set_xlabel(style.plain(f"{names[0]} (latent units)"), fontsize=style.LABEL, color=style.INK)
    ax.set_ylabel(style.plain(f"{names[1]} (latent units)"), fontsize=style.LABEL, color=style.INK)
    style.heading(fig, title or "The decoded latent plane")
    return fig


def _tick(value: float) -> str:
    return f"{0.0 if abs(value) < 5e-3 else value:.2g}".replace("-", "−")


def _rows(
    x: np.ndarray, left: Sequence[str] | None, below: Sequence[str] | None, x_label: str, title: str | None
) -> Figure:
    """A mosaic (R, S, C, H, W) with a label a row and a label a column."""
    r, s, _, h, w = x.shape
    picture = mosaic(x.reshape(r * s, *x.shape[2:]), s)
    fig = _picture_figure(picture, s, extra=0.7)
    ax = style.bare(fig.add_subplot())
    style.show(ax, picture)
    ax.set_anchor("N")  # what room is left is left below, and cut off
    gap = gap_of(x)
    if left:
        if 72 * fig.get_figheight() / r < 2.6 * style.TICK:
            left = [name.replace("\n", ", ") for name in left]  # no room for two lines
        style.ticks(ax.yaxis, np.arange(r) * (h + gap) + (h - 1) / 2, [style.plain(n) for n in left])
    if below:
        style.ticks(ax.xaxis, np.arange(s) * (w + gap) + (w - 1) / 2, list(below))
    ax.set_xlabel(x_label, fontsize=style.LABEL, color=style.INK)
    style.heading(fig, title)
    return fig


def _columns(n: int, aspect: float) -> int:
    """Columns that make the grid about three wide to two high, without a short last row if that can be had nearby."""
    about = max(1, min(n, 16, math.ceil(math.sqrt(1.5 * n * aspect))))
    return next((c for c in range(about, max(1, about * 2 // 3), -1) if n % c == 0), about)


def _picture_figure(picture: np.ndarray, columns: int, extra: float = 0.0) -> Figure:
    """A figure that a picture fills: cells of at most 0.9 inch, at most full width, never taller than twice that."""
    width = min(style.WIDTH - extra, max(3.0, 0.9 * columns))
    height = width * picture.shape[0] / picture.shape[1]
    if height > 2 * style.WIDTH:
        width, height = width * 2 * style.WIDTH / height, 2 * style.WIDTH
    return style.figure(width + extra, height + 0.45 + extra * 0.6)


def _colour_bar(fig: Figure, drawn: Any, cax: Axes) -> None:
    bar = fig.colorbar(drawn, cax=cax)
    bound = drawn.get_clim()[1]
    bar.set_ticks([-bound, 0, bound], labels=[f"−{bound:.2g}", "0", f"+{bound:.2g}"])
    bar.ax.tick_params(labelsize=8.5, colors=style.MUTED, labelcolor=style.INK, length=2)
    bar.outline.set_visible(False)  # type: ignore[operator]


def _vectors(x: np.ndarray, columns: int, title: str | None, recon: np.ndarray | None = None) -> Figure:
    """Vectors (N, D), a small panel each on one scale; with `recon`, the output and the difference over the input."""
    n, d = x.shape
    columns = min(n, columns)
    rows = math.ceil(n / columns)
    fig = style.figure(style.WIDTH if columns > 1 else 5.0, 1.75 * rows + 0.9)
    spec = fig.add_gridspec(rows, columns)
    axes: list[Axes] = []
    place = np.arange(1, d + 1)
    for i in range(n):
        ax = _shared(fig, spec, i, columns, axes)
        below = "dimension" if i >= n - columns else ""
        style.dress(ax, x=below, y="value" if i % columns == 0 else "", small=columns > 1)
        _vector(ax, place, x[i], style.GREY if recon is not None else style.BLUE, "input", bars=d <= 16)
        if recon is not None:
            ax.plot(
                place, recon[i], color=style.BLUE, linewidth=1.6, marker="o" if d <= 16 else "", ms=3, label="output"
            )
            ax.plot(place, recon[i] - x[i], color=style.RED, linewidth=1.0, linestyle="--", label="output − input")
        ax.tick_params(labelbottom=i >= n - columns, labelleft=i % columns == 0)
    if recon is not None:
        handles, names = axes[0].get_legend_handles_labels()
        style.key(fig, handles, names, below=True, columns=3)
    style.heading(fig, title)
    return fig


def _shared(fig: Figure, spec: Any, i: int, columns: int, axes: list[Axes]) -> Axes:
    """Add the i-th panel of a grid to the figure and to `axes`; all share the scales of the first."""
    first = axes[0] if axes else None
    axes.append(fig.add_subplot(spec[i // columns, i % columns], sharex=first, sharey=first))
    return axes[-1]


def _vector(ax: Axes, place: np.ndarray, values: np.ndarray, colour: str, label: str, bars: bool) -> None:
    if bars:
        ax.bar(place, values, color=colour, width=0.8, label=label)
    else:
        ax.plot(place, values, color=colour, linewidth=1.8, label=label)


def _families(x: np.ndarray, names: Sequence[str], t: np.ndarray, what: str, title: str | None) -> Figure:
    """Vectors (R, S, D): a panel a row, its S vectors coloured by `t`."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    r, _, d = x.shape
    columns = min(r, 3)
    rows = math.ceil(r / columns)
    fig = style.figure(style.WIDTH, 2.0 * rows + 0.7)
    spec = fig.add_gridspec(rows, columns + 1, width_ratios=[1] * columns + [0.05])
    scale = Normalize(float(t.min()), float(t.max()))
    tones = colormaps[style.SEQUENTIAL](scale(t))
    axes: list[Axes] = []
    for i in range(r):
        ax = _shared(fig, spec, i, columns, axes)
        below = i + columns >= r
        style.dress(ax, names[i], "dimension" if below else "", "value" if i % columns == 0 else "", small=True)
        ax.tick_params(labelbottom=below, labelleft=i % columns == 0)
        lines = [np.column_stack([np.arange(1, d + 1), one]) for one in x[i]]
        ax.add_collection(LineCollection(lines, colors=tones, linewidths=1.2))
        ax.autoscale_view()
    bar = fig.colorbar(ScalarMappable(scale, style.SEQUENTIAL), cax=fig.add_subplot(spec[:, columns]))
    bar.set_label(what, fontsize=style.TICK, color=style.INK)
    bar.ax.tick_params(labelsize=8.5, labelcolor=style.INK)
    style.heading(fig, title)
    return fig
