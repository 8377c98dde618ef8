"""Agreement of several runs: the definition of disentanglement_lib by hand, and its ways in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import vaekit
from vaekit.data.factors import known_factors
from vaekit.errors import UserError
from vaekit.metrics.udr import agreement, ranking


def codes(seed: int = 0, n: int = 3000, d: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_codes_up_to_order_sign_and_monotone_change_agree_and_mixed_ones_do_not() -> None:
    x = codes(n=20_000)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))
    assert agreement(x, -(x[:, [2, 0, 3, 1]] ** 3)) > 0.97
    assert agreement(x, x @ turn) < 0.6
    assert agreement(x, codes(5, n=20_000)) < 0.03


def test_it_is_the_mean_of_two_means_also_where_one_run_has_a_latent_less() -> None:
    """Weighted by d_a + d_b, as printed in the paper, it is .801 where disentanglement_lib gives .817."""
    x = codes(n=400)
    a, b = x + 0.4 * codes(1, 400), (x + 0.4 * codes(2, 400))[:, :3]
    table = np.array([[abs(float(spearmanr(p, q)[0])) for q in b.T] for p in a.T])  # type: ignore[arg-type]
    columns = np.mean([column.max() ** 2 / column.sum() for column in table.T])
    rows = np.mean([row.max() ** 2 / row.sum() for row in table])
    assert agreement(a, b) == pytest.approx((columns + rows) / 2, abs=1e-9)
    weighted = (3 * columns + 4 * rows) / 7
    assert abs(agreement(a, b) - weighted) > 0.005
    assert agreement(b, a) == pytest.approx(agreement(a, b))


def test_the_score_of_a_run_is_the_median_over_the_others() -> None:
    x = codes()
    others = [x, x[:, ::-1], codes(9)]
    assert ranking(x, others) == pytest.approx(np.median([agreement(x, other) for other in others]))
    assert agreement(x, np.zeros((3000, 2))) == 0.0 and agreement(x, x[:, :0]) == 0.0


@pytest.mark.parametrize("form", ["npz", "dict"])
def test_continuous_factors_come_with_the_data_and_are_for_mcc_alone(form: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    s = rng.normal(size=(400, 2))
    data: Any = {"x": np.concatenate([s, s @ rng.normal(size=(2, 3))], 1), "factors": s}
    if form == "npz":
        np.savez(tmp_path / "s.npz", **data)
    source = tmp_path / "s.npz" if form == "npz" else data
    run = vaekit.train("vae", source, steps=20, set={"model.latent": 2}, pictures=False)
    test = run.test
    assert test.factors is not None and test.factors.dtype == torch.float64 and len(test.factors) == len(test)
    assert torch.allclose(run.data.test.x[:, :2].double(), test.factors, atol=1e-6)  # each beside its own example
    result = run.evaluate(["disentanglement"])
    assert set(result) == {"mcc", "mcc_rank"} and result["mcc"].value is not None
    with pytest.raises(UserError, match="these are continuous"):
        run.evaluate(["mig"])


def test_factors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="3 rows of numbers"):
        known_factors(np.zeros((2, 1)), 3, "factors")
    with pytest.raises(UserError, match="3 rows of numbers"):
        known_factors(np.array(["a", "b", "c"]), 3, "factors")
    with pytest.raises(UserError, match="row 1 has a value that is not finite"):
        known_factors(np.array([[0.0], [np.nan], [1.0]]), 3, "factors")
