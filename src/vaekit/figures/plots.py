"""Plots of results: rate and distortion, studies, anomaly scores, ROC."""

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


def rate_distortion(points: Sequence[Mapping[str, Any]], title: str | None = None) -> Figure:
    """Rate against distortion, nats an example, with lines of equal ELBO.

    The rate is R = KL(q(z|x) ‖ p(z)), the distortion D = −E log p(x|z), and ELBO = −(R + D).

    Each point has `rate` and `distortion`, and may have `rate_stderr`, `distortion_stderr`, `label` (written beside
    it) and `group` (points of a group are joined in order of rate and share a colour). Source: Alemi et al., Fixing a
    Broken ELBO, 2018.

    >>> fig = rate_distortion([{"rate": 20, "distortion": 80, "label": "β = 1"}, {"rate": 5, "distortion": 120}])
    >>> fig.axes[0].get_ylabel()
    'rate, KL (nats an example)'
    """
    if not points:
        raise UserError("there are no rate–distortion points to draw; give at least one")
    fig = style.figure(8.2, 5.4)
    ax = style.dress(
        fig.add_subplot(), "", "distortion, −E log p(x|z) (nats an example)", "rate, KL (nats an example)", "none"
    )
    groups = list(dict.fromkeys(p.get("group") for p in points))
    for colour, group in zip(style.colours(len(groups)), groups, strict=True):
        mine = sorted((p for p in points if p.get("group") == group), key=lambda p: p["rate"])
        x, y = np.array([float(p["distortion"]) for p in mine]), np.array([float(p["rate"]) for p in mine])
        ex, ey = ([float(p.get(k) or 0) for p in mine] for k in ("distortion_stderr", "rate_stderr"))
        name = None if group is None else style.plain(group)
        ax.errorbar(x, y, ey, ex, color=colour, marker="o", markersize=6, linewidth=1.4, elinewidth=1, label=name)
        for p in mine:
            if p.get("label"):
                at = (float(p["distortion"]), float(p["rate"]))
                ax.annotate(
                    style.plain(p["label"]),
                    at,
                    (7, 5),
                    textcoords="offset points",
                    fontsize=style.TICK,
                    color=style.INK,
                )
    ax.margins(0.12)
    _iso_elbo(ax)
    if groups != [None]:
        style.legend(ax, loc="upper right").get_frame().set_alpha(1)
    style.heading(fig, title or "Rate and distortion; dotted lines have equal ELBO")
    return fig


def _iso_elbo(ax: Axes) -> None:
    """Lines R + D = constant across what is in view, each named by its ELBO."""
    from matplotlib.ticker import MaxNLocator

    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    bottom = max(0.0, bottom) if bottom > -1e-9 else bottom
    totals = MaxNLocator(7).tick_values(left + bottom, right + top)
    for total in totals:
        y0, y1 = total - left, total - right
        if min(y0, top) <= max(y1, bottom):
            continue
        ax.plot([left, right], [y0, y1], color=style.GREY, linestyle=":", linewidth=1, zorder=0, label="_iso")
        # Named where the line enters: on the left edge, or on the top edge.
        at = (left, y0) if y0 < top else (total - top, top)
        if at[0] > right - 0.12 * (right - left):
            continue
        text = f" ELBO {-total:g}".replace("-", "−")
        ax.text(*at, text, fontsize=8, color=style.MUTED, ha="left", va="top", clip_on=True)
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)


