"""The baseline without latents: independent pixels, columns, tokens or links, fitted to the training split."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vaekit import bounds
from vaekit.data.info import DataInfo
from vaekit.data.shuffling import some_rows
from vaekit.distributions.base import Measure, measure_of
from vaekit.distributions.continuous_bernoulli import ContinuousBernoulliFamily
from vaekit.distributions.counts import NegativeBinomialFamily, PoissonFamily
from vaekit.distributions.mixed import Layout
from vaekit.errors import UserError
from vaekit.graphs import Graphs
from vaekit.inference import batches, inference
from vaekit.metrics.base import Result, Subject, mean_of, metric, refuses
from vaekit.metrics.likelihood import NATS, nats
from vaekit.models.base import Model
from vaekit.tokens import END, used
from vaekit.views import CELLS, TEXT, View, views_of

MOST, MOST_NUMBERS = 20_000, 1 << 24
"""Training examples that it is fitted to, and numbers in them."""
MOST_COUNTS = 1 << 24
"""Counts of levels kept; of more pixels than these allow, those of a channel have one distribution."""
SMOOTHING = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Pseudo-counts, of which the one is taken that predicts each training example best from the others."""
BLOCK = 500
LogProb = Callable[[Any], Tensor]


@dataclass(frozen=True)
class NoLatents:
    """What has no latents: log p of examples as the model sees them, (B,) nats in the data's units, and its name."""

    log_prob: Callable[[Any, Tensor | None], Tensor]
    of: str
    measure: Measure


@metric(
    "no_latents",
    group="likelihood",
    gives={
        "no_latents": ("log-likelihood without latents: independent pixels, columns, tokens or links", None),
        "no_latents_mse": ("squared error of the training mean, as the mse is measured", None),
    },
    needs=("train",),
    quiet=True,
)
@refuses("no_latents", unit=NATS)
def no_latents(subject: Subject) -> dict[str, Result]:
    """What a model without latents gives: the same output distribution with constants, fitted to training examples."""
    assert subject.train is not None
    train, train_y = subject.train()
    out: dict[str, Result] = {}
    if subject.info.is_array:
        centre = train[some_rows(len(train), most(subject.info))].float().mean(0)
        each = [
            subject.in_units(x.float() - centre).double().square().flatten(1).mean(1) for x in subject.x.split(BLOCK)
        ]
        out["no_latents_mse"] = mean_of(torch.cat(each), "squared units a dimension")
    try:
        fitted = fit(subject.model, subject.info, train, train_y, *subject.some(2))
    except UserError as error:
        if not out:
            raise
        return {"no_latents": Result(None, NATS, 0, facts={"refused": str(error)})} | out
    values = scores(fitted, subject.x, subject.y)
    facts = {"definition": f"{fitted.of}, fitted to training examples", "measure": fitted.measure}
    return {"no_latents": mean_of(values, nats(subject.info), **facts)} | out


def scores(fitted: NoLatents, x: Any, y: Tensor | None) -> Tensor:
    """Return log p of examples, (N,) nats."""
    rows = torch.arange(len(x)).split(BLOCK)
    return torch.cat([fitted.log_prob(x.index_select(0, i), None if y is None else y[i]) for i in rows])


def fit(model: Model, info: DataInfo, train: Any, y: Tensor | None, x: Any, label: Tensor | None) -> NoLatents:
    """Fit the baseline of a model's likelihood to training examples, at most 20,000; x and `label` are a few examples.

    A model that is given a class is compared with one distribution for each class. Raises UserError where the model
    bounds no log p(x), which then is compared with nothing.
    """
    with inference(model):
        trace = model.trace(*next(batches(model, x, label)), hard=True)
    reason = bounds.refusal(trace)
    if reason is not None:
        raise UserError(reason)
    if len(train) > most(info):
        rows = some_rows(len(train), most(info))
        train, y = train.index_select(0, rows), None if y is None else y[rows]
    make, of = _maker(model, info, trace.px)
    measure = measure_of(trace.px)
    classes = y is not None and y.dim() == 1 and not y.is_floating_point() and bool((y >= 0).all())
    if not (model.takes_label and classes and y is not None):
        log_prob = make(train)
        return NoLatents(lambda x, y: log_prob(x).double().cpu(), of, measure)
    every = make(train)
    each = {int(c): make(train.index_select(0, (y == c).nonzero().squeeze(1))) for c in y.unique()}

    def by_class(x: Any, label: Tensor | None) -> Tensor:
        out = every(x).double()
        for c, log_prob in each.items() if label is not None else ():
            rows = (label == c).nonzero().squeeze(1)
            if len(rows):
                out[rows] = log_prob(x.index_select(0, rows)).double()
        return out

    return NoLatents(by_class, f"{of} given the label", measure)


