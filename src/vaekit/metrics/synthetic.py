"""Metrics of synthetic tables: how like real rows sampled ones are, what they are good for, whether they are copies.

All are of draws of the model beside test rows, which training did not see, in the columns' own units. Columns that tell
of gaps are not looked at by themselves: a cell they say is missing is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.tables.columns import CHOICE, restore
from vaekit.errors import UserError
from vaekit.intervals import auroc, auroc_interval
from vaekit.metrics.base import Result, Subject, mean_of, metric, once, refuses
from vaekit.metrics.molecules import explained
from vaekit.metrics.two_sample import alike, told_apart
from vaekit.metrics.uncertainty import share

MOST_ROWS = 2000
"""Test rows and as many samples, at most."""
MOST_TRAINED = 5000
"""Training rows and as many samples that a model of use is fitted to, at most."""
LEAST = 20
MOST_COLUMNS = 50
"""Columns whose pairs are looked at, the first ones."""
BINS = 10
TARGETS = ("class", "label", "target", "y", "outcome")
FEW_LEVELS = 20
SDMETRICS = "Patki et al. 2016, DSAA; definitions of SDMetrics"

Values = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Rows:
    """Test rows and samples (N, C) in the columns' own units, NaN where missing, and the columns' facts."""

    real: Values
    fake: Values
    columns: Sequence[Mapping[str, Any]]
    places: list[int]

    @property
    def choices(self) -> list[bool]:
        """Which columns are choices."""
        return [column["type"] in CHOICE for column in self.columns]


def in_own_units(x: Tensor, columns: Sequence[Mapping[str, Any]], places: Sequence[int]) -> Values:
    """Return columns of stored rows in their own units, levels by number; NaN where missing, (N, C)."""
    out = np.full((len(x), len(places)), np.nan)
    for at, j in enumerate(places):
        stored = x[:, j].double().numpy()
        known = np.isfinite(stored)
        out[known, at] = restore(stored[known], columns[j])
    return out


@once
def synthetic_rows(subject: Subject) -> Rows:
    """Return test rows and as many samples.

    Raises:
        UserError: there are too few test rows.
    """
    n = min(len(subject.x), MOST_ROWS, int(subject.options.get("samples", MOST_ROWS)))
    if n < LEAST:
        raise UserError(f"synthetic rows are compared with at least {LEAST} test rows, and there are {n}")
    every = subject.info.facts["columns"]
    real, fake = subject.x.index_select(0, subject.some_rows(n)), subject.samples(n, draw=True)
    if not any(column.get("gap_of") for column in every):
        real, fake = alike(real, fake)
    places = [j for j, column in enumerate(every) if not column.get("gap_of")]
    own = [in_own_units(x, every, places) for x in (real, fake)]
    return Rows(own[0], own[1], [every[j] for j in places], places)


# -- two samples -------------------------------------------------------------------------------------------------------


@metric(
    "synthetic_c2st",
    group="synthetic",
    gives={
        "synthetic_c2st": ("1 where boosted trees cannot tell sampled from test rows, 0 where they always can", True),
        "synthetic_auroc": ("area under the ROC curve of these trees, 0.5 where they cannot", False),
    },
    needs=("table",),
    reference="Lopez-Paz & Oquab 2017, arXiv:1610.06545",
    slow=True,
)
@refuses("synthetic_c2st", "synthetic_auroc", unit="of 1")
def synthetic_c2st(subject: Subject) -> dict[str, Result]:
    """The classifier two-sample test, 2 - 2 max(AUROC, 0.5): trees fitted to half of both, judged by the other half."""
    rows = synthetic_rows(subject)
    _, score, truth = told_apart(rows.real, rows.fake, subject.seed)
    return c2st_of(score, truth)


def c2st_of(score: Values, truth: Values) -> dict[str, Result]:
    """Return both numbers for scores (N,) of rows and which are real.

    >>> c2st_of(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))["synthetic_c2st"].value
    0.0
    """
    area, (low, high) = auroc(score, truth), auroc_interval(score, truth)
    facts = {"classifier": "gradient-boosted trees", "samples": "draws from p(x|z)"}
    told = (2 - 2 * max(high, 0.5), 2 - 2 * max(low, 0.5))
    return {
        "synthetic_c2st": Result(2 - 2 * max(area, 0.5), "of 1", len(truth), None, told, facts),
        "synthetic_auroc": Result(area, "of 1", len(truth), None, (low, high), facts),
    }


# -- columns and pairs -------------------------------------------------------------------------------------------------


@metric(
    "synthetic_shapes",
    group="synthetic",
    gives={
        "column_shapes": ("1 less the greatest difference of distribution functions (of shares: half their sum)", True),
        "column_pairs": ("how alike the correlations and joint shares of pairs of columns are", True),
    },
    needs=("table",),
    reference=SDMETRICS,
    slow=True,
)
@refuses("column_shapes", "column_pairs", unit="of 1")
def synthetic_shapes(subject: Subject) -> dict[str, Result]:
    """SDMetrics' column shapes and column pair trends, means over columns and over pairs; missing cells left out."""
    rows = synthetic_rows(subject)
    columns = list(zip(rows.real.T, rows.fake.T, rows.choices))
    shapes = [shape(real, fake, choice) for real, fake, choice in columns]
    pairs = [pair(a, b) for a, b in combinations(columns[:MOST_COLUMNS], 2)]
    n = len(rows.real)
    out = {"column_shapes": _mean(shapes, n)}
    return out | ({"column_pairs": _mean(pairs, n)} if pairs else {})