def study(
    table: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]],
    x: str,
    y: str,
    hue: str | None = None,
    title: str | None = None,
    y_label: str | None = None,
) -> Figure:
    """Column `y` against column `x`, a line for each value of `hue`, with ±1 standard error.

    `table` is a sequence of rows or a mapping of columns. Where several rows share x and hue (seeds), their mean is
    drawn with the standard error of that mean; a single row uses the column `y + "_stderr"` if there is one. An x that
    is not numeric is drawn as categories; one that spans more than a factor 30 is on a logarithmic axis. Rows whose y
    is missing are left out.

    >>> rows = [{"beta": b, "elbo": -90 - b + s} for b in (1, 2, 4) for s in (0.0, 0.2)]
    >>> [round(v, 2) for v in study(rows, "beta", "elbo").axes[0].lines[0].get_ydata()]
    [-90.9, -91.9, -93.9]
    """
    rows = _table(table)
    for column in (x, y, *([hue] if hue else [])):
        if not any(column in row for row in rows):
            raise UserError(
                f"the table has no column {column!r}; it has {', '.join(sorted({k for r in rows for k in r}))}"
            )
    rows = [r for r in rows if _finite(r.get(y)) and r.get(x) is not None]
    if not rows:
        raise UserError(f"column {y!r} holds no number to draw")
    numeric = all(_finite(r[x]) for r in rows)
    places: list[Any] = sorted({float(r[x]) for r in rows}) if numeric else list(dict.fromkeys(str(r[x]) for r in rows))
    fig = style.figure(8.2, 4.6)
    ax = style.dress(fig.add_subplot(), "", x, y_label or y)
    hues = list(dict.fromkeys(r.get(hue) for r in rows)) if hue else [None]
    for i, (colour, value) in enumerate(zip(style.colours(len(hues)), hues, strict=True)):
        mine = [r for r in rows if not hue or r.get(hue) == value]
        at, mean, error = _summary(mine, x, y, numeric, places)
        label = style.plain(f"{hue} = {value}") if hue else None
        mark = "os^Dv<>pX*"[i % 10]
        ax.errorbar(at, mean, error, color=colour, marker=mark, markersize=5.5, linewidth=1.6, capsize=3, label=label)
    if not numeric:
        long = max(len(str(p)) for p in places) * len(places) > 70
        style.ticks(ax.xaxis, range(len(places)), [style.plain(p) for p in places], turn=30 if long else 0)
        ax.margins(x=0.08)
    elif min(places) > 0 and max(places) > 30 * min(places):
        ax.set_xscale("log")
        style.log_ticks(ax.xaxis, min(places), max(places))
        if len(places) <= 12:
            style.ticks(ax.xaxis, places, [f"{p:g}" for p in places])
    if hue:
        style.legend(ax, loc="best")
    style.heading(fig, title or f"{y} by {x} (bars: ±1 standard error)")
    return fig


def _table(table: Any) -> list[dict[str, Any]]:
    if isinstance(table, Mapping):
        lengths = {len(v) for v in table.values()}
        if len(lengths) != 1:
            raise UserError(f"the table's columns have different lengths {sorted(lengths)}; make them equal")
        return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    rows = [dict(row) for row in table]
    if not rows:
        raise UserError("the table is empty; run the study first")
    return rows


def _finite(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)


def _summary(
    rows: Sequence[Mapping[str, Any]], x: str, y: str, numeric: bool, places: Sequence[Any]
) -> tuple[list[float], list[float], list[float]]:
    at: list[float] = []
    mean: list[float] = []
    error: list[float] = []
    for i, place in enumerate(places):
        here = [r for r in rows if (float(r[x]) if numeric else str(r[x])) == place]
        if not here:
            continue
        values = np.array([float(r[y]) for r in here])
        given = here[0].get(f"{y}_stderr")
        at.append(float(place) if numeric else float(i))
        mean.append(float(values.mean()))
        if len(values) > 1:
            error.append(float(values.std(ddof=1) / math.sqrt(len(values))))
        else:
            error.append(float(given) if _finite(given) else 0.0)  # type: ignore[arg-type]
    return at, mean, error


