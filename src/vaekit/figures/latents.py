"""What the latents hold: the latent map, KL per dimension, and the aggregate posterior against the prior."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.errors import UserError
from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CLASSES = 30
_FEW = 3000
"""Codes below which each is a dot; more are counted in cells."""


def latent_map(
    z2: Any,
    labels: Any = None,
    classes: Sequence[str] = (),
    method: str = "PCA",
    explained: Sequence[float] | None = None,
    noun: str = "examples",
) -> Figure:
    """Codes in a plane, coloured by label; many without labels by how many lie there.

    Args:
        z2: (N, 2) coordinates.
        labels: (N,) integers or names, coloured as classes; or real numbers (more than 30 values), on a colour scale.
        classes: the names of integer labels 0, 1, ….
        method: what gave the plane: "PCA", "UMAP", "t-SNE", or "latent" for a two-dimensional latent itself.
        explained: the fraction of variance on each axis (PCA).
        noun: what is mapped.

    >>> fig = latent_map([[0, 0], [1, 1], [2, 0]], [0, 1, 1], ["cat", "dog"], explained=[0.6, 0.3])
    >>> fig.axes[0].get_xlabel(), [t.get_text() for t in fig.legends[0].get_texts()]
    ('PC 1 (60% of the variance)', ['cat', 'dog'])
    """
    z = style.array(z2, "z2", 2)
    if z.shape[1] != 2:
        raise UserError(f"z2 has shape {z.shape}; a map needs two columns, project the codes first")
    fig = style.figure(8.2, 6.2, f"Latent map ({method}), {len(z):,} {noun}")
    named = {"PCA": "PC {}", "latent": "z{}"}.get(method, method + " {}")
    shares = [f" ({v:.0%} of the variance)" for v in explained[:2]] if explained is not None else ["", ""]
    ax = style.dress(fig.add_subplot(), "", named.format(1) + shares[0], named.format(2) + shares[1])
    ax.set_aspect("equal", adjustable="datalim")
    if labels is None and len(z) < _FEW:
        ax.scatter(*z.T, s=18, alpha=0.6, linewidths=0, color=style.BLUE)
    elif labels is None:
        cells = int(np.clip(math.sqrt(len(z)), 12, 90))
        drawn = ax.hexbin(*z.T, gridsize=cells, bins="log", mincnt=1, cmap=style.SEQUENTIAL, linewidths=0.1)
        drawn.set_clim(1, max(2.0, float(np.max(drawn.get_array()))))  # type: ignore[arg-type]
        style.colour_bar(fig, drawn, ax, f"{noun} in a cell").yaxis.set_major_formatter("{x:g}")
    else:
        _labelled(fig, ax, z, np.asarray(labels), classes)
    return fig


def _labelled(fig: Figure, ax: Axes, z: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> None:
    if labels.shape != (len(z),):
        raise UserError(f"there are {len(z)} codes but labels have shape {labels.shape}; give one label a code")
    n = len(z)
    dot: dict[str, Any] = {
        "s": float(np.clip(30_000 / n, 1.2, 26)),
        "alpha": float(np.clip(14 / math.sqrt(n) + 0.25, 0.3, 0.9)),
        "linewidths": 0,
    }
    # A fixed shuffle: no class lies on top merely because it comes last.
    order = np.random.default_rng(0).permutation(n)
    kinds, index = np.unique(labels, return_inverse=True)
    if len(kinds) > _MOST_CLASSES:
        if not np.issubdtype(labels.dtype, np.number):
            raise UserError(f"there are {len(kinds)} different labels; at most {_MOST_CLASSES} classes get a colour")
        style.colour_bar(fig, ax.scatter(*z[order].T, c=labels[order], cmap=style.CONTINUOUS, **dot), ax, "label")
        return
    from matplotlib.lines import Line2D

    palette = style.colours(len(kinds))
    ax.scatter(*z[order].T, c=[palette[i] for i in index[order]], **dot)
    names = [style.plain(style.short(_name(kind, classes))) for kind in kinds]
    for i, name in enumerate(names):
        x, y = np.median(z[index == i], axis=0)
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": palette[i], "alpha": 0.9}
        ax.text(x, y, name, fontsize=style.TICK, ha="center", va="center", bbox=box, color=style.INK)
    handles = [Line2D([], [], marker="o", linestyle="", color=c, markersize=6) for c in palette]
    columns = 1 + len(names) // 26
    fig.legend(handles, names, loc="outside right upper", ncols=columns, frameon=False, fontsize=style.TICK)


def _name(kind: Any, classes: Sequence[str]) -> str:
    if isinstance(kind, np.integer) and 0 <= int(kind) < len(classes):
        return str(classes[int(kind)])
    return f"{kind:g}" if isinstance(kind, np.floating) else str(kind)


def kl_per_dimension(kl: Any, active: Any = None, stderr: Any = None) -> Figure:
    """Each latent dimension's mean KL, nats/example, the largest first; the active ones coloured and counted.

    Args:
        kl: (D,) or a mapping from a group's or latent's name to its (D,) array or its number. Up to six groups of
            dimensions get a panel each; more are drawn as one bar a group, in the given order (a hierarchy's levels).
        active: which dimensions are active, in the shape of `kl`; a group is active where one of its dimensions is.
        stderr: standard errors in the shape of `kl`, drawn as whiskers. A KL estimated from samples may come out
            slightly negative, and is drawn as it is.

    >>> fig = kl_per_dimension([0.001, 2.0, 0.5], [False, True, True])
    >>> fig.axes[0].get_title(loc="left"), [float(b.get_height()) for b in fig.axes[0].patches]
    ('2 of 3 dimensions active, 2.50 nats in all', [2.0, 0.5, 0.001])
    """
    groups = _groups(kl, "kl")
    if not groups:
        raise UserError("kl is empty; give at least one latent's KL")
    on = dict.fromkeys(groups) if active is None else _groups(active, "active")
    errors = dict.fromkeys(groups) if stderr is None else _groups(stderr, "stderr")
    unit = "KL (nats/example)"
    if len(groups) > 6 or (len(groups) > 1 and all(len(v) == 1 for v in groups.values())):
        fig = style.figure(height=3.6)
        sums = np.array([v.sum() for v in groups.values()])
        each = None if active is None else np.array([np.any(v) for v in on.values()])
        ax = style.dress(fig.add_subplot(), _counted(each, len(groups), "latents", sums), "", unit, "y")
        _bars(ax, sums, each, list(groups), None)
        return fig
    fig = style.figure(height=3.4 * len(groups))
    for ax, (name, values) in zip(style.panels(fig, len(groups), 1), groups.items(), strict=True):
        order = np.argsort(-values, kind="stable")
        mask = on[name]
        each = None if mask is None else mask.astype(bool)
        title = _counted(each, len(values), "dimensions", values)
        style.dress(ax, f"{name}: {title}" if name else title, "latent dimension, most informative first", unit, "y")
        names = [f"{name}.{i + 1}" if name and len(values) < 10 else str(i + 1) for i in order]
        spread = errors[name]
        _bars(
            ax, values[order], None if each is None else each[order], names, None if spread is None else spread[order]
        )
    return fig


def _groups(values: Any, what: str) -> dict[str, np.ndarray]:
    if isinstance(values, Mapping):
        return {str(k): np.atleast_1d(style.array(v, f"{what}[{k}]", (0, 1))) for k, v in values.items()}
    return {"": style.array(values, what, 1)}


def _counted(active: np.ndarray | None, count: int, what: str, values: np.ndarray) -> str:
    of = f"{count} {what}" if active is None else f"{int(active.sum())} of {count} {what} active"
    return f"{of}, {values.sum():.2f} nats in all"


def _bars(
    ax: Axes, values: np.ndarray, active: np.ndarray | None, names: Sequence[str], errors: np.ndarray | None
) -> None:
    place = np.arange(len(values))
    lit = np.ones(len(values), bool) if active is None else active
    whiskers: dict[str, Any] = {"ecolor": style.INK, "error_kw": {"linewidth": 0.9}}
    ax.bar(
        place,
        values,
        color=[style.BLUE if on else style.GREY for on in lit],
        width=0.82,
        linewidth=0,
        yerr=errors,
        **whiskers,
    )
    ax.set_xlim(-0.7, max(len(values) - 0.3, 4))
    style.name_ticks(ax, names)
    if (values < 0).any():
        ax.axhline(0, color=style.MUTED, linewidth=0.9)
    if lit.any() and not lit.all():
        if (np.diff(values) > 0).any():
            ax.margins(y=0.32)  # the highest bar may stand under the legend
        from matplotlib.patches import Patch

        patches = [Patch(color=c, label=label) for c, label in ((style.BLUE, "active"), (style.GREY, "not active"))]
        style.legend(ax, handles=patches, loc="upper right")


def aggregate_posterior(means: Any, sds: Any, dims: int = 8) -> Figure:
    """The marginals of q(z) = (1/N) Σ_n q(z|x_n) against the N(0, 1) density, a panel a dimension.

    From `means` and `sds`, (N, D) each, the mixture's density is drawn exactly, for the `dims` most informative
    dimensions: those with the largest mean KL, ½ (μ² + σ² − log σ² − 1).

    >>> fig = aggregate_posterior([[1.0, 0.0], [-1.0, 0.0]], [[0.1, 1.0], [0.1, 1.0]], dims=1)
    >>> fig.axes[0].get_title(loc="left")
    'z1, KL 2.31 nats'
    """
    mu, sd = style.array(means, "means", 2), style.array(sds, "sds", 2)
    if mu.shape != sd.shape or (sd <= 0).any():
        raise UserError(f"means {mu.shape} and sds {sd.shape} must have one shape, and all sds must be positive")
    kl = 0.5 * (mu**2 + sd**2 - 2 * np.log(sd) - 1).mean(axis=0)
    chosen = np.argsort(-kl, kind="stable")[:dims]
    columns = min(4, len(chosen))
    width = style.WIDTH if columns > 2 else 3.2 * columns + 0.6
    title = "Aggregate posterior (filled) against the prior N(0, 1) (line)"
    fig = style.figure(width, 2.1 * math.ceil(len(chosen) / columns) + 0.6, title)
    for i, (ax, j) in enumerate(zip(style.panels(fig, len(chosen), columns), chosen)):
        x_label = "value" if i + columns >= len(chosen) else ""
        style.dress(ax, f"z{j + 1}, KL {kl[j]:.2f} nats", x_label, "density" if i % columns == 0 else "", small=True)
        x, q = _mixture(mu[:, j], sd[:, j])
        ax.fill_between(x, q, color=style.BLUE, alpha=0.55, linewidth=0)
        ax.plot(x, np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi), color=style.INK, linewidth=1.4)
        ax.set_ylim(bottom=0)
    return fig


def _mixture(mu: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The density of the even mixture of N(mu, sd²) where it and N(0, 1) have their mass: (400,) places and values."""
    x = np.linspace(min(-3.5, float((mu - 3 * sd).min())), max(3.5, float((mu + 3 * sd).max())), 400)
    # At most 4000 components, evenly taken: the density's own error is then far below what a figure shows.
    mu, sd = (v[:: math.ceil(len(mu) / 4000), None].astype(np.float64) for v in (mu, sd))
    return x, (np.exp(-0.5 * ((x - mu) / sd) ** 2) / sd).mean(axis=0) / math.sqrt(2 * math.pi)
