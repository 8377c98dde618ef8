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


def latent_map(
    z2: Any,
    labels: Any = None,
    classes: Sequence[str] = (),
    method: str = "PCA",
    explained: Sequence[float] | None = None,
    title: str | None = None,
) -> Figure:
    """Codes in a plane, coloured by label; by how many lie there when there are no labels.

    Args:
        z2: (N, 2) coordinates.
        labels: (N,) integers or names, coloured as classes; or real numbers (more than 30 values), on a colour scale.
        classes: the names of integer labels 0, 1, ….
        method: what gave the plane: "PCA", "UMAP", "t-SNE", or "latent" for a two-dimensional latent itself.
        explained: the fraction of variance on each axis (PCA).

    >>> fig = latent_map([[0, 0], [1, 1], [2, 0]], [0, 1, 1], ["cat", "dog"], explained=[0.6, 0.3])
    >>> fig.axes[0].get_xlabel(), [t.get_text() for t in fig.legends[0].get_texts()]
    ('PC 1 (60% of the variance)', ['cat', 'dog'])
    """
    z = style.array(z2, "z2", 2)
    if z.shape[1] != 2:
        raise UserError(f"z2 has shape {z.shape}; a map needs two columns, project the codes first")
    fig = style.figure(8.2, 6.2)
    coloured = labels is None or len(np.unique(np.asarray(labels))) > _MOST_CLASSES
    spec = fig.add_gridspec(1, 2 if coloured else 1, width_ratios=[1, 0.03] if coloured else [1])
    ax = fig.add_subplot(spec[0, 0])
    named = {"PCA": "PC {}", "latent": "z{}"}.get(method, style.plain(method) + " {}")
    shares = [f" ({v:.0%} of the variance)" for v in explained[:2]] if explained is not None else ["", ""]
    style.dress(ax, "", named.format(1) + shares[0], named.format(2) + shares[1])
    title = title or f"Latent map ({method}), {len(z):,} examples"
    if labels is None:
        _density(fig, ax, z, spec)
    else:
        _labelled(fig, ax, z, np.asarray(labels), classes, spec)
    ax.set_aspect("equal", adjustable="datalim")
    style.heading(fig, title)
    return fig


def _density(fig: Figure, ax: Axes, z: np.ndarray, spec: Any) -> None:
    from matplotlib.colors import LogNorm

    cells = int(np.clip(math.sqrt(len(z)), 12, 90))
    drawn = ax.hexbin(z[:, 0], z[:, 1], gridsize=cells, cmap=style.SEQUENTIAL, mincnt=1, linewidths=0.1)
    top = max(2.0, float(np.max(drawn.get_array())))  # type: ignore[arg-type]
    drawn.set_norm(LogNorm(1, top))
    drawn.set_rasterized(True)
    bar = fig.colorbar(drawn, cax=fig.add_subplot(spec[0, 1]))
    style.log_ticks(bar.ax.yaxis, 1, top)
    bar.set_label("examples in a cell", fontsize=style.TICK, color=style.INK)
    bar.ax.tick_params(labelsize=8.5, labelcolor=style.INK)