def histogram_scores(
    scores: Any,
    labels: Any = None,
    names: Sequence[str] = ("normal", "anomaly"),
    x_label: str = "anomaly score",
    title: str | None = None,
) -> Figure:
    """Densities of anomaly scores, one histogram a label on shared bins.

    Scores further than six interquartile ranges from the middle half are counted in the end bins.

    Args:
        scores: (N,), or a mapping from a name to its scores (then `labels` is not used).
        labels: (N,) integers 0, 1, … into `names`, 1 for an anomaly.

    >>> fig = histogram_scores([1.0, 2.0, 9.0], [0, 0, 1])
    >>> [t.get_text() for t in fig.axes[0].get_legend().get_texts()]
    ['normal (2)', 'anomaly (1)']
    """
    if isinstance(scores, Mapping):
        groups = {str(k): style.array(v, f"scores[{k}]", 1) for k, v in scores.items()}
    else:
        flat = style.array(scores, "scores", 1)
        kinds = np.zeros(len(flat), dtype=int) if labels is None else np.asarray(labels).astype(int)
        if kinds.shape != flat.shape:
            raise UserError(f"there are {len(flat)} scores but labels have shape {kinds.shape}; give one label a score")
        found = [int(k) for k in np.unique(kinds)]
        called = {k: names[k] if 0 <= k < len(names) else str(k) for k in found}
        groups = {"scores": flat} if labels is None else {called[k]: flat[kinds == k] for k in found}
    every = np.concatenate(list(groups.values()))
    if not np.isfinite(every).all():
        raise UserError(f"{int((~np.isfinite(every)).sum())} scores are not finite; remove or mend them first")
    first, third = np.quantile(every, [0.25, 0.75])
    reach = 6 * (third - first) or np.ptp(every)
    low, high = max(every.min(), first - reach), min(every.max(), third + reach)
    edges = np.linspace(low, high if high > low else low + 1, int(np.clip(2 * len(every) ** 0.4, 10, 60)))
    fig = style.figure(8.2, 4.2)
    ax = style.dress(fig.add_subplot(), "", x_label, "density", "y")
    tones = [style.BLUE, style.RED, style.ORANGE, style.PURPLE, *style.PALETTE[5:]]
    for i, (name, values) in enumerate(groups.items()):
        colour = tones[i % len(tones)]
        label = style.plain(f"{name} ({len(values):,})")
        clipped = np.clip(values, edges[0], edges[-1])
        ax.hist(clipped, edges, density=True, histtype="stepfilled", color=colour, alpha=0.35, label=label)
        ax.hist(clipped, edges, density=True, histtype="step", color=colour, linewidth=1.5)
    style.legend(ax, loc="best")
    style.heading(fig, title or "Anomaly scores")
    return fig


def roc(scores: Any, labels: Any, title: str | None = None) -> Figure:
    """The receiver operating characteristic of `scores` (N,) for `labels` (N,), 1 for what a high score should find.

    The area under the curve is P(score of an anomaly > score of a normal one) + ½ P(equal); ties are taken together.

    >>> fig = roc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    >>> fig.axes[0].get_title(loc="left")
    'ROC, area 0.750'
    """
    s, truth = style.array(scores, "scores", 1), np.asarray(labels).astype(bool)
    if truth.shape != s.shape or truth.all() or not truth.any():
        raise UserError("a ROC needs one label a score, and at least one example of each of the labels 0 and 1")
    order = np.argsort(-s, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)
    hits = np.concatenate([[0], np.cumsum(truth[order])[ends]]) / truth.sum()
    false = np.concatenate([[0], np.cumsum(~truth[order])[ends]]) / (~truth).sum()
    area = float(np.sum(np.diff(false) * (hits[1:] + hits[:-1]) / 2))
    fig = style.figure(5.2, 5.0)
    ax = style.dress(fig.add_subplot(), title or f"ROC, area {area:.3f}", "false positive rate", "true positive rate")
    ax.plot([0, 1], [0, 1], color=style.GREY, linestyle=":", linewidth=1.2)
    ax.plot(false, hits, color=style.BLUE, linewidth=2)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    return fig
