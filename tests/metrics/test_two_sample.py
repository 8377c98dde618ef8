"""The classifier two-sample test on data of every kind: at chance where there is nothing to tell, and only there."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metrics.test_contract import SUBJECTS, subject_of
from vaekit.data.info import DataInfo
from vaekit.metrics.base import Subject, evaluate
from vaekit.metrics.two_sample import c2st, graph_numbers, numbers_of, series_numbers, token_numbers, told_apart

KINDS = {
    "digits": "the numbers of x",
    "tabular-vae": "the columns",
    "sequence-vae": "length, and counts",
    "molecule-vae": "length, and counts",
    "music-vae": "length, and counts",
    "series-vae": "length, and means",
    "graph-vae": "sizes, degrees",
}


def tell(subject: Subject, samples: Any) -> dict[str, Any]:
    """Return what is found where the model's samples are these."""
    subject = replace(subject, shared={})
    subject.samples = lambda n, draw=False: samples  # type: ignore[method-assign]
    found = c2st(subject)
    assert found["c2st_accuracy"].value is not None, found["c2st_accuracy"].facts
    return {name: result.value for name, result in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_data_has_the_test(name: str) -> None:
    subject = subject_of(name)
    assert subject.train is not None
    x, y = subject.train()
    rows = torch.arange(min(len(x), 100))
    many = replace(subject, x=x.index_select(0, rows), y=None if y is None else y[rows], shared={})
    found = evaluate(many, ["c2st"])
    for result in found.values():
        assert result.value is not None and result.interval is not None, result.facts
        assert result.facts["features"].startswith(KINDS[name])
        assert result.facts["samples"] == "draws from p(x|z)"


def test_at_chance_on_the_data_s_own_distribution_and_not_on_another() -> None:
    """With intervals: 0.5 is inside for the first, and outside for the second."""
    info = DataInfo("toy", (4,), "real", None, 1, 1, 1)
    rng = torch.Generator().manual_seed(0)
    model: Any = torch.nn.Identity()
    subject = Subject(model, info, torch.randn(600, 4, generator=rng))
    same = tell(subject, torch.randn(600, 4, generator=rng))
    assert abs(same["c2st_accuracy"] - 0.5) < 0.08 and abs(same["c2st_auroc"] - 0.5) < 0.08
    correlated = torch.randn(600, 4, generator=rng)
    correlated[:, 1] = 0.9 * correlated[:, 0] + 0.19**0.5 * correlated[:, 1]  # alike in every margin
    other = tell(subject, correlated)
    assert other["c2st_accuracy"] > 0.65 and other["c2st_auroc"] > 0.7


def test_what_is_tested_was_not_fitted_to() -> None:
    """Trees tell the rows they were fitted to; of noise, held-out rows are at chance."""
    rng = np.random.default_rng(0)
    shares = [told_apart(rng.normal(size=(100, 30)), rng.normal(size=(100, 30)), seed)[0].mean() for seed in range(8)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)


def test_gaps_of_a_table_do_not_give_samples_away() -> None:
    info = DataInfo("toy", (3,), "table", None, 1, 1, 1)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(600, 3, generator=rng)
    x[torch.rand(600, 3, generator=rng) < 0.3] = torch.nan
    model: Any = torch.nn.Identity()
    found = tell(Subject(model, info, x), torch.randn(600, 3, generator=rng))
    assert abs(found["c2st_accuracy"] - 0.5) < 0.08


def test_few_examples_and_one_graph_are_refused() -> None:
    model: Any = torch.nn.Identity()
    found = c2st(Subject(model, DataInfo("toy", (2,), "real", None, 1, 1, 1), torch.zeros(19, 2)))
    assert "at least 20 test examples" in found["c2st_auroc"].facts["refused"]


def test_numbers_of_tokens_series_graphs_and_large_pictures() -> None:
    one = token_numbers(torch.tensor([[4, 5, 2, 0]]), 8)
    same = token_numbers(torch.tensor([[4, 5, 2, 7, 7]]), 8)  # what follows END is nothing
    assert (one == same).all() and (one != token_numbers(torch.tensor([[5, 4, 2, 0]]), 8)).any()
    x = torch.tensor([[[1.0, 2.0, torch.nan, torch.inf]]])
    assert series_numbers(x)[0].tolist()[:3] == [3.0, 1.0, 2.0] and np.isnan(series_numbers(x)[0, 3:]).all()
    subject = Subject(torch.nn.Identity(), DataInfo("toy", (3, 64, 48), "unit", 256, 1, 1, 1), torch.zeros(1))  # type: ignore[arg-type]
    numbers, names = numbers_of(subject, torch.rand(2, 3, 64, 48))
    assert numbers.shape == (2, 3 * 28 * 28) and names == "pixels, averaged to 28 × 28"
    with warnings.catch_warnings():
        from vaekit.graphs import Graphs

        triangle = Graphs(torch.tensor([3, 2]), torch.tensor([[0, 1], [0, 2], [1, 2], [3, 4]]))
        assert graph_numbers(triangle)[0].tolist() == [3, 3, 2, 0, 2, 1, 0]


def test_kinds_are_all_looked_at() -> None:
    assert set(KINDS) <= set(SUBJECTS)


def test_pairs_of_tokens_are_of_neighbours() -> None:
    found = token_numbers(torch.tensor([[4, 5, 6, 2, 0]]), 8)[0]
    pairs = found[1 + 512 :]
    assert sorted(pairs.nonzero()[0].tolist()) == sorted([4 * 8 + 5, 5 * 8 + 6, 6 * 8 + 2]) and pairs.sum() == 3
