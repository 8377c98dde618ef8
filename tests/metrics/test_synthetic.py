"""Metrics of synthetic tables: by hand, against SciPy, and of samples that are real, copied or wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from vaekit.data.tables.modality import Tables, TableSettings
from vaekit.errors import UserError
from vaekit.metrics import synthetic
from vaekit.metrics.base import Subject

ALL: tuple[str, ...] = ("synthetic_c2st", "synthetic_auroc", "column_shapes", "column_pairs", "utility", "utility_real")
ALL = (*ALL, "dcr", "dcr_holdout", "dcr_share", "valid_rows")


def table(n: int, seed: int = 0) -> dict[str, Any]:
    """Return rows in which the town says most about the age, and the number of visits goes with it."""
    noise = np.random.default_rng(seed)
    town = noise.integers(0, 3, n)
    age = np.round(20 + 15 * town + 3 * noise.normal(size=n), 1)
    rate = np.where(noise.random(n) < 0.2, np.nan, 0.1 * age + noise.normal(size=n))
    return {"age": age, "visits": noise.poisson(3 + 2 * town), "town": np.array(["a", "b", "c"])[town], "rate": rate}


DATA = Tables().load(table(2500), TableSettings(valid=0, test=500, repeats="apart"))  # type: ignore[call-arg]
FRESH = Tables().encode(table(500, 1), DATA.info, TableSettings()).x


class Drawn(torch.nn.Module):
    """A model that draws the rows it was given."""

    takes_label = False

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.rows, self.at = rows, 0

    def sample(self, n: int, y: Any = None, temperature: float = 1.0, draw: bool = False) -> torch.Tensor:
        self.at += n
        return self.rows[torch.arange(self.at - n, self.at) % len(self.rows)]


def found(rows: torch.Tensor, **options: Any) -> dict[str, Any]:
    model: Any = Drawn(rows)
    x = DATA.train.in_memory.x
    subject = Subject(model, DATA.info, DATA.test.in_memory.x, train=lambda: (x, None), options=options)
    functions = (synthetic.synthetic_c2st, synthetic.synthetic_shapes, synthetic.synthetic_utility)
    functions = (*functions, synthetic.synthetic_privacy, synthetic.synthetic_validity)
    return {name: one for function in functions for name, one in function(subject).items()}


def test_real_rows_pass() -> None:
    made = found(FRESH)
    assert set(made) == set(ALL)
    value = {name: one.value for name, one in made.items()}
    assert value["synthetic_c2st"] > 0.85 and abs(value["synthetic_auroc"] - 0.5) < 0.08
    assert value["column_shapes"] > 0.93 and value["column_pairs"] > 0.93 and value["valid_rows"] > 0.98
    assert abs(value["utility"] - value["utility_real"]) < 0.05 and value["utility_real"] > 0.9
    assert made["utility"].facts["target"] == "town"
    assert value["dcr"] == pytest.approx(value["dcr_holdout"], rel=0.15) and abs(value["dcr_share"] - 0.5) < 0.1
    low, high = made["synthetic_c2st"].interval
    assert low <= value["synthetic_c2st"] <= high <= 1


def test_copies_are_found_and_are_like_real_rows_otherwise() -> None:
    made = found(DATA.train.in_memory.x)
    assert made["dcr"].value == 0 < made["dcr_holdout"].value and made["dcr_share"].value > 0.55
    assert made["synthetic_c2st"].value > 0.85


def test_columns_drawn_apart_are_told_by_what_they_lost() -> None:
    noise = torch.Generator().manual_seed(0)
    apart = torch.stack([column[torch.randperm(len(FRESH), generator=noise)] for column in FRESH.T], 1)
    real, made = found(FRESH), found(apart)
    assert made["column_shapes"].value > 0.9  # marginals are right, and hide that
    assert made["synthetic_c2st"].value < 0.3 and made["synthetic_auroc"].value > 0.85
    assert made["column_pairs"].value < real["column_pairs"].value - 0.1
    assert made["utility"].value < made["utility_real"].value - 0.3


def test_rows_that_could_not_be_are_not_valid() -> None:
    rows = FRESH.clone()
    rows[::2, 0] = 12.0  # beyond every training row
    assert found(rows)["valid_rows"].value == pytest.approx(0.5, abs=0.02)


def test_a_shape_is_one_less_the_statistic_of_kolmogorov_and_smirnov() -> None:
    noise = np.random.default_rng(0)
    for _ in range(5):
        a, b = noise.normal(size=30).round(1), noise.normal(0.5, 2, size=50).round(1)
        told: Any = ks_2samp(a, b)
        assert synthetic.shape(a, b, False) == pytest.approx(1 - told.statistic)
    assert np.isnan(synthetic.shape(np.array([np.nan]), np.array([1.0]), False))


def test_pairs_by_hand() -> None:
    up, down = np.arange(10.0), np.arange(10.0)[::-1].copy()
    assert synthetic.pair((up, up, False), (up, up, False)) == pytest.approx(1)
    assert synthetic.pair((up, up, False), (up, down, False)) == pytest.approx(0)
    one, two = np.array([0.0, 0, 1, 1]), np.array([0.0, 1, 0, 1])
    assert synthetic.pair((one, one, True), (one, two, True)) == pytest.approx(0.5)
    wide = np.array([0.0, 0, 10, 10])
    assert synthetic.pair((wide, wide, False), (one, one, True)) == pytest.approx(1)
    assert synthetic.pair((wide, wide[::-1], False), (one, one, True)) == pytest.approx(0)


def test_what_is_predicted() -> None:
    columns = [{"name": name, "type": "numeric"} for name in ("a", "y", "b")]
    assert synthetic.target_of(columns) == 1 and synthetic.target_of(columns, "b") == 2
    assert synthetic.target_of([*columns[:1], *columns[2:]]) == 1
    with pytest.raises(UserError, match="no column 'c' to predict"):
        synthetic.target_of(columns, "c")
    number = found(FRESH, target="age")
    assert 0.8 < number["utility"].value <= 1 and number["utility"].facts["target"] == "age"


def test_few_rows_are_refused() -> None:
    model: Any = Drawn(FRESH)
    made = synthetic.synthetic_c2st(Subject(model, DATA.info, FRESH[:10]))
    assert "at least 20 test rows" in made["synthetic_c2st"].facts["refused"]
