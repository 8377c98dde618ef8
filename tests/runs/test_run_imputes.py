"""`Run.impute` gives back what it was given, a dict of columns or an array, with its gaps filled and the rest kept."""

from __future__ import annotations

import numpy as np
import pytest

from vaekit.runs.train import train
from vaekit.tasks.series_imputation import tail

COLUMNS = {"a": [1.5, None, 3.5, 2.0] * 20, "b": ["x", "y", None, "x"] * 20, "c": [1, 2, 3, 4] * 20}


def test_a_table_in_memory() -> None:
    run = train("tabular-vae", COLUMNS, steps=5, device="cpu", set={"data.repeats": "apart"})
    made = run.impute(COLUMNS, draws=2, k=20)
    assert made.missing.sum() == 40 and len(made.draws) == 2
    for filled in (made.x, *made.draws):
        for name, cells in COLUMNS.items():
            assert all(new is not None for new in filled[name])
            assert all(new == old for new, old in zip(filled[name], cells) if old is not None)
        assert set(filled["b"]) <= {"x", "y"}


def test_an_array() -> None:
    run = train("vae", "digits", steps=5, set={"model.hidden": 8}, device="cpu")
    x = run.test.x[:4].double().numpy()
    x[0, 0, 3, :5] = np.nan
    made = run.impute(x, draws=3, k=20)
    seen = ~np.isnan(x)
    assert made.draws.shape == (3, *x.shape) and made.missing.sum() == 5
    for filled in (made.x, *made.draws):
        assert np.array_equal(filled[seen], x[seen]) and np.isfinite(filled).all()
    assert np.isin(made.draws[~np.isnan(made.draws)], (0.0, 1.0)).all()


def test_numbers_that_were_there_keep_every_digit_and_whole_ones_stay_whole() -> None:
    long = [0.123456789012345, None, 2.5, 3.25] * 20
    run = train("tabular-vae", {"long": long, "whole": [1, 2, None, 40] * 20}, steps=5, set={"data.repeats": "apart"})
    for filled in (run.impute({"long": long, "whole": [1, 2, None, 40] * 20}, draws=1, k=20)).draws:
        assert filled["long"][0] == 0.123456789012345
        assert all(isinstance(cell, int) for cell in filled["whole"]) and filled["whole"][3] == 40


def test_a_data_frame_comes_back_with_its_gaps_filled_and_the_rest_as_it_was() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.5, None, 3.5, 2.0] * 20, "b": ["x", "y", None, "x"] * 20}, index=range(100, 180))
    run = train("tabular-vae", frame, steps=5, set={"data.repeats": "apart"})
    made = run.impute(frame, draws=1, k=20)
    for filled in (made.x, *made.draws):
        assert list(filled.index) == list(frame.index) and filled["a"].dtype == frame["a"].dtype
        assert bool(filled.notna().all().all()) and bool((filled == frame)[frame.notna()].fillna(True).all().all())


def test_the_last_steps_of_series() -> None:
    one, other = np.arange(10.0).reshape(2, 5), np.arange(6.0).reshape(2, 3)
    assert tail([one, other], 2).tolist() == [[[3, 4], [8, 9]], [[1, 2], [4, 5]]]
