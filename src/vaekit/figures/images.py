"""Pictures of examples: grids, reconstructions, interpolations, traversals and the decoded manifold.

Images are (…, C, H, W) or (…, H, W) in [0, 1] with C = 1 or 3; values outside are clipped, missing values (NaN) are
drawn in red. Volumes (…, C, D, H, W) are drawn by their middle slice, the one at D // 2. All pictures of one figure
share one grey scale. Vectors (…, D) are drawn as lines, or bars when D ≤ 16.
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
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_MISSING, _GAP = (0.74, 0.12, 0.0), 0.85
_MOST_VECTORS = 16


def mosaic(x: np.ndarray, columns: int) -> np.ndarray:
    """Images (N, C, H, W) in rows of `columns`: one picture (rows·(H+g)−g, columns·(W+g)−g, 3), gaps g light grey.

    >>> mosaic(np.zeros((3, 1, 8, 8)), 2).shape
    (17, 17, 3)
    """
    n, _, h, w = x.shape
    gap, rows = _gap(x), math.ceil(n / columns)
    out = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), _GAP)
    if n % columns:
        out[(rows - 1) * (h + gap) - gap :, (n % columns) * (w + gap) - gap :] = 1.0
    for i, image in enumerate(_rgb(x)):
        top, left = (i // columns) * (h + gap), (i % columns) * (w + gap)
        out[top : top + h, left : left + w] = image
    return out


def _gap(x: np.ndarray) -> int:
    """Pixels between neighbours in a mosaic."""
    return max(1, x.shape[-1] // 16)


def _rgb(x: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) as (N, H, W, 3) in [0, 1]; NaN becomes red."""
    last = np.moveaxis(x, 1, -1)
    last = np.repeat(last, 3, axis=-1) if last.shape[-1] == 1 else last
    missing = ~np.isfinite(last).all(axis=-1)
    shown = np.clip(np.nan_to_num(last), 0, 1).astype(np.float64)
    shown[missing] = _MISSING
    return shown