def _mean(values: Sequence[float], n: int) -> Result:
    known = [value for value in values if value == value]
    if not known:
        return Result(None, "of 1", 0, facts={"refused": "no column has a cell in both samples and test rows"})
    return Result(float(np.mean(known)), "of 1", n, facts={"columns": len(known), "least": min(known)})


def shape(real: Values, fake: Values, choice: bool) -> float:
    """Return 1 - KS of numbers, 1 - half the sum of differences of shares of levels; NaN where one has no cell.

    >>> shape(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, np.nan]), False)
    0.75
    >>> round(shape(np.array([0.0, 0, 1]), np.array([0.0, 1, 1]), True), 6)
    0.666667
    """
    real, fake = real[~np.isnan(real)], fake[~np.isnan(fake)]
    if not len(real) or not len(fake):
        return float("nan")
    if choice:
        return 1 - _difference(real, fake)
    at = np.concatenate([real, fake])
    below = [np.searchsorted(np.sort(part), at, "right") / len(part) for part in (real, fake)]
    return 1 - float(np.abs(below[0] - below[1]).max())


def _difference(real: Values, fake: Values) -> float:
    """Return half the sum of differences of the shares of what rows hold, (N,) or (N, D)."""
    names, codes = np.unique(np.concatenate([real, fake]), axis=0, return_inverse=True)
    parts = np.split(codes.reshape(-1), [len(real)])
    shares = [np.bincount(part, minlength=len(names)) / len(part) for part in parts]
    return float(0.5 * np.abs(shares[0] - shares[1]).sum())


Column = tuple[Values, Values, bool]
"""A column's values in test rows and in samples, and whether it is a choice."""


def pair(a: Column, b: Column) -> float:
    """Return how alike two columns' dependence is: 1 - |difference of Pearson's r|/2 of numbers, else by joint shares.

    Beside a choice numbers are taken in ten equal parts of the test rows' range.
    """
    both = [np.stack(ends, 1) for ends in zip(a[:2], b[:2])]
    parts = [rows[~np.isnan(rows).any(1)] for rows in both]
    if min(map(len, parts)) < 2:
        return float("nan")
    if not a[2] and not b[2]:
        if any((part.std(0) <= 0).any() for part in parts):
            return float("nan")
        r = [float(np.corrcoef(part.T)[0, 1]) for part in parts]
        return 1 - abs(r[0] - r[1]) / 2
    for at, choice in enumerate((a[2], b[2])):
        if not choice:
            edges = np.histogram_bin_edges(parts[0][:, at], BINS)[1:-1]
            for part in parts:
                part[:, at] = np.digitize(part[:, at], edges)
    return 1 - _difference(parts[0], parts[1])


# -- use ---------------------------------------------------------------------------------------------------------------


