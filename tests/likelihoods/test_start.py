"""start_from: with the last layer's weights at 0, the first prediction is the training mean."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from contracts import cases
from vaekit.conditional import Likelihood
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.likelihoods.categorical import Categorical
from vaekit.likelihoods.discretised_logistic import DiscretisedLogistic
from vaekit.likelihoods.student import StudentT
from vaekit.nets.mlp import mlp

SIMPLE = [c for c in cases(LIKELIHOODS) if "example" not in c.entry.facts and "no_contract" not in c.entry.facts]


@pytest.mark.parametrize("case", SIMPLE, ids=lambda c: c.id)
def test_first_prediction_is_the_training_mean(case: Any) -> None:
    part, context = case.build((1, 2, 2))
    if type(part).start_from is Likelihood.start_from:
        pytest.skip("starts from nothing")
    mean = torch.tensor([[[0.1, 0.4], [0.5, 0.85]]])
    if part.wants == "counts":
        mean = 20 * mean
    part.start_from(mean)
    torch.nn.init.zeros_(part.net.head.weight)
    d = part.eval()(*context)
    # The rounded and clipped mean of a logistic is near its location, not on it; two levels round hardest. A
    # mixture's components lie around the training mean, apart from one another.
    locations = {"discretised-logistic": lambda: d.loc, "logistic-mixture": lambda: d.loc.mean(-4)}
    start = locations.get(case.entry.name, lambda: d.mean)()
    torch.testing.assert_close(start, mean.expand_as(start), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("levels", [0, 1, 70_000])
def test_levels_out_of_range_are_named(levels: int) -> None:
    for part in (Categorical, DiscretisedLogistic):
        with pytest.raises(UserError, match=r"likelihood\.levels"):
            part(mlp(2, 3), levels=levels)


@pytest.mark.parametrize("df", [0.5, 1.0, float("nan"), "pixel"])
def test_degrees_of_freedom_without_a_mean_are_refused(df: Any) -> None:
    with pytest.raises(UserError, match=r"model\.df"):
        StudentT(mlp(2, 3), df=df)
