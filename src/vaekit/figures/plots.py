"""Plots of results: the decoder's rate–distortion curve, rank histograms, and anomaly scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.errors import UserError
from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def rate_distortion(rate: Any, distortion: Any) -> Figure:
    """The decoder's rate–distortion curve, nats/example, with lines of equal ELBO.

    The rate is R = KL(q(z|x) ‖ p(z)), the distortion D = −E log p(x|z), and ELBO = −(R + D). Each point (R, D) of the
    curve, (T,) each, is the best that any encoder could do for this decoder at one weight β of the distortion, from
    β = 0 (the prior) to β = 1 (the true posterior).

    Source: Huang et al., Evaluating Lossy Compression Rates of Deep Generative Models, 2020, arXiv:2008.06653; lines
    of equal ELBO after Alemi et al., Fixing a Broken ELBO, 2018.

    >>> rate_distortion([0.0, 5.0, 20.0], [200.0, 120.0, 80.0]).axes[0].get_ylabel()
    'rate R (nats/example)'
    """
    r, d = style.array(rate, "rate", 1), style.array(distortion, "distortion", 1)
    if r.shape != d.shape or not (np.isfinite(r).all() and np.isfinite(d).all()):
        raise UserError(f"rate {r.shape} and distortion {d.shape} must be as many finite numbers each")
    fig = style.figure(8.2, 5.4, "Rate and distortion; dotted lines have equal ELBO")
    ax = style.dress(fig.add_subplot(), "", "distortion D (nats/example)", "rate R (nats/example)", None)
    ax.plot(d, r, color=style.BLUE, linewidth=1.8, marker="o", markersize=3)
    words, box = f"β = 1: R + D = {r[-1] + d[-1]:.1f}", {"facecolor": "white", "edgecolor": "none", "pad": 1}
    ax.annotate(words, (d[-1], r[-1]), (9, 0), textcoords="offset points", va="center", color=style.INK, bbox=box)
    ax.margins(0.08)
    _equal_elbo(ax)
    return fig


def _equal_elbo(ax: Axes) -> None:
    """Lines R + D = constant across what is in view, each named by its ELBO where it enters."""
    from matplotlib.ticker import MaxNLocator

    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for total in MaxNLocator(9).tick_values(left + bottom, right + top):
        x, y = (left, total - left) if total - left < top else (total - top, top)
        if not (left <= x < right - 0.12 * (right - left) and y > bottom + 0.04 * (top - bottom)):
            continue
        ax.axline((x, y), slope=-1, color=style.GREY, linestyle=":", linewidth=1, zorder=0)
        text = f" ELBO {-total:g}".replace("-", "−")
        ax.text(x, y, text, fontsize=style.TICK - 1.5, color=style.MUTED, ha="left", va="top", clip_on=True)
    ax.set(xlim=(left, right), ylim=(bottom, top))


def rank_histograms(counts: Any, names: Sequence[str], p_values: Any) -> Figure:
    """Histograms of the ranks of z among draws of q(z|x), `counts` (D, bars), a panel a dimension with its p-value.

    The band is where 95% of bars lie if q is the posterior: n examples in B bars, Binomial(n, 1/B). Too much at both
    ends is a posterior that is too narrow, too much in the middle one that is too wide, a slope one whose mean is off.

    Source: Talts et al. 2018, arXiv:1804.06788.

    >>> fig = rank_histograms([[10, 12, 8], [30, 0, 0]], ["z1", "z2"], [0.67, 1e-13])
    >>> [ax.get_title(loc="left") for ax in fig.axes]
    ['z1, p = 0.67', 'z2, p < 0.0001']
    """
    from scipy.stats import binom

    c, p = style.array(counts, "counts", 2), style.array(p_values, "p_values", 1)
    if len(c) != len(names) or len(c) != len(p) or (c < 0).any():
        raise UserError(f"counts {c.shape} are for {len(names)} names and {len(p)} p-values, and must not be negative")
    rows, bars = c.shape
    columns = min(3, rows)
    width = style.WIDTH if columns > 2 else 3.4 * columns + 0.6
    fig = style.figure(width, 2.1 * -(-rows // columns) + 0.6, "Ranks of z among draws of q(z|x); flat is calibrated")
    edges = np.linspace(0, 1, bars + 1)
    for i, ax in enumerate(style.panels(fig, rows, columns)):
        words = f"p = {p[i]:.2g}" if p[i] >= 1e-4 else "p < 0.0001"
        labels = ("rank, of 1" if i + columns >= rows else "", "examples" if i % columns == 0 else "")
        style.dress(ax, f"{names[i]}, {words}", *labels, "y", small=True)
        low, high = binom.interval(0.95, int(c[i].sum()), 1 / bars)
        ax.axhspan(low, high, color=style.GREY, alpha=0.35, linewidth=0)
        ax.stairs(c[i], edges, fill=True, color=style.BLUE, alpha=0.55)
        ax.axhline(c[i].sum() / bars, color=style.INK, linewidth=1.0)
        ax.set(xlim=(0, 1), ylim=(0, None))
    return fig


def anomaly_scores(score: Any, threshold: float | None = None, truth: Any = None) -> Figure:
    """Anomaly scores (N,) as a histogram with the threshold; with the truth (N,), by truth and with the ROC beside it.

    Scores further than six interquartile ranges from the middle half are counted in the end bins. `truth` is 1 where
    an example is an anomaly. The area under the ROC is P(score of an anomaly > score of a normal one) + ½ P(equal).

    >>> fig = anomaly_scores([0.1, 0.4, 0.35, 0.8], 0.5, [0, 0, 1, 1])
    >>> [ax.get_title(loc="left") for ax in fig.axes]
    ['Anomaly scores', 'ROC, area 0.750']
    """
    s = style.array(score, "score", 1)
    if not np.isfinite(s).all():
        raise UserError(f"{int((~np.isfinite(s)).sum())} of {len(s)} scores are not finite; leave those examples out")
    known = None if truth is None else np.asarray(truth).astype(bool)
    if known is not None and (known.shape != s.shape or known.all() or not known.any()):
        raise UserError("truth must be one label a score, with at least one normal example (0) and one anomaly (1)")
    fig = style.figure(style.WIDTH, 4.0)
    if known is None:
        _histogram(fig.add_subplot(), {"examples": s}, threshold)
        return fig
    from sklearn.metrics import roc_curve

    left, right = fig.subplots(1, 2, width_ratios=[1.3, 1.0])
    _histogram(left, {"normal": s[~known], "anomaly": s[known]}, threshold)
    false, true, _ = roc_curve(known, s, drop_intermediate=False)
    title = f"ROC, area {np.trapezoid(true, false):.3f}"
    style.dress(right, title, "false positive rate", "true positive rate")
    right.plot([0, 1], [0, 1], color=style.GREY, linestyle=":", linewidth=1.2)
    right.plot(false, true, color=style.BLUE, linewidth=2)
    if threshold is not None:
        flagged = s > threshold
        at = (flagged[~known].mean(), flagged[known].mean())
        words = f"above the threshold:\n{at[1]:.0%} of the anomalies,\n{at[0]:.0%} of the rest"
        right.plot(*at, "o", color=style.RED, label=words)
        style.legend(right, loc="lower right")
    right.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    return fig


def _histogram(ax: Axes, groups: dict[str, np.ndarray], threshold: float | None) -> None:
    every = np.concatenate(list(groups.values()))
    first, third = np.quantile(every, [0.25, 0.75])
    reach = 6 * (third - first) or np.ptp(every)
    low, high = max(every.min(), first - reach), min(every.max(), third + reach)
    edges = np.linspace(low, high if high > low else low + 1, int(np.clip(2 * len(every) ** 0.4, 10, 60)))
    style.dress(ax, "Anomaly scores", "score", "density", "y")
    for (name, values), colour in zip(groups.items(), (style.BLUE, style.RED)):
        clipped, label = np.clip(values, edges[0], edges[-1]), f"{name} ({len(values):,})"
        ax.hist(clipped, edges, density=True, histtype="stepfilled", color=colour, alpha=0.35, label=label)
        ax.hist(clipped, edges, density=True, histtype="step", color=colour, linewidth=1.5)
    if threshold is not None:
        ax.axvline(threshold, color=style.INK, linestyle="--", linewidth=1.2, label=f"threshold {threshold:.4g}")
    style.legend(ax, loc="best")
