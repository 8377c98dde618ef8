"""Training curves from a run's log records."""

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

_NOT_CURVES = {"step", "epoch", "stage", "time", "seconds", "eta", "seed", "examples", "batch_size", "units"}
_FIRST = ("elbo", "loss", "log_px", "kl")
_LAST = ("lr", "grad_norm", "skipped")
_NAMES = {
    "elbo": ("ELBO, training and held-out", "nats/example"),
    "loss": ("Training loss", "nats/example"),
    "log_px": ("Expected log p(x|z)", "nats/example"),
    "kl": ("KL(q(z|x) ‖ p(z))", "nats/example"),
    "lr": ("Learning rate", ""),
    "grad_norm": ("Gradient norm", ""),
    "skipped": ("Steps skipped", "count"),
    "active_units": ("Active units", "count"),
    "reconstruction": ("Reconstruction loss", "nats/example"),
    "rate": ("Rate (KL)", "nats/example"),
    "importance": ("Minus the weighted bound", "nats/example"),
    "commitment": ("Commitment loss", "nats/example"),
    "codebook": ("Codebook loss", "nats/example"),
    "codebook.perplexity": ("Perplexity of the codes", "codes"),
    "codebook.used": ("Share of codes used", ""),
}
_ALSO = {"reconstruction": "log_px", "rate": "kl"}
"""Terms of a loss that another curve shows: they are drawn where it is not there."""
_ALL_ALONG = {*_LAST, "active_units"}
"""What means the same in every stage; of anything else each stage has a panel of its own."""
_OF = " · "
_MOST_PANELS = 10