def _as_images(x: Any, what: str, lead: int = 1) -> np.ndarray:
    """`x` with `lead` leading axes and then (C, H, W), (H, W) made (1, H, W), or (D,) left alone.

    Of volumes (C, D, H, W) the middle slice is taken.

    Raises:
        UserError: for another number of dimensions or of channels.
    """
    made = style.array(x, what, (lead + 1, lead + 2, lead + 3, lead + 4))
    if made.ndim == lead + 4:
        made = made[..., made.shape[-3] // 2, :, :]  # the middle slice of a volume
    if made.ndim == lead + 2:
        made = made[(slice(None),) * lead + (None,)]
    if made.ndim == lead + 3 and made.shape[lead] not in (1, 3):
        raise UserError(f"{what} has {made.shape[lead]} channels (shape {made.shape}); pictures need 1 or 3")
    return made


def samples(
    x: Any, columns: int | None = None, title: str | None = "Samples from the prior", rows: Sequence[str] = ()
) -> Figure:
    """A grid of examples, such as decoded draws from p(z): (N, C, H, W) in [0, 1]; or (N, D), the first 16 of them.

    `rows` names the rows, of N / len(rows) examples each: the labels that they were drawn for.

    >>> fig = samples(np.zeros((6, 1, 8, 8)), columns=3)
    >>> fig.axes[0].images[0].get_array().shape
    (17, 26, 3)
    """
    made = _as_images(x, "x")
    if rows and len(made) % len(rows):
        raise UserError(f"{len(made)} samples do not fill {len(rows)} rows; give as many of each")
    if made.ndim == 2:
        return _vectors(made[:_MOST_VECTORS], columns or 4, title) if not rows else _by_row(made, rows, title)
    if rows:
        fig, ax, y, _ = _rows(made.reshape(len(rows), -1, *made.shape[1:]), title)
        ax.set_yticks(y, [style.plain(style.short(name)) for name in rows])
        return fig
    n, _, h, w = made.shape
    across = min(n, columns or _columns(n, h / w))
    return _picture(mosaic(made, across), across, title)[0]


def _by_row(x: np.ndarray, rows: Sequence[str], title: str | None) -> Figure:
    """Vectors (N, D), the first of each row's, with the row's name above each."""
    fig = _vectors(x[:: len(x) // len(rows)][:_MOST_VECTORS], 4, title)
    for ax, name in zip(fig.axes, rows):
        ax.set_title(style.plain(style.short(name)), loc="left", fontsize=style.LABEL, color=style.INK)
    return fig


def reconstructions(x: Any, recon: Any, limit: int = 12, greys: Any = None) -> Figure:
    """Input, output and their difference (output − input), one column an example, the first `limit` of them.

    `x` and `recon` have one shape, (N, C, H, W) in [0, 1] or (N, D). The difference is averaged over channels and
    shares one scale, symmetric about zero, with a colour bar. `greys`, of the same shape, are drawn above: the pictures
    whose pixels were made black or white at random for the input.

    >>> fig = reconstructions(np.zeros((4, 1, 8, 8)), np.full((4, 1, 8, 8), 0.25))
    >>> float(fig.axes[2].images[0].get_clim()[1])
    0.25
    """
    a, b = _as_images(x, "x"), _as_images(recon, "recon")
    if a.shape != b.shape:
        raise UserError(f"x has shape {a.shape} but recon has {b.shape}; give the same examples to both")
    error = float(np.nanmean((b - a) ** 2))
    what = " middle slices" if np.ndim(x) == 5 else ""
    title = f"Input, reconstruction and difference (mean squared error {error:.3g} over the {len(a)} given{what})"
    a, b = a[:limit], b[:limit]
    if a.ndim == 2:
        return _vectors(a, 3, title, b)
    n, _, h, w = a.shape
    cell = min(1.3, (style.WIDTH - 1.7) / n)
    rows = 3 + (greys is not None)
    fig = style.figure(max(5.0, n * cell + 1.7), rows * (cell * h / w + 0.1) + 0.5, title, clear=True)
    drawn_rows = [style.bare(ax) for ax in fig.subplots(rows, 1)]
    axes = drawn_rows[-3:]
    if greys is not None:
        _show(drawn_rows[0], mosaic(_as_images(greys, "greys")[:limit], n))
    difference = (b - a).mean(axis=1)
    bound = float(np.nanmax(np.abs(difference), initial=0.0)) or 1.0
    _show(axes[0], mosaic(a, n))
    _show(axes[1], mosaic(b, n))
    gap = _gap(a)
    padded = np.pad(difference, ((0, 0), (0, 0), (0, gap)), constant_values=np.nan)  # gaps are left empty
    strip = np.concatenate(list(padded), axis=1)[:, :-gap]
    drawn = _show(axes[2], strip, cmap=style.DIVERGING, vmin=-bound, vmax=bound)
    names = ("picture", "input,\nblack or white") if greys is not None else ("input",)
    for ax, name in zip(drawn_rows, (*names, "output", "output\n− input"), strict=True):
        ax.set_ylabel(name, fontsize=style.LABEL, color=style.INK, rotation=0, ha="right", va="center")
    bar = fig.colorbar(drawn, cax=axes[2].inset_axes((1 + 0.15 / (n * cell), 0, 0.14 / (n * cell), 1)))
    bar.set_ticks([-bound, 0, bound], labels=[f"−{bound:.2g}", "0", f"+{bound:.2g}"])
    bar.ax.tick_params(labelsize=style.TICK - 1, color=style.MUTED, labelcolor=style.INK, length=2)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return fig


def interpolation(rows: Any, title: str | None = "Interpolation between encoded examples") -> Figure:
    """Decoded paths between examples: (R, S, C, H, W), each row from t = 0 to t = 1 in S steps; or (R, S, D).

    >>> interpolation(np.zeros((2, 5, 1, 8, 8))).axes[0].get_xlabel()
    't (fraction of the way)'
    """
    made = _as_images(rows, "rows", lead=2)
    t = np.linspace(0, 1, made.shape[1])
    if made.ndim == 3:
        return _families(made, [f"path {i + 1}" for i in range(len(made))], t, "t", title)
    fig, ax, _, x = _rows(made, title)
    _number_axis(ax.xaxis, x, t, fig.get_figwidth() / 0.5, "t (fraction of the way)")
    return fig


def traversals(rows: Any, names: Sequence[str], kl: Any = None, values: Any = None) -> Figure:
    """One row a latent: decoded images as that latent moves, the others held; rows sorted by KL, the largest first.

    Args:
        rows: (L, S, C, H, W) in [0, 1], or (L, S, D).
        names: the L latents' names.
        kl: (L,) each latent's mean KL, nats/example; rows keep their order when absent.
        values: (S,) the latent's value in each column, in units of the latent.

    >>> fig = traversals(np.zeros((2, 3, 1, 8, 8)), ["z1", "z2"], [0.5, 2.0], [-2, 0, 2])
    >>> [t.get_text() for t in fig.axes[0].get_yticklabels()]
    ['z2\\n2.00 nats', 'z1\\n0.50 nats']
    """
    made = _as_images(rows, "rows", lead=2)
    order, labels = np.arange(len(made)), list(names)
    if len(labels) != len(made):
        raise UserError(f"there are {len(made)} traversals but {len(labels)} names; give one name a row")
    title = "Traversals"
    if kl is not None:
        nats = style.array(kl, "kl", 1)
        if len(nats) != len(made):
            raise UserError(f"there are {len(made)} traversals but {len(nats)} KL values; give one a row")
        order, title = np.argsort(-nats, kind="stable"), "Traversals, most informative latent first"
        labels = [f"{names[i]}\n{nats[i]:.2f} nats" for i in order]
    columns = None if values is None else style.array(values, "values", 1)
    if made.ndim == 3:
        steps = np.linspace(0, 1, made.shape[1]) if columns is None else columns
        return _families(made[order], [n.replace("\n", ", ") for n in labels], steps, "latent value", title)
    fig, ax, y, x = _rows(made[order], title)
    if 72 * fig.get_figheight() / len(made) < 2.6 * style.TICK:
        labels = [name.replace("\n", ", ") for name in labels]  # no room for two lines
    ax.set_yticks(y, [style.plain(n) for n in labels])
    if columns is not None:
        _number_axis(ax.xaxis, x, columns, fig.get_figwidth() / 0.5, "value of the latent")
    return fig


def manifold(grid: Any, xs: Any, ys: Any, names: tuple[str, str] = ("z1", "z2")) -> Figure:
    """The decoded plane of two latents: (n, m, C, H, W), `grid[i, j]` decoded at first latent `xs[j]`, second `ys[i]`.

    The second latent grows upwards. `xs` (m,) and `ys` (n,) may be uneven (quantiles of the prior, say): each picture
    is labelled by its own value.

    >>> fig = manifold(np.zeros((3, 3, 1, 8, 8)), [-2, 0, 2], [-1, 0, 1])
    >>> [t.get_text() for t in fig.axes[0].get_xticklabels()]
    ['−2', '0', '2']
    """
    made = _as_images(grid, "grid", lead=2)
    if made.ndim == 3:
        raise UserError(f"grid has shape {made.shape}; a manifold is drawn from images (n, m, C, H, W)")
    across, up = style.array(xs, "xs", 1), style.array(ys, "ys", 1)
    if (len(up), len(across)) != made.shape[:2]:
        raise UserError(
            f"the grid is {len(made)} × {made.shape[1]} but ys and xs have {len(up)} and {len(across)} values"
        )
    fig, ax, y, x = _rows(made[::-1], "The decoded latent plane")
    _number_axis(ax.xaxis, x, across, fig.get_figwidth() / 0.5, f"{names[0]} (latent units)")
    _number_axis(ax.yaxis, y, up[::-1], fig.get_figheight() / 0.3, f"{names[1]} (latent units)")
    return fig


def _number_axis(axis: Axis, places: np.ndarray, values: np.ndarray, most: float, label: str) -> None:
    """Write `values` at `places`, at most `most` of them, and what they are: two digits, or three where they end so."""
    every = math.ceil(len(values) / most)
    digits = 3 if all(abs(float(f"{v:.3g}") - v) < 1e-6 for v in values[::every]) else 2
    words = [f"{0.0 if abs(v) < 5e-3 else v:.{digits}g}".replace("-", "−") for v in values[::every]]
    axis.set_ticks(places[::every], words)
    axis.set_label_text(style.plain(label), fontsize=style.LABEL, color=style.INK)


def _rows(x: np.ndarray, title: str | None) -> tuple[Figure, Axes, np.ndarray, np.ndarray]:
    """A mosaic (R, S, C, H, W), and where the middles of its rows and columns lie on the axes."""
    r, s, _, h, w = x.shape
    fig, ax = _picture(mosaic(x.reshape(r * s, *x.shape[2:]), s), s, title, labels=0.75)
    gap = _gap(x)
    return fig, ax, np.arange(r) * (h + gap) + (h - 1) / 2, np.arange(s) * (w + gap) + (w - 1) / 2


def _columns(n: int, aspect: float) -> int:
    """Columns that make the grid about three wide to two high, without a short last row if that can be had nearby."""
    about = max(1, min(n, 16, math.ceil(math.sqrt(1.5 * n * aspect))))
    return next((c for c in range(about, max(1, about * 2 // 3), -1) if n % c == 0), about)


def _picture(picture: np.ndarray, columns: int, title: str | None, labels: float = 0.0) -> tuple[Figure, Axes]:
    """A figure that a picture fills: cells of at most 0.9 inch, at most full width, never taller than twice that."""
    width = min(style.WIDTH - labels, max(3.0, 0.9 * columns))
    height = width * picture.shape[0] / picture.shape[1]
    if height > 2 * style.WIDTH:
        width, height = width * 2 * style.WIDTH / height, 2 * style.WIDTH
    fig = style.figure(width + labels, height + 0.45 + 0.6 * labels, title, clear=True)
    ax = style.bare(fig.add_subplot())
    _show(ax, picture)
    ax.set_anchor("N")  # what room is left is left below, and cropped
    return fig, ax


def _show(ax: Axes, values: np.ndarray, **options: Any) -> Any:
    return ax.imshow(values, origin="upper", interpolation="antialiased", **options)


def _vectors(x: np.ndarray, columns: int, title: str | None, recon: np.ndarray | None = None) -> Figure:
    """Vectors (N, D), a small panel each on one scale; with `recon`, the output and the difference over the input."""
    n, d = x.shape
    columns = min(n, columns)
    fig = style.figure(style.WIDTH if columns > 1 else 5.0, 1.6 * math.ceil(n / columns) + 0.9, title)
    axes = style.panels(fig, n, columns, shared=True)
    place, few = np.arange(1, d + 1), d <= 16
    colour = style.GREY if recon is not None else style.BLUE
    for i, ax in enumerate(axes):
        below = "dimension" if i >= n - columns else ""
        style.dress(ax, x=below, y="value" if i % columns == 0 else "", small=columns > 1)
        if few:
            ax.bar(place, x[i], color=colour, width=0.8, label="input")
        else:
            ax.plot(place, x[i], color=colour, linewidth=1.8, label="input")
        if recon is not None:
            ax.plot(place, recon[i], color=style.BLUE, linewidth=1.6, marker="o" if few else "", ms=3, label="output")
            ax.plot(place, recon[i] - x[i], color=style.RED, linewidth=1.0, linestyle="--", label="output − input")
    if recon is not None:
        handles, names = axes[0].get_legend_handles_labels()
        order = np.argsort(names)  # input, output, their difference
        handles, names = [handles[i] for i in order], [names[i] for i in order]
        fig.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=style.TICK)
    return fig


def _families(x: np.ndarray, names: Sequence[str], t: np.ndarray, what: str, title: str | None) -> Figure:
    """Vectors (R, S, D): a panel a row, its S vectors coloured by `t`."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    r, _, d = x.shape
    columns = min(r, 3)
    fig = style.figure(style.WIDTH, 2.0 * math.ceil(r / columns) + 0.7, title)
    axes = style.panels(fig, r, columns, shared=True)
    scale = Normalize(float(t.min()), float(t.max()))
    tones = colormaps[style.SEQUENTIAL](scale(t))
    for i, ax in enumerate(axes):
        below = "dimension" if i >= r - columns else ""
        style.dress(ax, names[i], below, "value" if i % columns == 0 else "", small=True)
        for tone, one in zip(tones, x[i], strict=True):
            ax.plot(np.arange(1, d + 1), one, color=tone, linewidth=1.2)
    style.colour_bar(fig, ScalarMappable(scale, style.SEQUENTIAL), axes, what)
    return fig