def _labelled(fig: Figure, ax: Axes, z: np.ndarray, labels: np.ndarray, classes: Sequence[str], spec: Any) -> None:
    if labels.shape != (len(z),):
        raise UserError(f"there are {len(z)} codes but labels have shape {labels.shape}; give one label a code")
    n = len(z)
    dot: dict[str, Any] = {
        "s": float(np.clip(30_000 / n, 1.2, 26)),
        "alpha": float(np.clip(14 / math.sqrt(n) + 0.25, 0.3, 0.9)),
        "linewidths": 0,
        "rasterized": True,
    }
    # A fixed shuffle: no class lies on top merely because it comes last.
    order = np.random.default_rng(0).permutation(n)
    kinds, index = np.unique(labels, return_inverse=True)
    if len(kinds) > _MOST_CLASSES:
        if not np.issubdtype(labels.dtype, np.number):
            raise UserError(f"there are {len(kinds)} different labels; at most {_MOST_CLASSES} can be told apart")
        drawn = ax.scatter(z[order, 0], z[order, 1], c=labels[order], cmap=style.CONTINUOUS, **dot)
        bar = fig.colorbar(drawn, cax=fig.add_subplot(spec[0, 1]))
        bar.set_label("label", fontsize=style.TICK, color=style.INK)
        return
    from matplotlib.colors import to_rgba_array
    from matplotlib.lines import Line2D

    palette = style.colours(len(kinds))
    ax.scatter(z[order, 0], z[order, 1], c=to_rgba_array(palette)[index[order]], **dot)
    names = [_name(kind, classes) for kind in kinds]
    for i, name in enumerate(names):
        x, y = np.median(z[index == i], axis=0)
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": palette[i], "alpha": 0.9}
        ax.text(x, y, style.plain(name), fontsize=style.TICK, ha="center", va="center", bbox=box, color=style.INK)
    handles = [Line2D([], [], marker="o", linestyle="", color=c, markersize=6) for c in palette]
    style.key(fig, handles, names, columns=1 + len(names) // 26)


def _name(kind: Any, classes: Sequence[str]) -> str:
    if isinstance(kind, np.integer) and 0 <= int(kind) < len(classes):
        return str(classes[int(kind)])
    return f"{kind:g}" if isinstance(kind, np.floating) else str(kind)


def kl_per_dimension(kl: Any, active: Any = None, threshold: float = 0.01, title: str | None = None) -> Figure:
    """Each latent dimension's mean KL, nats an example, the largest first; active ones coloured and counted.

    Args:
        kl: (D,) or a mapping from a group's or latent's name to its (D,) array or its number. Up to six groups of
            dimensions get a panel each; more are drawn as one bar a group, in the given order (a hierarchy's levels).
        active: a mask (D,), or a mapping of masks; by default KL above `threshold`.
        threshold: nats.

    >>> fig = kl_per_dimension([0.001, 2.0, 0.5])
    >>> fig.axes[0].get_title(loc="left"), [float(b.get_height()) for b in fig.axes[0].patches]
    ('2 of 3 dimensions active, 2.50 nats in all', [2.0, 0.5, 0.001])
    """
    groups = (
        {str(k): np.atleast_1d(style.array(v, f"kl[{k}]", (0, 1))) for k, v in kl.items()}
        if isinstance(kl, Mapping)
        else {"": style.array(kl, "kl", 1)}
    )
    if not groups:
        raise UserError("kl is empty; give at least one latent's KL")
    masks = active if isinstance(active, Mapping) else dict.fromkeys(groups, active)
    on = {k: _mask(v, masks.get(k), threshold) for k, v in groups.items()}
    if len(groups) > 6 or (len(groups) > 1 and all(len(v) == 1 for v in groups.values())):
        sums = np.array([v.sum() for v in groups.values()])
        fig = style.figure(height=3.6)
        ax = fig.add_subplot()
        some = np.array([m.any() for m in on.values()])
        _bars(ax, sums, some, list(groups), threshold)
        style.dress(
            ax,
            f"{some.sum()} of {len(groups)} latents active, {sums.sum():.2f} nats in all",
            "",
            "KL (nats an example)",
            "y",
        )
    else:
        fig = style.figure(height=3.4 * len(groups))
        for ax, (name, values) in zip(fig.subplots(len(groups), 1, squeeze=False)[:, 0], groups.items(), strict=True):
            order = np.argsort(-values, kind="stable")
            _bars(ax, values[order], on[name][order], [str(i + 1) for i in order], threshold)
            prefix = f"{name}: " if name else ""
            count = f"{prefix}{int(on[name].sum())} of {len(values)} dimensions active, {values.sum():.2f} nats in all"
            style.dress(ax, count, "latent dimension, most informative first", "KL (nats an example)", "y")
    style.heading(fig, title)
    return fig


def _mask(values: np.ndarray, mask: Any, threshold: float) -> np.ndarray:
    if mask is None:
        return values > threshold
    made = np.atleast_1d(np.asarray(mask)).astype(bool)
    if made.shape != values.shape:
        raise UserError(f"active has shape {made.shape} but kl has {values.shape}; give one entry a dimension")
    return made


def _bars(ax: Axes, values: np.ndarray, active: np.ndarray, names: Sequence[str], threshold: float) -> None:
    place = np.arange(len(values))
    colours = [style.BLUE if on else style.GREY for on in active]
    ax.bar(place, values, color=colours, width=0.82, linewidth=0)
    ax.set_xlim(-0.7, max(len(values) - 0.3, 4))
    used = values[active & (values > 0)]
    if len(used) and used.max() > 100 * used.min():
        ax.set_yscale("log")
        low = max(float(values[values > 0].min()), threshold / 100) / 2
        ax.set_ylim(bottom=min(low, threshold / 2))
        style.log_ticks(ax.yaxis, low, float(used.max()))
        ax.axhline(threshold, color=style.MUTED, linestyle="--", linewidth=0.9)
    long = max(len(n) for n in names) > 4
    most = 20 if long else 40
    shown = place if len(place) <= most else place[:: math.ceil(len(place) / most)]
    style.ticks(ax.xaxis, shown, [style.plain(names[int(i)]) for i in shown], turn=40 if long else 0)
    if active.any() and not active.all():
        if (np.diff(values) > 0).any():
            ax.margins(y=0.32)
        from matplotlib.patches import Patch

        style.legend(
            ax,
            handles=[Patch(color=style.BLUE, label="active"), Patch(color=style.GREY, label="inactive")],
            loc="upper right",
        )


def aggregate_posterior(
    means: Any = None,
    sds: Any = None,
    samples: Any = None,
    dims: int | Sequence[int] = 8,
    title: str | None = "Aggregate posterior (filled) against the prior N(0, 1) (line)",
) -> Figure:
    """The marginals of q(z) = (1/N) Σ_n q(z|x_n) against the N(0, 1) density, a panel a dimension.

    With `means` and `sds`, (N, D) each, the mixture's density is drawn exactly, and the most informative dimensions
    are those with the largest mean KL, ½ (μ² + σ² − log σ² − 1). With `samples` (N, D), a histogram; the most
    informative dimensions are then those with the greatest departure from N(0, 1) by a normal fit to their moments.

    Args:
        dims: how many of the most informative dimensions, or which ones (indices).

    >>> fig = aggregate_posterior(means=[[1.0, 0.0], [-1.0, 0.0]], sds=[[0.1, 1.0], [0.1, 1.0]], dims=1)
    >>> fig.axes[0].get_title(loc="left")
    'z1, KL 2.31 nats'
    """
    if (samples is None) == (means is None or sds is None):
        raise UserError("give either means and sds or samples")
    if samples is not None:
        z = style.array(samples, "samples", 2)
        m, v = z.mean(axis=0), np.maximum(z.var(axis=0), 1e-12)
        score, unit = 0.5 * (m**2 + v - np.log(v) - 1), ""
        mu = sd = z
    else:
        mu, sd = style.array(means, "means", 2), style.array(sds, "sds", 2)
        if mu.shape != sd.shape or (sd <= 0).any():
            raise UserError(f"means {mu.shape} and sds {sd.shape} must have one shape, and all sds must be positive")
        score = 0.5 * (mu**2 + sd**2 - 2 * np.log(sd) - 1).mean(axis=0)
        unit = ", KL {:.2f} nats"
    chosen = list(np.argsort(-score, kind="stable")[:dims]) if isinstance(dims, int) else list(dims)
    if not chosen or not all(0 <= j < mu.shape[1] for j in chosen):
        raise UserError(f"dims {dims} do not fit codes with {mu.shape[1]} dimensions; give indices from 0")
    columns = min(4, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    fig = style.figure(style.WIDTH if columns > 2 else 3.2 * columns + 0.6, 2.1 * rows + 0.6)
    spec = fig.add_gridspec(rows, columns)
    for i, j in enumerate(chosen):
        ax = fig.add_subplot(spec[i // columns, i % columns])
        name, below = f"z{j + 1}" + unit.format(score[j]), "value" if i + columns >= len(chosen) else ""
        style.dress(ax, name, below, "density" if i % columns == 0 else "", small=True)
        _marginal(ax, mu[:, j], None if samples is not None else sd[:, j])
    style.heading(fig, title)
    return fig


def _marginal(ax: Axes, mu: np.ndarray, sd: np.ndarray | None) -> None:
    spread = 0 if sd is None else 3 * sd
    low, high = min(-3.5, float((mu - spread).min())), max(3.5, float((mu + spread).max()))
    x = np.linspace(low, high, 400)
    if sd is None:
        bins: Any = np.linspace(low, high, int(np.clip(len(mu) ** 0.5, 15, 60)))
        ax.hist(
            mu,
            bins=bins,
            density=True,
            color=style.BLUE,
            alpha=0.55,
        )
    else:
        # At most 4000 components, evenly taken: the density's own error is then far below what a figure shows.
        step = math.ceil(len(mu) / 4000)
        q = _mixture(x, mu[::step], sd[::step])
        ax.fill_between(x, q, color=style.BLUE, alpha=0.55, linewidth=0)
    ax.plot(x, np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi), color=style.INK, linewidth=1.4)
    ax.set_ylim(bottom=0)


def _mixture(x: np.ndarray, mu: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Density at x of the even mixture of N(mu, sd²), a hundred components at a time: they stay in the cache."""
    total = np.zeros_like(x, dtype=np.float64)
    root = math.sqrt(0.5)
    for start in range(0, len(mu), 100):
        m, s = mu[start : start + 100, None].astype(np.float64), sd[start : start + 100].astype(np.float64)
        far = x - m
        far *= root / s[:, None]
        np.multiply(far, far, out=far)
        np.negative(far, out=far)
        np.exp(far, out=far)
        total += (1.0 / s) @ far
    return total / (len(mu) * math.sqrt(2 * math.pi))