@metric(
    "synthetic_utility",
    group="synthetic",
    gives={
        "utility": ("accuracy (R² of a number) in test rows of boosted trees that were fitted to sampled rows", True),
        "utility_real": ("the same, fitted to as many training rows", True),
    },
    needs=("table", "train"),
    reference="Esteban et al. 2017, arXiv:1706.02633 (train on synthetic, test on real)",
    slow=True,
)
@refuses("utility", "utility_real", unit="of 1")
def synthetic_utility(subject: Subject) -> dict[str, Result]:
    """What sampled rows are good for: a column predicted from the others, trained on synthetic and tested on real rows.

    The column is the one called class, label, target, y or outcome, else the last choice of few levels, else the last
    number; the option `target` names another.
    """
    rows = synthetic_rows(subject)
    every = subject.info.facts["columns"]
    at = target_of(rows.columns, subject.options.get("target"))
    assert subject.train is not None
    train: Tensor = subject.train()[0][:MOST_TRAINED]
    known = in_own_units(train, every, rows.places)
    drawn = in_own_units(subject.samples(len(train), draw=True), every, rows.places)
    facts = {"target": rows.columns[at]["name"], "classifier": "gradient-boosted trees", "trained_on": len(train)}
    return {
        name: predicted(part, rows.real, at, rows.choices[at], subject.seed, facts)
        for name, part in (("utility", drawn), ("utility_real", known))
    }


def target_of(columns: Sequence[Mapping[str, Any]], wanted: str | None = None) -> int:
    """Return the place of the column that is predicted.

    Raises:
        UserError: there is no column `wanted`, or none beside it.

    >>> target_of([{"name": "town", "type": "boolean", "levels": ["a", "b"]}, {"name": "age", "type": "count"}])
    0
    """
    names = [str(column["name"]) for column in columns]
    if len(names) < 2:
        raise UserError("a column is predicted from others, and there is one alone")
    if wanted is not None:
        if wanted not in names:
            raise UserError(f"there is no column '{wanted}' to predict; there are {', '.join(names[:20])}")
        return names.index(wanted)
    called = [j for j, name in enumerate(names) if name.lower() in TARGETS]
    few = [j for j, column in enumerate(columns) if column["type"] in CHOICE and len(column["levels"]) <= FEW_LEVELS]
    numbers = [j for j, column in enumerate(columns) if column["type"] not in CHOICE]
    return (called or few or numbers or [len(names) - 1])[-1]


def predicted(train: Values, test: Values, at: int, choice: bool, seed: int, facts: Mapping[str, Any]) -> Result:
    """Return how well column `at` of test rows is predicted by trees fitted to other rows, (N, C) both."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    never: Any = False
    x, y = (np.delete(train, at, 1), train[:, at])
    seen, tested = ~np.isnan(y), ~np.isnan(test[:, at])
    if not seen.any() or not tested.any():
        return Result(None, "of 1", 0, facts={"refused": "the column has no cells"} | dict(facts))
    truth = test[tested, at]
    if choice:
        if len(np.unique(y[seen])) < 2:
            guess = np.full(len(truth), y[seen][0])
        else:
            trees = HistGradientBoostingClassifier(early_stopping=never, random_state=seed)
            guess = trees.fit(x[seen], y[seen]).predict(np.delete(test[tested], at, 1))
        return mean_of(torch.from_numpy((guess == truth).astype(np.float64)), "of 1", **facts)
    trees = HistGradientBoostingRegressor(early_stopping=never, random_state=seed)
    guess = trees.fit(x[seen], y[seen]).predict(np.delete(test[tested], at, 1))
    found = explained(torch.from_numpy(guess - truth), torch.from_numpy(truth))
    return Result(found.value, "of 1", found.n, found.stderr, facts=facts)


# -- copies ------------------------------------------------------------------------------------------------------------


@metric(
    "synthetic_privacy",
    group="synthetic",
    gives={
        "dcr": ("mean distance of sampled rows to the closest training row", None),
        "dcr_holdout": ("the same of test rows, which are no copies", None),
        "dcr_share": ("share of sampled rows closer to a training row than to one of as many test rows", False),
    },
    needs=("table", "train"),
    reference="Zhao et al. 2021, arXiv:2102.08369 (distance to closest record)",
    slow=True,
)
@refuses("dcr", "dcr_holdout", "dcr_share", unit="of 1")
def synthetic_privacy(subject: Subject) -> dict[str, Result]:
    """Whether samples are copies: distances to the closest record, among training rows and among test rows.

    The distance of rows is the mean over columns of differences: of numbers as shares of the range between the 1st and
    99th percentile of training rows, at most 1; of levels 0 or 1; of a cell and a missing one 1. `dcr_share` is 0.5
    where training rows are no closer than rows that were never seen, ties counting half; its standard error is that
    of other samples beside the same rows.
    """
    rows = synthetic_rows(subject)
    assert subject.train is not None
    train = in_own_units(subject.train()[0], subject.info.facts["columns"], rows.places)
    fitted, real, fake = scaled(train, rows.choices, train, rows.real, rows.fake)
    order = np.random.default_rng(subject.seed).permutation(len(fitted))
    few = fitted[order[: len(real)]]
    near = nearest(fake, few) - nearest(fake, real[: len(few)])
    closer = np.where(near == 0, 0.5, near < 0)
    found = {"dcr": nearest(fake, fitted), "dcr_holdout": nearest(real, fitted), "dcr_share": closer}
    return {name: mean_of(torch.from_numpy(values), "of 1") for name, values in found.items()}


def scaled(reference: Values, choices: Sequence[bool], *parts: Values) -> list[Values]:
    """Return rows with numbers as shares of the range between the reference's 1st and 99th percentile."""
    low, width = np.zeros(len(choices)), np.ones(len(choices))
    for j, choice in enumerate(choices):
        cells = reference[~np.isnan(reference[:, j]), j]
        if not choice and len(cells):
            ends = np.quantile(cells, [0.01, 0.99])
            low[j], width[j] = ends[0], (ends[1] - ends[0]) or 1.0
    return [np.where(choices, part, (part - low) / width) for part in parts]


