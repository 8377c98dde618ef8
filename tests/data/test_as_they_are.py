"""Tables as they are: labels, gaps and rare levels are part of the model and of its samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data.tables.modality import Tables, TableSettings
from vaekit.distributions.mixed import MixedColumns
from vaekit.runs.run import Run
from vaekit.runs.train import train

pytestmark = pytest.mark.filterwarnings("ignore:.*occur in held-out rows only")
TABLES = Tables()
SETTINGS: dict[str, Any] = {
    "train.steps": 30,
    "train.device": "cpu",
    "data.valid": 0.1,
    "data.test": 0.1,
    "data.unknown": "missing",
}


def table(n: int = 300) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    income = [f"${v:,.0f}" if rng.random() > 0.4 else "" for v in rng.lognormal(8, 1, n)]
    city = [f"town {v}" if v > 5 else "York" for v in rng.integers(0, 200, n)]
    return {
        "age": [str(v) for v in rng.integers(18, 90, n)],
        "income": income,
        "city": [c if rng.random() > 0.5 else "London" for c in city],
        "class": [str(rng.integers(0, 2)) for _ in range(n)],
    }


@pytest.fixture(scope="module")
def run() -> Run:
    return train("tabular-vae", table(), set=SETTINGS)


def test_samples_are_rows_as_the_table_has_them(run: Run) -> None:
    columns, drawn = table(), run.columns(run.drawn(500, draw=True, seed=0))
    assert list(drawn) == list(columns)
    assert set(drawn["class"]) == {0, 1}
    assert all(18 <= age < 90 for age in drawn["age"])
    assert set(drawn["city"]) <= set(columns["city"]) and len(set(drawn["city"])) > 20
    missing = np.mean([income is None for income in drawn["income"]])
    assert missing == pytest.approx(0.4, abs=0.15)
    assert all(income is None or isinstance(income, int) for income in drawn["income"])


def test_rare_levels_share_a_probability_in_the_rows_proportions(run: Run) -> None:
    column = next(c for c in run.info.facts["columns"] if c["name"] == "city")
    assert 50 < column["rare"] < len(column["levels"])
    px: Any = run.model.decode(run.model.sample_latent(1))
    assert isinstance(px, MixedColumns)
    p = px.probs[0, [c["name"] for c in run.info.facts["columns"] if "levels" in c].index("city")]
    assert float(p.sum().detach()) == pytest.approx(1, abs=1e-5)
    shares = torch.tensor(column["probs"][-column["rare"] :])
    own = p[len(column["levels"]) - column["rare"] : len(column["levels"])]
    torch.testing.assert_close(own / own.sum(), shares / shares.sum(), rtol=1e-3, atol=1e-5)


def test_the_label_is_a_column_unless_the_model_is_conditioned_on_it() -> None:
    joint = train("tabular-vae", table(), set=SETTINGS | {"train.steps": 1}).info
    given = train("tabular-cvae", table(), set=SETTINGS | {"train.steps": 1}).info
    named = train("tabular-vae", table(), set=SETTINGS | {"train.steps": 1, "data.label": "class"}).info
    names = [[column["name"] for column in info.facts["columns"]] for info in (joint, given, named)]
    assert ["class" in own for own in names] == [True, False, False]
    assert not joint.classes and given.classes == named.classes == ("0", "1")


def test_gaps_are_filled_as_observed_cells_are_distributed(run: Run) -> None:
    with pytest.warns(UserWarning, match="levels that training did not meet are taken as missing"):
        filled = run.impute(table(), k=8).x
    assert all(isinstance(income, int) and income > 0 for income in filled["income"])


def test_a_table_without_a_column_says_nothing_of_its_gaps(tmp_path: Path) -> None:
    data = TABLES.load({"a": [1.5, None, 3.5, 2.0], "b": [1.0, 2.5, 4.0, 3.0]}, TableSettings(valid=0, test=0))
    assert data.info.facts["columns"][2]["gap_of"] == "a" and data.train.x[:, 2].tolist() == [0, 1, 0, 0]
    with pytest.warns(UserWarning, match="has no column a"):
        x = TABLES.encode({"b": [1.0]}, data.info, TableSettings()).x
    assert torch.isnan(x[0]).tolist() == [True, False, True]
    TABLES.write(tmp_path / "t.csv", data.train.x, data.info)
    assert (tmp_path / "t.csv").read_text().splitlines() == ["a,b", "1.5,1.0", ",2.5", "3.5,4.0", "2.0,3.0"]