def most(info: DataInfo) -> int:
    """Return how many training examples it is fitted to: fewer of large ones, for memory."""
    return min(MOST, max(500, MOST_NUMBERS // info.dimensions))


def _maker(model: Model, info: DataInfo, px: Any) -> tuple[Callable[[Any], LogProb], str]:
    """Return what fits log p to examples, and what it is called."""
    if info.kind == "graph":
        return _links, "one probability for every pair of nodes"
    if info.kind == "tokens":
        return lambda x: _tokens(x, info), "independent tokens"
    if info.kind == "table":
        return lambda x: _table(x, info), "independent columns"
    if info.kind == "series":
        return lambda x: _series(x, info), "independent steps"
    if info.kind == "views":
        return lambda x: _views(x, info), "independent pixels, cells and tokens"
    what = "independent pixels" if info.has_picture else "independent columns"
    if info.modality == "audio":
        what = "independent cells of the spectrogram"
    if info.kind == "binary":
        return lambda x: _levels(x, 2), what
    if info.kind == "levels" and info.levels is not None and measure_of(px) == "mass":
        count = info.levels
        return lambda x: _levels(x, count), what
    if info.kind == "counts":
        return _counts, what
    if info.bits_offset and info.levels is not None and info.kind == "unit":
        bins = info.levels
        return lambda x: _levels(x, bins, dequantised=True), what
    if isinstance(px, ContinuousBernoulliFamily):
        return _continuous_bernoulli, what
    scale = getattr(getattr(getattr(model, "likelihood", None), "scale", None), "kind", "shared")
    return lambda x: _real(x, info, scale), what


def _levels(x: Tensor, levels: int, dequantised: bool = False) -> LogProb:
    """Fit the shares of the levels of every pixel: a mass, or a density that is constant over each level's width."""
    flat = levels * math.prod(x.shape[1:]) > MOST_COUNTS
    shape = x.shape[1:]

    def numbers(x: Tensor) -> Tensor:
        level = x.float() * levels if dequantised else (x.float() * (levels - 1)).round()
        level = level.long().clamp(0, levels - 1).flatten(1)
        return level.view(len(x), shape[0], -1).transpose(1, 2).reshape(-1, shape[0]) if flat else level

    places = shape[0] if flat else math.prod(shape)
    counts, offset = torch.zeros(places * levels, dtype=torch.float64), torch.arange(places) * levels
    for part in x.split(BLOCK):
        index = (numbers(part) + offset).flatten()
        counts += torch.bincount(index, minlength=places * levels).double()
    log_p = _shares(counts.view(places, levels)).log()
    unit = math.log(levels) if dequantised else 0.0

    def log_prob(x: Tensor) -> Tensor:
        level = numbers(x)
        each = log_p[torch.arange(places), level] + unit
        return each.view(len(x), -1).sum(1)

    return log_prob


def _shares(counts: Tensor) -> Tensor:
    """Return the shares (P, L) of counts (P, L), smoothed so that each example is predicted best from the others.

    >>> _shares(torch.tensor([[2.0, 0.0], [1.0, 1.0]], dtype=torch.float64)).sum(1).tolist()
    [1.0, 1.0]
    """
    n, levels = counts.sum(1, keepdim=True), counts.shape[1]

    def left_out(a: float) -> float:
        seen = (counts - 1 + a).clamp(min=a)
        return float((counts * (seen.log() - (n - 1 + a * levels).clamp(min=a).log())).sum())

    best = max(SMOOTHING, key=left_out)
    return (counts + best) / (n + best * levels)


def _real(x: Tensor, info: DataInfo, scale: float | str) -> LogProb:
    """Fit a normal or a Laplace distribution to every number, σ as the likelihood has it: fixed, shared or of each."""
    train = x.double().flatten(1)
    deviation = torch.tensor(info.deviation or (1.0,), dtype=torch.float64)
    unit = deviation.repeat_interleave(train.shape[1] // len(deviation))
    log_unit = unit.log() if info.standardised else torch.zeros_like(unit)

    def spread(each: Tensor) -> Tensor:
        if scale == "shared" or each.shape[0] == 0:
            return each.mean().expand_as(each)
        if scale == "channel":
            rows = each.view(x.shape[1], -1)
            return rows.mean(1, keepdim=True).expand_as(rows).flatten()
        return each

    least = math.exp(-7) if info.standardised else math.exp(-7) * unit
    mean, middle = train.mean(0), train.median(0).values
    sd = spread((train - mean).square().mean(0)).sqrt().clamp(min=least)
    width = spread((train - middle).abs().mean(0)).clamp(min=least)
    if isinstance(scale, float | int):
        sd = float(scale) / log_unit.exp()

    def normal(x: Tensor) -> Tensor:
        off = (x.double().flatten(1) - mean) / sd
        return (-0.5 * off.square() - torch.as_tensor(sd).log() - 0.5 * math.log(2 * math.pi) - log_unit).sum(1)

    def laplace(x: Tensor) -> Tensor:
        off = (x.double().flatten(1) - middle).abs() / width
        return (-off - (2 * width).log() - log_unit).sum(1)

    if isinstance(scale, float | int):
        return normal
    return max((normal, laplace), key=lambda one: float(sum(one(part).sum() for part in x.split(BLOCK))))


def _continuous_bernoulli(x: Tensor) -> LogProb:
    """Fit a continuous Bernoulli to every pixel: its mean is that of the training examples."""
    mean = x.double().mean(0).clamp(1e-4, 1 - 1e-4)
    low, high = torch.full_like(mean, -1e5), torch.full_like(mean, 1e5)
    for _ in range(60):
        middle = (low + high) / 2
        below = ContinuousBernoulliFamily(middle, mean.dim()).mean < mean
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    px = ContinuousBernoulliFamily((low + high) / 2, mean.dim())
    return lambda x: px.log_prob(x.double())


def _counts(x: Tensor) -> LogProb:
    """Fit a negative binomial to every count by its mean and variance, a Poisson where it varies less than one."""
    log_probs = [_count(column) for column in x.double().flatten(1).unbind(1)]
    return lambda x: torch.stack([f(v) for f, v in zip(log_probs, x.double().flatten(1).unbind(1))]).sum(0)


def _count(values: Tensor) -> LogProb:
    """Fit log p to counts (N,)."""
    mean = values.mean().clamp(min=1e-3)
    more = values.var(correction=0) - mean
    log_mean = mean.log().view(1, 1)
    if more > 1e-6 * mean:
        log_dispersion = (more / mean.square()).log()
        return lambda x: NegativeBinomialFamily(log_mean, log_dispersion).log_prob(x.unsqueeze(1))
    return lambda x: PoissonFamily(log_mean).log_prob(x.unsqueeze(1))


def _tokens(x: Tensor, info: DataInfo) -> LogProb:
    """Fit the tokens' shares, END among them; at the last place a sequence ends for certain, as it does to a model."""

    def scored(x: Tensor) -> Tensor:
        keep = used(x)
        if not info.facts.get("truncated") and x.shape[-1] == info.shape[0]:
            keep = keep & ~((x == END) & (torch.arange(x.shape[-1]) == x.shape[-1] - 1))
        return keep

    counts = torch.bincount(x[scored(x)].flatten(), minlength=int(info.levels or 0))
    log_p = _shares(counts.double().unsqueeze(0)).log()[0]
    return lambda x: torch.where(scored(x), log_p[x.clamp(max=len(log_p) - 1)], 0.0).sum(-1)


def _table(x: Tensor, info: DataInfo) -> LogProb:
    """Fit each column by its type over its observed cells: a normal (of the logarithm), a count, shares of levels.

    Those of a curved column are by its quantile function, which is fitted to training rows already.
    """
    columns = info.facts["columns"]
    layout, log_probs = Layout.of(columns), dict[int, LogProb]()
    for j, column in enumerate(columns):
        if j in layout.curved:
            continue
        seen = x[:, j].double()
        seen = seen[~seen.isnan()]
        if j in layout.count:
            log_probs[j] = _count(seen)
        elif j in layout.choice:
            shares = _shares(torch.bincount(seen.long(), minlength=len(column["levels"])).double().unsqueeze(0))
            log_probs[j] = _looked_up(shares.log()[0])
        else:
            log_probs[j] = _normal(seen)

    def log_prob(x: Tensor) -> Tensor:
        seen = ~x.isnan()
        known = torch.where(seen, x, 0.0).double()
        each = torch.zeros_like(known)
        for j, fitted in log_probs.items():
            each[:, j] = fitted(known[:, j])
        real = list(layout.real)
        each[:, real] -= layout.log_slope(known[:, real])
        if layout.curves is not None:
            curved = list(layout.curved)
            each[:, curved] = layout.curves.log_marginal(known[:, curved])
        return torch.where(seen, each, 0.0).sum(1)

    return log_prob


def _looked_up(log_p: Tensor) -> LogProb:
    return lambda x: log_p[x.long()]


def _normal(values: Tensor) -> LogProb:
    """Fit a normal distribution to values (N,), σ at least e^-7."""
    mean = values.mean() if len(values) else torch.zeros((), dtype=torch.float64)
    sd = values.std(correction=0).clamp(min=math.exp(-7)) if len(values) else torch.ones_like(mean)
    return lambda x: -0.5 * ((x - mean) / sd).square() - sd.log() - 0.5 * math.log(2 * math.pi)


def _series(x: Tensor, info: DataInfo) -> LogProb:
    """Fit a normal distribution to each channel's observed steps."""
    fits = [_normal(channel[torch.isfinite(channel)]) for channel in x.double().unbind(1)]
    log_sd = torch.tensor(info.facts["sd"] or [1.0] * len(fits), dtype=torch.float64).log()

    def log_prob(x: Tensor) -> Tensor:
        seen = torch.isfinite(x)
        known = torch.where(seen, x, 0.0).double()
        each = torch.stack([fit(known[:, c]) - log_sd[c] for c, fit in enumerate(fits)], 1)
        return torch.where(seen, each, 0.0).flatten(1).sum(1)

    return log_prob


def _views(x: Tensor, info: DataInfo) -> LogProb:
    """Fit each modality by its kind to the examples that have it whole."""
    log_probs = [
        (view, _view(view, own, view.of(x)[~torch.isnan(view.of(x)).flatten(1).any(1) | (view.kind == CELLS)]))
        for view, own in zip(views_of(info.facts["views"]), info.facts["views"])
    ]

    def log_prob(x: Tensor) -> Tensor:
        each = [torch.where(view.seen(x), one(view.whole(x)).double(), 0.0) for view, one in log_probs]
        return torch.stack(each).sum(0)

    return log_prob


def _view(view: View, facts: Mapping[str, Any], x: Tensor) -> LogProb:
    """Fit log p of one modality in its own shape."""
    own = DataInfo(view.name, view.shape, "real", None, len(x), 0, 0, facts=dict(facts))
    if view.kind == CELLS:
        return _table(x, own)
    if view.kind == TEXT:
        fitted = _tokens(x.long(), replace(own, levels=int(x.max()) + 1))
        return lambda x: fitted(x.long())
    if view.kind == "picture":
        return _levels(x, 2 if facts["values"] == "binary" else 256)
    return _real(x, replace(own, deviation=tuple(facts["sd"]), standardised=True), "shared")


def _links(x: Graphs) -> LogProb:
    """Fit the share of pairs that are joined."""
    edges, pairs = (float(part.sum()) for part in _pairs(x))
    p = min(max(edges / max(pairs, 1.0), 1e-9), 1 - 1e-9)

    def log_prob(x: Graphs) -> Tensor:
        edges, pairs = _pairs(x)
        return edges * math.log(p) + (pairs - edges) * math.log1p(-p)

    return log_prob


def _pairs(x: Graphs) -> tuple[Tensor, Tensor]:
    """Return how many observed pairs of each graph are joined, and how many there are, (G,)."""
    sizes = x.sizes.double()
    edges = torch.bincount(x.graph_of[x.edges[:, 0]], minlength=len(x)).double()
    pairs = sizes * (sizes - 1) / 2
    if x.hidden is not None and len(x.hidden):
        pairs = pairs - torch.bincount(x.graph_of[x.hidden[:, 0]], minlength=len(x)).double()
    return edges, pairs