def nearest(rows: Values, others: Values) -> Values:
    """Return the distance of each row (N, C) to the closest of others (M, C), (N,): see `synthetic_privacy`.

    >>> nearest(np.array([[0.0, 1.0]]), np.array([[0.5, 1.0], [0.0, np.nan]])).tolist()
    [0.25]
    """
    x, y = (torch.from_numpy(part).float() for part in (rows, others))
    out: list[Tensor] = []
    for some in x.split(max(1, 2**24 // max(1, y.numel()))):
        apart = (some.unsqueeze(1) - y).abs().clamp(max=1.0)
        both = torch.isnan(some).unsqueeze(1) & torch.isnan(y)
        apart = torch.where(both, 0.0, torch.where(torch.isnan(apart), 1.0, apart))
        out.append(apart.mean(2).amin(1))
    return torch.cat(out).double().numpy()


# -- what can be -------------------------------------------------------------------------------------------------------


@metric(
    "synthetic_validity",
    group="synthetic",
    gives={
        "valid_rows": (
            "share of sampled rows whose cells could all be the table's: bounds, whole numbers, levels",
            True,
        ),
    },
    needs=("table", "train"),
    slow=True,
)
@refuses("valid_rows", unit="share")
def synthetic_validity(subject: Subject) -> dict[str, Result]:
    """Rows with numbers and dates within the training rows' bounds, whole where they are, and levels that were seen."""
    rows = synthetic_rows(subject)
    assert subject.train is not None
    train = in_own_units(subject.train()[0], subject.info.facts["columns"], rows.places)
    return {"valid_rows": share(valid(rows.fake, train, rows.choices))}


def valid(fake: Values, train: Values, choices: Sequence[bool]) -> Values:
    """Return which rows (N, C) hold only what training rows (M, C) could: (N,) bool.

    >>> train = np.array([[1.0, 0.0], [3.0, 2.0]])
    >>> valid(np.array([[2.0, 2.0], [2.5, 0.0], [4.0, 0.0], [2.0, 1.0], [np.nan, 0.0]]), train, [False, True]).tolist()
    [True, False, False, False, False]
    """
    ok = np.ones(len(fake), dtype=bool)
    for j, choice in enumerate(choices):
        known, own = train[~np.isnan(train[:, j]), j], fake[:, j]
        here = ~np.isnan(own)
        if not len(known):
            ok &= ~here
            continue
        if choice:
            fits = np.isin(own, known)
        else:
            off = 1e-4 * (known.max() - known.min())  # scores are single precision
            fits = (own >= known.min() - off) & (own <= known.max() + off)
            fits &= (own == np.round(own)) | (known != np.round(known)).any()
        ok &= np.where(here, fits, np.isnan(train[:, j]).any())
    return ok
