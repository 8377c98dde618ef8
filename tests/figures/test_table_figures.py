"""Figures of tables: their numbers against scipy's, and what is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from vaekit.figures.tables import Column, correlations, marginals, rank_correlations


def test_rank_correlations_are_spearmans() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=60), rng.integers(0, 5, 60).astype(float)
    b[::7] = np.nan
    known = np.isfinite(b)
    theirs: Any = spearmanr(a[known], b[known])
    assert rank_correlations([a, b])[0, 1] == pytest.approx(theirs.statistic)


def test_a_constant_column_has_no_correlation() -> None:
    found = rank_correlations([np.arange(5.0), np.ones(5)])
    assert np.isnan(found[0, 1]) and found[0, 0] == 1


def test_columns_are_drawn_with_their_type_and_missing_share() -> None:
    real, made = np.array([1.0, 2.0, np.nan, 4.0]), np.array([1.0, 3.0, 3.0, 4.0])
    levels = Column(
        "kind", "categorical", np.array([0.0, 1.0, 1.0, np.nan]), np.array([1.0, 1.0, 0.0, 0.0]), ("a", "b")
    )
    fig = marginals([Column("size $", "positive", real, made), levels])
    titles = [ax.texts[0].get_text() for ax in fig.axes]
    assert titles == ["positive, missing 25%, 0% in samples", "categorical, missing 25%, 0% in samples"]
    patches: Any = fig.axes[1].patches
    bars = [patch.get_height() for patch in patches]
    assert bars == pytest.approx([2 / 3, 1 / 3])  # the commonest first


def test_correlations_need_two_columns_of_numbers() -> None:
    many = Column("k", "categorical", np.arange(3.0), np.arange(3.0), ("a", "b", "c"))
    one = Column("x", "numeric", np.arange(3.0), np.arange(3.0))
    assert correlations([many, one]) is None
    fig = correlations([one, Column("y", "numeric", np.array([2.0, 1.0, 0.0]), np.arange(3.0))])
    assert fig is not None
    drawn = [np.asarray(ax.images[0].get_array()) for ax in fig.axes[:3]]
    assert (
        drawn[0][0, 1] == pytest.approx(-1)
        and drawn[1][0, 1] == pytest.approx(1)
        and drawn[2][0, 1] == pytest.approx(2)
    )


def test_dates_are_written_as_dates() -> None:
    days = np.arange(18700.0, 18900.0)
    fig = marginals([Column("joined", "date", days, days), Column("age", "numeric", days, days)])
    fig.canvas.draw()
    date, number = ([label.get_text() for label in ax.get_xticklabels()] for ax in fig.axes)
    assert any(text in ("May", "Apr", "Jun", "Jul") for text in date), date
    assert "18" in "".join(number)


def test_ordered_levels_stand_in_their_order_and_others_by_how_common_they_are() -> None:
    values = np.array([2.0, 2, 2, 1, 1, 0])
    for kind, want in (("ordinal", ["low", "mid", "high"]), ("categorical", ["high", "mid", "low"])):
        ax = marginals([Column("grade", kind, values, values, ["low", "mid", "high"])]).axes[0]
        assert [text.get_text() for text in ax.get_xticklabels()] == want
