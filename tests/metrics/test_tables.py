"""Metrics of tables against the exact conditional of a linear-Gaussian model, and against counting by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from table_oracle import NUMERIC, Oracle
from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.metrics.base import METRICS, Subject, evaluate
from vaekit.metrics.tables import Hidden, hide, predicted


def subject(oracle: Oracle, x: torch.Tensor, k: int = 500, seed: int = 0) -> Subject:
    info = DataInfo("t", (4,), "table", None, 9, 0, 0, modality="tables", facts={"columns": NUMERIC})
    return Subject(oracle.model, info, x, k=k, seed=seed)


@pytest.mark.parametrize("exact", [True, False])
def test_hidden_cells_are_predicted_as_the_exact_conditional_does(exact: bool) -> None:
    """Their log p by Bayes' rule, log p(x_j, rest) - log p(rest), and their conditional mean."""
    oracle = Oracle.make(exact)
    x = oracle.rows(40)
    torch.manual_seed(0)
    with torch.no_grad():
        found = predicted(subject(oracle, x, k=20_000 if exact else 100_000, seed=4))
    assert isinstance(found, Hidden) and 10 < int(found.cells.sum()) < 40
    for row, cells, log_p, imputed in zip(x, found.cells, found.log_p, found.imputed):
        if not bool(cells.any()):
            continue
        rest = torch.where(cells, math.nan, row)
        if int(cells.sum()) == 1:
            torch.testing.assert_close(log_p[cells][0], oracle.log_p(row) - oracle.log_p(rest), rtol=0, atol=0.05)
        if not bool(torch.isnan(rest).all()):
            mean, _ = oracle.conditional(rest)
            torch.testing.assert_close(imputed[torch.isnan(rest)], mean, rtol=0, atol=0.06)


def test_numbers_are_those_of_the_hidden_cells_alone() -> None:
    oracle = Oracle.make(exact=True)
    x = oracle.rows(30)
    one = subject(oracle, x, k=50, seed=1)
    found = evaluate(one, ["imputation", "columns"])
    cells, hidden = hide(x, 1), one.shared["predicted"]
    error = (hidden.imputed - x)[cells]
    assert found["impute_rmse"].value == pytest.approx(float(error.square().mean().sqrt()))
    assert found["impute_rmse_mean"].value == pytest.approx(float(x[cells].square().mean().sqrt()))
    assert found["cell_nll"].value == pytest.approx(-float(hidden.log_p[cells].mean()))
    assert found["cell_nll"].n == int(cells.sum()) and "impute_accuracy" not in found
    for j in range(4):
        nll = -float(hidden.log_p[:, j][cells[:, j]].mean())
        assert found[f"column_nll.c{j}"].value == pytest.approx(nll)


def test_imputation_errors_are_in_standard_deviations_of_their_columns() -> None:
    """Rows are stored standardised: in columns whose deviations are 3 instead of 1 the error is what it was."""
    oracle = Oracle.make(exact=True)
    x = oracle.rows(30)
    plain, scaled = subject(oracle, x, k=50, seed=1), subject(oracle, x, k=50, seed=1)
    columns = [column | {"sd": 3.0, "mean": 5.0} for column in scaled.info.facts["columns"]]
    scaled = replace(scaled, info=replace(scaled.info, facts=dict(scaled.info.facts) | {"columns": columns}))
    one, other = (evaluate(each, ["imputation"]) for each in (plain, scaled))
    for name in ("impute_rmse", "impute_rmse_mean"):
        assert other[name].value == pytest.approx(one[name].value, rel=1e-5)


def test_the_standard_error_goes_over_rows() -> None:
    """Cells of one row are not independent: repeating every column leaves it where it was."""
    oracle = Oracle.make(exact=True)
    x = oracle.rows(30)
    found = evaluate(subject(oracle, x, k=50), ["imputation"])["cell_nll"]
    from vaekit.metrics.tables import over_cells

    values, cells = torch.randn(30, 4), torch.rand(30, 4) < 0.5
    once = over_cells(values, cells, "nats")
    twice = over_cells(torch.cat([values, values], 1), torch.cat([cells, cells], 1), "nats")
    assert twice.stderr == pytest.approx(once.stderr) and twice.value == pytest.approx(once.value)
    assert found.stderr is not None and found.stderr > 0


def test_only_tables_have_them() -> None:
    oracle = Oracle.make(exact=True)
    plain = Subject(oracle.model, DataInfo("t", (4,), "real", None, 9, 0, 0), oracle.rows())
    with pytest.raises(UserError, match="not a table"):
        evaluate(plain, ["imputation"])


def test_imputed_levels_are_right_or_wrong_by_hand() -> None:
    columns = [{"type": "categorical", "levels": ["a", "b", "c"], "probs": [0.2, 0.5, 0.3]}, NUMERIC[0]]
    x = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [1.0, 4.0]])
    imputed = torch.tensor([[0.0, 1.0], [1.0, 2.0], [0.0, 3.0], [2.0, 4.0]])
    cells = torch.tensor([[True, False], [True, False], [True, False], [False, True]])
    info = DataInfo("t", (2,), "table", None, 9, 0, 0, modality="tables", facts={"columns": columns})
    one = Subject(torch.nn.Identity(), info, x)  # type: ignore[arg-type]
    one.shared["predicted"] = Hidden(cells, torch.zeros(4, 2), imputed, {})
    found = METRICS["imputation"].part(one)
    assert found["impute_accuracy"].value == pytest.approx(2 / 3) and found["impute_accuracy"].n == 3
    assert found["impute_accuracy_mode"].value == pytest.approx(1 / 3)
    assert found["impute_rmse"].value == 0
