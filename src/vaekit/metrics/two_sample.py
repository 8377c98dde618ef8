"""The classifier two-sample test: whether boosted trees tell draws of the model from held-out data, of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vaekit.errors import UserError
from vaekit.intervals import auroc, auroc_interval, wilson
from vaekit.metrics.base import Result, Subject, metric, refuses
from vaekit.metrics.graphs import statistics
from vaekit.tokens import lengths, used

MAX_EXAMPLES = 2000
"""Test examples and as many samples, at most."""
LEAST = 20
SIDE = 28
"""Pixels to which larger images, and steps of longer series, are averaged."""
BUCKETS = 512
"""Numbers that counts of tokens and of pairs are kept in."""


@metric(
    "c2st",
    group="samples",
    gives={
        "c2st_accuracy": (
            "accuracy of boosted trees in telling draws from test data; 0.5 where they cannot",
            False,
        ),
        "c2st_auroc": ("area under the ROC curve of the same trees, 0.5 where they cannot", False),
    },
    reference="Lopez-Paz & Oquab 2017, arXiv:1610.06545",
)
@refuses("c2st_accuracy", "c2st_auroc", unit="of 1")
def c2st(subject: Subject) -> dict[str, Result]:
    """Gradient-boosted trees, fitted to half of the test examples and of as many draws, and judged by the other half.

    The samples are draws from p(x|z) at draws from the prior, with the gaps of the examples where the model
    does not draw gaps itself. The intervals are those of the trees that were fitted; other trees would differ by more.
    """
    n = min(len(subject.x), MAX_EXAMPLES, int(subject.options.get("samples", MAX_EXAMPLES)))
    if n < LEAST:
        raise UserError(f"a classifier of samples needs at least {LEAST} test examples, and there are {n}")
    rows = subject.some_rows(n)
    real, fake = subject.x.index_select(0, rows), subject.samples(n, draw=True)
    columns = subject.info.facts.get("columns", ()) if subject.info.kind == "table" else ()
    if subject.info.kind in ("table", "series") and not any(column.get("gap_of") for column in columns):
        real, fake = alike(real, fake)
    (data, names), (made, _) = numbers_of(subject, real), numbers_of(subject, fake)
    right, score, truth = told_apart(data, made, subject.seed)
    facts = {"features": names, "classifier": "gradient-boosted trees", "samples": "draws from p(x|z)"}
    share = float(right.mean())
    return {
        "c2st_accuracy": Result(share, "of 1", len(truth), None, wilson(share, len(truth)), facts),
        "c2st_auroc": Result(auroc(score, truth), "of 1", len(truth), None, auroc_interval(score, truth), facts),
    }


def told_apart(data: np.ndarray, made: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which held-out rows are told rightly, their scores and which are data, for data and samples (N, F).

    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> bool(told_apart(x[:100], x[100:] + 5.0)[0].mean() > 0.95)
    True
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    order = np.random.default_rng(seed).permutation(len(data))
    fitted, held = order[: len(order) // 2], order[len(order) // 2 :]
    never: Any = False  # the stubs know "auto" alone
    trees = HistGradientBoostingClassifier(early_stopping=never, random_state=seed)
    trees.fit(np.concatenate([data[fitted], made[fitted]]), np.arange(2 * len(fitted)) < len(fitted))
    truth = np.arange(2 * len(held)) < len(held)
    score = trees.predict_proba(np.concatenate([data[held], made[held]]))[:, 1]
    return (score > 0.5) == truth, score, truth


def alike(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in one width, and the samples with the gaps (NaN) of the data, which are no sign of the model.

    >>> alike(torch.tensor([[[1.0, torch.nan, 3]]]), torch.tensor([[[1.0, 2.0]]]))[1].tolist()
    [[[1.0, nan, inf]]]
    """
    width = max(real.shape[-1], fake.shape[-1])
    real, fake = (F.pad(x, (0, width - x.shape[-1]), value=torch.inf) for x in (real.float(), fake.float()))
    return real, torch.where(torch.isnan(real) & ~torch.isinf(fake), torch.nan, fake)


def numbers_of(subject: Subject, x: Any) -> tuple[np.ndarray, str]:
    """Return examples of any kind as rows of numbers (N, F), NaN where they have none, and what the numbers are."""
    kind = subject.info.kind
    if kind == "graph":
        if len(x) < 2:
            raise UserError("the data are one graph, so there are no others to tell samples from")
        return graph_numbers(x), "sizes, degrees and clustering of graphs"
    if kind == "tokens":
        return token_numbers(x, subject.info.levels or 0), "length, and counts of tokens and of pairs of them"
    if kind == "series":
        return series_numbers(x), f"length, and means over {SIDE} parts of each channel"
    if kind == "table":
        return x.double().numpy(), "the columns"
    shown = x.float()
    if shown.dim() == 4 and max(shown.shape[2:]) > SIDE:
        size = min(shown.shape[2], SIDE), min(shown.shape[3], SIDE)
        return F.adaptive_avg_pool2d(shown, size).flatten(1).numpy(), f"pixels, averaged to {size[0]} × {size[1]}"
    return shown.flatten(1).numpy(), "the numbers of x"


def token_numbers(x: Tensor, vocabulary: int) -> np.ndarray:
    """Return lengths, and counts of tokens and of neighbouring pairs in 512 buckets each, of rows (N, T).

    >>> token_numbers(torch.tensor([[4, 5, 2, 0]]), 8)[0, [0, 1 + 4, 1 + 5]].tolist()
    [3.0, 1.0, 1.0]
    """
    keep = used(x)
    single = x.remainder(BUCKETS)
    pairs = (x[:, :-1] * max(vocabulary, 1) + x[:, 1:]).remainder(BUCKETS)
    counts = [torch.zeros(len(x), BUCKETS).scatter_add_(1, one.long(), mask.float()) for one, mask in (
        (single, keep), (pairs, keep[:, 1:])
    )]  # fmt: skip
    return torch.cat([lengths(x).float().unsqueeze(1), *counts], 1).numpy()


def series_numbers(x: Tensor) -> np.ndarray:
    """Return the length of each series (N, C, T), and each channel's means over equal parts of the width."""
    ended = torch.isinf(x)
    seen = torch.where(ended, torch.nan, x)
    parts = [part.nanmean(-1) for part in seen.tensor_split(min(SIDE, x.shape[-1]), -1)]
    length = (~ended.all(1)).sum(1).unsqueeze(1)
    return torch.cat([length.float(), torch.stack(parts, -1).flatten(1)], 1).numpy()


def graph_numbers(x: Any) -> np.ndarray:
    """Return for each graph its nodes and edges, mean, deviation and maximum of degrees, and mean clustering."""
    degrees, clusterings = statistics(x)
    rows = [[len(d), d.sum() / 2, d.mean(), d.std(), d.max(), c.mean(), c.std()] for d, c in zip(degrees, clusterings)]
    return np.array(rows, dtype=np.float64)