def curves(
    records: Sequence[Mapping[str, Any]], final: float | None = None, titles: Mapping[str, str] | None = None
) -> Figure:
    """Loss terms, held-out ELBO and learning rate against training steps.

    Each record is a mapping with `step` and, where known, `epoch` (epochs done, possibly a fraction), `stage`, and any
    of `elbo`, `loss`, `log_px`, `kl` (nats/example), `lr`, `grad_norm`, `skipped`; a key `valid.NAME` is drawn in
    the panel of NAME. Other numeric keys get a small panel each. Records may lack keys. A step count that starts again
    in a later stage is carried on from the stage before, and what several stages log under one name has a panel for
    each. `final` is the held-out ELBO when all stages have ended, drawn as a line; `titles` are those of keys that the
    caller knows better. The first steps of a run are left
    off scale when they would flatten the rest.

    Raises:
        UserError: when no record holds a finite number to draw.

    >>> fig = curves([{"step": 1, "elbo": -120.0, "kl": 8.0}, {"step": 2, "elbo": -110.0, "valid.elbo": -112.0}])
    >>> [ax.get_title(loc="left") for ax in fig.axes]
    ['ELBO, training and held-out', 'KL(q(z|x) ‖ p(z))']
    """
    steps, borders = _steps(records)
    series = _by_stage(_series(records, steps), records, steps) if borders else _series(records, steps)
    if not series:
        raise UserError("the training log has no finite numbers to draw; train for at least one step")
    panels = _panels(series)
    rest = panels[1:]
    columns = min(3, len(rest)) or 1
    rows = math.ceil(len(rest) / columns)
    fig = style.figure(height=3.4 + 1.9 * rows)
    spec = fig.add_gridspec(1 + rows, columns, height_ratios=[1.8] + [1.0] * rows)
    main, small = fig.add_subplot(spec[0, :]), None
    known = titles or {}
    _panel(main, panels[0], series, borders, known, large=True, named=True)
    if final is not None and panels[0].split(_OF)[0] == "elbo":
        main.axhline(final, color=style.RED, linewidth=1.2, linestyle="--", label=f"held-out at the end, {final:.4g}")
        low, high = main.get_ylim()
        main.set_ylim(min(low, final - 0.05 * (high - low)), max(high, final + 0.05 * (high - low)))
        _legend(main, panels[0], borders)
    for i, name in enumerate(rest):
        # The small panels show the same steps, so that a column of them needs its numbers once.
        small = fig.add_subplot(spec[1 + i // columns, i % columns], sharex=None if borders else small)
        _panel(small, name, series, borders, known, large=False, named=bool(borders) or i + columns >= len(rest))
    _epochs(main, records, steps, borders)
    return fig


def _steps(records: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """The x of each record, rising over stages, and where stages begin (x, name)."""
    xs: list[float] = []
    borders: list[tuple[float, str]] = []
    offset = previous = 0.0
    stage: Any = None
    for i, record in enumerate(records):
        raw = _number(record.get("step", record.get("epoch", i)))
        raw = float(i) if math.isnan(raw) else raw
        if i and record.get("stage", stage) != stage:
            if raw + offset < previous:
                offset = previous
            borders.append((previous, str(record["stage"])))
        stage = record.get("stage", stage)
        previous = raw + offset
        xs.append(previous)
    if borders:
        first = next((str(r["stage"]) for r in records if "stage" in r), "")
        borders.insert(0, (xs[0], first))
    return np.asarray(xs, dtype=float), borders


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def _series(records: Sequence[Mapping[str, Any]], steps: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name → (x, y), finite points alone, in order of x."""
    series: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for key in dict.fromkeys(k for r in records for k in r):
        name = key.removeprefix("train.")
        first = name.removeprefix("valid.").split(".")[0]
        if first in _NOT_CURVES or "second" in name or name.endswith(("time", ".stderr")):
            continue
        y = np.array([_number(r.get(key)) for r in records])
        keep = np.isfinite(y)
        if keep.any():
            order = np.argsort(steps[keep], kind="stable")
            series[name] = (steps[keep][order], y[keep][order])
    if "skipped" in series and not series["skipped"][1].any():
        del series["skipped"]
    return series


def _by_stage(
    series: Mapping[str, tuple[np.ndarray, np.ndarray]], records: Sequence[Mapping[str, Any]], steps: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split what several stages have logged under one name: it means another thing in each."""
    ends: dict[str, float] = {}
    for record, x in zip(records, steps, strict=True):
        ends[str(record.get("stage", ""))] = float(x)
    bounds = list(ends.items())
    out: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, (x, y) in series.items():
        if name.removeprefix("valid.") in _ALL_ALONG:
            out[name] = (x, y)
            continue
        start = -math.inf
        for stage, end in bounds:
            inside = (x > start) & (x <= end)
            if inside.any():
                out[f"{name}{_OF}{stage}"] = (x[inside], y[inside])
            start = end
    return out


def _title(name: str, known: Mapping[str, str]) -> tuple[str, str]:
    """Return a panel's title and unit: in words, and of which stage.

    >>> _title("kl.z2 · prior", {}), _title("active.z", {}), _title("code_gain", {})
    (('KL of z2 · prior', 'nats/example'), ('Active units of z', 'count'), ('Code gain', ''))
    """
    base, _, stage = name.partition(_OF)
    kind, _, of = base.partition(".")
    plain = base.replace("_", " ").replace(".", " ")
    title, unit = _NAMES.get(base, (known.get(base) or plain[:1].upper() + plain[1:], ""))
    words = {"kl": (f"KL of {of}", "nats/example"), "active": (f"Active units of {of}", "count")}
    if of and kind in words:
        title, unit = words[kind]
    elif kind == "terms" and of.isdigit() and base not in known:
        title = f"Weight of loss term {int(of) + 1}"
    return f"{title}{_OF}{stage}" if stage else title, unit


def _panels(series: Mapping[str, Any]) -> list[str]:
    bases = list(dict.fromkeys(name.removeprefix("valid.") for name in series))
    twice = {n for n in bases if _ALSO.get(n.split(_OF)[0], "-") + n[len(n.split(_OF)[0]) :] in bases}
    for stage in {n.partition(_OF)[2] for n in bases}:  # a loss of one term is that term
        loss, *terms = (f"{n}{_OF}{stage}" if stage else n for n in ("loss", *_ALSO))
        twice |= {n for n in terms if n in series and loss in series and _alike(series[n], series[loss])}
    bases = [n for n in bases if n not in twice]
    first = [n for one in _FIRST for n in bases if n.split(_OF)[0] == one]
    last = [n for n in _LAST if n in bases]
    middle = [n for n in bases if n not in first and n not in last]
    return first + middle[: max(0, _MOST_PANELS - len(first) - len(last))] + last


def _alike(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> bool:
    return all(x.shape == y.shape and np.allclose(x, y) for x, y in zip(a, b, strict=True))


def _panel(
    ax: Axes,
    name: str,
    series: Mapping[str, Any],
    borders: Sequence[tuple[float, str]],
    titles: Mapping[str, str],
    large: bool,
    named: bool,
) -> None:
    train, valid = series.get(name), series.get(f"valid.{name}")
    both = train is not None and valid is not None
    if train is not None:
        _line(ax, *train, label="training")
    if valid is not None:
        ax.plot(*valid, color=style.RED, linewidth=1.6, marker="o", markersize=4 if large else 2.5, label="held-out")
    title, unit = _title(name, titles)
    title = title if large else title.replace(_OF, "\n")
    if name.split(_OF)[0] == "elbo" and not both:
        title = title.replace("training and held-out", "training" if valid is None else "held-out")
    style.dress(ax, title, "step" if large else "", unit, small=not large)
    if unit == "count":
        ax.locator_params(axis="y", integer=True, min_n_ticks=1)
    ax.tick_params(labelbottom=named)
    cut = _limits(ax, [s for s in (train, valid) if s is not None])
    if cut and large:
        ax.set_xlabel("step (the first lie off the scale)")
    ends = ax.get_xlim()
    for i, (x, stage) in enumerate(borders):
        if not (ends[0] <= x <= ends[1]):
            continue
        if i:
            ax.axvline(x, color=style.MUTED, linewidth=0.9, linestyle=":")
        if large and _OF not in name:
            mark = ax.annotate(style.plain(stage), (x, 1), xycoords=("data", "axes fraction"))
            mark.set(fontsize=8.5, color=style.MUTED, va="top", position=(x, 0.985))
    if large:
        _legend(ax, name, borders)


def _legend(ax: Axes, name: str, borders: Sequence[Any]) -> None:
    if len(borders) > 1:
        # The names of the stages stand along the top: the legend goes above them, beside the title.
        style.legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, ncols=2)
    else:
        style.legend(ax, loc=_free_corner(ax, ["lower right", "upper left"] if name == "elbo" else ["upper right"]))


def _free_corner(ax: Axes, wanted: Sequence[str]) -> str:
    """Return the corner of the panel in which the fewest points lie, of equal ones the first of those `wanted`."""
    corners = list(dict.fromkeys([*wanted, "lower right", "upper left", "upper right", "lower left"]))
    to_axes = ax.transData + ax.transAxes.inverted()
    points = np.concatenate([to_axes.transform(np.asarray(line.get_xydata())) for line in ax.lines])
    x, y = points[((points >= 0) & (points <= 1)).all(1)].T

    def held(corner: str) -> int:
        across = x > 0.72 if "right" in corner else x < 0.28
        return int((across & (y > 0.72 if "upper" in corner else y < 0.28)).sum())

    return min(corners, key=held)


def _line(ax: Axes, x: np.ndarray, y: np.ndarray, label: str) -> None:
    """Few points as they are; many as a pale trace under their running mean."""
    window = len(y) // 60
    if window < 3:
        few = len(y) < 25
        ax.plot(x, y, color=style.BLUE, linewidth=1.6, marker="o" if few else "", markersize=3, label=label)
        return
    ax.plot(x, y, color=style.BLUE, linewidth=0.6, alpha=0.35)
    near = np.ones(2 * window - 1)
    mean = np.convolve(y, near, "same") / np.convolve(np.ones(len(y)), near, "same")
    ax.plot(x, mean, color=style.BLUE, linewidth=1.8, label=f"{label} (smoothed)")


def _limits(ax: Axes, lines: Sequence[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Scale y by what follows the first tenth of each line; True if that leaves points out."""
    late = np.concatenate([y[len(y) // 10 :] if len(y) >= 10 else y for _, y in lines])
    every = np.concatenate([y for _, y in lines])
    low, high = float(late.min()), float(late.max())
    span = high - low
    if np.ptp(every) <= 1e-6 * np.abs(every).max():
        # A constant: what rounding left of it is not blown up.
        around = 0.05 * abs(low) or 0.05
        ax.set_ylim(low - around, low + around)
        return False
    if span <= 0 or np.ptp(every) <= 2 * span:
        return False
    ax.set_ylim(low - 0.06 * span, high + 0.06 * span)
    return True


def _epochs(ax: Axes, records: Sequence[Mapping[str, Any]], steps: np.ndarray, borders: Sequence[Any]) -> None:
    """Epochs along the top, where one ratio of steps to epochs holds."""
    known = [(x, e) for x, r in zip(steps, records, strict=True) if (e := _number(r.get("epoch"))) > 0 and x > 0]
    if borders or not known or len(records) < 2 or "step" not in records[-1]:
        if "step" not in records[-1]:
            ax.set_xlabel("epoch" if "epoch" in records[-1] else "record")
        return
    ratio = known[-1][0] / known[-1][1]
    above = ax.secondary_xaxis("top", functions=(lambda step: step / ratio, lambda epoch: epoch * ratio))
    above.tick_params(labelsize=style.TICK - 1, color=style.MUTED, labelcolor=style.MUTED)
    above.set_xlabel("epoch", fontsize=style.TICK, color=style.MUTED)
    above.spines[:].set_visible(False)
